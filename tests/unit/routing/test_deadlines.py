"""Timers shared by those that wait equally long."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.deadlines import Deadlines


class DeadlinesTest(SynchronousTestCase):
    """Each is over in its time, unless it was cleared."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.over: list[str] = []
        self.deadlines: Deadlines[str] = Deadlines(self.clock, self.over.append)

    def test_one_timer_for_many(self) -> None:
        """Those that wait equally long have one; each is over when its own time is."""
        self.deadlines.set("first", 2.0)
        self.clock.advance(0.5)
        self.deadlines.set("second", 2.0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1.5)
        self.assertEqual(self.over, ["first"])
        self.clock.advance(0.4)
        self.assertEqual(self.over, ["first"])
        self.clock.advance(0.1)
        self.assertEqual(self.over, ["first", "second"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_another_delay(self) -> None:
        """Who waits less long is not held up by those who wait longer."""
        self.deadlines.set("long", 2.0)
        self.deadlines.set("short", 1.0)
        self.clock.advance(1.0)
        self.assertEqual(self.over, ["short"])
        self.clock.advance(1.0)
        self.assertEqual(self.over, ["short", "long"])

    def test_cleared(self) -> None:
        """It is never over; with the last one the timer ends."""
        for name in ("first", "second"):
            self.deadlines.set(name, 1.0)
        self.deadlines.clear("first", 1.0)
        self.deadlines.clear("first", 1.0)
        self.clock.advance(0.5)
        self.deadlines.clear("second", 1.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(5)
        self.assertEqual(self.over, [])
        self.deadlines.clear("nobody", 3.0)

    def test_cleared_by_one_that_is_over(self) -> None:
        """Of two that are over at once, the first may clear the second."""
        deadlines: Deadlines[str] = Deadlines(self.clock, lambda name: self.clear_second(name, deadlines))
        deadlines.set("first", 1.0)
        deadlines.set("second", 1.0)
        deadlines.set("third", 1.0)
        self.clock.advance(1.0)
        self.assertEqual(self.over, ["first", "third"])

    def clear_second(self, name: str, deadlines: Deadlines[str]) -> None:
        """What happens when one is over."""
        self.over.append(name)
        deadlines.clear("second", 1.0)

    def test_set_again_when_it_is_over(self) -> None:
        """As a command that goes to the next candidate."""
        deadlines: Deadlines[str] = Deadlines(self.clock, lambda name: self.again(name, deadlines))
        deadlines.set("it", 1.0)
        self.clock.pump([0.5] * 4)
        self.assertEqual(self.over, ["it", "it"])
        deadlines.clear("it", 1.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def again(self, name: str, deadlines: Deadlines[str]) -> None:
        """It waits once more."""
        self.over.append(name)
        deadlines.set(name, 1.0)

    def test_due_by_a_hair(self) -> None:
        """What rounding leaves of a second does not keep the clock busy for ever."""
        self.deadlines.set("a", 0.1)
        self.clock.advance(1e-9)
        self.deadlines.set("b", 0.1)
        self.clock.advance(0.1)
        self.assertEqual(self.over, ["a", "b"])
