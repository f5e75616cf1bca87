"""How often a log-in may fail: so often an account, so often an address, and then one at a time."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

MAX_NAME = 256
"""Characters by which accounts are told apart here: what a client makes up must not fill the memory."""


class TooManyAttempts(Exception):
    """Too many log-ins have failed; another attempt may be made after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many failed log-ins: try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class _Buckets:
    """A token bucket a key: `burst` failures, then one each `interval_s`; the `size` keys used last are known."""

    def __init__(self, seconds: Callable[[], float], burst: int, interval_s: float, size: int) -> None:
        self._seconds = seconds
        self._interval_s = interval_s
        self._allowance_s = (burst - 1) * interval_s
        self._size = size
        # When the bucket will be full again: all that has to be known of it.
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Seconds until another failure is allowed; none when 0 or less."""
        if key not in self._full_at:
            return 0.0
        self._full_at.move_to_end(key)
        return self._full_at[key] - self._seconds() - self._allowance_s

    def take(self, key: str) -> None:
        """One failure."""
        now = self._seconds()
        self._full_at[key] = max(self._full_at.get(key, now), now) + self._interval_s
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._size:
            self._full_at.popitem(last=False)

    def forget(self, key: str) -> None:
        """The bucket is full."""
        self._full_at.pop(key, None)


class Attempts:
    """Limits failed log-ins, per account and per address.

    :param clock: time.
    :param account_burst: failures of an account at once, before it is one each `account_interval_s` seconds.
    :param address_burst: the same for an address; an IPv6 network of 64 bits counts as one.
    :param size: accounts, and addresses, that are remembered; those not seen for longest are forgotten.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        account_burst: int = 10,
        account_interval_s: float = 6.0,
        address_burst: int = 100,
        address_interval_s: float = 1.0,
        size: int = 10_000,
    ) -> None:
        self._clock = clock
        self._accounts = _Buckets(clock.seconds, account_burst, account_interval_s, size)
        self._addresses = _Buckets(clock.seconds, address_burst, address_interval_s, size)
        self._turns: dict[str, DeferredLock] = {}

    async def judged(self, account: str, address: str, judge: Callable[[], Awaitable[bool]]) -> bool:
        """What `judge` says of an attempt to log in, counted; when it raises, nothing is counted.

        Attempts on one account are judged one after another: guesses sent side by side would all pass the check
        before the first of them has failed.

        :raises TooManyAttempts: too many have failed; `judge` is not asked.
        """
        name = _name(account)
        turn = self._turns.setdefault(name, DeferredLock())
        await turn.acquire()
        try:
            self.check(account, address)
            right = await judge()
            if right:
                self.succeeded(account)
            else:
                self.failed(account, address)
            return right
        finally:
            if turn.waiting:
                # Not from here: a thousand that wait only to be refused would be a thousand calls deep.
                self._clock.callLater(0, self._end_turn, name, turn)
            else:
                self._end_turn(name, turn)

    def check(self, account: str, address: str) -> None:
        """Whether another attempt may be made.

        :raises TooManyAttempts: not now.
        """
        wait_s = max(self._accounts.wait_s(_name(account)), self._addresses.wait_s(_network(address)))
        if wait_s > 0:
            raise TooManyAttempts(math.ceil(wait_s))

    def failed(self, account: str, address: str) -> None:
        """The log-in failed."""
        self._accounts.take(_name(account))
        self._addresses.take(_network(address))

    def succeeded(self, account: str) -> None:
        """The log-in did not fail: what failed before on this account is forgiven. Of the address it is not.

        Who has an account of their own must not be able to try others' without end.
        """
        self._accounts.forget(_name(account))

    def _end_turn(self, name: str, turn: DeferredLock) -> None:
        turn.release()  # the next one runs within this, and may have been the last
        if not turn.locked and self._turns.get(name) is turn:
            del self._turns[name]


def _name(account: str) -> str:
    """Accounts that could be one to the database are one here."""
    return account[:MAX_NAME].casefold()


def _network(address: str) -> str:
    """What one client has: an address of IPv4, 64 bits of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:MAX_NAME]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
