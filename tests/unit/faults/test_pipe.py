"""What is done to bytes on their way."""

from __future__ import annotations

import random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.faults.pipe import FAIR, MAX_HELD, Pipe, Weather


class PipeTests(SynchronousTestCase):
    """A pipe, and what came out of it."""

    def setUp(self) -> None:
        """In fair weather."""
        self.clock = Clock()
        self.out: list[bytes] = []
        self.reading = [True]
        self.pipe = Pipe(self.clock, random.Random(1).random, self.out.append, self.reading.append)

    def weather(self, **what: float) -> None:
        """It changes."""
        self.pipe.change(Weather(**what))  # type: ignore[arg-type]

    def test_fair(self) -> None:
        """At once, and untouched."""
        self.pipe.feed(b"abc")
        self.assertEqual(self.out, [b"abc"])

    def test_delay(self) -> None:
        """Late, and what follows does not overtake it."""
        self.weather(delay=1.0)
        self.pipe.feed(b"a")
        self.clock.advance(0.9)
        self.assertEqual(self.out, [])
        self.pipe.change(FAIR)
        self.pipe.feed(b"b")
        self.assertEqual(self.out, [b"a", b"b"])

    def test_hold(self) -> None:
        """Nothing passes, and nothing is lost."""
        self.weather(hold=True)
        self.pipe.feed(b"ab")
        self.clock.advance(60)
        self.assertEqual(self.out, [])
        self.pipe.change(FAIR)
        self.assertEqual(b"".join(self.out), b"ab")

    def test_rate(self) -> None:
        """So many bytes a second."""
        self.weather(rate=1000.0)
        self.pipe.feed(bytes(2000))
        self.clock.pump([0.01] * 100)
        self.assertAlmostEqual(len(b"".join(self.out)), 1000, delta=60)

    def test_byte_by_byte(self) -> None:
        """Each byte by itself."""
        self.weather(rate=200.0, piece=1)
        self.pipe.feed(b"abcdef")
        self.clock.pump([0.01] * 100)
        self.assertEqual(self.out, [b"a", b"b", b"c", b"d", b"e", b"f"])

    def test_less_than_a_byte_a_tick(self) -> None:
        """One byte a second."""
        self.weather(rate=1.0)
        self.pipe.feed(b"abcdef")
        self.clock.pump([0.1] * 25)
        self.assertEqual(b"".join(self.out), b"abc")

    def test_shuffle(self) -> None:
        """In other pieces and at other times, the same bytes in the same order."""
        self.weather(shuffle=0.1)
        sent = bytes(range(256)) * 20
        for start in range(0, len(sent), 512):
            self.pipe.feed(sent[start : start + 512])
        self.clock.pump([0.001] * 2000)
        self.assertEqual(b"".join(self.out), sent)
        self.assertGreater(len(self.out), 20)

    def test_backpressure(self) -> None:
        """Who sends more than passes is not read any more, until it has passed."""
        self.weather(hold=True)
        self.pipe.feed(bytes(MAX_HELD))
        self.assertFalse(self.reading[-1])
        self.pipe.change(FAIR)
        self.assertTrue(self.reading[-1])

    def test_the_end(self) -> None:
        """It comes after the last byte."""
        self.weather(delay=1.0)
        self.pipe.feed(b"a")
        self.pipe.end(lambda: self.out.append(b"END"))
        self.assertEqual(self.out, [])
        self.clock.advance(1.1)
        self.assertEqual(self.out, [b"a", b"END"])

    def test_broken_off(self) -> None:
        """Nothing comes any more, and no timer is left."""
        self.weather(delay=1.0)
        self.pipe.feed(b"a")
        self.pipe.break_off()
        self.pipe.feed(b"b")
        self.clock.advance(2)
        self.assertEqual(self.out, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
