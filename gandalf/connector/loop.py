"""The loop that a runtime works on: the handlers' `Host`, and promises of the loop's own kind."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from gandalf.connector.network import Host, Promise


class Loop(Host, Protocol):
    """What a runtime needs of Twisted's reactor or of asyncio's loop, besides what handlers need."""

    def promise(self, cancelled: Callable[[], object] | None = None) -> Promise[Any]:
        """A promise that is neither kept nor broken; `cancelled` is called when whoever waits gives it up."""
        ...

    def resolve(self, promise: Promise[Any], value: object) -> None:
        """Keep a promise; nothing happens to one that is settled or given up."""
        ...

    def reject(self, promise: Promise[Any], error: Exception) -> None:
        """Break a promise; nothing happens to one that is settled or given up."""
        ...

    def launch(self, coroutine: Coroutine[Any, Any, None]) -> Callable[[], object]:
        """Run a coroutine that never raises; what comes back cancels it."""
        ...


class TxaioLoop:
    """Promises by way of one of txaio's two interfaces, `txaio.tx` or `txaio.aio`; never the one chosen
    globally, so that both can be in one process."""

    def __init__(self, txaio: Any) -> None:
        self._txaio = txaio

    def promise(self, cancelled: Callable[[], object] | None = None) -> Promise[Any]:
        """See `Loop`."""
        if cancelled is None:
            promise: Promise[Any] = self._txaio.create_future()
        else:
            promise = self._txaio.create_future(canceller=lambda future: cancelled())
        return promise

    def resolve(self, promise: Promise[Any], value: object) -> None:
        """See `Loop`."""
        if not self._txaio.is_called(promise):
            self._txaio.resolve(promise, value)

    def reject(self, promise: Promise[Any], error: Exception) -> None:
        """See `Loop`."""
        if not self._txaio.is_called(promise):
            self._txaio.reject(promise, error)
