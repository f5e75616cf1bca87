"""Token buckets, and what one connection may send."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.overload import LEAST_REFUSALS, Allowance, Rates, TokenBucket, refusable
from gandalf.routing.testing import FrameMaker
from gandalf.wire import kinds


class Bucket(SynchronousTestCase):
    """Grants by rate and burst."""

    def test_burst_then_rate(self) -> None:
        """Full at first; then so many a second."""
        bucket = TokenBucket(10, 5, 100.0)
        self.assertTrue(bucket.take(5, 100.0))
        self.assertFalse(bucket.take(1, 100.09))
        self.assertTrue(bucket.take(1, 100.11))
        self.assertTrue(bucket.take(5, 101.11))

    def test_all_or_none(self) -> None:
        """What is not wholly there is not taken."""
        bucket = TokenBucket(10, 5, 100.0)
        self.assertFalse(bucket.take(6, 100.0))
        self.assertEqual(bucket.level(100.0), 5)

    def test_delay(self) -> None:
        """Until there is a whole token, however much is missing."""
        bucket = TokenBucket(10, 5, 0.0)
        self.assertEqual(bucket.delay(0.0), 0)
        bucket.take(5, 0.0)
        self.assertAlmostEqual(bucket.delay(0.0), 0.1)
        bucket.overdraw(20, 0.0)
        self.assertAlmostEqual(bucket.delay(0.0), 2.1)
        self.assertFalse(bucket.take(1, 2.0))
        self.assertAlmostEqual(bucket.delay(2.1), 0)

    def test_given_back(self) -> None:
        """Never above what it holds."""
        bucket = TokenBucket(1, 5, 0.0)
        self.assertTrue(bucket.take(3, 0.0))
        bucket.give_back(2)
        self.assertEqual(bucket.level(0.0), 4)
        bucket.give_back(9)
        self.assertEqual(bucket.level(0.0), 5)

    def test_a_clock_that_goes_back(self) -> None:
        """Adds nothing, twice neither."""
        bucket = TokenBucket(1, 5, 10.0)
        bucket.take(5, 10.0)
        self.assertEqual(bucket.level(5.0), 0)
        self.assertEqual(bucket.level(6.0), 1)

    def test_a_bucket_that_never_grants(self) -> None:
        """Is a fault of the caller."""
        for rate, burst in ((0, 5), (1, 0)):
            with self.assertRaises(ValueError):
                TokenBucket(rate, burst, 0.0)

    @given(
        st.integers(1, 1000),
        st.integers(1, 1000),
        st.lists(st.tuples(st.floats(0, 10), st.integers(0, 2000)), max_size=30),
    )
    def test_never_more_than_the_limit(self, rate: int, burst: int, steps: list[tuple[float, int]]) -> None:
        """From any moment on, at most the burst and what the time since brings."""
        bucket, now, granted = TokenBucket(rate, burst, 0.0), 0.0, 0
        for pause, wanted in steps:
            now += pause
            granted += wanted * bucket.take(wanted, now)
            self.assertLessEqual(granted, burst + rate * now + 1e-6)
            self.assertGreaterEqual(bucket.level(now), -1e-6)


def ask(allowance: Allowance, count: int, now: float, *, of_tenant: bool = True) -> int:
    """How many of ``count`` requests, each by itself, are carried; the others are refused."""
    granted = 0
    for _ in range(count):
        if allowance.take(1, now, of_tenant=of_tenant):
            granted += 1
        else:
            allowance.refuse(now)
    return granted


def carry(allowance: Allowance, count: int) -> None:
    """``count`` messages that must not be lost."""
    for _ in range(count):
        allowance.overdraw(0.0, of_tenant=True)


class Connections(SynchronousTestCase):
    """What one connection may send, and what the tenant's share together."""

    def test_no_limit(self) -> None:
        """Nothing is held back."""
        rates = Rates()
        self.assertFalse(rates.limited)
        allowance = Allowance(rates, rates.tenant_bucket(0.0), 0.0)
        self.assertTrue(allowance.take(10**6, 0.0, of_tenant=True))
        carry(allowance, 3)
        self.assertEqual((allowance.pause(0.0), allowance.retry(0.0), allowance.refused), (0, 0, 0))

    def test_a_burst_of_0_is_a_seconds_worth(self) -> None:
        """For both buckets."""
        rates = Rates(connection_rate=7, tenant_rate=9)
        self.assertTrue(rates.limited)
        buckets = [rates.connection_bucket(0.0), rates.tenant_bucket(0.0)]
        self.assertEqual([bucket.burst for bucket in buckets if bucket], [7, 9])
        self.assertTrue(Rates(tenant_rate=1).limited)

    def test_requests_over_the_limit(self) -> None:
        """Refused at once, and when to come again; the connection is read on."""
        allowance = Allowance(Rates(10, 4), None, 0.0)
        self.assertEqual(ask(allowance, 6, 0.0), 4)
        self.assertEqual(allowance.refused, 2)
        self.assertAlmostEqual(allowance.retry(0.0), 0.1)
        self.assertEqual(allowance.pause(0.0), 0)
        self.assertFalse(allowance.by_tenant)

    def test_refused_too_often(self) -> None:
        """Not read until the refusals have been paid for, one second's worth at once."""
        allowance = Allowance(Rates(10), None, 0.0)
        ask(allowance, 10 + LEAST_REFUSALS, 0.0)
        self.assertEqual(allowance.pause(0.0), 0)
        ask(allowance, LEAST_REFUSALS // 2, 0.0)
        self.assertAlmostEqual(allowance.pause(0.0), 0.5 + 1 / LEAST_REFUSALS)

    def test_a_high_limit_tells_of_more_refusals(self) -> None:
        """As many as messages."""
        allowance = Allowance(Rates(5000), None, 0.0)
        ask(allowance, 10_000, 0.0)
        self.assertEqual(allowance.pause(0.0), 0)

    def test_what_must_not_be_lost(self) -> None:
        """Carried, and not read until there is a token again; the last within the limit costs nothing."""
        allowance = Allowance(Rates(10, 4), None, 0.0)
        carry(allowance, 4)
        self.assertEqual(allowance.pause(0.0), 0)
        carry(allowance, 3)
        self.assertAlmostEqual(allowance.pause(0.0), 0.4)
        self.assertFalse(allowance.rested(0.69))
        self.assertTrue(allowance.rested(0.71))

    def test_the_tenants_limit(self) -> None:
        """Shared; a connection does not pay for what the tenant refused."""
        rates = Rates(10, 10, 100, 5)
        tenant = rates.tenant_bucket(0.0)
        one, other = Allowance(rates, tenant, 0.0), Allowance(rates, tenant, 0.0)
        self.assertEqual(ask(one, 4, 0.0), 4)
        self.assertEqual(ask(other, 4, 0.0), 1)
        self.assertTrue(other.by_tenant)
        self.assertAlmostEqual(other.retry(0.0), 0.01)
        granted = [ask(other, count, now) for count, now in ((5, 0.09), (4, 0.18))]
        self.assertEqual(granted, [5, 4])
        self.assertFalse(other.by_tenant)

    def test_many_at_once(self) -> None:
        """All of them, or none: neither bucket pays for what the other refuses, and nothing counts as refused."""
        rates = Rates(10, 10, 100, 5)
        tenant = rates.tenant_bucket(0.0)
        assert tenant is not None
        allowance = Allowance(rates, tenant, 0.0)
        self.assertFalse(allowance.take(11, 0.0, of_tenant=True))
        self.assertFalse(allowance.take(6, 0.0, of_tenant=True))
        self.assertEqual(tenant.level(0.0), 5)
        self.assertTrue(allowance.take(5, 0.0, of_tenant=True))
        self.assertEqual(tenant.level(0.0), 0)
        self.assertTrue(allowance.take(5, 0.0, of_tenant=False))
        self.assertEqual(allowance.refused, 0)

    def test_whoever_is_not_validated(self) -> None:
        """Pays itself, the tenant does not."""
        rates = Rates(10, 10, 100, 5)
        tenant = rates.tenant_bucket(0.0)
        assert tenant is not None
        stranger = Allowance(rates, tenant, 0.0)
        self.assertEqual(ask(stranger, 20, 0.0, of_tenant=False), 10)
        stranger.overdraw(0.0, of_tenant=False)
        self.assertEqual(tenant.level(0.0), 5)


class Kinds(SynchronousTestCase):
    """What may be answered instead of carried."""

    def test_requests(self) -> None:
        """All that ask; not what answers, nor events and heartbeats."""
        make = FrameMaker()
        found = {kind for kind in kinds.ROUTED if refusable(make(kind, {}))}
        self.assertEqual(found, kinds.ROUTED - {kinds.EVENT, kinds.HEARTBEAT})
        self.assertFalse(any(refusable(make(kind, {}, reference=bytes(16))) for kind in kinds.ROUTED))
