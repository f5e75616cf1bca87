"""Commands that the aggregator's API sends: receipt, progress, outcome (protocol.md 6.2 and 7)."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gandalf.aggregator.lives import Answer, CommandLife, CommandState, Refusal
from gandalf.aggregator.local import DRAINING, LocalOrigin
from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.errors import ERROR_TOPIC, LONGEST_MESSAGE, LONGEST_NAME, MakeFrame, error_message
from gandalf.routing.failures import OVERLOADED, RoutingFailure
from gandalf.store.errors import NotFound
from gandalf.wire.body import take, take_payload, unpack_body
from gandalf.wire.envelope import Frame
from gandalf.wire.errors import Malformed
from gandalf.wire.kinds import COMMAND

OUTCOME_TIMEOUT: Final = 3_600_000
"""Ms that an outcome may take, unless its sender says otherwise."""

LONGEST_OUTCOME_TIMEOUT: Final = 7 * 24 * 3_600_000
"""Ms; more is taken for a mistake."""

LONGEST_TIMEOUT: Final = 24 * 3_600_000
"""Ms that may be asked for a receipt; what is in force is at most the aggregator's ``max_timeout``."""

_RECEIPTS = frozenset({"TAKEN", "PROGRESS", "SUCCESS", "FAILURE"})


@attrs.define(eq=False)
class _InFlight:
    """A command that has not ended."""

    life: CommandLife
    timer: IDelayedCall
    waiters: list[Deferred[CommandLife]] = attrs.field(factory=list)


