"""A real aggregator with a spool: the cluster goes, events are acknowledged, the aggregator is killed."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import tempfile
from pathlib import Path

from gandalf.store.spool import FILE
from tests.integration.peer import Listener, Message, Peer
from tests.integration.programs import Program
from tests.integration.test_aggregator import AggregatorCase


class SpoolTests(AggregatorCase):
    """The cluster is one scripted member, and so is the connector."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(tempfile.mkdtemp(prefix="gandalf-spool-"))
        self.addCleanup(shutil.rmtree, self.directory)

    def with_spool(self, **settings: str | int) -> str:
        """The configuration, as text."""
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
        return f'[spool]\ndirectory = "{self.directory}"\n{lines}'

    def cluster_gone(self) -> None:
        """The member is killed."""
        self.member.close()
        self.listener.close()

    def cluster_back(self) -> None:
        """Another process listens at its address."""
        self.listener = Listener(port=self.listener.port)
        self.addCleanup(self.listener.close)

    def numbered(self, peer: Peer, first: int, last: int) -> None:
        """The connector sends events of these numbers."""
        for number in range(first, last):
            peer.send("evt", {"topic": "number", "event": "N", "payload": str(number)})

    def acknowledged(self, peer: Peer, count: int) -> None:
        """The aggregator has taken charge of so many frames."""
        while peer.expect("ack").body["received"] < count:
            pass

    def numbers(self, member: Peer, count: int) -> list[int]:
        """The numbers of so many events, as they come; requests of start-up are answered."""
        got: list[int] = []
        while len(got) < count:
            message = member.expect("evt", "configuration", "logicalConfiguration", "configurationDatabase")
            if message.kind == "evt" and message.body["topic"] == "number":
                got.append(int(message.body["payload"]))
            elif message.kind != "evt":
                self.answer(member, message)
        return got

    def answer(self, member: Peer, message: Message) -> None:
        """As a member does."""
        payload = "{}"
        if message.kind == "configurationDatabase":
            payload = json.dumps({"tenant": "tenant1", "dsn": self.dsn})
        body = {"command": message.body["command"] + "_REPLY", "payload": payload, "context": {}}
        member.send(message.kind, body, tenant=message.tenant, target=message.target, reference=message.uuid)

    def rows(self) -> int:
        """How much is in the file, which nobody uses."""
        with sqlite3.connect(self.directory / FILE) as connection:
            count: int = connection.execute("SELECT count(*) FROM frame").fetchone()[0]
        connection.close()
        return count

    def survives(self, **settings: str | int) -> Program:
        """All that was acknowledged arrives after a SIGKILL, in order and once."""
        extra = self.with_spool(**settings)
        program = self.start(extra)
        connector = self.connector("git1")
        self.numbered(connector, 0, 20)
        # The member goes with the first events in its hands.
        self.assertEqual(self.numbers(self.member, 20), list(range(20)))
        self.cluster_gone()
        self.numbered(connector, 20, 600)
        self.acknowledged(connector, 601)
        program.kill()
        self.assertEqual(self.rows(), 600)
        self.cluster_back()
        program.start()
        member = self.accept()
        self.assertEqual(self.numbers(member, 600), list(range(600)))
        member.ack()
        self.assertTrue(member.nothing("evt"))
        self.assertIn("spool: 600 events of before", program.log)
        return program

    def test_acknowledged_events_survive_a_sigkill(self) -> None:
        """And are gone from the spool once the cluster has acknowledged them."""
        program = self.survives()
        program.signal(signal.SIGTERM)
        self.assertEqual(program.wait(), 0)
        self.assertEqual(self.rows(), 0)
        self.assertNotIn("Traceback", program.log)

    def test_gathered(self) -> None:
        """The same with fsync = "interval"."""
        self.survives(fsync="interval", fsync_interval=20)

    def test_never_synced(self) -> None:
        """The operating system keeps what a killed process wrote."""
        self.survives(fsync="never")

    def test_nothing_touches_the_disk_while_the_cluster_is_there(self) -> None:
        """Events pass by; the file does not grow."""
        self.start(self.with_spool())
        connector = self.connector("git1")
        before = [path.stat().st_mtime_ns for path in sorted(self.directory.iterdir())]
        self.numbered(connector, 0, 500)
        self.assertEqual(self.numbers(self.member, 500), list(range(500)))
        self.member.ack()
        self.acknowledged(connector, 501)
        self.assertEqual([path.stat().st_mtime_ns for path in sorted(self.directory.iterdir())], before)

    def test_a_damaged_file(self) -> None:
        """Is told and left alone; the aggregator works as without a spool, and acknowledges nothing by itself."""
        (self.directory / FILE).write_bytes(b"SQLite format 3\0" + b"no such thing " * 1000)
        before = (self.directory / FILE).read_bytes()
        program = self.start(self.with_spool())
        self.assertIn(f"spool: {self.directory / FILE} is damaged", program.log)
        connector = self.connector("git1")
        self.cluster_gone()
        self.numbered(connector, 0, 10)
        # Of the secret alone.
        self.assertEqual(connector.expect("ack").body["received"], 1)
        self.assertTrue(connector.nothing("ack", during=0.5))
        self.cluster_back()
        member = self.accept()
        self.assertEqual(self.numbers(member, 10), list(range(10)))
        member.ack()
        self.acknowledged(connector, 11)
        self.assertEqual((self.directory / FILE).read_bytes(), before)
        shown = self.log_in().get("/api/v1/status")["spool"]
        self.assertEqual((shown["state"], shown["kept"]), ("unusable", 0))
        self.assertIn("damaged", shown["trouble"])
