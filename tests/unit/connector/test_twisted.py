"""Connectors on a Twisted reactor: where handlers that block are run."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from gandalf.connector.twisted_host import TwistedHost
from gandalf.store.testing import ThreadlessPool, ThreadlessReactor


class Pool(ThreadlessPool):
    """A pool that was started or not."""

    running = False

    def start(self) -> None:
        """Threads may be used."""
        self.running = True

    def stop(self) -> None:
        """They may not any more."""
        self.running = False


class Waiting(Pool):
    """One whose threads are taken until it is told to work."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Any, ...]] = []

    def callInThreadWithCallback(self, *work: Any, **more: Any) -> None:
        """It waits."""
        self._waiting.append(work)

    def work(self) -> None:
        """Threads are free."""
        for work in self._waiting:
            super().callInThreadWithCallback(*work)


class Reactor(ThreadlessReactor):
    """One whose own threads must be left alone."""

    def __init__(self) -> None:
        self.triggers: list[tuple[str, str, Any]] = []

    def getThreadPool(self) -> ThreadlessPool:
        raise AssertionError("a handler takes a thread with which names are looked up")

    def addSystemEventTrigger(self, phase: str, event: str, call: Any) -> None:
        """What is to be done at the end."""
        self.triggers.append((phase, event, call))


class TwistedHostTests(SynchronousTestCase):
    """`TwistedHost.in_thread`."""

    def test_handlers_have_threads_of_their_own(self) -> None:
        """The reactor's are for names: with all of them taken a connector whose link breaks could not dial."""
        reactor, pools = Reactor(), [Pool()]
        host = TwistedHost(reactor, pools.pop)
        self.assertEqual(len(pools), 1)
        pool = pools[0]
        for number in range(2):
            result: Any = host.in_thread(lambda number=number: (number, pool.running))  # type: ignore[misc]
            self.assertEqual(self.successResultOf(result), (number, True))
        ((phase, event, stop),) = reactor.triggers
        self.assertEqual((phase, event), ("during", "shutdown"))
        stop()
        self.assertFalse(pool.running)

    def test_what_is_given_up_before_it_began_is_not_begun(self) -> None:
        """A pool works off what waits for a thread even when it is stopped: CANCELLED is what it was said to be."""
        reactor, pool = Reactor(), Waiting()
        host = TwistedHost(reactor, lambda: pool)
        begun: list[str] = []
        given_up: Any = host.in_thread(lambda: begun.append("given up"))
        wanted: Any = host.in_thread(lambda: begun.append("wanted"))
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        pool.work()
        self.successResultOf(wanted)
        self.assertEqual(begun, ["wanted"])

    def test_what_is_given_up_while_it_runs(self) -> None:
        """A thread cannot be stopped: nobody waits for what comes of it."""
        reactor, pool = Reactor(), Waiting()
        host = TwistedHost(reactor, lambda: pool)
        given_up: Any = host.in_thread(lambda: given_up.cancel())
        failed: Any = host.in_thread(lambda: 1 / 0)
        pool.work()
        self.failureResultOf(given_up, CancelledError)
        self.failureResultOf(failed, ZeroDivisionError)
