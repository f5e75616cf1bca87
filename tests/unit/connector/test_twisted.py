"""Connectors on a Twisted reactor: where handlers that block are run."""

from __future__ import annotations

from typing import Any

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
