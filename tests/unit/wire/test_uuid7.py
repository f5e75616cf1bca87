"""UUIDv7 (RFC 9562)."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.wire.uuid7 import UUIDMaker
from tests.unit.wire.support import EXAMPLES


class Making(SynchronousTestCase):
    """Identifiers made from a clock and randomness."""

    def test_example_of_the_rfc(self) -> None:
        """The example of RFC 9562, appendix A.6, but for the 12 bits after the version, which tell more of the
        time here; whatever stands in the bits of the variant."""
        for noise in ("18c4dc0c0c07398f", "d8c4dc0c0c07398f"):
            make = UUIDMaker(lambda: 1645557742.0, lambda count, noise=noise: bytes.fromhex(noise))  # type: ignore[misc]
            self.assertEqual(str(uuid.UUID(bytes=make())), "017f22e2-79b0-7000-98c4-dc0c0c07398f")

    def test_asks_for_eight_random_bytes(self) -> None:
        """Eight bytes of randomness are asked for, each time anew."""
        asked: list[int] = []

        def random(count: int) -> bytes:
            asked.append(count)
            return bytes([len(asked)] * count)

        make = UUIDMaker(lambda: 0.0, random)
        self.assertNotEqual(make(), make())
        self.assertEqual(asked, [8, 8])

    @EXAMPLES
    @given(st.integers(0, 2**48 - 1), st.sampled_from([0, 1, 2, 3]), st.binary(min_size=8, max_size=8))
    def test_version_variant_time_and_noise(self, milliseconds: int, quarter: int, noise: bytes) -> None:
        """Sixteen bytes: 48 bits of ms, version 7, 12 bits of a ms, the variant, and 62 bits of the randomness."""
        # An eighth of a millisecond more, so that the float's rounding does not decide.
        now = (milliseconds + quarter / 4 + 0.125) / 1000
        made = UUIDMaker(lambda: now, lambda count: noise)()
        self.assertEqual(len(made), 16)
        value = uuid.UUID(bytes=made)
        self.assertEqual((value.version, value.variant), (7, uuid.RFC_4122))
        self.assertEqual(value.int >> 80, milliseconds)
        self.assertEqual(value.int >> 74 & 0b11, quarter)
        self.assertEqual(value.int & (2**62 - 1), int.from_bytes(noise, "big") & (2**62 - 1))

    def test_sorts_within_a_millisecond(self) -> None:
        """What is made half a microsecond later sorts behind, whatever the randomness."""
        clock = Clock()
        clock.advance(1_700_000_000.0)
        noise = iter([b"\xff" * 8, b"\x00" * 8] * 50)
        make = UUIDMaker(clock.seconds, lambda count: next(noise))
        made = []
        for _ in range(100):
            made.append(make())
            clock.advance(0.000_000_5)
        self.assertEqual(made, sorted(made))

    def test_sorts_by_time(self) -> None:
        """What is made in a later millisecond sorts behind, whatever the randomness."""
        clock = Clock()
        clock.advance(1_700_000_000.0)
        noise = iter([b"\xff" * 10, b"\x00" * 10, b"\xff" * 10, b"\x00" * 10])
        make = UUIDMaker(clock.seconds, lambda count: next(noise))
        made = []
        for _ in range(4):
            made.append(make())
            clock.advance(0.002)
        self.assertEqual(made, sorted(made))
