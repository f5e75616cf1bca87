"""What tests of the spool share: a store that fails when told to, a thread that runs when told to, a router."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from gandalf.aggregator.spool import Spool
from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.testing import TENANT, FakeLinks, FrameMaker
from gandalf.store.spool import Content, Row, SpoolError, SpoolStore

OWNER = (TENANT, "aggregator1")


class Disk(SpoolStore):
    """A real file that says no as the test wants, and remembers what was asked of it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, OWNER, synced=False)
        self.full: SpoolError | None = None
        self.unreadable: SpoolError | None = None
        self.calls: list[str] = []

    def open(self) -> Content:
        """Remembered."""
        self.calls.append("open")
        return super().open()

    def change(self, add: Any, remove: Any) -> int | None:
        """Remembered; nothing when the disk is full."""
        self.calls.append(f"+{len(add)}-{len(list(remove))}")
        if self.full is not None:
            raise self.full
        return super().change(add, remove)

    def read(self, after: int, frames: int, size: int) -> list[Row]:
        """Remembered; nothing when it cannot be read."""
        self.calls.append(f"read {after}")
        if self.unreadable is not None:
            raise self.unreadable
        return super().read(after, frames, size)

    def shrink(self) -> None:
        """Remembered."""
        self.calls.append("shrink")
        super().shrink()


class Thread:
    """Does what it is told when the test says so."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """A job."""
        done: Deferred[Any] = Deferred()
        self.jobs.append((lambda: function(*arguments), done))
        return done

    def work(self) -> tuple[Deferred[Any], Any]:
        """Do the next job, and do not tell of it yet."""
        job, done = self.jobs.popleft()
        try:
            return done, job()
        except Exception:
            return done, Failure()

    def run(self) -> None:
        """Do every job, and those that follow, and tell."""
        while self.jobs:
            done, result = self.work()
            done.callback(result)


class Process:
    """One process: a router with its spool, among ``links``."""

    def __init__(self, directory: Path, clock: Clock, links: FakeLinks, **settings: Any) -> None:
        self.disk = Disk(directory)
        self.thread = Thread()
        self.spool = Spool(
            self.disk,
            **{
                "max_bytes": 2**30,
                "interval": 0.0,
                "clock": clock,
                "now": clock.seconds,
                "in_thread": self.thread,
                **settings,
            },
        )
        self.router = AggregatorRouter(
            TENANT,
            links,
            FrameMaker(first=1 << 64),
            clock=clock,
            now=clock.seconds,
            max_timeout=10.0,
            duplicate_window=100_000,
            database=lambda frame: None,
            keeper=self.spool,
        )
        self.spool.serve(self.router, links, nullcontext())

    def start(self) -> None:
        """The file is open, connectors are heard."""
        opened = Deferred.fromCoroutine(self.spool.open())
        self.thread.run()
        assert opened.called
        self.router.open()

    def close(self) -> None:
        """In good order."""
        closed = Deferred.fromCoroutine(self.spool.close())
        self.thread.run()
        assert closed.called
