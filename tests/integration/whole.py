"""A whole network under load, for tests in which its processes come and go."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from gandalf.connector import CommandError, Connector
from gandalf.connector.connecting import connect
from gandalf.connector.runtime import Runtime
from gandalf.store import trace
from gandalf.wire.kinds import EVENT
from tests.integration import postgres
from tests.integration.deployment import Deployment, logs
from tests.integration.programs import Program, until

PROCESSES = [[f"worker{(number + shift) % 4}" for shift in range(2)] for number in range(4)]
"""Eight connectors: four logical names, each twice, the brothers in different processes."""

INTERVAL = 0.02
"""Seconds between two commands, and between two events."""

COMMAND_TIMEOUT = 6.0


class WholeNetworkCase(TestCase):
    """Two members, two instances, and processes of `workers`; a driver in this process."""

    workers: ClassVar[list[list[str]]] = PROCESSES

    timeout = 240

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # trial waits for it
        return ensureDeferred(self._start())

    async def _start(self) -> None:
        network = self.network = await deferToThread(Deployment, members=2, aggregators=2)
        self.acts = Path(tempfile.mkdtemp(prefix="gandalf-acts-"))
        self.addCleanup(shutil.rmtree, self.acts)
        self.processes: dict[str, tuple[Program, Callable[[], object]]] = {}
        for number in range(2):
            self._add(f"member {number}", network.member(number), network.cluster_whole)
        for number in range(2):
            self._add(f"aggregator {number}", network.aggregator(number), partial(self._whole, number))
        self.driver: Runtime | None = None
        for names in self.workers:
            self._add(" ".join(names), network.workers(names, self.acts), partial(self._linked, names))
        for name, (program, ready) in self.processes.items():
            program.start()
            if "member" not in name:
                await self.until(ready, name)
        driver = Connector("drive", "test", [(1, 0)])
        self.driver = await connect(driver, network.account("driver1"), reactor=reactor)
        self.addCleanup(self.driver.stop)

    def _add(self, name: str, program: Program, ready: Callable[[], object]) -> None:
        self.processes[name] = (program, ready)
        self.addCleanup(program.end)

    async def until(self, ready: Callable[[], object], name: str) -> None:
        """Wait, without holding up the load."""
        programs = {name: program for name, (program, _) in self.processes.items()}
        await deferToThread(until, ready, f"{name} ready", 30, logs(programs))

    def _whole(self, number: int) -> bool:
        """Whether an instance is ready, and all connectors that run are back."""
        if not self.network.ready(number) or not all(self._linked(names) for names in self.workers):
            return False
        there = {link["logical_name"] for link in self.network.connections(number)}
        return self.driver is None or "driver1" in there

    def _linked(self, names: list[str]) -> bool:
        """Whether both instances have a connection of each name for every process that runs."""
        running = [each for each in self.workers if self.processes[" ".join(each)][0].running]
        wanted = Counter(name for each in running for name in each)
        for number in range(2):
            there = Counter(link["logical_name"] for link in self.network.connections(number))
            if any(there[name] < wanted[name] for name in names):
                return False
        return True

    @staticmethod
    async def first_success(load: Load) -> float:
        """Seconds until a command that is sent from now on succeeds."""
        began = time.monotonic()
        while True:
            try:
                await load.network.send("work", "WORK", {"number": -1}, timeout=COMMAND_TIMEOUT)
            except CommandError:
                await deferLater(reactor, 0.01, lambda: None)
                continue
            return time.monotonic() - began

    def traced(self) -> list[int]:
        """The numbers of the events in the trace, in its order."""
        found: list[int] = []
        with postgres.transaction(self.network.tenant_dsn()) as connection:
            place = trace.beginning(0)
            while rows := trace.after_txn(connection, place, kind=EVENT, limit=1000):
                found += [json.loads(row.payload)["number"] for row in rows if row.topic == "load.tick"]
                place = trace.cursor(rows[-1])
        return found

    def check_trace(self, load: Load) -> None:
        """Every event is in it, once."""
        self.assertEqual(list(range(load.events)), sorted(self.traced()))

    def check_acts(self, load: Load) -> None:
        """No process has acted twice on a command, and on each that succeeded somebody has."""
        acted = [path.read_text().splitlines() for path in self.acts.iterdir()]
        for lines in acted:
            self.assertEqual(len(lines), len(set(lines)))
        done = {int(line.split()[1]) for lines in acted for line in lines}
        self.assertEqual(load.succeeded - done, set())


class Load:
    """Commands and events, numbered, at a steady pace; what became of each."""

    def __init__(self, network: Runtime) -> None:
        self.network = network
        self.commands = self.events = self.unacknowledged = 0
        self.ended: Counter[str] = Counter()
        self.succeeded: set[int] = set()
        self.took: list[tuple[float, float]] = []
        """Of each command that succeeded: when it was sent (time.monotonic) and the seconds until its outcome."""
        self._running: list[Deferred[Any]] = []
        self._ticks = [LoopingCall(self._command), LoopingCall(self._event)]

    def start(self, interval: float = INTERVAL) -> None:
        """Begin; a command and an event each `interval` seconds."""
        for tick in self._ticks:
            tick.start(interval)

    async def stop(self) -> None:
        """Send no more; wait until everything has ended."""
        for tick in self._ticks:
            if tick.running:
                tick.stop()
        await DeferredList(self._running, fireOnOneErrback=True, consumeErrors=True)

    def summary(self) -> str:
        """For whoever reads the test's output."""
        return f"{self.commands} commands: {dict(self.ended)}; {self.events} events"

    def _command(self) -> None:
        self._run(self._one_command(self.commands))
        self.commands += 1

    def _event(self) -> None:
        self._run(self._one_event(self.events))
        self.events += 1

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._running.append(ensureDeferred(work))

    async def _one_command(self, number: int) -> None:
        began = time.monotonic()
        try:
            outcome = await self.network.send("work", "WORK", {"number": number}, timeout=COMMAND_TIMEOUT)
        except CommandError as error:
            self.ended[error.code] += 1
        else:
            assert isinstance(outcome.payload, dict)
            assert outcome.payload["number"] == number
            self.ended["SUCCESS"] += 1
            self.succeeded.add(number)
            self.took.append((began, time.monotonic() - began))

    async def _one_event(self, number: int) -> None:
        self.unacknowledged += 1
        await self.network.emit("load.tick", "TICK", {"number": number})
        self.unacknowledged -= 1
