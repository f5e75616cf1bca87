"""How often log-ins may fail."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.api.attempts import Attempts, TooManyAttempts

HERE = "192.0.2.1"


class AttemptsTestCase(SynchronousTestCase):
    """A limiter with its numbers as they come."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.attempts = Attempts(self.clock)

    def fail_times(self, count: int, account: str = "a", address: str = HERE) -> None:
        """So many attempts, each allowed, each failing."""
        for _ in range(count):
            self.attempts.check(account, address)
            self.attempts.failed(account, address)

    def refused(self, account: str = "a", address: str = HERE) -> int:
        """The attempt is refused; for how long."""
        error: TooManyAttempts = self.assertRaises(TooManyAttempts, self.attempts.check, account, address)
        return error.retry_after_s


class BucketTests(AttemptsTestCase):
    """Counting."""

    def test_account(self) -> None:
        """Ten failures, then one every six seconds, wherever they come from."""
        for last in range(10):
            self.fail_times(1, address=f"192.0.2.{last}")
        self.assertEqual(self.refused(address="198.51.100.1"), 6)
        self.clock.advance(5.5)
        self.assertEqual(self.refused(), 1)
        self.clock.advance(0.5)
        self.fail_times(1)
        self.assertEqual(self.refused(), 6)

    def test_address(self) -> None:
        """A hundred failures, then one a second, of whatever account."""
        for number in range(100):
            self.fail_times(1, f"user{number}")
        self.assertEqual(self.refused("another"), 1)
        self.attempts.check("another", "192.0.2.2")
        self.clock.advance(1)
        self.fail_times(1, "another")
        self.refused("another")

    def test_the_longer_wait_is_told(self) -> None:
        """When both are at their end, one has to wait for both."""
        self.fail_times(10)
        for number in range(90):
            self.fail_times(1, f"user{number}")
        self.assertEqual(self.refused("new"), 1)
        self.assertEqual(self.refused("a"), 6)

    def test_message(self) -> None:
        """It says when to come back."""
        self.fail_times(10)
        error = self.assertRaises(TooManyAttempts, self.attempts.check, "a", HERE)
        self.assertEqual(str(error), "too many failed log-ins: try again in 6 s")

    def test_recovery(self) -> None:
        """After a minute without attempts all ten are there again, and no more."""
        self.fail_times(10)
        self.clock.advance(60)
        self.fail_times(10)
        self.clock.advance(6000)
        self.fail_times(10)
        self.refused()

    def test_success(self) -> None:
        """It forgives the account's failures, and not those of the address."""
        for _ in range(10):
            self.fail_times(9)
            self.attempts.succeeded("a")
        self.fail_times(9)
        self.attempts.succeeded("a")
        self.fail_times(1)
        self.refused("b")
        self.attempts.succeeded("b")
        self.refused("b")

    def test_looking_costs_nothing(self) -> None:
        """Attempts that are refused do not make it last longer."""
        self.fail_times(10)
        for _ in range(100):
            self.refused()
        self.clock.advance(6)
        self.attempts.check("a", HERE)

    def test_case(self) -> None:
        """Writing a name otherwise is no way round."""
        self.fail_times(5, "Administrator1")
        self.fail_times(5, "ADMINISTRATOR1")
        self.refused("administrator1")

    def test_networks(self) -> None:
        """Whoever has an IPv6 network has 2**64 addresses; one IPv4 address is one however it is written."""
        for number in range(100):
            self.fail_times(1, f"user{number}", f"2001:db8::{number:x}:1")
        self.refused("x", "2001:db8::ffff:ffff:ffff:ffff")
        self.attempts.check("x", "2001:db8:0:1::1")
        for number in range(100):
            self.fail_times(1, f"user{number}", "::ffff:198.51.100.1")
        self.refused("x", "198.51.100.1")
        self.attempts.check("x", "198.51.100.2")

    def test_what_is_no_address(self) -> None:
        """A socket without one counts as one client."""
        for number in range(100):
            self.fail_times(1, f"user{number}", "unix")
        self.refused("x", "unix")

    def test_bounded(self) -> None:
        """The accounts not seen for longest are forgotten, and those that are tried are not."""
        attempts = self.attempts = Attempts(self.clock, size=3)
        self.fail_times(10, "target")
        for number in range(50):
            self.fail_times(1, f"user{number}", f"192.0.2.{number}")
            self.refused("target")
        for number in range(3):
            self.fail_times(1, f"other{number}", "198.51.100.1")
        attempts.check("target", HERE)

    def test_long_names(self) -> None:
        """A name that was made to fill the memory is one with others like it."""
        self.fail_times(9, "x" * 1_000_000)
        self.fail_times(1, "x" * 999_999)
        self.refused("x" * 500)

    def test_numbers(self) -> None:
        """They can be others."""
        self.attempts = Attempts(
            self.clock, account_burst=1, account_interval_s=30, address_burst=2, address_interval_s=10
        )
        self.fail_times(1)
        self.assertEqual(self.refused(), 30)
        self.fail_times(1, "b")
        self.assertEqual(self.refused("c"), 10)

    @given(st.lists(st.floats(0, 20), max_size=100))
    def test_rate(self, pauses: list[float]) -> None:
        """However attempts are spaced, in t seconds at most 10 + t/6 of them are let through."""
        clock = Clock()
        attempts = Attempts(clock)
        failures = 0
        for pause in pauses:
            clock.advance(pause)
            try:
                attempts.check("a", HERE)
            except TooManyAttempts as error:
                self.assertLessEqual(error.retry_after_s, 6)
                continue
            attempts.failed("a", HERE)
            failures += 1
        self.assertLessEqual(failures, 10 + clock.seconds() / 6 + 1e-6)


