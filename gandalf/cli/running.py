"""Running a coroutine on Twisted's reactor, to its end or to Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.python.failure import Failure

from gandalf.cli.errors import INTERRUPTED


def run(work: Callable[[Any], Coroutine[Deferred[Any], Any, None]], *, interrupted: int = INTERRUPTED) -> None:
    """Run `work(reactor)` and raise what it raises.

    Ctrl-C and SIGTERM cancel what it awaits, and the exit status is `interrupted`; a second ends the process.
    """
    from twisted.internet import reactor as _reactor

    reactor: Any = _reactor
    results: list[object] = []

    def begin() -> None:
        running = ensureDeferred(work(reactor))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: interrupt(running))
        running.addBoth(results.append).addBoth(lambda _: reactor.stop())

    def interrupt(running: Deferred[None]) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        reactor.callFromThread(running.cancel)

    reactor.callWhenRunning(begin)
    reactor.run()
    (result,) = results
    if isinstance(result, Failure):
        if result.check(CancelledError):
            raise SystemExit(interrupted)
        result.raiseException()
