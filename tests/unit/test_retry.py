"""Doing something until it succeeds."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.retry import retried


class RetriedTests(SynchronousTestCase):
    """`retried`: doing something until it succeeds."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.calls = 0

    def failing(self, times: int) -> Callable[[], Deferred[None]]:
        """Something that fails so many times."""

        async def work() -> None:
            self.calls += 1
            if self.calls <= times:
                raise ValueError("not yet")

        return lambda: ensureDeferred(work())

    def test_pauses_have_an_upper_bound(self) -> None:
        """Pauses double up to ten seconds."""
        running = ensureDeferred(retried("it", self.failing(12), self.clock, lambda: 0.0))
        pauses = []
        while self.clock.getDelayedCalls():
            (call,) = self.clock.getDelayedCalls()
            pauses.append(round(call.getTime() - self.clock.seconds(), 6))
            self.clock.advance(pauses[-1])
        self.successResultOf(running)
        self.assertEqual(pauses, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0, 10.0, 10.0])

    def test_jitter_shortens_a_pause_by_a_half_at_the_most(self) -> None:
        """With the largest random number the pause is half as long."""
        running = ensureDeferred(retried("it", self.failing(1), self.clock, lambda: 1.0))
        self.clock.advance(0.05)
        self.successResultOf(running)

    def test_it_ends_when_no_longer_wanted(self) -> None:
        """What need not be done any more is not tried again."""
        wanted = [True, False]
        running = ensureDeferred(
            retried("it", self.failing(5), self.clock, lambda: 0.0, wanted=lambda: wanted.pop(0))
        )
        self.clock.advance(0.1)
        self.successResultOf(running)
        self.assertEqual(self.calls, 1)

    def test_cancelled(self) -> None:
        """While it is done, or in a pause: it is not tried again, and nothing is told as if it had failed."""
        work: Deferred[None] = Deferred()
        for begin in (lambda: work, self.failing(1)):
            running = ensureDeferred(retried("it", begin, self.clock, lambda: 0.0))
            running.cancel()
            self.failureResultOf(running, CancelledError)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_error_that_is_not_expected_comes_out(self) -> None:
        """Nothing is tried again after it, nor after a fatal one."""
        for settings in ({"expected": (KeyError,)}, {"fatal": (ValueError,)}):
            running = ensureDeferred(retried("it", self.failing(99), self.clock, lambda: 0.0, **settings))
            self.failureResultOf(running, ValueError)
        self.assertEqual((self.calls, self.clock.getDelayedCalls()), (2, []))
