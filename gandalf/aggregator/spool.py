"""Events that came while the whole cluster was away, on disk until a member acknowledges them (protocol.md 5.3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from gandalf.aggregator.former import FormerOrigin
from gandalf.aggregator.unwritten import Entry, Unwritten
from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.failures import EXPIRED
from gandalf.routing.link import Link, Links
from gandalf.routing.unsettled import EventCharge
from gandalf.store.spool import Content, Row, SpoolError, SpoolUnusable
from gandalf.wire.framing import FrameReader
from gandalf.wire.runs import Parcel

BACKLOG: Final = 8 * 1024 * 1024
"""Bytes that may wait to be written; then the connectors are not read until half of them are."""

BATCH_BYTES: Final = 4 * 1024 * 1024
"""Bytes written in one transaction, about."""

PAGE_FRAMES: Final = 256
PAGE_BYTES: Final = 1024 * 1024
"""What is read, and handed to the links, in one piece: so much that the reactor is not held up."""

IN_FLIGHT_FRAMES: Final = 20_000
IN_FLIGHT_BYTES: Final = 16 * 1024 * 1024
"""What was read and no member has acknowledged, at the most."""

REMOVED_TOGETHER: Final = 1024
"""Rows that are gathered before they are removed, while more are on their way."""

FIRST_RETRY: Final = 1.0
LONGEST_RETRY: Final = 30.0
"""Seconds until a disk that took nothing is tried again."""


class Store(Protocol):
    """What :class:`gandalf.store.spool.SpoolStore` does, in a thread."""

    def open(self) -> Content: ...

    def change(self, add: list[Row], remove: list[int]) -> int | None: ...

    def read(self, after: int, frames: int, size: int) -> list[Row]: ...

    def shrink(self) -> None: ...

    def close(self) -> None: ...


@attrs.frozen
class _Done:
    """What a turn of the thread came to."""

    page: list[Row]
    unread: SpoolError | None
    unchanged: SpoolError | None
    oldest: int | None


class Spool:
    """Implements :class:`gandalf.routing.keeper.Keeper`: first in, first out, over disk and memory.

    An event that comes while no member is there waits in memory until it is written, and its charge is settled
    once it is, so that its connector is told that it is safe. When a member is back, the rows are sent in order,
    page by page, then what waits in memory; only then events pass by again without touching the disk. A row is
    removed when a member has acknowledged it. The thread has one thing to do at a time.

    :param store: called in the thread only.
    :param max_bytes: the bound; at it the connectors are not read.
    :param interval: seconds for which events are gathered to be written together; 0: none, what has come while the
        thread was busy is.
    :param now: seconds since the epoch.
    :param in_thread: calls a function in the spool's thread.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        *,
        max_bytes: int,
        interval: float,
        clock: IReactorTime,
        now: Callable[[], float],
        in_thread: Callable[..., Deferred[Any]],
    ) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._interval = interval
        self._clock = clock
        self._now = now
        self._in_thread = in_thread
        self._router: AggregatorRouter
        self._links: Links
        self._together: AbstractContextManager[None]
        self.trouble = ""
        """Why nothing is written at the moment, or at all; for the operator."""
        self.kept = self.sent = self.expired = 0
        """Events since the start: written, acknowledged by a member after that, and older than their timeout."""
        self._usable = False
        self._keeping = True
        self._there = False
        """A member is."""
        self._unwritten = Unwritten()
        self._last = self._read_to = 0
        """The ids of the last row, and of the last that was sent."""
        self._frames = self._bytes = 0
        """On disk."""
        self._oldest: int | None = None
        self._in_flight = self._in_flight_bytes = 0
        """Rows that were sent and not acknowledged."""
        self._done: dict[int, int] = {}
        """Rows to be removed."""
        self._reader = FrameReader(2**32 - 1)
        self._grown = False
        """Something was written since the file was shrunk last."""
        self._busy: Deferred[Any] | None = None
        self._gathering: IDelayedCall | None = None
        self._due = False
        """What was gathered is to be written."""
        self._retry: IDelayedCall | None = None
        self._delay = FIRST_RETRY
        self._strained = False
        self._closed = False

    def serve(self, router: AggregatorRouter, links: Links, together: AbstractContextManager[None]) -> None:
        """Whose events these are; what is sent ``together`` is written to each link at once."""
        self._router, self._links, self._together = router, links, together

    async def open(self) -> None:
        """Find what former processes left. What cannot be used is told, and the instance goes on without a spool."""
        try:
            content = await self._in_thread(self._store.open)
        except SpoolError as error:
            self._give_up(error)
            return
        self._usable = True
        self._frames, self._bytes, self._oldest = content.frames, content.bytes, content.oldest
        self._last = content.last
        self._grown = bool(content.frames)
        if content.frames:
            self.log.warn(
                "spool: {frames} events of before ({bytes} bytes) are sent again",
                frames=content.frames,
                bytes=content.bytes,
            )

    async def close(self) -> None:
        """Write and send no more, and let go of the file. What is not written was not acknowledged."""
        self._closed = True
        self._stop_timers()
        if self._busy is not None:
            await self._busy
        if self._usable and self._done:
            await self._in_thread(self._work, [], list(self._done), None)
        await self._in_thread(self._store.close)

    def _now_ms(self) -> int:
        return int(self._now() * 1000)

    def _stop_timers(self) -> None:
        for timer in (self._gathering, self._retry):
            if timer is not None:
                timer.cancel()
        self._gathering = self._retry = None

    # routing.keeper.Keeper

    @property
    def keeping(self) -> bool:
        """Events go here rather than to the cluster."""
        return self._keeping and self._usable

    @property
    def takes(self) -> bool:
        """More may come."""
        if self._retry is not None or self._bytes + self._unwritten.bytes >= self._max_bytes:
            return False
        return self._unwritten.bytes < (BACKLOG // 2 if self._strained else BACKLOG)

    def keep(self, charge: EventCharge) -> None:
        """The event waits to be written."""
        self._unwritten.add(charge, self._now_ms())
        if not self.takes:
            self._strained = True
        self._turn()

    def cluster_left(self, unsettled: Iterable[EventCharge]) -> None:
        """Keep what no member has acknowledged, then what comes."""
        self._there = False
        if not self._usable or self._closed:
            return
        self._keeping = True
        # What waits here came after all that was with a member.
        self._unwritten.add_before(unsettled, self._now_ms())
        self._strained = not self.takes
        self._turn()
        self._router.read_again()

    def cluster_back(self) -> None:
        """Send what is here, less what a session that goes on has brought there, or has found to be too old."""
        self._there = True
        self._unwritten.forget_settled()
        self._go_on()

    def relieved(self) -> None:
        """A member takes frames again."""
        self._go_on()

    # For the operator.

    def describe(self) -> dict[str, Any]:
        """Plain values for JSON; ``oldest`` in seconds, None when nothing waits."""
        arrived = self._unwritten.arrived if self._oldest is None else self._oldest
        return {
            "state": "usable" if self._usable else "unusable",
            "keeping": self.keeping,
            "trouble": self.trouble,
            "frames": self._frames,
            "bytes": self._bytes,
            "max_bytes": self._max_bytes,
            "not_written": self._unwritten.frames,
            "not_written_bytes": self._unwritten.bytes,
            "in_flight": self._in_flight,
            "oldest": None if arrived is None else round(max(self._now() - arrived / 1000, 0.0), 3),
            "kept": self.kept,
            "sent": self.sent,
            "expired": self.expired,
        }

    def _hand_over(self) -> None:
        """All rows are sent: what waits follows without being written; then nothing is kept any more.

        Nothing is written from when this begins until the cluster leaves, so that the file keeps the order.
        """
        while self._unwritten:
            if not self._router.to_cluster.members_take:
                return
            entry = self._unwritten.pop()
            charge = entry.charge
            if charge.settled or not self._too_old(charge.parcel, charge.origin, entry.arrived):
                self._router.to_cluster.send_kept(charge)
            else:
                charge.settle()
        self._keeping = False
        self._read_again()

    def _next_batch(self) -> list[Entry]:
        """What is written next: as much as fits; in an empty file anything does."""
        return self._unwritten.next(min(self._max_bytes - self._bytes, BATCH_BYTES), alone=not self._bytes)

    # The thread's turns.

    def _go_on(self) -> None:
        if self.keeping and self._all_sent and self._busy is None and not self._closed:
            with self._together:
                self._hand_over()
        self._turn()

    @property
    def _all_sent(self) -> bool:
        """A member is there, and was sent every row."""
        return self._there and self._read_to == self._last

    def _turn(self) -> None:
        """Have the thread do what there is to do."""
        if self._busy is not None or not self._usable or self._closed:
            return
        writing = self._retry is None
        batch = self._next_batch() if writing and self._keeping and not self._all_sent and self._may_write() else []
        page = self._there and self._read_to < self._last and self._may_send()
        remove: list[int] = []
        if writing and (batch or len(self._done) >= REMOVED_TOGETHER or not self._in_flight):
            remove = list(self._done)
        if batch or page or remove:
            if batch:
                self._due = False
                self._unwritten.begin(batch)
            rows: list[Row] = []
            for entry in batch:
                rows += entry.rows(self._last + len(rows) + 1)
            self._start(self._work, rows, remove, self._read_to if page else None).addCallback(
                self._worked, batch, rows, remove
            )
        elif self._grown and not self._frames and not self._keeping and writing:
            self._grown = False
            self._start(self._store.shrink).addErrback(self._not_shrunk)
        else:
            return
        busy = self._busy
        assert busy is not None
        busy.addErrback(self._unexpected)
        busy.addCallback(self._over)

    def _start(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        self._busy = self._in_thread(work, *arguments)
        return self._busy

    def _may_write(self) -> bool:
        if not self._interval or self._due or self._unwritten.bytes >= BATCH_BYTES:
            return True
        if self._unwritten and self._gathering is None:
            self._gathering = self._clock.callLater(self._interval, self._gathered)
        return False

    def _gathered(self) -> None:
        self._gathering = None
        self._due = True
        self._turn()

    def _may_send(self) -> bool:
        return (
            self._in_flight < IN_FLIGHT_FRAMES
            and self._in_flight_bytes < IN_FLIGHT_BYTES
            and self._router.to_cluster.members_take
        )

    def _work(self, add: list[Row], remove: list[int], after: int | None) -> _Done:
        """In the thread. Reading goes on when nothing can be written."""
        page: list[Row] = []
        unread = unchanged = None
        oldest = None
        if after is not None:
            try:
                page = self._store.read(after, PAGE_FRAMES, PAGE_BYTES)
                if not page:
                    raise SpoolUnusable("rows are missing from the spool's file")
            except SpoolError as error:
                unread = error
        if add or remove:
            try:
                oldest = self._store.change(add, remove)
            except SpoolError as error:
                unchanged = error
        return _Done(page, unread, unchanged, oldest)

    def _worked(self, done: _Done, batch: list[Entry], rows: list[Row], remove: list[int]) -> None:
        with self._together:
            if done.page:
                self._send(done.page)
            if done.unchanged is not None:
                self._unwritten.again(batch)
                self._not_written(done.unchanged)
            elif rows or remove:
                self._changed(batch, rows, remove, done.oldest)
            if done.unread is not None:
                self._give_up(done.unread)

    def _changed(self, batch: list[Entry], rows: list[Row], remove: list[int], oldest: int | None) -> None:
        self._oldest = oldest
        self._delay = FIRST_RETRY
        if self.trouble:
            self.log.info("spool: the disk takes events again")
            self.trouble = ""
        for id in remove:
            self._frames -= 1
            self._bytes -= self._done.pop(id)
        if rows:
            self._last = rows[-1].id
            self._grown = True
        self._frames += len(rows)
        self._bytes += sum(row.size for row in rows)
        self.kept += len(rows)
        for entry in batch:
            self._unwritten.forget(entry)
            entry.charge.settle()

    def _over(self, result: None) -> None:
        self._busy = None
        self._go_on()
        self._read_again()

    def _read_again(self) -> None:
        if not self._keeping or self.takes:
            self._strained = False
            self._router.read_again()

    # Sending again.

    def _send(self, page: list[Row]) -> None:
        """To the members; frames alike that lie one behind the other go as a run."""
        self._read_to = page[-1].id
        for name, rows in groupby(page, key=attrgetter("origin")):
            origin = FormerOrigin(name, self._router.tenant, self._links)
            left = list(rows)
            for parcel in self._reader.feed_parcels(b"".join([row.raw for row in left])):
                self._send_parcel(parcel, left[: parcel.count], origin)
                del left[: parcel.count]
        if self._reader.error is not None:
            raise self._reader.error

    def _send_parcel(self, parcel: Parcel, rows: list[Row], origin: FormerOrigin) -> None:
        going = deque(rows)

        def acknowledged(uuids: Sequence[bytes]) -> None:
            self._acknowledged([going.popleft() for _ in uuids])

        charge = EventCharge(parcel, origin, acknowledged)
        self._in_flight += len(rows)
        self._in_flight_bytes += sum(row.size for row in rows)
        if self._too_old(parcel, origin, rows[0].arrived):
            self.sent -= 1
            charge.settle()
        else:
            self._router.to_cluster.send_kept(charge)

    def _acknowledged(self, rows: list[Row]) -> None:
        """A member has them, or nobody ever will: their origin was told."""
        self._in_flight -= len(rows)
        self.sent += len(rows)
        for row in rows:
            self._in_flight_bytes -= row.size
            self._done[row.id] = row.size
        if len(self._done) >= REMOVED_TOGETHER or not self._in_flight:
            self._turn()

    def _too_old(self, parcel: Parcel, origin: Link, arrived: int) -> bool:
        """Whether it has waited longer than its timeout, which events of a run do not have; its origin is told."""
        if not parcel.timeout or self._now_ms() - arrived <= parcel.timeout:
            return False
        message = "the message was not delivered to the cluster within its timeout"
        for frame in parcel.frames():
            self.expired += 1
            self._router.answer(frame, origin, EXPIRED, message)
        return True

    # Trouble.

    def _not_written(self, error: SpoolError) -> None:
        """Nothing is acknowledged until it is written; the connectors are not read meanwhile."""
        if isinstance(error, SpoolUnusable):
            self._give_up(error)
            return
        if self.trouble != str(error):
            self.trouble = str(error)
            self.log.error(
                "spool: events cannot be written, and are not acknowledged until they can: {error}", error=str(error)
            )
        self._strained = True
        if not self._closed:
            self._retry = self._clock.callLater(self._delay, self._again)
            self._delay = min(self._delay * 2, LONGEST_RETRY)

    def _again(self) -> None:
        self._retry = None
        self._turn()

    def _not_shrunk(self, failure: Failure) -> None:
        failure.trap(SpoolError)
        self.log.warn("spool: the file could not be made smaller: {error}", error=failure.getErrorMessage())

    def _unexpected(self, failure: Failure) -> None:
        self.log.failure("spool: an unexpected error", failure)
        self._give_up(SpoolUnusable(failure.getErrorMessage()))

    def _give_up(self, error: SpoolError) -> None:
        """The file is left as it is; the instance goes on as one without a spool."""
        if not self._usable and self.trouble:
            return
        self._usable = False
        self._stop_timers()
        self.trouble = str(error)
        self.log.critical(
            "spool: {error}. Events are acknowledged by the cluster only; what is in the file stays there until the"
            " instance is started again and can read it",
            error=str(error),
        )
        for charge in self._unwritten.clear():
            self._router.to_cluster.send_kept(charge)
        self._keeping = False