class Commands:
    """Sends commands, and remembers what became of each.

    A command goes into the router as one of a connector named as the aggregator (:class:`LocalOrigin`), and is
    carried on by its rules. What answers it is heard by a tap, which is there as long as any command is in flight.
    An end is an end: what comes after it is in the trace only.

    :param now: seconds since the epoch.
    :param max_timeout: seconds, upper bound of a command's budget (protocol.md 6.2).
    :param remembered: commands that have ended and are still known; the latest are.
    :param max_in_flight: commands that have not ended.
    :param max_bytes: bytes of payload that all of them keep. For want of room those that ended are forgotten first,
        the oldest before the others; then the progress of those in flight.
    """

    def __init__(
        self,
        router: AggregatorRouter,
        origin: LocalOrigin,
        make_frame: MakeFrame,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        max_timeout: float,
        remembered: int = 10_000,
        max_in_flight: int = 10_000,
        max_bytes: int = 64 << 20,
    ) -> None:
        self.bytes = 0
        """Bytes of payload that are kept."""
        self._router = router
        self._origin = origin
        self._make_frame = make_frame
        self._clock = clock
        self._now = now
        self._max_timeout = max_timeout
        self._remembered = remembered
        self._max_in_flight = max_in_flight
        self._max_bytes = max_bytes
        self._in_flight: dict[bytes, _InFlight] = {}
        self._ended: OrderedDict[bytes, CommandLife] = OrderedDict()
        self._heavy: OrderedDict[bytes, None] = OrderedDict()
        """Those in flight that keep payload, in the order in which they began to."""
        origin.listeners.append(self._heard)

    @property
    def in_flight(self) -> int:
        """How many have not ended."""
        return len(self._in_flight)

    def send(
        self,
        connector_type: str,
        command: str,
        payload: bytes | str = b"",
        *,
        target: str = "",
        timeout_ms: int = 0,
        outcome_timeout_ms: int = OUTCOME_TIMEOUT,
        context: Mapping[str, object] | None = None,
    ) -> CommandLife:
        """Send a command; it may have ended when this returns.

        :param connector_type: the pivot that it is for; may be "" when there is a ``target``.
        :param timeout_ms: what its receipt may take, at most ``max_timeout``; 0: that.
        :param outcome_timeout_ms: what its outcome may take, from now on.
        :param context: further keys of the body's context.
        :raises ValueError: it can never be sent so; the text says what is allowed.
        :raises RoutingFailure: ``OVERLOADED``, ``DRAINING``.
        """
        _check_names(connector_type, command, target)
        _check_times(timeout_ms, outcome_timeout_ms)
        self._origin.check()
        if len(self._in_flight) >= self._max_in_flight:
            raise RoutingFailure(OVERLOADED, f"{len(self._in_flight)} commands are in flight: no more are taken")
        timeout = min(timeout_ms or self._max_ms, self._max_ms)
        body: dict[str, object] = {
            "command": command,
            "context": {**(context or {}), "connector_type": connector_type},
            "payload": payload or "",
        }
        frame = self._frame(body, target, timeout)
        life = CommandLife(frame.uuid, command, connector_type, target, self._ms(), timeout, outcome_timeout_ms)
        if not self._in_flight:
            self._router.taps.append(self._heard)
        timer = self._clock.callLater(outcome_timeout_ms / 1000, self._too_late, frame.uuid)
        self._in_flight[frame.uuid] = _InFlight(life, timer)
        self._router.route(frame, self._origin)
        return self.get(frame.uuid)

    def get(self, uuid: bytes) -> CommandLife:
        """What is known of a command now.

        :raises NotFound: nothing: it is forgotten, or was never sent here.
        """
        in_flight = self._in_flight.get(uuid)
        life = in_flight.life if in_flight is not None else self._ended.get(uuid)
        if life is None:
            raise NotFound("no command with this id was sent by this instance, or it is forgotten")
        return life

    def ended(self, uuid: bytes) -> Deferred[CommandLife]:
        """Fires when the command has ended. Cancelling it changes nothing for the command and for others who wait.

        Fails with RoutingFailure ``DRAINING`` when this instance stops before.

        :raises NotFound: as :meth:`get`.
        """
        life = self.get(uuid)
        if life.ended:
            return succeed(life)
        waiters = self._in_flight[uuid].waiters
        waiter: Deferred[CommandLife] = Deferred(waiters.remove)
        waiters.append(waiter)
        return waiter

    def latest(self, limit: int = 100) -> list[CommandLife]:
        """Those sent last, the newest first."""
        lives = (*self._ended.values(), *(each.life for each in self._in_flight.values()))
        return heapq.nlargest(limit, lives, key=lambda life: (life.sent_at, life.uuid))

    def stop(self) -> None:
        """Nothing is heard any more; whoever waits learns that it was in vain."""
        in_flight, self._in_flight = self._in_flight, {}
        if in_flight:
            self._router.taps.remove(self._heard)
        self._heavy.clear()
        for each in in_flight.values():
            each.timer.cancel()
        for each in in_flight.values():
            while each.waiters:
                stopped = RoutingFailure(DRAINING, "this instance stopped before the outcome was known")
                each.waiters.pop(0).errback(stopped)

    # What is sent.

    def _frame(self, body: dict[str, object], target: str, timeout: int) -> Frame:
        try:
            return self._make_frame(COMMAND, body, target=target, timeout=timeout)
        except (TypeError, OverflowError) as error:
            raise ValueError(f"the context cannot be sent: {error}") from None

    @property
    def _max_ms(self) -> int:
        return int(self._max_timeout * 1000)

    # What answers it.

    def _heard(self, frame: Frame) -> None:
        """An event passed, or an error event about a frame from here."""
        in_flight = self._in_flight.get(frame.reference)  # type: ignore[arg-type]  # None is never a key
        if in_flight is None:
            return
        try:
            body = unpack_body(frame.body)
            event, source = take(body, "event", str, ""), take(body, "source", str, "")
            topic, payload = take(body, "topic", str, ""), take_payload(body)
        except Malformed:
            return
        if isinstance(payload, str):
            payload = payload.encode("utf-8", "replace")
        # Either may be as long as a frame; what is longer than a name is none of ours.
        event, source = event[:LONGEST_NAME], source[:LONGEST_NAME]
        life = in_flight.life
        if topic != ERROR_TOPIC or event in _RECEIPTS:
            self._now_is(in_flight, life.answered(Answer(frame.uuid, event, self._ms(), source, payload)))
        elif life.state is CommandState.SENT:
            # After a receipt it says only that another who was tried could not.
            self._now_is(
                in_flight, life.refused(Refusal(event, error_message(payload)[:LONGEST_MESSAGE], self._ms(), source))
            )

    def _too_late(self, uuid: bytes) -> None:
        in_flight = self._in_flight[uuid]
        life = in_flight.life
        taken = "it was taken, and may still be carried out" if life.receipt is not None else "nobody has taken it"
        message = f"no outcome came within {life.outcome_timeout} ms: {taken}"
        refusal = Refusal(CommandState.OUTCOME_TIMEOUT, message, self._ms(), self._origin.logical_name)
        self._now_is(in_flight, life.given_up(refusal))

    def _now_is(self, in_flight: _InFlight, life: CommandLife) -> None:
        uuid = life.uuid
        self.bytes += life.weight - in_flight.life.weight
        in_flight.life = life
        if not life.ended:
            if life.weight:
                self._heavy.setdefault(uuid)
            self._make_room()
            return
        del self._in_flight[uuid]
        self._heavy.pop(uuid, None)
        if in_flight.timer.active():
            in_flight.timer.cancel()
        if not self._in_flight:
            self._router.taps.remove(self._heard)
        self._ended[uuid] = life
        self._make_room()
        while in_flight.waiters:
            in_flight.waiters.pop(0).callback(life)

    def _make_room(self) -> None:
        ended, heavy = self._ended, self._heavy
        # Who asks for the outcome that came last is to find it, however large.
        while len(ended) > self._remembered or (self.bytes > self._max_bytes and len(ended) > 1):
            _, forgotten = ended.popitem(last=False)
            self.bytes -= forgotten.weight
        while self.bytes > self._max_bytes and heavy:
            uuid, _ = heavy.popitem(last=False)
            in_flight = self._in_flight[uuid]
            self.bytes -= in_flight.life.weight
            in_flight.life = in_flight.life.lightened()

    def _ms(self) -> int:
        return int(self._now() * 1000)


def _check_names(connector_type: str, command: str, target: str) -> None:
    for name, value in (("connector_type", connector_type), ("command", command), ("target", target)):
        if len(value) > LONGEST_NAME:
            raise ValueError(f"{name} has {len(value)} characters; allowed are at most {LONGEST_NAME}")
    if not command:
        raise ValueError("command is empty; it must be the command's name")
    if not connector_type and not target:
        raise ValueError("connector_type and target are both empty; one of them must say who the command is for")


def _check_times(timeout_ms: int, outcome_timeout_ms: int) -> None:
    if not 0 <= timeout_ms <= LONGEST_TIMEOUT:
        raise ValueError(f"timeout is {timeout_ms} ms; allowed is from 0 to {LONGEST_TIMEOUT}")
    if not 1 <= outcome_timeout_ms <= LONGEST_OUTCOME_TIMEOUT:
        raise ValueError(
            f"outcome_timeout is {outcome_timeout_ms} ms; allowed is from 1 to {LONGEST_OUTCOME_TIMEOUT}"
        )
