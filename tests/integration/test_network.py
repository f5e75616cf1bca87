"""The whole network: two cluster members, two aggregator instances, eight connectors, killed in turn under load."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from gandalf.connector import CommandError, Connector
from gandalf.connector.account import Account
from gandalf.connector.connecting import connect
from gandalf.connector.runtime import Runtime
from gandalf.store import secrets, tenants, trace
from tests.integration import postgres
from tests.integration.programs import ROOT, Program, free_port, get_json, until

TENANT = "tenant1"
WORKERS = 8
PER_PROCESS = 2
INTERVAL = 0.02
"""Seconds between two commands, and between two events."""

COMMAND_TIMEOUT = 6.0


class NetworkTests(TestCase):
    """Every process is killed once with SIGKILL while commands and events flow."""

    timeout = 240

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # trial waits for it
        return ensureDeferred(self._start())

    async def _start(self) -> None:
        self.control = postgres.control_dsn()
        await deferToThread(tenants.create_tenant, self.control, TENANT, now=0)
        self.acts = Path(tempfile.mkdtemp(prefix="gandalf-acts-"))
        self.member_ports = [free_port(), free_port()]
        self.aggregator_ports = [free_port(), free_port()]
        self.api_ports = [free_port(), free_port()]
        self.processes: dict[str, tuple[Program, Callable[[], object]]] = {}
        for number in range(2):
            self._add(f"member {number}", self._member(number), self._cluster_whole)
        for number in range(2):
            port = self.api_ports[number]
            self._add(f"aggregator {number}", self._aggregator(number), partial(get_json, port, "/readyz"))
        for number in range(WORKERS // PER_PROCESS):
            names = self._names(number)
            self._add(f"workers {' '.join(names)}", self._connectors(names), partial(self._linked, names))
        for name, (program, ready) in self.processes.items():
            program.start()
            if "member" not in name:
                await deferToThread(until, ready, f"{name} ready", 30, self._logs)
        self.driver: Runtime = await connect(Connector("drive", "test", [(1, 0)]), self._driver(), reactor=reactor)
        self.addCleanup(self.driver.stop)

    def _add(self, name: str, program: Program, ready: Callable[[], object]) -> None:
        self.processes[name] = (program, ready)
        self.addCleanup(program.end)

    def _logs(self) -> str:
        return "\n".join(f"--- {name}\n{program.log[-3000:]}" for name, (program, _) in self.processes.items())

    def _secret(self, component_type: str, logical_name: str) -> str:
        with postgres.transaction(self.control) as connection:
            return secrets.create_txn(connection, component_type, logical_name, TENANT, now=0)

    def _member(self, number: int) -> Program:
        return Program(
            "gandalf-cluster",
            f"""
            [cluster]
            logical_name = "cluster1"
            listen = "127.0.0.1:{self.member_ports[number]}"
            database = "{self.control}"
            definitions = ["{ROOT / "conf" / "definitions"}"]

            """,
        )

    def _aggregator(self, number: int) -> Program:
        return Program(
            "gandalf-aggregator",
            f"""
            [aggregator]
            logical_name = "aggregator1"
            tenant = "{TENANT}"
            listen = "127.0.0.1:{self.aggregator_ports[number]}"
            cluster = {json.dumps([f"127.0.0.1:{port}" for port in self.member_ports])}
            secret = "{self._secret("aggregator", "aggregator1")}"
            [api]
            listen = "127.0.0.1:{self.api_ports[number]}"
            """,
        )

    def _aggregators(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self.aggregator_ports]

    @staticmethod
    def _names(number: int) -> list[str]:
        """Four logical names, each twice, the brothers in different processes."""
        return [f"worker{(number + shift) % 4}" for shift in range(PER_PROCESS)]

    def _connectors(self, names: list[str]) -> Program:
        connectors = "\n".join(
            f"""
            [[connectors]]
            logical_name = "{name}"
            use = "tests.integration.workers:program"
            secret = "{self._secret("connector", name)}"
            options = {{ acts = "{self.acts}" }}
            """
            for name in names
        )
        return Program(
            "gandalf-connector",
            f"""
            [connector]
            tenant = "{TENANT}"
            aggregators = {json.dumps(self._aggregators())}
            {connectors}
            """,
        )

    def _driver(self) -> Account:
        return Account(
            logical_name="driver1",
            tenant=TENANT,
            aggregators=self._aggregators(),
            secret=self._secret("connector", "driver1"),
        )

    def _cluster_whole(self) -> bool:
        """Whether every aggregator has a validated link to every member."""
        statuses = [get_json(port, "/api/v1/status") for port in self.api_ports]
        return all(
            status and all(member["linked"] and member["validated"] for member in status["cluster"])
            for status in statuses
        )

    def _linked(self, names: list[str]) -> bool:
        """Whether both instances have a validated connection of each name for every process that should run."""
        running = Counter(
            name
            for number in range(WORKERS // PER_PROCESS)
            for name in self._names(number)
            if (process := self.processes[f"workers {' '.join(self._names(number))}"][0].process) is not None
            and process.poll() is None
        )
        for port in self.api_ports:
            there = Counter(
                link["logical_name"]
                for link in get_json(port, "/api/v1/connections") or []
                if link["state"] == "established" and link["validated"]
            )
            if any(there[name] < running[name] for name in names):
                return False
        return True

    def test_killed_in_turn(self) -> Deferred[None]:
        """Every command ends in an outcome or a clear error, no acknowledged event is missing from the trace, no
        process acts twice on one command."""
        return ensureDeferred(self._killed_in_turn())

    async def _killed_in_turn(self) -> None:
        load = Load(self.driver)
        load.start()
        self.addCleanup(load.stop)
        await deferLater(reactor, 1.0, lambda: None)
        recoveries = {}
        for name, (program, ready) in self.processes.items():
            program.kill()
            recoveries[name] = await self._first_success(load)
            await deferLater(reactor, 0.5, lambda: None)
            program.start()
            await deferToThread(until, ready, f"{name} ready again", 30, self._logs)
        await deferLater(reactor, 1.0, lambda: None)
        await load.stop()
        print(f"\n{load.summary()}; until the next success: { {k: round(v, 3) for k, v in recoveries.items()} }")
        self.assertGreater(load.ended["SUCCESS"], 500)
        self.assertEqual(sum(load.ended.values()), load.commands)
        self.assertEqual(set(load.ended) - {"SUCCESS", "TIMEOUT", "NO_ROUTE", "OVERLOADED", "OUTCOME_TIMEOUT"}, set())
        self.assertEqual(load.unacknowledged, 0)
        self._check_trace(load)
        self._check_acts(load)
        for program, _ in self.processes.values():
            self.assertNotIn("Traceback", program.log)
            self.assertNotIn("Unhandled", program.log)

    @staticmethod
    async def _first_success(load: Load) -> float:
        """Seconds until a command that is sent from now on succeeds."""
        began = time.monotonic()
        while True:
            try:
                await load.network.send("work", "WORK", {"number": -1}, timeout=COMMAND_TIMEOUT)
            except CommandError:
                await deferLater(reactor, 0.01, lambda: None)
                continue
            return time.monotonic() - began

    def _check_trace(self, load: Load) -> None:
        with postgres.transaction(self.control) as connection:
            dsn = tenants.tenant_dsn_txn(connection, TENANT, self.control)
        found: Counter[int] = Counter()
        with postgres.transaction(dsn) as connection:
            before = None
            while rows := trace.search_txn(connection, topic="load.tick", limit=1000, before=before):
                found.update(json.loads(row.payload)["number"] for row in rows)
                before = trace.cursor(rows[-1])
        self.assertEqual(set(range(load.events)) - set(found), set())
        self.assertEqual([number for number, count in found.items() if count != 1], [])

    def _check_acts(self, load: Load) -> None:
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
        self._running: list[Deferred[Any]] = []
        self._ticks = [LoopingCall(self._command), LoopingCall(self._event)]

    def start(self) -> None:
        """Begin."""
        for tick in self._ticks:
            tick.start(INTERVAL)

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
        try:
            outcome = await self.network.send("work", "WORK", {"number": number}, timeout=COMMAND_TIMEOUT)
        except CommandError as error:
            self.ended[error.code] += 1
        else:
            assert isinstance(outcome.payload, dict)
            assert outcome.payload["number"] == number
            self.ended["SUCCESS"] += 1
            self.succeeded.add(number)

    async def _one_event(self, number: int) -> None:
        self.unacknowledged += 1
        await self.network.emit("load.tick", "TICK", {"number": number})
        self.unacknowledged -= 1
