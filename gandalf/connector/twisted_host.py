"""Connectors in a Twisted program."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from txaio import tx

from gandalf.connector.loop import TxaioLoop

T = TypeVar("T")


THREADS: Final = 10
"""Calls that run at the same time in threads; the next wait."""


def _new_pool() -> ThreadPool:
    return ThreadPool(0, THREADS, "connector")


class TwistedHost(TxaioLoop):
    """A `Host` on a Twisted reactor, with threads of its own; promises are Deferreds.

    Those of the reactor look up names: were they all taken by handlers that block, a connector whose link has
    broken could not dial before one of them has ended.
    """

    def __init__(self, reactor: Any, make_pool: Callable[[], Any] = _new_pool) -> None:
        super().__init__(tx.with_config())  # type: ignore[no-untyped-call]
        self._reactor = reactor
        self._make_pool = make_pool
        self._pool: Any = None

    def in_thread(self, call: Callable[[], T]) -> Deferred[T]:
        """See `Host`."""
        if self._pool is None:
            self._pool = self._make_pool()
            self._pool.start()
            self._reactor.addSystemEventTrigger("during", "shutdown", self._pool.stop)
        given_up = False

        def give_up(_: Deferred[T]) -> None:
            nonlocal given_up
            given_up = True

        def work() -> T:
            # What waits for a thread is begun even when the pool is stopped, long after it was said to be cancelled.
            if given_up:
                raise CancelledError
            return call()

        result: Deferred[T] = Deferred(give_up)
        deferToThreadPool(self._reactor, self._pool, work).addBoth(
            lambda outcome: None if result.called else result.callback(outcome)
        )
        return result

    def from_thread(self, call: Callable[[], object]) -> None:
        """See `Host`."""
        self._reactor.callFromThread(call)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """See `Host`."""
        ensureDeferred(coroutine)

    def launch(self, coroutine: Coroutine[Any, Any, None]) -> Callable[[], object]:
        """See `Loop`."""
        return ensureDeferred(coroutine).cancel
