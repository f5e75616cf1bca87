"""Commands that were sent: receipt, progress, outcome (protocol.md 7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from gandalf.connector import payloads
from gandalf.connector.loop import Loop
from gandalf.connector.messages import error_text, is_error
from gandalf.connector.network import (
    CommandFailed,
    CommandRefused,
    Outcome,
    OutcomeTimeout,
    Progress,
    Promise,
    ReceivedEvent,
)
from gandalf.routing.errors import MakeFrame
from gandalf.routing.failures import EXPIRED, NO_ROUTE, NOT_VALIDATED, OVERLOADED, TIMEOUT, RoutingFailure
from gandalf.routing.fallthrough import FallThrough
from gandalf.routing.link import Link
from gandalf.wire.envelope import Frame
from gandalf.wire.kinds import COMMAND

GROUP = "the aggregator"
PASSED_OVER = frozenset({NO_ROUTE, OVERLOADED, TIMEOUT, EXPIRED, NOT_VALIDATED})
"""What one instance of an aggregator may say while another may still do it."""

LONGEST_TIMEOUT = 366 * 24 * 3600.0
"""Seconds; more is taken for a mistake."""

_SOON = 0.001


@attrs.define(eq=False)
class _Sent:
    """A command whose outcome is not known yet. Times in seconds of the clock."""

    frame: Frame
    name: str
    promise: Promise[Any]
    on_progress: Progress | None
    receipt_by: float
    outcome_by: float
    timer: IDelayedCall
    receipt: ReceivedEvent | None = None
    error: CommandRefused | None = None
    """What the instance that was tried last said."""
    trying: Deferred[Frame] | None = None


class Sender:
    """Sends commands, and gathers what answers them.

    A command is tried over one instance of the aggregator after the other as protocol.md 6.2 says. While none
    is linked it waits for one, up to the time that its receipt may take.

    :param ready: the links that are validated and not about to leave.
    :param max_timeout: seconds that a receipt may take at most.
    :param idle: called with a link on which no command is pending any more.
    """

    log = Logger()

    def __init__(
        self,
        logical_name: str,
        make_frame: MakeFrame,
        loop: Loop,
        clock: IReactorTime,
        ready: Callable[[], Sequence[Link]],
        max_timeout: float,
        *,
        idle: Callable[[Link], None],
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._logical_name = logical_name
        self._make_frame = make_frame
        self._loop = loop
        self._clock = clock
        self._ready = ready
        self._max_timeout = max_timeout
        self._tries = FallThrough(clock, idle=idle)
        self._sent: dict[bytes, _Sent] = {}
        self._unlinked: dict[bytes, _Sent] = {}
        self._stopped = False

    def __len__(self) -> int:
        return len(self._sent)

    def __contains__(self, uuid: bytes) -> bool:
        return uuid in self._sent

    def send(
        self,
        connector_type: str,
        command: str,
        payload: object,
        target: str,
        timeout: float,
        on_progress: Progress | None,
    ) -> Promise[Outcome]:
        """See `Network.send`. Raises ValueError for what can never be sent."""
        if not 0 < timeout <= LONGEST_TIMEOUT:
            raise ValueError(f"timeout is {timeout!r}: must be more than 0 and at most {LONGEST_TIMEOUT:.0f} s")
        if not command:
            raise ValueError("command is empty: must be the command's name")
        frame = self._make_frame(
            COMMAND,
            {"command": command, "context": {"connector_type": connector_type}, "payload": payloads.dump(payload)},
            target=target,
            timeout=max(int(timeout * 1000), 1),
        )
        uuid = frame.uuid
        promise = self._loop.promise(lambda: self._given_up(uuid))
        if self._stopped:
            self._loop.reject(promise, CommandRefused("STOPPED", "this connector has stopped"))
            return promise
        now = self._clock.seconds()
        patience = min(timeout, self._max_timeout)
        timer = self._clock.callLater(patience, self._too_late, uuid)
        sent = _Sent(frame, command, promise, on_progress, now + patience, now + timeout, timer)
        self._sent[uuid] = sent
        self._try(sent)
        return promise

    def answer(self, event: ReceivedEvent, frame: Frame, link: Link | None = None) -> bool:
        """Whether `event`, which `frame` holds, answers a command that is still waited for. `link`: on which it came;
        None: it is this connector's own."""
        sent = self._sent.get(frame.reference) if frame.reference else None
        if sent is None:
            self.counters["answers to nothing"] += 1
            return False
        if is_error(event):
            self._error(sent, event, link)
        elif event.event == "TAKEN":
            self._taken(sent, event, frame)
        elif event.event == "PROGRESS":
            self._taken(sent, event, frame)
            self._progress(sent, event)
        elif event.event == "SUCCESS":
            receipt = sent.receipt or event
            self._end(sent)
            self._loop.resolve(sent.promise, Outcome(event.reference or event.uuid, receipt, event))
        elif event.event == "FAILURE":
            self._refuse(sent, _failure(event))
        else:
            self.counters["answers not understood"] += 1
        return True

    def link_ready(self) -> None:
        """A link takes commands again: try those that found none."""
        waiting, self._unlinked = self._unlinked, {}
        for uuid, sent in waiting.items():
            # Whoever is told of the end of one may have given up another.
            if uuid in self._sent:
                self._try(sent)

    def link_lost(self, link: Link) -> None:
        """The connection broke: what waits there goes to the next at once (protocol.md 6.2)."""
        self._tries.link_lost(link)

    def pending_on(self, link: Link) -> int:
        """How many commands wait for their receipt over `link`."""
        return self._tries.pending_on(link)

    def stop(self) -> None:
        """Whoever still waits learns that it was in vain."""
        self._stopped = True
        for sent in list(self._sent.values()):
            error = CommandRefused if sent.receipt is None else CommandFailed
            self._refuse(sent, error("STOPPED", "this connector stopped before the outcome was known"))

    # One instance after the other.

    def _try(self, sent: _Sent) -> None:
        links = self._ready()
        left = sent.receipt_by - self._clock.seconds()
        if not links:
            self._unlinked[sent.frame.uuid] = sent
            return
        sent.error = None
        sent.trying = self._tries.send(sent.frame, GROUP, links, max(left, _SOON))
        sent.trying.addCallbacks(lambda frame: None, self._not_taken, errbackArgs=(sent,))

    def _not_taken(self, failure: Failure, sent: _Sent) -> None:
        if failure.check(CancelledError):
            return
        failure.trap(RoutingFailure)
        reason: Any = failure.value
        if sent.frame.uuid not in self._sent:
            return
        left = sent.receipt_by - self._clock.seconds()
        if sent.error is not None:
            self._refuse(sent, sent.error)
        elif reason.code in (NO_ROUTE, TIMEOUT) and left > _SOON:
            # Every link that there was broke or was not validated: one that has come up since gets it, or the next.
            self._try(sent)
        else:
            self._refuse(sent, CommandRefused(reason.code, str(reason)))

    def _error(self, sent: _Sent, event: ReceivedEvent, link: Link | None) -> None:
        if sent.receipt is not None:
            self.counters["errors after the receipt"] += 1
            return
        error = CommandRefused(event.event, error_text(event) or "no more was said")
        uuid = sent.frame.uuid
        if not self._by_an_instance(event):
            self._refuse(sent, error)
        elif self._tries.at(uuid) is not link:
            # Another instance has it now, or none: what this one could not says nothing about that.
            self.counters["late errors"] += 1
        else:
            if event.event != NOT_VALIDATED:
                sent.error = error
            self._tries.pass_over(uuid)

    def _by_an_instance(self, event: ReceivedEvent) -> bool:
        """Whether an instance of our aggregator says so, and of itself only: another may do better. What comes
        from further on is the cluster's last word."""
        payload = event.payload
        origin = payload.get("origin") if isinstance(payload, dict) else None
        return event.event in PASSED_OVER and origin == self._logical_name

    # Answers.

    def _taken(self, sent: _Sent, event: ReceivedEvent, frame: Frame) -> None:
        if sent.receipt is not None:
            self.counters["receipts beyond the first"] += event.event == "TAKEN"
            return
        sent.receipt = event
        self._tries.answer(frame)
        self._unlinked.pop(sent.frame.uuid, None)
        sent.timer.cancel()
        left = max(sent.outcome_by - self._clock.seconds(), 0.0)
        sent.timer = self._clock.callLater(left, self._too_late, sent.frame.uuid)

    def _progress(self, sent: _Sent, event: ReceivedEvent) -> None:
        if sent.on_progress is not None:
            try:
                sent.on_progress(event)
            except Exception:
                self.log.failure("on_progress of {command} {uuid} failed", command=sent.name, uuid=event.reference)

    def _too_late(self, uuid: bytes) -> None:
        sent = self._sent[uuid]
        if sent.receipt is not None:
            message = f"{sent.name} was taken, and its outcome did not come in time; it may still be carried out"
            self._refuse(sent, OutcomeTimeout(message))
        elif sent.error is not None:
            self._refuse(sent, sent.error)
        elif uuid in self._unlinked:
            self._refuse(sent, CommandRefused(NO_ROUTE, "no instance of the aggregator was linked in time"))
        else:
            self._refuse(sent, CommandRefused(TIMEOUT, f"nobody has taken {sent.name} in time"))

    def _refuse(self, sent: _Sent, error: Exception) -> None:
        self._end(sent)
        self._loop.reject(sent.promise, error)

    def _given_up(self, uuid: bytes) -> None:
        sent = self._sent.get(uuid)
        if sent is not None:
            self._end(sent)

    def _end(self, sent: _Sent) -> None:
        uuid = sent.frame.uuid
        if self._sent.pop(uuid, None) is None:
            return
        self._unlinked.pop(uuid, None)
        if sent.timer.active():
            sent.timer.cancel()
        if sent.trying is not None and uuid in self._tries:
            sent.trying.cancel()


def _failure(event: ReceivedEvent) -> CommandFailed:
    """What a `FAILURE` says."""
    payload = event.payload
    details = dict(payload) if isinstance(payload, dict) else {}
    code = str(details.pop("code", "") or "FAILED")
    return CommandFailed(code, str(details.pop("message", "") or "no more was said"), details)