class JudgedTests(AttemptsTestCase):
    """Counting what a judge says."""

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[Deferred[bool]] = []

    async def judge(self) -> bool:
        """Says what a test will say."""
        answer: Deferred[bool] = Deferred()
        self.asked.append(answer)
        return await answer

    def attempt(self, account: str = "a", address: str = HERE) -> Deferred[bool]:
        """An attempt that waits for the judge."""
        return ensureDeferred(self.attempts.judged(account, address, self.judge))

    def test_verdicts(self) -> None:
        """What the judge says is what is told and counted."""
        for _ in range(2):
            for right in [False] * 9 + [True]:
                attempt = self.attempt()
                self.asked.pop().callback(right)
                self.assertIs(self.successResultOf(attempt), right)
        for _ in range(10):
            attempt = self.attempt()
            self.asked.pop().callback(False)
            self.successResultOf(attempt)
        self.failureResultOf(self.attempt(), TooManyAttempts)
        self.assertEqual(self.asked, [])

    def test_side_by_side(self) -> None:
        """A thousand guesses at once are ten guesses, and the rest is refused without asking."""
        attempts = [self.attempt() for _ in range(1000)]
        asked = 0
        while self.asked:
            self.assertEqual(len(self.asked), 1)
            self.asked.pop().callback(False)
            asked += 1
            self.clock.advance(0)
        self.assertEqual(asked, 10)
        while self.clock.getDelayedCalls():
            self.clock.advance(0)
        for attempt in attempts[10:]:
            self.failureResultOf(attempt, TooManyAttempts)

    def test_many_that_are_right(self) -> None:
        """Two hundred programs that log in at once with one account all get in."""
        attempts = [self.attempt() for _ in range(200)]
        while self.asked:
            self.asked.pop().callback(True)
            self.clock.advance(0)
        self.assertEqual([self.successResultOf(attempt) for attempt in attempts], [True] * 200)

    def test_accounts_do_not_wait_for_each_other(self) -> None:
        """Each has its own turn, however its name is written."""
        for account in ("a", "b", "A"):
            self.attempt(account)
        self.assertEqual(len(self.asked), 2)

    def test_a_judge_that_cannot_say(self) -> None:
        """When the database is away nothing is counted, and the next may try."""
        for _ in range(20):
            attempt = self.attempt()
            self.asked.pop().errback(ConnectionError())
            self.failureResultOf(attempt, ConnectionError)
        self.attempts.check("a", HERE)

    def test_who_tries_again_at_once(self) -> None:
        """Though everything happens in one call, no two are judged side by side."""

        async def at_once() -> bool:
            return True

        first = self.attempt()
        second = ensureDeferred(self.attempts.judged("a", HERE, at_once))
        second.addCallback(lambda _: self.attempt())
        self.asked.pop().callback(True)
        self.clock.advance(0)
        self.assertTrue(self.successResultOf(first))
        self.assertEqual(len(self.asked), 1)
        self.attempt()
        self.assertEqual(len(self.asked), 1)

    def test_clients_that_leave(self) -> None:
        """Who leaves while waiting or being judged holds nobody up, and leaves nothing behind."""
        first, second, third = (self.attempt() for _ in range(3))
        second.cancel()
        self.failureResultOf(second)
        first.cancel()
        self.failureResultOf(first)
        third.cancel()
        self.failureResultOf(third)
        self.clock.advance(0)
        fourth = self.attempt()
        self.asked.pop().callback(True)
        self.assertTrue(self.successResultOf(fourth))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.attempts._turns, {})
