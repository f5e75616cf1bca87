"""Running a program under twistd: start, failure, draining, and the exit status."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, succeed
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from gandalf.service import ProgramService, steady_time


class Expected(Exception):
    """An error that the operator is told of in one line."""


class FakeReactor:
    """What is used of the reactor."""

    def __init__(self) -> None:
        self.when_running: list[Callable[[], object]] = []
        self.running = True
        self.stopped = 0

    def callWhenRunning(self, call: Callable[[], object]) -> None:
        self.when_running.append(call)

    def callFromThread(self, call: Callable[[], object]) -> None:
        call()

    def stop(self) -> None:
        self.stopped += 1


class FakeProgram:
    """Notes what it is told; each step lasts until the test says."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.starting: Deferred[None] = Deferred()
        self.draining: Deferred[None] = succeed(None)

    async def start(self) -> None:
        self.calls.append("start")
        await self.starting

    async def drain(self) -> None:
        self.calls.append("drain")
        await self.draining

    async def stop(self) -> None:
        self.calls.append("stop")


class ProgramServiceTest(SynchronousTestCase):
    """What becomes of a program."""

    def setUp(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.reactor = FakeReactor()
        self.program = FakeProgram()
        self.statuses: list[int] = []
        self.started: list[str] = []
        self.service = ProgramService(
            self.reactor,
            expected=(Expected,),
            exit_with=self.statuses.append,
            started=lambda: self.started.append("serves"),
        )
        self.service.program = self.program
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def run_reactor(self) -> None:
        """Let the reactor run."""
        self.service.startService()
        for call in self.reactor.when_running:
            call()

    def test_start_waits_for_the_reactor(self) -> None:
        """Nothing is started before the reactor runs."""
        self.service.startService()
        self.assertEqual(self.program.calls, [])
        for call in self.reactor.when_running:
            call()
        self.assertEqual(self.program.calls, ["start"])

    def test_told_when_the_program_serves(self) -> None:
        """Once the start is done, and not before."""
        self.run_reactor()
        self.assertEqual(self.started, [])
        self.program.starting.callback(None)
        self.assertEqual(self.started, ["serves"])

    def test_signal_drains(self) -> None:
        """SIGTERM and SIGINT drain the program; then the reactor stops, with status 0."""
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                self.setUp()
                self.program.draining = Deferred()
                self.run_reactor()
                self.program.starting.callback(None)
                os.kill(os.getpid(), number)
                self.assertEqual(self.program.calls, ["start", "drain"])
                self.assertEqual(self.reactor.stopped, 0)
                self.program.draining.callback(None)
                self.assertEqual(self.reactor.stopped, 1)
                self.assertEqual(self.statuses, [0])

    def test_asked_twice(self) -> None:
        """Asked to end again while draining, it gives up what is pending; the status tells."""
        self.program.draining = Deferred()
        self.run_reactor()
        self.program.starting.callback(None)
        self.service.terminate()
        self.service.terminate()
        self.assertEqual(self.program.calls, ["start", "drain", "stop"])
        self.assertEqual(self.reactor.stopped, 1)
        self.assertEqual(self.statuses, [1])

    def test_asked_to_drain(self) -> None:
        """As the first signal, however often it is asked, and after a signal too; a signal then gives up."""
        self.program.draining = Deferred()
        self.run_reactor()
        self.program.starting.callback(None)
        for _ in range(3):
            self.service.drain()
        self.assertEqual(self.program.calls, ["start", "drain"])
        self.service.terminate()
        self.service.drain()
        self.assertEqual(self.program.calls, ["start", "drain", "stop"])
        self.assertEqual(self.statuses, [1])

    def test_asked_during_start(self) -> None:
        """A start that is under way is cancelled, which is no failure."""
        self.run_reactor()
        self.service.terminate()
        self.assertEqual(self.program.calls, ["start", "drain"])
        self.assertEqual(self.statuses, [0])

    def test_expected_failure(self) -> None:
        """An expected error is told in one line; everything is let go of, with status 1."""
        self.run_reactor()
        self.program.starting.errback(Expected("cluster.listen = 127.0.0.1:1: cannot listen there"))
        self.assertEqual(self.program.calls, ["start", "stop"])
        self.assertEqual(self.statuses, [1])
        self.assertEqual(self.reactor.stopped, 1)
        (event,) = [event for event in self.events if event["log_level"].name == "critical"]
        self.assertEqual(event["error"], "cluster.listen = 127.0.0.1:1: cannot listen there")
        self.assertNotIn("log_failure", event)

    def test_unexpected_failure(self) -> None:
        """Of any other error the traceback is logged, with status 1."""
        self.run_reactor()
        self.program.starting.errback(ZeroDivisionError("a defect"))
        self.assertEqual(self.statuses, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_failure_while_running(self) -> None:
        """A program that cannot go on is stopped, not drained, with status 1."""
        self.run_reactor()
        self.program.starting.callback(None)
        self.service.fail(Expected("the cluster refuses the secret"))
        self.assertEqual(self.program.calls, ["start", "stop"])
        self.assertEqual(self.statuses, [1])

    def test_failure_while_draining(self) -> None:
        """Draining that fails is logged, and everything is let go of, with status 1."""
        self.program.draining = Deferred()
        self.run_reactor()
        self.program.starting.callback(None)
        self.service.terminate()
        self.program.draining.errback(ZeroDivisionError("a defect"))
        self.assertEqual(self.program.calls, ["start", "drain", "stop"])
        self.assertEqual(self.statuses, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class TimedReactor(ReactorBase):
    """What is due, and nothing else."""

    def installWaker(self) -> None:
        """Nobody wakes it."""


class SteadyTimeTest(SynchronousTestCase):
    """The clock of the machine is set while a program runs."""

    def test_what_is_due(self) -> None:
        """An hour back or forward: it is due when it was to be."""
        up = 5000.0
        self.patch(time, "monotonic", lambda: up)
        for hour in (-3600, 3600):
            day = 1_700_000_000.0
            reactor = TimedReactor()
            self.patch(reactor, "seconds", lambda: day)  # noqa: B023
            steady_time(reactor)
            called: list[str] = []
            reactor.callLater(1, called.append, "soon")
            reactor.callLater(60, called.append, "late")
            day += hour
            up += 1
            reactor.runUntilCurrent()
            self.assertEqual(called, ["soon"])
