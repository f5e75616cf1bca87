"""Doing something until it succeeds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

FIRST_DELAY = 0.1
FACTOR = 2.0
LONGEST_DELAY = 10.0

_log = Logger()


async def retried(
    what: str,
    work: Callable[[], Awaitable[None]],
    clock: IReactorTime,
    jitter: Callable[[], float],
    *,
    expected: tuple[type[Exception], ...] = (Exception,),
    fatal: tuple[type[Exception], ...] = (),
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Do ``work`` until it succeeds, with growing pauses; each failure is logged.

    Pauses grow from 0.1 s to 10 s, each shortened at random by up to a half. When it is cancelled it ends.

    :param jitter: a random number from 0 to 1.
    :param expected: errors after which it is tried again; others come out at once, as do those that are ``fatal``.
    :param wanted: whether it is still to be done.
    """
    delay = FIRST_DELAY
    while wanted():
        try:
            return await work()
        except CancelledError:
            raise
        except fatal:
            raise
        except expected as error:
            pause = delay * (1 - jitter() / 2)
            delay = min(delay * FACTOR, LONGEST_DELAY)
            trouble = str(error) or type(error).__name__
            _log.warn("{what}: {trouble}; again in {pause:.1f} s", what=what, trouble=trouble, pause=pause)
            await deferLater(clock, pause, lambda: None)
    return None
