"""The database is away while events flow: the trace waits within its bound, and nothing is lost."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from gandalf.connector import Connector, EventRefused
from gandalf.connector.connecting import connect
from gandalf.connector.runtime import Runtime
from gandalf.shoset.settings import Limits
from gandalf.store import embedded, tenants, trace
from gandalf.wire.kinds import EVENT
from tests.integration import postgres
from tests.integration.deployment import Deployment, logs
from tests.integration.ports import free_port
from tests.integration.programs import Program, get_json, until

RECORDS = 200
"""Records that may wait in the member."""

FRAMES = 500
"""Frames that each link may keep unacknowledged."""

EVENTS = 6000
GROWTH = 40 << 20
"""Bytes that the member may take more when it keeps as much as it may, and the interpreter gives nothing back."""


def resident(program: Program) -> int:
    """Bytes of memory that a process has."""
    assert program.process is not None
    lines = Path(f"/proc/{program.process.pid}/status").read_text().splitlines()
    (kib,) = [line.split()[1] for line in lines if line.startswith("VmRSS")]
    return int(kib) * 1024


class DatabaseLossCase(TestCase):
    """A member and an instance on a database server of their own."""

    timeout = 120

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # trial waits for it
        return ensureDeferred(self._start())

    async def _start(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="gandalf-postgres-"))
        self.addCleanup(shutil.rmtree, directory)
        self.data, self.port = directory / "data", free_port()
        self.server = await deferToThread(postgres.start, self.data, self.port)
        self.addCleanup(lambda: postgres.stop(self.server))
        self.use(self.data, self.port)
        self.network = await deferToThread(Deployment, members=1, aggregators=1)
        self.status_port = free_port()
        self.programs: dict[str, Program] = {}
        bound = f'[trace]\nqueued_records = {RECORDS}\n[status]\nlisten = "127.0.0.1:{self.status_port}"'
        self.more = "\n".join(line.strip() for line in bound.splitlines())
        self.member = self.program("member", self.network.member(0, more=self.more))
        limits = f"[limits]\nunacknowledged_frames = {FRAMES}"
        self.aggregator = self.program("aggregator", self.network.aggregator(0, more=limits))
        await self.until(lambda: self.network.ready(0), "ready")

    def use(self, data: Path, port: int) -> None:
        """The database server that is meant from now on."""
        admin = embedded.admin_dsn(data, port)
        tenants.bootstrap(admin, now=0)
        self.patch(postgres, "control_dsn", lambda: tenants.control_dsn(admin))

    def program(self, name: str, program: Program) -> Program:
        """Start a program."""
        self.programs[name] = program
        self.addCleanup(program.end)
        return program.start()

    async def until(self, condition: Any, what: str) -> None:
        """Wait without holding up the reactor."""
        await deferToThread(until, condition, what, 40, logs(self.programs))

    def waiting(self) -> Any:
        """What the member says of the tenant's trace."""
        status = get_json(self.status_port, "/api/v1/status")
        return status["traces"].get(self.network.tenant) if status else None

    def holding(self) -> bool:
        """Whether the member does not read the instance."""
        told = self.waiting()
        return bool(told) and not told["aggregators are read"]


class Emitter:
    """Emits numbered events, in order, and counts what became of them."""

    def __init__(self, network: Runtime) -> None:
        self._network = network
        self.taken: list[int] = []
        self.open: set[int] = set()
        self.refused = 0

    def emit(self, number: int) -> None:
        """One event. That the connector itself keeps no more is told at once."""
        self.open.add(number)
        sent: Any = self._network.emit("load.tick", "TICK", {"number": number, "text": "x" * 500})
        sent.addCallbacks(lambda _: self.taken.append(number), self._refused)
        sent.addBoth(lambda _: self.open.discard(number))

    def _refused(self, failure: Any) -> None:
        failure.trap(EventRefused)
        self.refused += 1


class TraceBoundTests(DatabaseLossCase):
    """PostgreSQL stops for a while under load."""

    def test_the_bound_is_reached(self) -> Deferred[None]:
        """The member reads no more, then the instance, then the connector takes no more; then all of it goes on."""
        return ensureDeferred(self._the_bound_is_reached())

    async def _the_bound_is_reached(self) -> None:
        account = attrs.evolve(self.network.account("driver1"), limits=Limits(unacknowledged_frames=EVENTS // 2))
        driver = await connect(Connector("drive", "test", [(1, 0)]), account, reactor=reactor)
        self.addCleanup(driver.stop)
        load = Emitter(driver)
        load.emit(0)
        await self.until(lambda: load.taken, "the first event is recorded")
        before = resident(self.member)
        await deferToThread(postgres.stop, self.server)
        for number in range(1, EVENTS):
            load.emit(number)
            if not number % 100:
                await deferToThread(lambda: None)
        await self.until(self.holding, "the bound is reached")
        await self.until(lambda: load.refused, "the connector takes no more")
        kept = self.waiting()["records that wait"]
        # What was read at the same time as the last of them comes on top.
        self.assertLessEqual(RECORDS, kept)
        self.assertLess(kept, 2 * RECORDS)
        self.assertEqual([0], load.taken)
        self.assertLess(resident(self.member) - before, GROWTH)
        self.server = await deferToThread(postgres.start, self.data, self.port)
        await self.until(lambda: not load.open, "all that was taken is recorded")
        self.assertEqual(EVENTS, len(load.taken) + load.refused)
        self.assertGreater(len(load.taken), RECORDS + FRAMES)
        self.assertEqual(load.taken, await deferToThread(self._traced))
        self.assertTrue(self.waiting()["aggregators are read"])
        for program in self.programs.values():
            self.assertNotIn("Traceback", program.log)

    def _traced(self) -> list[int]:
        """The numbers in the trace, in its order."""
        with postgres.transaction(self.network.tenant_dsn()) as connection:
            rows = trace.after_txn(connection, trace.beginning(0), kind=EVENT, limit=2 * EVENTS)
        return [json.loads(row.payload)["number"] for row in rows if row.topic == "load.tick"]


class FailoverTests(DatabaseLossCase):
    """The database goes on at another address, which the members are given."""

    def test_another_address(self) -> Deferred[None]:
        """The instance hears of it unasked, and its API answers again; it was not started anew."""
        return ensureDeferred(self._another_address())

    async def _another_address(self) -> None:
        self.assertIsNotNone(await deferToThread(self.network.shown, 0, "/api/v1/roles"))
        await deferToThread(postgres.stop, self.server)
        self.assertIsNone(await deferToThread(self.network.shown, 0, "/api/v1/roles"))
        port = free_port()
        self.server = await deferToThread(postgres.start, self.data, port)
        self.use(self.data, port)
        self.network.control = postgres.control_dsn()
        await deferToThread(self.member.end)
        self.program("member elsewhere", self.network.member(0, more=self.more))
        await self.until(lambda: self.network.shown(0, "/api/v1/roles") is not None, "the API answers again")
        self.assertEqual(2, self.aggregator.log.count("database connected"))
        self.assertEqual(1, self.aggregator.log.count("ready: connectors dial"))
