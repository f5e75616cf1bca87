"""Connectors in an asyncio program: Twisted's network runs on asyncio's loop, so that there is only one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from txaio import aio

from gandalf.connector.loop import TxaioLoop
from gandalf.service import steady_time

T = TypeVar("T")


class AsyncioHost(TxaioLoop):
    """A `Host` on an asyncio loop and its default executor; promises are asyncio futures."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(aio.with_config(loop=loop))  # type: ignore[no-untyped-call]
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    def in_thread(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """See `Host`."""
        return self._loop.run_in_executor(None, call)

    def from_thread(self, call: Callable[[], object]) -> None:
        """See `Host`."""
        self._loop.call_soon_threadsafe(call)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """See `Host`."""
        self.launch(coroutine)

    def launch(self, coroutine: Coroutine[Any, Any, None]) -> Callable[[], object]:
        """See `Loop`."""
        task = self._loop.create_task(coroutine)
        # The loop itself keeps only weak references.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task.cancel


class LoopReactor(AsyncioSelectorReactor):
    """A Twisted reactor on an asyncio loop that somebody else runs; never installed as the global one."""

    _registerAsIOThread = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        steady_time(self)
        # Without this, threads and with them the look-up of names would wait for ever.
        self.startRunning(installSignalHandlers=False)

    def end(self) -> None:
        """Leave nothing behind on the loop, which goes on: `stop` would end it."""
        for call in self.getDelayedCalls():
            call.cancel()
        if self._timerHandle is not None:
            self._timerHandle.cancel()
        if self.threadpool is not None:
            self._stopThreadPool()
        self.removeAll()  # type: ignore[no-untyped-call]
        self.removeReader(self.waker)  # type: ignore[no-untyped-call]
        self.waker.connectionLost(None)
