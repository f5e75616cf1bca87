"""The whole network over TLS: certificates are verified both ways, and must bear the logical name."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from gandalf.connector import Connector
from gandalf.connector.connecting import connect
from tests.integration.deployment import Certificates, Deployment, logs
from tests.integration.peer import dial
from tests.integration.programs import Program, until


class TLSTests(TestCase):
    """One member, one aggregator, a worker, and a driver in this process."""

    timeout = 120

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # trial waits for it
        return ensureDeferred(self._start())

    async def _start(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="gandalf-tls-"))
        self.addCleanup(shutil.rmtree, directory)
        self.acts = directory / "acts"
        self.acts.mkdir()
        certificates = Certificates(directory)
        self.network = await deferToThread(Deployment, members=1, aggregators=1, certificates=certificates)
        self.programs: dict[str, Program] = {}
        self.start("member", self.network.member(0))
        self.start("aggregator", self.network.aggregator(0))
        await self.until(lambda: self.network.ready(0), "aggregator ready")

    def start(self, name: str, program: Program) -> Program:
        """Start a program, to be ended with the test."""
        self.programs[name] = program
        self.addCleanup(program.end)
        return program.start()

    async def until(self, condition: Any, what: str) -> None:
        """Wait in a thread."""
        await deferToThread(until, condition, what, 30, logs(self.programs))

    def test_a_command_over_tls(self) -> Deferred[None]:
        """It reaches the worker and comes back over three encrypted links; who has no certificate gets nowhere."""
        return ensureDeferred(self._a_command_over_tls())

    async def _a_command_over_tls(self) -> None:
        self.start("worker", self.network.workers(["worker0"], self.acts))
        await self.until(lambda: len(self.network.connections(0)) == 2, "worker linked")
        driver = await connect(Connector("drive", "test", [(1, 0)]), self.network.account("driver1"), reactor=reactor)
        self.addCleanup(driver.stop)
        outcome = await driver.send("work", "WORK", {"number": 7})
        assert isinstance(outcome.payload, dict)
        self.assertEqual(outcome.payload["number"], 7)
        plain = await deferToThread(dial, self.network.aggregator_ports[0], "worker0", "c")
        self.addCleanup(plain.close)
        self.assertTrue(await deferToThread(self._nothing_but_the_end, plain))

    @staticmethod
    def _nothing_but_the_end(peer: Any) -> bool:
        """Whether the connection ends without a frame having come: with nothing, or a TLS alert."""
        heard = b""
        try:
            while data := peer.sock.recv(4096):
                heard += data
        except ConnectionError:
            pass
        return heard[:1] in (b"", b"\x15")

    def test_a_certificate_of_another_name(self) -> Deferred[None]:
        """Whoever dials must bear the logical name it says: NOT_AUTHORISED, told on both sides."""
        return ensureDeferred(self._a_certificate_of_another_name())

    async def _a_certificate_of_another_name(self) -> None:
        worker = self.start("worker", self.network.workers(["worker0"], self.acts, certificate="other0"))
        await self.until(lambda: "NOT_AUTHORISED" in worker.log, "refusal told by the worker")
        self.assertIn("NOT_AUTHORISED", self.programs["aggregator"].log)
        self.assertEqual([link["type"] for link in self.network.connections(0)], ["cl"])
