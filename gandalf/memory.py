"""The memory of a program that runs for months: when to look for cycles, and what goes back to the system."""

from __future__ import annotations

import ctypes
import gc

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

TIDY_S = 60.0
"""Seconds between two looks through everything."""


def collect_seldom() -> None:
    """Have the garbage collector look seldom for cycles.

    Modules that are imported, and messages that wait, are many objects, which counting frees if they are freed at
    all: walking over them again and again costs more than making them (docs/performance.md).
    """
    gc.set_threshold(100_000, 50, 1000)


def settle_memory(clock: IReactorTime) -> None:
    """Leave alone for ever what is there now, and once a minute look through all that came since.

    Connections that have ended hold each other; of its own accord the collector would hardly ever come to them.
    """
    gc.collect()
    gc.freeze()
    tidying = LoopingCall(tidy)
    tidying.clock = clock
    tidying.start(TIDY_S, now=False)


def tidy() -> None:
    """Free what nobody can reach, and give free memory back to the system.

    The C library keeps what was freed between things that are in use: after a busy hour more than is in use itself.
    """
    gc.collect()
    trim()


def trim() -> None:
    """Give free memory back, where the C library can (glibc); others do it by themselves."""
    give = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give is not None:
        give(0)
