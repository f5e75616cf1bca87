"""An event that passed, and a bounded queue of them for a slow reader. Pure: no network, no clock."""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from gandalf.wire.body import take, take_payload, unpack_body
from gandalf.wire.envelope import Frame

OVERHEAD: Final = 512
"""Bytes that an event is reckoned to take besides its texts."""


@attrs.frozen
class Event:
    """An event as it passed (protocol.md 4).

    ``payload`` is as sent, text in UTF-8; ``timestamp`` in ms since the epoch by its sender's clock; ``reference``
    the uuid of the message that it answers.
    """

    uuid: bytes
    topic: str
    event: str
    payload: bytes = b""
    source: str = ""
    target: str = ""
    reference: bytes | None = None
    timestamp: int = 0

    @classmethod
    def read(cls, frame: Frame) -> Event:
        """:raises Malformed: a key of the body is not what protocol.md 3 and 4 ask."""
        body = unpack_body(frame.body)
        payload = take_payload(body)
        return cls(
            uuid=frame.uuid,
            topic=take(body, "topic", str, ""),
            event=take(body, "event", str, ""),
            payload=payload if isinstance(payload, bytes) else payload.encode(),
            source=take(body, "source", str, ""),
            target=frame.target,
            reference=frame.reference,
            timestamp=frame.timestamp,
        )

    @property
    def weight(self) -> int:
        """Bytes that it is reckoned to take."""
        return OVERHEAD + len(self.payload) + sum(map(len, (self.topic, self.event, self.source, self.target)))


class EventQueue:
    """Keeps events in order until they are taken, up to a number and to a number of bytes.

    What comes when it is full is not kept, and neither is what comes after that: what was lost has one place, after
    all that is in the queue, and whoever reads it can go on from there in the trace.
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self.overflowed = False
        """Whether something was not kept."""
        self.bytes = 0
        """Bytes that its events are reckoned to take."""
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: deque[Event] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> bool:
        """Whether ``event`` is kept. One that is larger than the bound is kept when it is alone."""
        full = len(self._events) >= self._max_events or self.bytes + event.weight > self._max_bytes
        if self.overflowed or (full and self._events):
            self.overflowed = True
            return False
        self._events.append(event)
        self.bytes += event.weight
        return True

    def take(self, limit: int | None = None) -> list[Event]:
        """The first ``limit`` of them, or all; they are no longer in the queue."""
        count = len(self._events) if limit is None else min(limit, len(self._events))
        taken = [self._events.popleft() for _ in range(count)]
        self.bytes -= sum(event.weight for event in taken)
        return taken
