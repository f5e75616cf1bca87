"""`until`"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.local.waiting import until


class Until(SynchronousTestCase):
    """`until`"""

    def test_what_is_true_at_once_is_not_waited_for(self) -> None:
        """The value that the condition gives comes back."""
        clock = Clock()
        self.assertEqual(until(lambda: "yes", 5, now=clock.seconds, sleep=clock.advance), "yes")
        self.assertEqual(clock.seconds(), 0)

    def test_it_is_asked_again_and_again(self) -> None:
        """Until it is true."""
        clock = Clock()
        self.assertTrue(until(lambda: clock.seconds() >= 1.99, 5, now=clock.seconds, sleep=clock.advance))
        self.assertAlmostEqual(clock.seconds(), 2.0)

    def test_time_runs_out(self) -> None:
        """What the condition gave last comes back."""
        clock = Clock()
        self.assertFalse(until(lambda: False, 5, now=clock.seconds, sleep=clock.advance))
        self.assertAlmostEqual(clock.seconds(), 5, places=1)

    def test_what_it_raises_comes_out(self) -> None:
        """At once: there is no hope."""
        clock = Clock()

        def hopeless() -> bool:
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, until, hopeless, 5, now=clock.seconds, sleep=clock.advance)
