"""What the memory of a program is told."""

from __future__ import annotations

import ctypes
import gc
import os
from collections import Counter
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from gandalf import memory
from gandalf.memory import prepare_memory, settle_memory, trim

PAGE = os.sysconf("SC_PAGE_SIZE")
KEPT_EACH = 64
FREED = 64 * 1024 * 1024


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


class FakeLibrary:
    """A C library that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def mallopt(self, option: int, value: int) -> None:
        """glibc's."""
        self.asked.append((option, value))


class Preparing(SynchronousTestCase):
    """Before the start."""

    def setUp(self) -> None:
        """Nothing is changed for other tests."""
        self.thresholds: list[tuple[int, ...]] = []
        self.patch(gc, "set_threshold", lambda *thresholds: self.thresholds.append(thresholds))

    def test_one_heap(self) -> None:
        """For all threads, and a collector that looks seldom."""
        library = FakeLibrary()
        self.patch(ctypes, "CDLL", lambda name: library)
        prepare_memory()
        self.assertEqual(library.asked, [(-8, 1)])
        self.assertEqual(len(self.thresholds), 1)

    def test_another_library(self) -> None:
        """Has no such option."""
        self.patch(ctypes, "CDLL", lambda name: object())
        prepare_memory()
        self.assertEqual(len(self.thresholds), 1)


class Settling(SynchronousTestCase):
    """After the start."""

    def test_how_often(self) -> None:
        """What is there is left alone; what comes later is looked through once a minute."""
        done: list[str] = []
        self.patch(gc, "collect", lambda: done.append("collect"))
        self.patch(gc, "freeze", lambda: done.append("freeze"))
        self.patch(memory, "trim", lambda: done.append("trim"))
        clock = Clock()
        settle_memory(clock)
        self.assertEqual(done, ["collect", "freeze"])
        done.clear()
        clock.pump([10.0] * 6)
        self.assertEqual(Counter(done), {"collect": 1, "trim": 6})


class Trimming(SynchronousTestCase):
    """Memory that was freed."""

    def test_given_back(self) -> None:
        """What was freed between things in use is the system's again."""
        if not hasattr(ctypes.CDLL(None), "malloc_trim"):
            raise SkipTest("not glibc")
        blocks = [bytes(PAGE) for _ in range(FREED // PAGE)]
        kept = blocks[::KEPT_EACH]
        del blocks
        before = resident()
        trim()
        self.assertLess(resident(), before - FREED // 2)
        self.assertEqual(len(kept), FREED // PAGE // KEPT_EACH)

    def test_another_library(self) -> None:
        """A C library that does so by itself is not asked."""
        self.patch(ctypes, "CDLL", lambda name: object())
        trim()
