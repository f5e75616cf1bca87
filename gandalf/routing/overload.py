"""How many messages a sender may send (protocol.md 6.6, ``OVERLOADED``): token buckets. Pure: no network, no clock.

Times are seconds of whatever clock the caller reads; what comes in runs is counted in runs.
"""

from __future__ import annotations

from typing import Final

import attrs

from gandalf.wire import kinds
from gandalf.wire.envelope import Frame

LEAST_REFUSALS: Final = 1000
"""Refusals a second that a connection is told of at the least, however little it may send."""

ROUNDING: Final = 1e-6
"""Of a token: what sums of times may be wrong by."""

REFUSABLE: Final = frozenset(
    {
        kinds.COMMAND,
        kinds.CONFIG,
        kinds.CONFIGURATION,
        kinds.LOGICAL_CONFIGURATION,
        kinds.CONFIGURATION_DATABASE,
        kinds.SECRET,
    }
)
"""Kinds whose sender waits for an answer, and can be told to send again."""


def refusable(frame: Frame) -> bool:
    """Whether ``frame`` may be answered instead of carried: it asks for something, and answers nothing."""
    return frame.reference is None and frame.kind in REFUSABLE


class TokenBucket:
    """Grants ``rate`` tokens a second on average, and up to ``burst`` at once after a pause; full at first.

    A clock that goes backwards adds nothing and takes nothing.
    """

    __slots__ = ("_level", "_seen", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("a bucket needs a rate above 0, and room for one token")
        self.rate = rate
        self.burst = burst
        self._level = float(burst)
        self._seen = now

    def take(self, count: int, now: float) -> bool:
        """Take ``count`` tokens if all of them are there."""
        if self.level(now) < count - ROUNDING:
            return False
        self._level -= count
        return True

    def overdraw(self, count: int, now: float) -> None:
        """Take ``count`` tokens whether they are there or not: what is missing has to come in first."""
        self._level = self.level(now) - count

    def give_back(self, count: int) -> None:
        """So many were taken for nothing."""
        self._level = min(self._level + count, self.burst)

    def level(self, now: float) -> float:
        """Tokens that are there; below 0: as many are missing."""
        if now > self._seen:
            self._level = min(self._level + (now - self._seen) * self.rate, self.burst)
        self._seen = now
        return self._level

    def overdrawn(self, now: float) -> bool:
        """Whether more was taken than was there."""
        return self.level(now) < -ROUNDING

    def delay(self, now: float) -> float:
        """Seconds until there is a whole token; 0 when there is one."""
        missing = 1 - self.level(now)
        return missing / self.rate if missing > ROUNDING else 0.0


@attrs.frozen
class Rates:
    """Messages a second, and at once; a rate of 0 is no limit, a burst of 0 a second's worth."""

    connection_rate: int = 0
    connection_burst: int = 0
    tenant_rate: int = 0
    tenant_burst: int = 0

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return bool(self.connection_rate or self.tenant_rate)

    def connection_bucket(self, now: float) -> TokenBucket | None:
        """For one more connection; None: no limit."""
        return _bucket(self.connection_rate, self.connection_burst, now)

    def tenant_bucket(self, now: float) -> TokenBucket | None:
        """For the tenant; None: no limit."""
        return _bucket(self.tenant_rate, self.tenant_burst, now)


def _bucket(rate: int, burst: int, now: float) -> TokenBucket | None:
    return TokenBucket(rate, burst or rate, now) if rate else None


class Allowance:
    """What one connection may send. What is above the limit is refused, or taken on credit.

    Refusals have a bucket of their own, since each costs nearly as much as a message: the tenant does not pay for
    them, and who goes on beyond it is not read for a while.

    :param tenant: the bucket that all connections of the tenant share; None: no limit.
    """

    __slots__ = ("_own", "_refusals", "_tenant", "by_tenant", "pauses", "refused")

    def __init__(self, rates: Rates, tenant: TokenBucket | None, now: float) -> None:
        self._own = rates.connection_bucket(now)
        self._tenant = tenant
        told = max(rates.connection_rate, LEAST_REFUSALS)
        self._refusals = TokenBucket(told, told, now)
        self.refused = 0
        """Messages that were answered with ``OVERLOADED``."""
        self.pauses = 0
        """How often the connection was not read for a while."""
        self.by_tenant = False
        """Whether it was the tenant's limit, not the connection's, that was met last."""

    def take(self, count: int, now: float, *, of_tenant: bool) -> bool:
        """Take so many tokens for messages that are carried, if all of them are there.

        :param of_tenant: whether the tenant pays too, as it does for a connection that is validated.
        """
        self.by_tenant = False
        if self._own is not None and not self._own.take(count, now):
            return False
        if of_tenant and self._tenant is not None and not self._tenant.take(count, now):
            self.by_tenant = True
            if self._own is not None:
                self._own.give_back(count)
            return False
        return True

    def give_back(self, count: int, *, of_tenant: bool) -> None:
        """So many tokens were taken for nothing, of both whom :meth:`take` took them from."""
        if self._own is not None:
            self._own.give_back(count)
        if of_tenant and self._tenant is not None:
            self._tenant.give_back(count)

    def refuse(self, now: float) -> None:
        """A request is answered with ``OVERLOADED``."""
        self.refused += 1
        self._refusals.overdraw(1, now)

    def overdraw(self, now: float, *, of_tenant: bool) -> None:
        """A message that must not be lost is carried in any case."""
        if self._own is not None:
            self._own.overdraw(1, now)
        if of_tenant and self._tenant is not None:
            self._tenant.overdraw(1, now)

    def retry(self, now: float) -> float:
        """Seconds after which a request that was refused may be sent again."""
        bucket = self._tenant if self.by_tenant else self._own
        return 0.0 if bucket is None else bucket.delay(now)

    def pause(self, now: float) -> float:
        """Seconds for which the connection is not to be read: it has sent on credit, or was refused too often."""
        buckets = (self._refusals,) if self._own is None else (self._own, self._refusals)
        return max((bucket.delay(now) for bucket in buckets if bucket.overdrawn(now)), default=0.0)

    def rested(self, now: float) -> bool:
        """Whether it has sent well below its limit for a while: its bucket is full."""
        return (self._own is None or self._own.level(now) >= self._own.burst) and (
            self._refusals.level(now) >= self._refusals.burst
        )
