"""Events over HTTP: sent, and streamed as they pass."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from twisted.internet.defer import TimeoutError as NotInTime
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gandalf.api.errors import BadRequest
from gandalf.api.operation import Access, Call, Reply, operation
from gandalf.api.v1.network import Events, Replays, Subscription
from gandalf.api.v1.payloads import UUID_OR_NOTHING, payload_text, uuid_bytes, uuid_text
from gandalf.api.v1.stream import EventStream, MakeQueue
from gandalf.routing.errors import ERROR_TOPIC
from gandalf.routing.failures import OVERLOADED, TIMEOUT, RoutingFailure

RECORDED_WITHIN_S: Final = 30.0
"""Seconds after which nobody waits any longer for the cluster to record an event."""

LONGEST_S: Final = 3600.0
"""Seconds that a stream lasts: who it is for, and what the user may see, is asked again with the next."""

EVERYTHING: Final = ">"


class EventBody(BaseModel):
    """An event."""

    model_config = ConfigDict(extra="forbid", strict=True)

    topic: str = Field(
        min_length=1,
        max_length=256,
        description="Words separated by dots.",
        json_schema_extra={"not": {"const": ERROR_TOPIC}},
    )
    event: str = Field(max_length=256, description="What happened, as REQUESTED.")
    payload: Any = Field(default=None, description="Text is sent as it is, any other value as JSON.")
    target: str = Field(default="", max_length=256, description="The component it is for; else whoever listens.")
    reference: str = Field(default="", pattern=UUID_OR_NOTHING, description="The id of the message that it answers.")


class Recorded(BaseModel):
    """What was recorded."""

    uuid: str


class StreamQuery(BaseModel):
    """Which events."""

    model_config = ConfigDict(extra="forbid")

    topic: list[str] = Field(
        default=[], max_length=100, description="Patterns: * is any word, > the rest. Comma separated, or repeated."
    )

    @property
    def patterns(self) -> list[str]:
        """All of them; everything, when there are none."""
        return [part for text in self.topic for part in text.split(",")] or [EVERYTHING]


class EventsAPI:
    """Events of the network.

    :param queue: makes what holds the events for one slow client.
    :param limit: streams at the same time.
    """

    def __init__(
        self, events: Events, replays: Replays, queue: MakeQueue, clock: IReactorTime, *, limit: int = 100
    ) -> None:
        self._events = events
        self._replays = replays
        self._queue = queue
        self._clock = clock
        self._limit = limit
        self.streams = 0
        """How many there are."""

    @operation(
        "POST",
        "/events",
        Access.WRITER,
        "Send an event.",
        tag="events",
        body=EventBody,
        answers={201: Recorded},
        errors=(RoutingFailure,),
    )
    async def emit(self, call: Call) -> Reply:
        """201 when a member of the cluster has recorded it."""
        body: EventBody = call.body
        reference = uuid_bytes(body.reference, "reference") if body.reference else None
        text = payload_text(body.payload)
        try:
            recorded = self._events.emit(body.topic, body.event, text, target=body.target, reference=reference)
        except ValueError as error:
            raise BadRequest(str(error)) from None
        recorded.addTimeout(RECORDED_WITHIN_S, self._clock)
        try:
            uuid = await recorded
        except NotInTime:
            raise RoutingFailure(
                TIMEOUT, f"no member of the cluster has recorded it within {RECORDED_WITHIN_S:.0f} s; it may yet"
            ) from None
        return Reply({"uuid": uuid_text(uuid)}, 201)

    @operation(
        "GET",
        "/events",
        Access.READER,
        "Stream the events that pass.",
        tag="events",
        query=StreamQuery,
        answers={200: None},
        media="text/event-stream",
        headers={"Last-Event-ID": "Resume after the event with this id: first comes what passed since."},
        errors=(RoutingFailure,),
    )
    async def stream(self, call: Call) -> None:
        """Until the client leaves or cannot keep up, the instance stops, or an hour is over."""
        if self.streams >= self._limit:
            raise RoutingFailure(OVERLOADED, f"{self.streams} streams are open, and no more are allowed")
        last = (call.request.getHeader("last-event-id") or "").strip()
        after = uuid_bytes(last, "Last-Event-ID") if last else None
        stream = EventStream(call.request, self._queue(), self._clock)
        with ExitStack() as left:
            self.streams += 1
            left.callback(self._left)
            source = await self._source(stream, call.query.patterns, after)
            left.callback(source.close)
            stream.start()
            over = self._clock.callLater(LONGEST_S, stream.end, "it has lasted long enough: connect again")
            left.callback(_cancelled, over)
            await stream.done

    async def _source(self, stream: EventStream, patterns: list[str], after: bytes | None) -> Subscription:
        def ended(reason: Exception) -> None:
            stream.end(str(reason))

        try:
            if after is None:
                return self._events.subscribe(patterns, stream.receive, ended)
            return await self._replays.resume(patterns, after, stream.receive, room=stream.room, failed=ended)
        except ValueError as error:
            raise BadRequest(f"topic: {error}") from None

    def _left(self) -> None:
        self.streams -= 1


def _cancelled(call: IDelayedCall) -> None:
    if call.active():
        call.cancel()
