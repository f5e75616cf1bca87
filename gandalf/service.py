"""A program under twistd: an asynchronous start, an orderly end, and an exit status that says how it went."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure


class Program(Protocol):
    """What is run: an aggregator, a cluster member, connectors."""

    async def start(self) -> None:
        """Done when it serves; raises what keeps it from that."""

    async def drain(self) -> None:
        """End in good order: what is pending finishes within a limit, then everything is let go."""

    async def stop(self) -> None:
        """Let go of everything at once."""


class ProgramService(Service):
    """Runs a :class:`Program` in twistd's reactor.

    A start that fails, or :meth:`fail`, is told in one line for an expected error and with its traceback for any
    other; then the process ends with status 1. ``SIGTERM`` and ``SIGINT`` drain, status 0; a second one stops at
    once, status 1.

    :param expected: errors that an operator can act upon from their text alone.
    :param exit_with: has the process end with this status once the reactor has stopped.
    :param started: called when the program serves.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        *,
        expected: tuple[type[Exception], ...],
        exit_with: Callable[[int], None] | None = None,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._expected = expected
        self._exit_with = exit_with or exit_with_status
        self._when_started = started
        self._starting: Deferred[None] | None = None
        self._draining: Deferred[None] | None = None
        self._ending = False
        self.program: Program | None = None

    def startService(self) -> None:
        """Start once the reactor runs: its signal handlers, which ours replace, are installed before."""
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callWhenRunning(self._begin)

    def fail(self, error: Exception) -> None:
        """The program cannot go on."""
        self._failed(Failure(error))

    def terminate(self) -> None:
        """End in good order; asked a second time, at once."""
        if self._draining is not None:
            self._draining.cancel()
        else:
            self.drain()

    def drain(self) -> None:
        """End in good order; asked a second time, nothing more happens."""
        if self.program is not None and not self._ending:
            self._ending = True
            self.log.info("asked to end: draining")
            if self._starting is not None:
                self._starting.cancel()
            self._draining = ensureDeferred(self.program.drain())
            self._draining.addCallbacks(lambda _: self._finish(0), self._not_drained)

    def _begin(self) -> None:
        assert self.program is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        self._starting = ensureDeferred(self.program.start())
        self._starting.addCallbacks(self._started, self._failed)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self.terminate)

    def _started(self, result: None) -> None:
        self._starting = None
        self._when_started()

    def _failed(self, failure: Failure) -> None:
        self._starting = None
        if self._ending:
            if not failure.check(CancelledError):
                self.log.failure("while ending", failure)
            return
        self._ending = True
        self._tell(failure)
        self._stop()

    def _not_drained(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            self.log.warn("asked to end a second time: what is pending is given up")
        else:
            self._tell(failure)
        self._stop()

    def _stop(self) -> None:
        assert self.program is not None
        ensureDeferred(self.program.stop()).addErrback(self._tell).addBoth(lambda _: self._finish(1))

    def _tell(self, failure: Failure) -> None:
        if failure.check(*self._expected):
            self.log.critical("{error}", error=failure.getErrorMessage())
        else:
            self.log.failure("an unexpected error ends this process", failure)

    def _finish(self, status: int) -> None:
        self._exit_with(status)
        if self._reactor.running:
            self._reactor.stop()


SWITCH_S = 0.0005
"""Seconds."""


def favour_the_reactor() -> None:
    """Have threads that ask the database and render rows give the interpreter back to the reactor sooner.

    They hold it for up to 5 ms at a time otherwise, in which no frame is routed.
    """
    sys.setswitchinterval(SWITCH_S)


def steady_time(reactor: Any) -> None:
    """Have ``reactor`` measure time by a clock that nobody sets; before anything is due.

    Its own is the time of day. Set back by an hour it would leave every timer that runs, as that of an
    acknowledgement, waiting for an hour; set forward, it would make every peer dead and every command too late.
    """
    reactor.seconds = time.monotonic


def exit_with_status(status: int) -> None:
    """twistd always ends with status 0, or by the signal it got; this replaces that when the interpreter ends."""
    if status:
        atexit.register(_exit, status)


def _exit(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
