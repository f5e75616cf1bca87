"""When received frames count as taken charge of (protocol.md 5.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gandalf.routing.link import Link


class Charge:
    """The promise that what was received will be taken charge of; settled at most once.

    That of a run is settled from its first frame on. One charge may stand for several arrivals of a message: what
    comes in twice is counted when the first is.

    :param count: how many frames were received.
    """

    __slots__ = ("_each", "_then", "count", "done", "settled")

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.done = 0
        """How many of them are taken charge of."""
        self.settled = False
        """Whether all are."""
        self._then: list[Callable[[], None]] = []
        self._each: dict[int, Charge] | None = None

    def then(self, call: Callable[[], None]) -> None:
        """Call ``call`` whenever more is settled, the last time when all is; at once when it is already.

        It is called once each time, however often it is given.
        """
        if self.settled:
            call()
        elif call not in self._then:
            self._then.append(call)

    def settle(self) -> None:
        """What was received can no longer be lost by the one who received it."""
        self.advance(self.count)

    def advance(self, done: int) -> None:
        """The first ``done`` frames can no longer be lost."""
        if done <= self.done or self.settled:
            return
        self.done = done
        self.settled = done >= self.count
        calls = self._then
        if self.settled:
            self._then = []
        for call in calls:
            call()

    def of(self, number: int) -> Charge:
        """The charge of one frame of a run, of which ``number`` came before it."""
        if self.count == 1:
            return self
        if self._each is None:
            self._each = {}
            self.then(self._settle_each)
        one = self._each.setdefault(number, Charge())
        if number < self.done:
            one.settle()
        return one

    def _settle_each(self) -> None:
        for number, one in (self._each or {}).items():
            if number < self.done:
                one.settle()


class SentOnce(Charge):
    """That of a frame which nobody waits for here: it names whom to tell when it was not delivered in time."""

    __slots__ = ("origin",)

    def __init__(self, origin: Link) -> None:
        super().__init__()
        self.origin = origin


SETTLED = Charge()
"""The charge of a frame that was taken charge of when it came."""
SETTLED.settle()
