"""How many messages are due now, at so many a second."""

from __future__ import annotations


class Pace:
    """Counts what is due. What a stopped process has missed is not made up for.

    :param rate: a second.
    :param now: seconds.
    """

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._then = now
        self._due = 0.0

    def due(self, now: float) -> int:
        """How many since the last call."""
        self._due += self._rate * min(now - self._then, 0.5)
        self._then = now
        whole = int(self._due)
        self._due -= whole
        return whole
