"""A stream of server-sent events to one client, who may be slow."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.web.iweb import IRequest
from zope.interface import implementer

from gandalf.api.v1.network import Event, Queue
from gandalf.api.v1.payloads import payload_members, uuid_text

HEARTBEAT_S: Final = 15.0
"""Seconds between comments, by which proxies and clients see that the connection lives."""

RETRY_MS: Final = 2000
"""What the client is told to wait before it connects again."""

AT_ONCE: Final = 50
"""Events that are written together."""


@implementer(IPushProducer)
class EventStream:
    """Writes events into the answer to a request, as fast as the client takes them.

    When the queue between overflows, the client is told so after what was kept, and the stream ends: the client
    resumes by the id of the last event that it received. Nothing is written before :meth:`start`.
    """

    def __init__(self, request: IRequest, queue: Queue, clock: IReactorTime) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self._let_go())
        """Fires when the stream has ended from this side; cancel it when the client has left."""
        self._request: Any = request
        self._queue = queue
        self._waiting_for_room: list[Deferred[None]] = []
        self._started = False
        self._paused = False
        self._writing = False
        self._ended = False
        self._last = b""
        self._heartbeat = LoopingCall(self._beat)
        self._heartbeat.clock = clock

    def start(self) -> None:
        """Send the headers, and what has come already."""
        request = self._request
        request.setHeader(b"content-type", b"text/event-stream; charset=utf-8")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-accel-buffering", b"no")
        request.registerProducer(self, True)
        request.write(b"retry: %d\n\n" % RETRY_MS)
        self._started = True
        self._heartbeat.start(HEARTBEAT_S, now=False)
        self._write()

    def receive(self, event: Event) -> None:
        """One more event for the client."""
        if not self._ended:
            self._queue.put(event)
            self._write()

    def room(self) -> Deferred[None]:
        """Fires when the client has been given all that came; may be cancelled."""
        if not len(self._queue):
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting_for_room.remove)
        self._waiting_for_room.append(waiting)
        return waiting

    def end(self, reason: str) -> None:
        """The last event: why nothing more comes. It has no id, so that the client resumes after the one before."""
        self._last = b"event: end\ndata: %s\n\n" % json.dumps({"reason": reason}).encode()
        self._write()

    # IPushProducer: the connection takes no more at the moment, or more again.

    def pauseProducing(self) -> None:
        """Keep what comes."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Write what was kept."""
        self._paused = False
        self._write()

    def stopProducing(self) -> None:
        """The connection is gone; whoever waits for `done` cancels it."""
        self._paused = True

    def _write(self) -> None:
        if self._writing or not self._started or self._ended:
            return
        self._writing = True  # what is written, or who gets room, may call back
        try:
            while not self._paused and len(self._queue):
                self._request.write(b"".join(map(as_text, self._queue.take(AT_ONCE))))
                if not len(self._queue):
                    self._give_room()
        finally:
            self._writing = False
        if self._paused or len(self._queue):
            return
        if self._queue.overflowed:
            self._last = b'event: overflow\ndata: {"reason":"events came faster than they were taken"}\n\n'
        if self._last:
            self._request.write(self._last)
            self._request.unregisterProducer()
            self._let_go()
            self.done.callback(None)

    def _give_room(self) -> None:
        waiting, self._waiting_for_room = self._waiting_for_room, []
        for each in waiting:
            each.callback(None)

    def _beat(self) -> None:
        if not self._paused:
            self._request.write(b": alive\n\n")

    def _let_go(self) -> None:
        self._ended = True
        if self._heartbeat.running:
            self._heartbeat.stop()


def as_text(event: Event) -> bytes:
    """An event as server-sent event. It names no type, so that every client takes it for a message."""
    data = json.dumps(members(event), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return b"id: %s\ndata: %s\n\n" % ((uuid_text(event.uuid) or "").encode(), data)


def members(event: Event) -> dict[str, Any]:
    """An event as clients see it; `timestamp` in ms since the epoch, by its sender's clock."""
    return {
        "uuid": uuid_text(event.uuid),
        "topic": event.topic,
        "event": event.event,
        **payload_members(event.payload),
        "source": event.source,
        "target": event.target,
        "reference": uuid_text(event.reference),
        "timestamp": event.timestamp,
    }


MakeQueue = Callable[[], Queue]
"""A queue of bounded size for each stream."""
