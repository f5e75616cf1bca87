"""Connectors in a Twisted program."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.threads import deferToThreadPool
from txaio import tx

from gandalf.connector.loop import TxaioLoop

T = TypeVar("T")


class TwistedHost(TxaioLoop):
    """A `Host` on a Twisted reactor and its thread pool; promises are Deferreds."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(tx.with_config())  # type: ignore[no-untyped-call]
        self._reactor = reactor

    def in_thread(self, call: Callable[[], T]) -> Deferred[T]:
        """See `Host`."""
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call)

    def from_thread(self, call: Callable[[], object]) -> None:
        """See `Host`."""
        self._reactor.callFromThread(call)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """See `Host`."""
        ensureDeferred(coroutine)

    def launch(self, coroutine: Coroutine[Any, Any, None]) -> Callable[[], object]:
        """See `Loop`."""
        return ensureDeferred(coroutine).cancel
