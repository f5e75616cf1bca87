"""What an operator sees of an instance, and changes of it."""

from __future__ import annotations

import json

from gandalf.shoset.settings import SOFTWARE
from gandalf.store.errors import NotFound
from tests.unit.aggregator.support import SECRET
from tests.unit.aggregator.traffic import TrafficCase


class Connections(TrafficCase):
    """Each link by itself."""

    def test_one(self) -> None:
        """By its session; what is no session is not found."""
        observed = self.aggregator.observed
        shown = {each["logical_name"]: each for each in observed.connections()}
        self.assertEqual(set(shown), {"cluster1", "git1"})
        self.assertEqual(observed.connection(self.git.link.session.hex()), shown["git1"])
        for unknown in ("00" * 16, "", "nonsense"):
            with self.assertRaises(NotFound):
                observed.connection(unknown)

    def test_what_they_are(self) -> None:
        """The peer's program; of a connector also what its latest heartbeat says, as far as it can be understood."""
        versions = [{"major": 1, "minor": 2, "more": 3}, {"major": "1", "minor": 0}, 5]
        for context in (
            {"connector_type": "old"},
            {"connector_type": "vcs", "product": "git", "versions": versions},
        ):
            self.git.link.send(self.git.shoset.frame("heartbeat", {"event": "HEARTBEAT", "context": context}))
        self.settle()
        shown = {each["logical_name"]: each for each in self.aggregator.observed.connections()}
        git = shown["git1"]
        self.assertEqual((git["software"], git["connector_type"], git["product"]), (SOFTWARE, "vcs", "git"))
        self.assertEqual(git["versions"], [{"major": 1, "minor": 2}])
        self.assertEqual(self.aggregator.observed.status()["cluster"][0]["software"], SOFTWARE)
        nonsense: tuple[object, ...] = ({"connector_type": 5, "product": b"\xff", "versions": {}}, 7)
        for told in nonsense:
            self.git.link.send(self.git.shoset.frame("heartbeat", {"event": "HEARTBEAT", "context": told}))
            self.settle()
            git = self.aggregator.observed.connection(self.git.link.session.hex())
            self.assertEqual((git["connector_type"], git["product"], git["versions"]), ("", "", []))
        json.dumps(self.aggregator.observed.connections())

    def test_disconnect(self) -> None:
        """With a bye that says why; who dials comes again with the same session."""
        session = self.git.link.session.hex()
        self.assertTrue(self.aggregator.observed.disconnect(session))
        self.network.settle()
        self.assertEqual(self.git.host.leaving, [self.git.link])
        self.network.advance(3)
        self.assertEqual(len(self.git.host.up), 2)
        self.assertEqual(self.aggregator.observed.connection(session)["state"], "established")

    def test_disconnect_a_member(self) -> None:
        """It is dialled again."""
        session = self.aggregator.observed.connections()[0]["session"]
        self.assertTrue(self.aggregator.observed.disconnect(session))
        self.network.advance(3)
        self.assertEqual(len(self.cluster.host.up), 2)

    def test_disconnect_one_that_is_broken(self) -> None:
        """It is known, and there is nothing to end; one that is not known is not."""
        self.network.silent.add("127.0.0.1:9103")
        self.network.cable.cut()
        observed = self.aggregator.observed
        self.assertTrue(observed.disconnect(self.git.link.session.hex()))
        for unknown in ("00" * 16, "nonsense"):
            self.assertFalse(observed.disconnect(unknown))


class Pending(TrafficCase):
    """What is on its way."""

    def test_pending(self) -> None:
        """Commands to the cluster and to connectors, from the API and from connectors, and where they are."""
        self.git.link.send(self.git.shoset.frame("cmd", {"command": "MUTE"}, target="work1"))
        self.cluster.mute.add("MUTE")
        self.settle()
        life = self.aggregator.commands.send("vcs", "CREATE")
        self.settle()
        self.network.advance(1.5)
        to_cluster, own, to_connector = self.aggregator.observed.pending()
        member = self.aggregator.observed.connections()[0]["session"]
        self.assertEqual(
            (to_cluster["command"], to_cluster["target"], to_cluster["origin"]), ("MUTE", "work1", "git1")
        )
        self.assertEqual(
            own,
            {
                "uuid": life.uuid.hex(),
                "kind": "cmd",
                "command": "CREATE",
                "target": "",
                "direction": "to the cluster",
                "origin": "aggregator1",
                "at": "cluster1",
                "session": member,
                "tried": 1,
                "seconds": 1.5,
            },
        )
        self.assertEqual(
            [to_connector[key] for key in ("uuid", "direction", "origin", "at", "session")],
            [life.uuid.hex(), "to connectors", "cluster1", "git1", self.git.link.session.hex()],
        )
        self.assertEqual(self.aggregator.observed.pending(1), [to_cluster])
        self.git.answer("TAKEN")
        self.settle()
        self.assertEqual(self.aggregator.observed.pending(), [to_cluster])

    def test_requests_of_its_own(self) -> None:
        """They are from the aggregator itself."""
        self.aggregator = self.make("127.0.0.1:9104", "127.0.0.1:9204")
        self.cluster.mute.add("PIVOT_CONFIGURATION")
        self.start()
        (request,) = self.aggregator.observed.pending()
        self.assertEqual(
            [request[key] for key in ("kind", "command", "direction", "origin", "at")],
            ["configuration", "PIVOT_CONFIGURATION", "own request", "aggregator1", "cluster1"],
        )
        self.cluster.mute.clear()
        self.network.advance(11)


class Errors(TrafficCase):
    """The error events made here."""

    def test_errors(self) -> None:
        """The newest first, of one code or of all, as many as are asked for."""
        for number in range(3):
            self.cluster.send("cmd", {"command": "A"}, target=f"nobody{number}")
        self.git.link.send(self.git.shoset.frame("evt", {"topic": "a"}, tenant="other"))
        self.settle()
        errors = self.aggregator.observed.errors
        self.assertEqual([error["code"] for error in errors()], ["WRONG_TENANT"] + ["NO_ROUTE"] * 3)
        targets = [error["target"] for error in errors(2, "NO_ROUTE")]
        self.assertEqual(targets, ["nobody2", "nobody1"])
        self.assertEqual(errors(code="TIMEOUT"), [])
        self.assertEqual(errors(1)[0]["origin"], "git1")


class Controls(TrafficCase):
    """What an operator changes."""

    def test_drain(self) -> None:
        """The program is asked."""
        self.aggregator.control.drain()
        self.assertEqual(self.drains, 1)

    def test_log_level(self) -> None:
        """Read and changed where the log is."""
        control = self.aggregator.control
        self.assertEqual(control.log_level, "info")
        control.set_log_level("debug")
        self.assertEqual((control.log_level, self.log_level.level), ("debug", "debug"))

    def test_configuration(self) -> None:
        """As it is in effect, without secrets, for JSON."""
        shown = self.aggregator.control.config()
        self.assertEqual(shown["aggregator"]["logical_name"], "aggregator1")
        self.assertEqual(shown["limits"]["max_frame"], 8 << 20)
        self.assertNotIn(SECRET, json.dumps(shown))
