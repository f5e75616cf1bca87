"""Doing something until it succeeds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

T = TypeVar("T")

FIRST_DELAY = 0.1
FACTOR = 2.0
LONGEST_DELAY = 10.0

_log = Logger()


async def retried(
    what: str,
    work: Callable[[], Awaitable[T]],
    clock: IReactorTime,
    jitter: Callable[[], float],
    *,
    expected: tuple[type[Exception], ...],
) -> T:
    """What ``work`` gives, tried again after each ``expected`` error with growing pauses; each is logged.

    Pauses grow from 0.1 s to 10 s, each shortened at random by up to a half.

    :param jitter: a random number from 0 to 1.
    """
    delay = FIRST_DELAY
    while True:
        try:
            return await work()
        except expected as error:
            pause = delay * (1 - jitter() / 2)
            delay = min(delay * FACTOR, LONGEST_DELAY)
            _log.warn("{what}: {trouble}; again in {pause:.1f} s", what=what, trouble=str(error), pause=pause)
            await deferLater(clock, pause, lambda: None)
