"""From frames to the trace of a tenant (protocol.md 9)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Final

from twisted.logger import Logger

from gandalf.routing.charge import Charge
from gandalf.routing.failures import MALFORMED
from gandalf.routing.link import Link
from gandalf.routing.unsettled import Unsettled
from gandalf.store.errors import DatabaseUnavailable, StoreError
from gandalf.store.trace import TraceRecord
from gandalf.store.trace_writer import Done, TraceWriter
from gandalf.wire import kinds
from gandalf.wire.body import Body, take, take_payload, unpack_body
from gandalf.wire.envelope import Frame
from gandalf.wire.runs import Parcel, Run

Record = Callable[[str, TraceRecord, Done], None]
"""Puts a record into the trace of a tenant."""

MAX_RECORDS: Final = 20_000
"""Records that may wait for the database before those who send them are not read any more."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""The same in bytes, as :func:`weight_of` reckons them."""

OVERHEAD: Final = 1024
"""Bytes that a record is reckoned to take besides its texts, with what waits for it."""


def read_record(frame: Frame, body: Body, *, now: int, member: str) -> TraceRecord:
    """What the trace keeps of an event or a command that came in at ``now`` (ms since the epoch).

    :raises Malformed: a body key of protocol.md 3 or 4 is of another type.
    """
    return _record(frame, frame.uuid, frame.reference, frame.timestamp, body, now, member)


def read_records(run: Run, *, now: int, member: str) -> list[TraceRecord]:
    """As :func:`read_record`, of each frame of ``run``.

    :raises Malformed: of any of them.
    """
    references = run.references or repeat(None)
    return [
        _record(run, uuid, reference, timestamp, unpack_body(body), now, member)
        for uuid, reference, (timestamp, body) in zip(run.uuids, references, run.contents(), strict=False)
    ]


def _record(
    like: Parcel, uuid: bytes, reference: bytes | None, timestamp: int, body: Body, now: int, member: str
) -> TraceRecord:
    payload = take_payload(body)
    is_event = like.kind == kinds.EVENT
    return TraceRecord(
        uuid=uuid,
        kind=like.kind,
        topic=take(body, "topic", str, "") if is_event else "",
        command="" if is_event else take(body, "command", str, ""),
        event=take(body, "event", str, "") if is_event else "",
        reference=reference,
        source=take(body, "source", str, ""),
        target=like.target,
        tenant=like.tenant,
        connector_type="" if is_event else connector_type(body),
        payload=payload if isinstance(payload, bytes) else payload.encode(),
        timestamp=timestamp,
        received_at=now,
        member=member,
    )


def connector_type(body: Body) -> str:
    """The pivot that a message without target is for: ``context.connector_type``, "" when it names none.

    :raises Malformed: it, or the context, is of another type.
    """
    return take(take(body, "context", dict, {}), "connector_type", str, "")


def weight_of(record: TraceRecord) -> int:
    """Bytes that ``record`` is reckoned to take in memory: any of its texts may be as long as a frame.

    Twice, since the message waits with it as it came.
    """
    texts = (record.topic, record.command, record.event, record.source, record.target, record.connector_type)
    return OVERHEAD + 2 * (len(record.payload) + sum(map(sys.getsizeof, texts)))


class Recorder:
    """Feeds a tenant's trace, and says when those who send have to wait.

    :param hold: told True when too much waits for the database, False when no more than half of it does.
    :param max_records: records that may wait.
    :param max_bytes: bytes that these may take (:func:`weight_of`).
    """

    log = Logger()

    def __init__(
        self,
        writer: TraceWriter,
        hold: Callable[[bool], object],
        *,
        max_records: int = MAX_RECORDS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._writer = writer
        self._hold = hold
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._records = 0
        self.bytes = 0
        """Bytes that wait for the database."""
        self.holding = False

    @property
    def queued(self) -> int:
        """Records that are not committed yet."""
        return self._writer.queued

    def record(self, record: TraceRecord, done: Done) -> None:
        """Record it, and call ``done``: with None when it is committed, else with what went wrong."""
        weight = weight_of(record)

        def written(error: Exception | None) -> None:
            self.bytes -= weight
            self._records -= 1
            few = self._records <= self._max_records // 2 and self.bytes <= self._max_bytes // 2
            if self.holding and few:
                self.holding = False
                self._hold(False)
            done(error)

        try:
            self._writer.append_then(record, written)
        except StoreError:
            done(DatabaseUnavailable("this member stops; the trace takes no more"))
            return
        self.bytes += weight
        self._records += 1
        if not self.holding and (self.bytes >= self._max_bytes or self._records >= self._max_records):
            self.holding = True
            self._hold(True)


class RecordedEvents:
    """Events until the trace has them: each is acknowledged then, in the order in which they came (protocol.md 9).

    :param answer: tells the origin of a frame why it was not carried.
    :param safe: called each time when events are recorded, or given up.
    """

    def __init__(
        self, record: Record, answer: Callable[[Frame, Link, str, str], None], safe: Callable[[], None]
    ) -> None:
        self.unsettled = Unsettled(safe)
        """What is not recorded yet."""
        self._record = record
        self._answer = answer

    def record(self, records: Sequence[TraceRecord], parcel: Parcel, origin: Link) -> Charge:
        """Record ``parcel``, of which these are the records."""
        charge = self.unsettled.begin(parcel, origin)
        finished = 0
        given_up = False

        def done(error: Exception | None) -> None:
            nonlocal finished, given_up
            finished += 1
            # What was being written at that time is told of last: which those are that were given up is not known.
            given_up = given_up or isinstance(error, DatabaseUnavailable)
            if given_up:
                self.unsettled.abandon(charge, finished - 1)
                return
            if error is not None:
                frame = parcel.frames()[finished - 1]
                self._answer(frame, origin, MALFORMED, "the trace cannot hold this message")
            charge.advance(finished)

        for record in records:
            self._record(origin.tenant, record, done)
        return charge
