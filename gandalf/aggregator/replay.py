"""Going on listening after an event that was heard before: first what the trace has since, then what passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from gandalf.aggregator.event_queue import Event, EventQueue
from gandalf.aggregator.events import Events
from gandalf.routing.duplicates import DuplicateWindow
from gandalf.store.errors import NotFound, StoreError
from gandalf.store.trace import Cursor, TraceRecord, after_txn, beginning, cursor, place_txn
from gandalf.store.trace_writer import Runner
from gandalf.wire.kinds import EVENT

T = TypeVar("T")

PAGE: Final = 500
"""Records that are read from the trace at once."""

LATE: Final = 2.0
"""Seconds within which members record what they have heard, and their clocks agree."""

LOOKS: Final = 5
"""How often an event is looked for in the trace that may be about to be recorded, over ``LATE`` seconds."""

MAX_EVENTS, MAX_BYTES = 10_000, 16 << 20
"""What passes while the trace is read, and is kept meanwhile; what is beyond is read from the trace as well."""

SEEN: Final = 20_000
"""Events, at the least, that are known to have been received, so that none is received twice."""


class Replays:
    """Resumes listening.

    :param database: the tenant's database at the moment; raises :class:`gandalf.store.errors.DatabaseUnavailable`.
    """

    def __init__(self, events: Events, database: Callable[[], Runner], clock: IReactorTime) -> None:
        self._events = events
        self._database = database
        self._clock = clock

    async def resume(
        self,
        patterns: Iterable[str],
        after: bytes,
        receive: Callable[[Event], object],
        *,
        room: Callable[[], Deferred[None]],
        failed: Callable[[Exception], object],
    ) -> Replay:
        """As :meth:`Events.subscribe`, and before that all since the event ``after`` (a uuid of 16 bytes).

        None is left out, if members record what they hear within two seconds and whoever resumes stays as long. Each
        is received once; but what came at almost the same time as ``after`` may come again, of another instance what
        was recorded in the same millisecond.

        :param room: asked before each page of the trace; fires when ``receive`` can take so much. May be cancelled.
        :param failed: called once, when it cannot go on: the trace cannot be read, or the instance stops. Whoever
            listens resumes by the last event received.
        :raises NotFound: there is no event ``after`` in the trace; told after two seconds, for it may be about to be
            recorded.
        :raises StoreError: the trace cannot be read.
        :raises RoutingFailure: the instance stops.
        :raises ValueError: a pattern is not as protocol.md 6.1 says.
        """
        replay = Replay(self._events, self._database, self._clock, receive, room, failed)
        replay.start(patterns, after)
        await replay.found
        return replay


class Replay:
    """One who listens and missed something; :meth:`close` ends it."""

    log = Logger()

    def __init__(
        self,
        events: Events,
        database: Callable[[], Runner],
        clock: IReactorTime,
        receive: Callable[[Event], object],
        room: Callable[[], Deferred[None]],
        failed: Callable[[Exception], object],
    ) -> None:
        self.found: Deferred[None] = Deferred(lambda _: self.close())
        """Fires when the event after which to go on was found in the trace."""
        self._events = events
        self._database = database
        self._clock = clock
        self._receive = receive
        self._room = room
        self._failed = failed
        self._queue: EventQueue | None = EventQueue(MAX_EVENTS, MAX_BYTES)
        self._received = DuplicateWindow(SEEN)
        self._before: frozenset[bytes] = frozenset()
        self._awaited: Deferred[Any] | None = None
        self._closed = False

    def start(self, patterns: Iterable[str], after: bytes) -> None:
        """Listen, and look for ``after``.

        :raises ValueError: as :meth:`Replays.resume`.
        """
        self._live = self._events.subscribe(patterns, self._passes, self._fail)
        ensureDeferred(self._go_on(after)).addErrback(self._ended)

    def close(self) -> None:
        """Receive nothing more; again, nothing happens."""
        if not self._closed:
            self._closed = True
            self._live.close()
            if self._awaited is not None:
                self._awaited.cancel()

    async def _go_on(self, after: bytes) -> None:
        passed = self._events.passed(after)
        place = await self._find(after)
        # The trace does not have quite the order in which events came here, from several members and connectors: what
        # stands shortly before `after` may have come after it. Known is what comes before it in both orders.
        first, self._place = place.received_at, place
        if passed is not None:
            first = min(max(first - int(LATE * 1000), passed.since), first)
            self._before = passed.before
        self._received.seen(after)
        self.found.callback(None)
        await self._wait(deferLater(self._clock, 0, lambda: None))  # what is received, is received after that
        last = await self._catch_up(beginning(first))
        await self._wait(deferLater(self._clock, LATE, lambda: None))
        await self._read_on(beginning(max(first, last.received_at - int(LATE * 1000))))
        self._before = frozenset()

    async def _find(self, after: bytes) -> Cursor:
        for look in range(LOOKS):
            if look:
                await self._wait(deferLater(self._clock, LATE / (LOOKS - 1), lambda: None))
            place = await self._wait(self._database().run("find an event in the trace", place_txn, after, EVENT))
            if place is not None:
                return place
        raise NotFound("the trace has no event with this id")

    async def _catch_up(self, place: Cursor) -> Cursor:
        """Receive what the trace has after ``place`` and what passed meanwhile; from here on what passes."""
        while (queue := self._queue) is not None:
            place = await self._read_on(place)
            while len(queue) and not queue.overflowed:
                await self._wait(self._room())
                for event in queue.take(PAGE):
                    self._receive_once(event)
            # What was not kept is in the trace as well.
            self._queue = EventQueue(MAX_EVENTS, MAX_BYTES) if queue.overflowed else None
        return place

    async def _read_on(self, place: Cursor) -> Cursor:
        """Receive what the trace has after ``place``; returns the place up to which there is nothing more."""
        full = True
        while full:
            await self._wait(self._room())
            page = await self._wait(self._database().run("read the trace", after_txn, place, kind=EVENT, limit=PAGE))
            for record in page:
                if not self._known(record) and self._live.topics.matches(record.topic):
                    self._receive_once(_event(record))
            place = cursor(page[-1]) if page else place
            full = len(page) == PAGE
        return place

    def _known(self, record: TraceRecord) -> bool:
        place = self._place
        stands_before = (record.received_at, record.uuid) < (place.received_at, place.uuid)
        return stands_before and record.uuid in self._before

    def _passes(self, event: Event) -> None:
        if self._queue is not None:
            self._queue.put(event)
        else:
            self._receive_once(event)

    def _receive_once(self, event: Event) -> None:
        if not self._closed and not self._received.seen(event.uuid):
            self._receive(event)

    async def _wait(self, deferred: Deferred[T]) -> T:
        """The result of ``deferred``, unless this is closed before."""
        self._awaited = deferred
        if self._closed:
            deferred.cancel()
        try:
            result = await deferred
        finally:
            self._awaited = None
        if self._closed:
            raise CancelledError
        return result

    def _ended(self, failure: Failure) -> None:
        if not failure.check(StoreError, CancelledError):
            self.log.failure("a replay of events failed", failure)
        self._fail(failure.value)  # type: ignore[arg-type]  # an error's failure has one

    def _fail(self, error: Exception) -> None:
        if self._closed:
            return
        self.close()
        if self.found.called:
            self._failed(error)
        else:
            self.found.errback(error)


def _event(record: TraceRecord) -> Event:
    return Event(
        uuid=record.uuid,
        topic=record.topic,
        event=record.event,
        payload=record.payload,
        source=record.source,
        target=record.target,
        reference=record.reference,
        timestamp=record.timestamp,
    )
