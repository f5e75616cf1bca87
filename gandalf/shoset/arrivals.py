"""Who dials when everybody dials at once: handshakes begin at a bounded rate, first come, first served."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gandalf.routing.overload import TokenBucket

if TYPE_CHECKING:
    from gandalf.shoset.handshake import ListenerProtocol

AT_ONCE_S: Final = 0.01
"""Handshakes that begin at once are as many as in so many seconds: what goes on beside waits no longer for them."""

SPARE: Final = 100
"""Connections beyond the bound that are told why they are refused; any more are cut without a word."""


class Arrivals:
    """Connections that were accepted, and wait unread for their turn.

    A handshake costs as much as several messages. In a storm of reconnections those who are linked already would
    not be heard before all the others have been.

    :param rate: handshakes a second.
    """

    def __init__(self, rate: float, clock: IReactorTime) -> None:
        self._clock = clock
        self._bucket = TokenBucket(rate, max(rate * AT_ONCE_S, 1), clock.seconds())
        self._waiting: deque[ListenerProtocol] = deque()
        self._next: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def arrived(self, connection: ListenerProtocol) -> None:
        """``connection`` was accepted: it may begin, or has to wait until those that came before it have begun."""
        if self._waiting or not self._bucket.take(1, self._clock.seconds()):
            connection.wait_for_turn()
            self._waiting.append(connection)
            self._schedule()

    def stop(self) -> None:
        """Nobody's turn comes any more."""
        self._waiting.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _schedule(self) -> None:
        if self._next is None:
            # The bucket does not overflow meanwhile, and half of what it holds begins at a time.
            delay = max(self._bucket.delay(self._clock.seconds()), AT_ONCE_S / 2)
            self._next = self._clock.callLater(delay, self._turns)

    def _turns(self) -> None:
        self._next = None
        waiting, now = self._waiting, self._clock.seconds()
        while waiting:
            if waiting[0].waits and not self._bucket.take(1, now):
                self._schedule()
                return
            connection = waiting.popleft()
            if connection.waits:
                connection.take_turn()
