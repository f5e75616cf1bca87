"""Timers for many that wait equally long (protocol.md 6.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

T = TypeVar("T")

TICK: Final = 1e-6
"""Seconds: what is due so soon is due now."""


class Deadlines(Generic[T]):
    """Calls ``over`` with whatever has waited for its time, and was not cleared before.

    Those that wait equally long are due in the order in which they began, so that one timer of the clock is enough
    for all of them, and to begin and to end waiting is one step in a dictionary.
    """

    def __init__(self, clock: IReactorTime, over: Callable[[T], None]) -> None:
        self._clock = clock
        self._over = over
        self._waiting: dict[float, dict[T, float]] = {}
        self._timers: dict[float, IDelayedCall] = {}
        self._over_now: dict[T, None] = {}

    def set(self, what: T, delay: float) -> None:
        """``what`` is over after ``delay`` seconds."""
        due = self._clock.seconds() + delay
        waiting = self._waiting.get(delay)
        if waiting is None:
            self._waiting[delay] = {what: due}
            self._timers[delay] = self._clock.callLater(delay, self._due, delay)
        else:
            waiting[what] = due

    def clear(self, what: T, delay: float) -> None:
        """``what``, which was set with ``delay``, does not wait any more; nothing happens when it did not."""
        self._over_now.pop(what, None)
        waiting = self._waiting.get(delay)
        if waiting is not None and waiting.pop(what, None) is not None and not waiting:
            del self._waiting[delay]
            self._timers.pop(delay).cancel()

    def _due(self, delay: float) -> None:
        now = self._clock.seconds()
        waiting = self._waiting[delay]
        over = self._over_now
        for what, due in waiting.items():
            if due - now > TICK:
                self._timers[delay] = self._clock.callLater(due - now, self._due, delay)
                break
            over[what] = None
        if len(over) == len(waiting):
            del self._waiting[delay], self._timers[delay]
        else:
            for what in over:
                del waiting[what]
        for what in list(over):
            # Whoever was told of one may have cleared another.
            if what in over:
                del over[what]
                self._over(what)
