"""Limits on what connectors send: who is over them is told so at once, or not read for a while."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gandalf.routing.errors import ErrorEvents
from gandalf.routing.failures import OVERLOADED
from gandalf.routing.overload import ROUNDING, Allowance, Rates, refusable
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.settings import READ_BYTES
from gandalf.wire import kinds
from gandalf.wire.envelope import Frame

LIMIT: Final = "limit"
"""Why a connection is not read: it is over its limit."""

TURN: Final = "turn"
"""Why a connection is not read: the tenant is over its limit, and others have waited longer."""

SMALL_READ: Final = 4096
"""Bytes taken at a time from a connection that is over its limit."""

FULL_READ: Final = READ_BYTES
"""Bytes taken at a time from any other, as Twisted does."""


class Admission:
    """Lets what connectors send through to the rules, within the limits.

    A request over a limit is answered with ``OVERLOADED`` at once. Everything else is let through on credit, and the
    connection is not read until the credit is paid back. When it is the tenant's, those that wait are read again one
    after the other, the first that was paused first.

    :param errors: makes the error events.
    """

    def __init__(self, rates: Rates, tenant: str, errors: ErrorEvents, clock: IReactorTime) -> None:
        self._rates = rates
        self._name = tenant
        self._errors = errors
        self._clock = clock
        self._tenant = rates.tenant_bucket(clock.seconds())
        self._allowances: dict[ShosetLink, Allowance] = {}
        self._small: set[ShosetLink] = set()
        self._timers: dict[ShosetLink, IDelayedCall] = {}
        self._queue: dict[ShosetLink, None] = {}
        self._turn: IDelayedCall | None = None
        self.counters: Counter[str] = Counter(refused=0, pauses=0)

    def let_through(self, frames: Sequence[Frame], link: ShosetLink) -> Sequence[Frame]:
        """Those of ``frames``, all of one kind, that are to be routed; the others have been answered."""
        now = self._clock.seconds()
        allowance = self._allowances.get(link)
        if allowance is None:
            allowance = self._allowances[link] = Allowance(self._rates, self._tenant, now)
        if link in self._small and allowance.rested(now):
            self._read(link, FULL_READ)
        # Whoever has not proved a secret yet, or does so, cannot use up what the tenant's connectors share.
        of_tenant = link.validated and frames[0].kind != kinds.SECRET
        requests = sum(map(refusable, frames))
        granted = allowance.take(requests, now, of_tenant=of_tenant)
        allowance.overdraw(len(frames) - requests, now, of_tenant=of_tenant)
        if granted < requests:
            frames = self._refuse_after(granted, frames, link, allowance, now)
        seconds = allowance.pause(now)
        if seconds:
            self._pause(link, seconds, allowance)
        if of_tenant and requests < len(frames) and self._tenant is not None and self._tenant.overdrawn(now):
            self._wait_for_turn(link, allowance, self._tenant.delay(now))
        return frames

    def forget(self, link: ShosetLink) -> None:
        """The session of ``link`` is forgotten."""
        self._allowances.pop(link, None)
        self._small.discard(link)
        self._queue.pop(link, None)
        timer = self._timers.pop(link, None)
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """Leave no timer behind."""
        for link in list(self._allowances):
            self.forget(link)
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    # For the operator.

    def describe(self) -> dict[str, Any]:
        """What the limits have done since the process started."""
        return {
            "refused": self.counters["refused"],
            "pauses": self.counters["pauses"],
            "connections not read": len(self._timers.keys() | self._queue.keys()),
        }

    def describe_link(self, link: ShosetLink) -> dict[str, Any]:
        """The same of one connection's session."""
        allowance = self._allowances.get(link)
        return {
            "refused_over_limit": 0 if allowance is None else allowance.refused,
            "pauses_over_limit": 0 if allowance is None else allowance.pauses,
        }

    # Answering.

    def _refuse_after(
        self, granted: int, frames: Sequence[Frame], link: ShosetLink, allowance: Allowance, now: float
    ) -> list[Frame]:
        """Answer the requests among ``frames`` but the first ``granted``; returns what is left."""
        wait = math.ceil(allowance.retry(now) * 1000)
        rates = self._rates
        if allowance.by_tenant:
            whose, rate, burst = f"tenant {self._name!r}", rates.tenant_rate, rates.tenant_burst
        else:
            whose, rate, burst = "this connection", rates.connection_rate, rates.connection_burst
        message = (
            f"over the limit of {whose}: {rate} messages a second, {burst or rate} at once;"
            f" try again in {wait / 1000:g} s"
        )
        left: list[Frame] = []
        for frame in frames:
            if not refusable(frame):
                left.append(frame)
            elif granted:
                granted -= 1
                left.append(frame)
            else:
                self._refuse(frame, link, message, wait)
        return left

    def _refuse(self, frame: Frame, link: ShosetLink, message: str, wait: int) -> None:
        self.counters["refused"] += 1
        error = self._errors.about(frame, link, OVERLOADED, message, {"retry_after": wait})
        if error is not None:
            link.send(error)

    # Not reading.

    def _pause(self, link: ShosetLink, seconds: float, allowance: Allowance) -> None:
        self._read(link, SMALL_READ)
        timer = self._timers.get(link)
        if timer is not None:
            timer.reset(seconds)
            return
        self._count_pause(allowance)
        link.pause(LIMIT)
        self._timers[link] = self._clock.callLater(seconds, self._paid, link)

    def _paid(self, link: ShosetLink) -> None:
        del self._timers[link]
        link.resume(LIMIT)

    def _wait_for_turn(self, link: ShosetLink, allowance: Allowance, delay: float) -> None:
        self._read(link, SMALL_READ)
        if link not in self._queue:
            self._count_pause(allowance)
            self._queue[link] = None
            link.pause(TURN)
        if self._turn is None:
            self._turn = self._clock.callLater(delay, self._next_turns)

    def _next_turns(self) -> None:
        """As many as there are tokens for are read again."""
        assert self._tenant is not None
        now = self._clock.seconds()
        delay = self._tenant.delay(now)
        if not delay:
            for link in list(islice(self._queue, int(self._tenant.level(now) + ROUNDING))):
                del self._queue[link]
                link.resume(TURN)
            # Each takes one token at least, or needs none.
            delay = 1 / self._tenant.rate
        self._turn = self._clock.callLater(delay, self._next_turns) if self._queue else None

    def _count_pause(self, allowance: Allowance) -> None:
        allowance.pauses += 1
        self.counters["pauses"] += 1

    def _read(self, link: ShosetLink, size: int) -> None:
        if size == SMALL_READ:
            self._small.add(link)
        else:
            self._small.discard(link)
        if link.connection is not None:
            link.connection.read_at_most(size)
