"""Files that the process may open: raised as far as needed and allowed."""

from __future__ import annotations

import resource

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from gandalf.descriptors import RESERVE, make_room
from gandalf.shoset.arrivals import SPARE

INFINITE = resource.RLIM_INFINITY
MORE = RESERVE + SPARE


class Room(SynchronousTestCase):
    """For 1,000 connections."""

    def made(self, soft: int, hard: int) -> tuple[tuple[int, int], list[str]]:
        """The limits after it, and what was told."""
        limits = (soft, hard)
        told: list[str] = []

        def change(which: int, new: tuple[int, int]) -> None:
            nonlocal limits
            self.assertEqual(which, resource.RLIMIT_NOFILE)
            limits = new

        def observer(event: object) -> None:
            told.append(str(event))

        globalLogPublisher.addObserver(observer)  # type: ignore[arg-type]
        try:
            make_room(1000, read=lambda which: limits, change=change)
        finally:
            globalLogPublisher.removeObserver(observer)  # type: ignore[arg-type]
        return limits, told

    def test_enough(self) -> None:
        """Left as it is."""
        for limits in ((5000, 6000), (1000 + MORE, INFINITE), (INFINITE, INFINITE)):
            self.assertEqual(self.made(*limits), (limits, []))

    def test_raised(self) -> None:
        """As far as needed, no further."""
        for hard in (5000, 1000 + MORE, INFINITE):
            self.assertEqual(self.made(64, hard), ((1000 + MORE, hard), []))

    def test_too_few(self) -> None:
        """As far as may be, and the operator is told what to do."""
        limits, told = self.made(64, 512)
        self.assertEqual((limits, len(told)), ((512, 512), 1))
        for part in ("512", "1000", str(1000 + MORE)):
            self.assertIn(part, told[0])
        self.assertEqual(self.made(512, 512)[0], (512, 512))
