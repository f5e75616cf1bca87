"""Cluster members starting, ending, and knowing each other."""

from __future__ import annotations

import signal
from uuid import UUID

from tests.integration.member import ONE, Aggregator, MemberCase
from tests.integration.ports import free_port
from tests.integration.programs import get_json, until


class LifeTest(MemberCase):
    """Starting, ending, and other members."""

    def test_members_and_brothers(self) -> None:
        """Two members tell their aggregators of each other; instances of an aggregator are told of each other too."""
        self.start()
        first = self.port
        near = self.aggregator("twins", bind_address="127.0.0.1:7001", port=first)
        self.start()
        second = self.port
        brothers = near.peer.expect("brothers")
        while brothers.body["logical_name"] != "cluster1" or f"127.0.0.1:{second}" not in brothers.body["addresses"]:
            brothers = near.peer.expect("brothers")
        self.assertNotIn(f"127.0.0.1:{first}", brothers.body["addresses"])
        far = self.aggregator("twins", bind_address="127.0.0.1:7002", port=second)
        for aggregator, other in ((far, "127.0.0.1:7001"), (near, "127.0.0.1:7002")):
            told = aggregator.peer.expect("brothers")
            while told.body["logical_name"] != "twins":
                told = aggregator.peer.expect("brothers")
            self.assertEqual(told.body["addresses"], [other])

    def test_drain(self) -> None:
        """SIGTERM: bye; no new links; what is pending ends; the trace is written; status 0."""
        program = self.start()
        origin, holder = self.aggregator(), self.aggregator()
        name = self.connector(holder)
        uuid = origin.send("cmd", {"command": "X", "source": "asker"}, target=name)
        holder.peer.expect("cmd")
        program.signal(signal.SIGTERM)
        self.assertEqual(holder.peer.expect("bye").body["reason"], "DRAINING")
        refused = Aggregator(self, self.port, "late", ONE).linked
        self.assertEqual((refused.kind, refused.body["code"]), ("refused", "DRAINING"))
        outcome = holder.send("evt", {"topic": "X", "event": "TAKEN"}, reference=uuid, target="asker")
        self.assertEqual(origin.event().reference, uuid)
        self.assertTrue(holder.acked(3))
        self.assertEqual(program.wait(), 0, program.log)
        self.assertEqual(len(self.trace(outcome)), 1)
        self.assertIn("drained: 1 of 1 pending commands", program.log)

    def test_drain_gives_up(self) -> None:
        """What does not end within drain_timeout is given up."""
        program = self.start("drain_timeout = 1000")
        holder = self.aggregator()
        name = self.connector(holder)
        holder.send("cmd", {"command": "X", "source": "asker"}, target=name)
        holder.peer.expect("cmd")
        program.signal(signal.SIGTERM)
        self.assertEqual(program.wait(), 0, program.log)
        self.assertIn("1 commands and 0 records were given up", program.log)

    def test_address_in_use(self) -> None:
        """An address that is taken ends the start at once, names its key, and gives status 1."""
        self.start()
        taken = self.port
        program = self.program(listen=f"127.0.0.1:{taken}").start()
        self.assertEqual(program.wait(), 1, program.log)
        self.assertIn(f"cluster.listen = 127.0.0.1:{taken}: cannot listen there", program.log)
        self.assertNotIn("Traceback", program.log)

    def test_bad_configuration(self) -> None:
        """A wrong key ends it before anything starts; so does a wrong definition."""
        program = self.program("max_timeout = -1").start()
        self.assertEqual(program.wait(), 1, program.log)
        self.assertIn("cluster.max_timeout = -1", program.log)
        program = self.program(definitions="pivots: [{name: vcs, majr: 1}]").start()
        self.assertEqual(program.wait(), 1, program.log)
        self.assertIn("unknown key 'majr'", program.log)

    def test_database_away(self) -> None:
        """A database that does not answer is waited for; the status says what for."""
        dead = f"postgresql://nobody:s3cr3t@127.0.0.1:{free_port()}/gandalf"
        program = self.program(database=dead).start()
        status = until(
            lambda: (status := get_json(self.status, "/api/v1/status")) and status["trouble"] and status, "in trouble"
        )
        self.assertEqual((status["state"], status["ready"]), ("starting: database", False))
        self.assertIsNone(get_json(self.status, "/readyz"))
        program.signal(signal.SIGTERM)
        self.assertEqual(program.wait(), 0, program.log)
        self.assertNotIn("s3cr3t", program.log)

    def test_uuids_are_version_7(self) -> None:
        """What a member makes has a UUIDv7."""
        self.start()
        aggregator = self.aggregator()
        aggregator.send("cmd", {"command": "X"}, target="absent")
        self.assertEqual(UUID(bytes=aggregator.event().uuid).version, 7)
