"""When a received frame counts as taken charge of (protocol.md 5.3)."""

from __future__ import annotations

from collections.abc import Callable


class Charge:
    """The promise that a received frame will be taken charge of; settled at most once.

    One charge may stand for several arrivals of a message: what comes in twice is counted when the first is.
    """

    __slots__ = ("_then", "settled")

    def __init__(self) -> None:
        self.settled = False
        self._then: list[Callable[[], None]] = []

    def then(self, call: Callable[[], None]) -> None:
        """Call ``call`` once, as soon as this is settled, however often it is given."""
        if self.settled:
            call()
        elif call not in self._then:
            self._then.append(call)

    def settle(self) -> None:
        """The frame can no longer be lost by the one who received it."""
        if not self.settled:
            self.settled = True
            calls, self._then = self._then, []
            for call in calls:
                call()


SETTLED = Charge()
"""The charge of a frame that was taken charge of when it came."""
SETTLED.settle()
