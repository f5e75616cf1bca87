"""Events that the aggregator's API sends, and those that pass and that it listens to (protocol.md 6.1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from gandalf.aggregator.event_queue import Event
from gandalf.aggregator.local import DRAINING, LocalOrigin
from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.errors import ERROR_TOPIC, LONGEST_NAME, MakeFrame, error_message, readable
from gandalf.routing.failures import RoutingFailure
from gandalf.routing.topics import TopicFilter
from gandalf.wire.envelope import Frame
from gandalf.wire.errors import Malformed
from gandalf.wire.kinds import EVENT

REMEMBERED: Final = 10_000
"""Events that passed and whose order is known."""


@attrs.frozen
class Passed:
    """What is known of the events that passed here before one of them.

    ``before`` are their uuids; ``since`` is when listening began, in ms since the epoch.
    """

    before: frozenset[bytes]
    since: int


@attrs.define(eq=False)
class Subscription:
    """Someone listens; :meth:`close` ends it."""

    topics: TopicFilter
    receive: Callable[[Event], object]
    ended: Callable[[RoutingFailure], object]
    _forget: Callable[[Subscription], None]

    def close(self) -> None:
        """Receive nothing more; again, nothing happens."""
        self._forget(self)


class Events:
    """Sends events, and has others listen to what passes.

    What is sent goes into the router as from a connector named as the aggregator. A tap of the router is there as
    long as anyone listens.

    :param now: seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self, router: AggregatorRouter, origin: LocalOrigin, make_frame: MakeFrame, *, now: Callable[[], float]
    ) -> None:
        self._router = router
        self._origin = origin
        self._make_frame = make_frame
        self._now = now
        self._waiting: dict[bytes, Deferred[bytes]] = {}
        self._subscriptions: dict[Subscription, None] = {}
        self._passed: deque[tuple[bytes, int]] = deque(maxlen=REMEMBERED)
        self._since = 0
        origin.listeners.append(self._refused)

    # Sending.

    def emit(
        self,
        topic: str,
        event: str,
        payload: bytes | str = b"",
        *,
        target: str = "",
        reference: bytes | None = None,
    ) -> Deferred[bytes]:
        """Send an event; fires with its uuid when one cluster member has recorded it (protocol.md 5.3).

        Fails with :class:`RoutingFailure`: ``OVERLOADED``, ``TOO_LARGE``, ``DRAINING``. Cancelling it stops the
        waiting, not the event.

        :param reference: the uuid, 16 bytes, of the message that it answers.
        :raises ValueError: it can never be sent so; the text says what is allowed.
        """
        _check(topic, event, target)
        try:
            self._origin.check()
        except RoutingFailure as failure:
            return fail(failure)
        frame = self._make_frame(
            EVENT, {"topic": topic, "event": event, "payload": payload or ""}, target=target, reference=reference
        )
        uuid = frame.uuid
        waiting: Deferred[bytes] = Deferred(lambda _: self._nobody_waits(uuid))
        self._waiting[uuid] = waiting
        charge = self._router.route(frame, self._origin)
        if charge is not None:
            charge.then(lambda: self._recorded(uuid))
        return waiting

    def _nobody_waits(self, uuid: bytes) -> None:
        self._waiting.pop(uuid, None)

    def _recorded(self, uuid: bytes) -> None:
        waiting = self._waiting.pop(uuid, None)
        if waiting is not None:
            waiting.callback(uuid)

    def _refused(self, error: Frame) -> None:
        """An error event about a frame from here."""
        waiting = self._waiting.pop(error.reference, None)  # type: ignore[arg-type]  # None is never a key
        if waiting is not None:
            body = readable(error)
            waiting.errback(RoutingFailure(str(body.get("event", "")), error_message(body.get("payload"))))

    # Listening.

    def subscribe(
        self,
        patterns: Iterable[str],
        receive: Callable[[Event], object],
        ended: Callable[[RoutingFailure], object] = lambda reason: None,
    ) -> Subscription:
        """Have ``receive`` told of each event that passes from now on and whose topic matches one of ``patterns``.

        It is told of each once, whoever the event is for, while the event is routed: it must be quick.

        :param ended: called when the instance stops; nothing is received any more.
        :raises ValueError: a pattern is not as protocol.md 6.1 says.
        """
        subscription = Subscription(TopicFilter(patterns), receive, ended, self._forget)
        if not self._subscriptions:
            self._since = int(self._now() * 1000)
            self._router.taps.append(self._heard)
        self._subscriptions[subscription] = None
        return subscription

    def passed(self, uuid: bytes) -> Passed | None:
        """What passed here before the event ``uuid``; None: it is not among the latest that were listened to."""
        before: set[bytes] = set()
        for each, since in self._passed:
            if each == uuid:
                return Passed(frozenset(before), since)
            before.add(each)
        return None

    def stop(self) -> None:
        """Whoever waits or listens learns that the instance stops."""
        for subscription in tuple(self._subscriptions):
            subscription.close()
            subscription.ended(RoutingFailure(DRAINING, "this instance stops; listen to one of its brothers"))
        while self._waiting:
            _, waiting = self._waiting.popitem()
            stopped = "this instance stopped before the cluster said that it has the event"
            waiting.errback(RoutingFailure(DRAINING, stopped))

    def _forget(self, subscription: Subscription) -> None:
        if self._subscriptions.pop(subscription, subscription) is None and not self._subscriptions:
            self._router.taps.remove(self._heard)

    def _heard(self, frame: Frame) -> None:
        try:
            event = Event.read(frame)
        except Malformed:
            # The cluster answers it with an error event, and does not record it.
            return
        self._passed.append((event.uuid, self._since))
        for subscription in tuple(self._subscriptions):
            if subscription in self._subscriptions and subscription.topics.matches(event.topic):
                try:
                    subscription.receive(event)
                except Exception:
                    self.log.failure("whoever listens to {topic} failed", topic=event.topic)


def _check(topic: str, event: str, target: str) -> None:
    for name, value in (("topic", topic), ("event", event), ("target", target)):
        if len(value) > LONGEST_NAME:
            raise ValueError(f"{name} has {len(value)} characters; allowed are at most {LONGEST_NAME}")
    if not topic:
        raise ValueError("topic is empty; it must be words separated by dots")
    if topic == ERROR_TOPIC:
        raise ValueError(f"topic is {ERROR_TOPIC!r}, which is for what cannot be carried; choose another")
