"""Limits on what connectors send: who is over them is told so at once, or not read for a while."""

from __future__ import annotations

import math
from collections import Counter
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
from gandalf.wire.runs import Parcel, Run

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

    def let_through(self, frame: Frame, link: ShosetLink) -> bool:
        """Whether ``frame`` is to be routed; if not, it has been answered."""
        now = self._clock.seconds()
        allowance = self._allowance(link, now)
        of_tenant = self._of_tenant(frame, link)
        if refusable(frame):
            if not allowance.take(1, now, of_tenant=of_tenant):
                allowance.refuse(now)
                self._refuse(frame, link, allowance, now)
                self._pause_if_due(link, allowance, now)
                return False
        else:
            allowance.overdraw(now, of_tenant=of_tenant)
            self._pause_if_due(link, allowance, now)
            if of_tenant and self._tenant is not None and self._tenant.overdrawn(now):
                self._wait_for_turn(link, allowance, self._tenant.delay(now))
        return True

    def let_run_through(self, run: Run, link: ShosetLink) -> bool:
        """Whether all of ``run`` is within the limits; if not, each frame is to be let through by itself."""
        now = self._clock.seconds()
        return self._allowance(link, now).take(run.count, now, of_tenant=self._of_tenant(run, link))

    def run_came_apart(self, run: Run, link: ShosetLink) -> None:
        """``run``, which was let through, comes frame by frame after all: each is measured when it does."""
        self._allowances[link].give_back(run.count, of_tenant=self._of_tenant(run, link))

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

    # Measuring and answering.

    def _allowance(self, link: ShosetLink, now: float) -> Allowance:
        allowance = self._allowances.get(link)
        if allowance is None:
            allowance = self._allowances[link] = Allowance(self._rates, self._tenant, now)
        if link in self._small and allowance.rested(now):
            self._read(link, FULL_READ)
        return allowance

    def _of_tenant(self, parcel: Parcel, link: ShosetLink) -> bool:
        """Whoever has not proved a secret yet, or does so, cannot use up what the tenant's connectors share."""
        return link.validated and parcel.kind != kinds.SECRET

    def _refuse(self, frame: Frame, link: ShosetLink, allowance: Allowance, now: float) -> None:
        self.counters["refused"] += 1
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
        error = self._errors.about(frame, link, OVERLOADED, message, {"retry_after": wait})
        if error is not None:
            link.send(error)

    # Not reading.

    def _pause_if_due(self, link: ShosetLink, allowance: Allowance, now: float) -> None:
        seconds = allowance.pause(now)
        if not seconds:
            return
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
