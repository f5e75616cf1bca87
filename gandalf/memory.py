"""The memory of a program that runs for months: when to look for cycles, and what goes back to the system."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

ALL_S = 60.0
"""Seconds between two looks through everything."""

TRIM_S = 10.0
"""Seconds between two times that free memory goes back."""


NEW_OBJECTS = 10_000
"""After so many more than have gone the collector looks through what is new."""

M_ARENA_MAX = -8
"""Of ``mallopt`` of glibc."""


def prepare_memory() -> None:
    """Have the collector look seldom for cycles, and all threads share one heap; before there are any.

    Modules that are imported, and messages that wait, are many objects, which counting frees if they are freed at
    all: walking over them again and again costs more than making them (docs/performance.md). Calls of the database
    leave some behind that hold each other: of these no more wait than are gone through in some milliseconds.
    The C library keeps a heap for each thread otherwise, each with gaps of its own; and only one thread at a time
    runs Python.
    """
    gc.set_threshold(NEW_OBJECTS, 50, 1000)
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(M_ARENA_MAX, 1)


def settle_memory(clock: IReactorTime) -> None:
    """Leave alone for ever what is there now, and once a minute look through all that came since.

    Connections that have ended hold each other; of its own accord the collector would hardly ever come to them.
    """
    gc.collect()
    gc.freeze()
    _each(ALL_S, gc.collect, clock)
    _each(TRIM_S, trim, clock)


def _each(seconds: float, call: Callable[[], object], clock: IReactorTime) -> None:
    looping = LoopingCall(call)
    looping.clock = clock
    looping.start(seconds, now=False)


def trim() -> None:
    """Give free memory back to the system, where the C library can (glibc); others do it by themselves.

    It keeps what was freed between things that are in use: after a busy hour more than is in use itself.
    """
    give = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give is not None:
        give(0)
