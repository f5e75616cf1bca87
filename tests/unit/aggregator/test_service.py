"""The aggregator between connectors and a cluster member, all in memory."""

from __future__ import annotations

import json

from twisted.internet.defer import ensureDeferred

from gandalf.aggregator.requests import SecretRefused
from gandalf.aggregator.startup import Step
from gandalf.network import BindFailed
from gandalf.routing.charge import Charge
from gandalf.shoset.testing import unique
from gandalf.store.errors import DatabaseUnavailable
from gandalf.wire.body import unpack_body
from tests.unit.aggregator.support import API, LISTEN, MEMBER, PEER, SECRET, AggregatorCase, Member


class AggregatorTests(AggregatorCase):
    """Starting, running and ending."""

    def step(self, name: str) -> Step:
        """One step of the start-up."""
        return next(step for step in self.aggregator.startup.steps if step.name == name)

    # Starting.

    def test_it_becomes_ready(self) -> None:
        """Secret, pivot, logical configuration, database: asked in this order, each once."""
        self.successResultOf(self.start())
        self.assertTrue(self.aggregator.observed.status()["ready"])
        self.assertEqual(self.aggregator.observed.status()["state"], "ready")
        commands = [command for command, _ in self.member.requests]
        self.assertEqual(commands, ["PIVOT_CONFIGURATION", "LOGICAL_CONFIGURATION", "CONFIGURATION_DATABASE"])
        (secret,) = self.member.bodies("secret")
        context = secret["context"]
        self.assertEqual(context.pop("instance"), self.aggregator.shoset.identity.instance)
        self.assertEqual(
            context,
            {
                "component_type": "aggregator",
                "logical_name": "aggregator1",
                "bind_address": LISTEN,
                "secret": SECRET,
            },
        )
        self.assertEqual(self.database.used, ["postgresql://acme@db/acme"])

    def test_nothing_secret_is_shown(self) -> None:
        """Neither the secret nor the database's address is in what an operator is shown."""
        self.successResultOf(self.start())
        shown = json.dumps([self.aggregator.observed.status(), self.aggregator.observed.connections()])
        self.assertNotIn(SECRET, shown)
        self.assertNotIn("postgresql", shown)

    def test_it_waits_for_the_cluster(self) -> None:
        """Without a member it goes on dialling, and shows what the trouble is."""
        del self.network.listeners[MEMBER]
        starting = self.start()
        self.assertNoResult(starting)
        status = self.aggregator.observed.status()
        self.assertEqual(status["state"], "starting: communication")
        self.assertIn("ConnectionRefused", status["cluster"][0]["trouble"])
        self.network.listeners[MEMBER] = self.member.shoset
        self.network.advance(1)
        self.successResultOf(starting)

    def test_a_refused_secret_ends_it(self) -> None:
        """The cluster's reason comes out of the start."""
        self.member.validation = {"payload": "false", "context": {"reason": "revoked"}}
        failure = self.failureResultOf(self.start(), SecretRefused)
        self.assertIn("revoked", str(failure.value))
        self.assertEqual(self.step("secret").state, "failed")

    def test_a_secret_refused_later_ends_it_as_well(self) -> None:
        """A member that comes back and no longer accepts the secret: the process is told to end."""
        self.successResultOf(self.start())
        self.member.validation = {"payload": "false", "context": {"reason": "revoked"}}
        self.member.shoset.identity = self.member.shoset.identity.__class__("cluster1", "cl", "gandalf", unique(), "")
        self.member.shoset.forget(self.member.link)
        self.network.cables[0].cut()
        self.network.advance(1)
        self.assertEqual([type(error) for error in self.failed], [SecretRefused])

    def test_a_member_that_cannot_say_is_asked_again(self) -> None:
        """An error in the reply, nonsense, no reply at all: the start goes on trying."""
        self.member.validation = {"payload": "maybe"}
        starting = self.start()
        self.member.validation = {"context": {"error": {"code": "UNAVAILABLE", "message": "no database"}}}
        self.network.advance(0.1)
        self.member.mute.add("VALIDATION")
        self.network.advance(0.2)
        self.assertNoResult(starting)
        self.member.mute.clear()
        self.member.validation = {"payload": "true"}
        self.network.advance(11)
        self.successResultOf(starting)

    def test_a_request_that_fails_is_made_again(self) -> None:
        """The step shows the cluster's reason meanwhile."""
        self.member.answers["PIVOT_CONFIGURATION"] = "no JSON"
        starting = self.start()
        self.assertIn("PIVOT_CONFIGURATION is not JSON", self.step("logical configuration").trouble)
        self.member.answers["PIVOT_CONFIGURATION"] = "{}"
        self.member.answers["CONFIGURATION_DATABASE"] = '{"tenant": "acme"}'
        self.network.advance(0.1)
        self.assertIn("has no dsn", self.step("database").trouble)
        self.member.answers["CONFIGURATION_DATABASE"] = '{"dsn": "postgresql://b"}'
        self.database.failures.append(DatabaseUnavailable("not there"))
        self.network.advance(0.1)
        self.assertEqual(self.step("database").trouble, "not there")
        self.network.advance(0.2)
        self.successResultOf(starting)
        self.assertEqual(self.database.used, ["postgresql://b"])

    def test_a_taken_address_ends_it(self) -> None:
        """Either address: the error names the key."""
        for address, key in ((LISTEN, "aggregator.listen"), (API, "api.listen")):
            self.taken = {address}
            self.aggregator = self.make()
            failure = self.failureResultOf(self.start(), BindFailed)
            self.assertIn(key, str(failure.value))

    # While it runs.

    def test_connectors_wait_for_the_logical_configuration(self) -> None:
        """They may link and prove their secret before; an event of theirs goes on when it is there."""
        self.member.mute.add("LOGICAL_CONFIGURATION")
        self.start()
        shoset, _, link = self.connector()
        self.validate(shoset, link)
        link.send(shoset.frame("evt", {"topic": "a", "event": "X"}))
        self.network.settle()
        self.assertNotIn("evt", self.member.kinds())
        self.member.mute.clear()
        self.network.advance(11)
        self.assertIn("evt", self.member.kinds())

    def test_a_connector_of_another_tenant_is_not_let_in(self) -> None:
        """WRONG_TENANT when it links."""
        self.successResultOf(self.start())
        _, host, link = self.connector(tenant="other")
        self.assertEqual((host.up, link.connected), ([], False))
        self.assertEqual(self.aggregator.observed.status()["connections"]["refused"], {"WRONG_TENANT": 1})

    def test_own_heartbeat_every_minute(self) -> None:
        """One at once, then one a minute, to every member."""
        self.successResultOf(self.start())
        self.network.advance(125)
        heartbeats = self.member.bodies("heartbeat")
        self.assertEqual(len(heartbeats), 3)
        self.assertEqual(
            heartbeats[0]["context"],
            {"component_type": "aggregator", "logical_name": "aggregator1", "bind_address": LISTEN},
        )

    def test_brothers(self) -> None:
        """A member's peers are dialled; our own brothers are passed on to connectors."""
        self.successResultOf(self.start())
        peer = Member(self.network, PEER)
        _, host, _ = self.connector()
        self.member.shoset.tell_brothers(self.member.link, "cluster1", (PEER,))
        self.member.shoset.tell_brothers(self.member.link, "aggregator1", (LISTEN, "127.0.0.1:9104"))
        self.network.settle()
        self.assertTrue(peer.link.connected)
        self.assertEqual(peer.kinds()[0], "secret")
        self.assertEqual([told.addresses for told, _ in host.brothers], [("127.0.0.1:9104",)])
        self.assertEqual(self.aggregator.observed.status()["brothers"], ["127.0.0.1:9104"])

    def test_the_database_is_changed_while_it_runs(self) -> None:
        """Unasked, as when credentials are rotated; tried again when it fails; nonsense changes nothing."""
        self.successResultOf(self.start())
        self.database.failures.append(DatabaseUnavailable("not yet"))
        for payload in ("nonsense", '{"dsn": "postgresql://rotated"}'):
            self.member.send("configurationDatabase", {"command": "CONFIGURATION_DATABASE_REPLY", "payload": payload})
            self.network.settle()
        self.network.advance(0.1)
        self.assertEqual(self.database.used[1:], ["postgresql://rotated"])

    def test_only_its_own_database_is_used(self) -> None:
        """Not one of another tenant, nor what comes too late in reply to another request, as for a new tenant."""
        self.successResultOf(self.start())
        for command, tenant in (("CONFIGURATION_DATABASE_REPLY", "other"), ("CREATE_DATABASE_REPLY", "acme")):
            payload = json.dumps({"tenant": tenant, "dsn": "postgresql://elsewhere"})
            body: dict[str, object] = {"command": command, "payload": payload}
            self.member.send("configurationDatabase", body, reference=bytes(16))
            self.network.settle()
        self.assertEqual(self.database.used, ["postgresql://acme@db/acme"])

    def test_another_tenants_database_does_not_start_it(self) -> None:
        """The step says so, and asks again."""
        self.member.answers["CONFIGURATION_DATABASE"] = json.dumps({"tenant": "other", "dsn": "postgresql://other"})
        self.assertNoResult(self.start())
        self.assertIn("'other'", self.step("database").trouble)
        self.assertEqual(self.database.used, [])
        self.member.answers["CONFIGURATION_DATABASE"] = json.dumps({"tenant": "acme", "dsn": "postgresql://acme"})
        self.network.advance(0.1)
        self.assertEqual(self.database.used, ["postgresql://acme"])

    def restart_member(self) -> None:
        """The member's process ends, and another takes its address."""
        self.member = Member(self.network, MEMBER)
        self.network.cables[0].cut()
        self.network.advance(1)

    def test_a_member_that_starts_anew_hears_who_is_here(self) -> None:
        """The latest heartbeat of each connector that is linked, under a new uuid."""
        self.successResultOf(self.start())
        shoset, _, link = self.connector()
        self.validate(shoset, link)
        heartbeats = [shoset.frame("heartbeat", {"event": "HEARTBEAT", "context": {"n": n}}) for n in range(2)]
        for heartbeat in heartbeats:
            link.send(heartbeat)
        self.network.advance(1)
        self.restart_member()
        frames = [frame for frame, _ in self.member.host.received if frame.kind == "heartbeat"]
        (told,) = [frame for frame in frames if unpack_body(frame.body)["source"] == "git1"]
        self.assertEqual(unpack_body(told.body)["context"], {"n": 1})
        self.assertNotEqual(told.uuid, heartbeats[1].uuid)

    def test_a_secret_goes_ahead_of_all_that_waits(self) -> None:
        """However much waits for a member that comes back as another process, the secret is proved first."""
        self.successResultOf(self.start())
        shoset, _, link = self.connector()
        self.validate(shoset, link)
        self.network.cables[0].dialling.severed = self.network.cables[0].listening.severed = True
        events = [shoset.frame("evt", {"topic": "a", "event": "X", "payload": "x" * 2**20}) for _ in range(6)]
        for event in events:
            link.send(event)
            self.network.settle()
        self.network.cables[0].cut()
        self.member = Member(self.network, MEMBER)
        self.network.advance(1)
        self.assertEqual(self.member.kinds()[0], "secret")
        self.assertEqual(
            [uuid for uuid in self.member.host.uuids if uuid in {e.uuid for e in events}],
            [event.uuid for event in events],
        )

    def test_what_is_sent_once_and_is_too_old_when_the_member_is_back(self) -> None:
        """Nobody carries it on: its origin is told."""
        self.successResultOf(self.start())
        shoset, host, link = self.connector()
        self.validate(shoset, link)
        received = self.member._received
        self.member.host.charge = lambda frame, link: Charge() if frame.kind == "config" else received(frame, link)
        frame = shoset.frame("config", {}, timeout=1000)
        link.send(frame)
        self.network.settle()
        self.assertEqual(self.member.kinds()[-1], "config")
        del self.network.listeners[MEMBER]
        self.network.cables[0].cut()
        self.network.advance(2)
        self.network.listeners[MEMBER] = self.member.shoset
        self.network.advance(10)
        self.assertEqual(self.member.kinds().count("config"), 1)
        error = host.received[-1][0]
        self.assertEqual((unpack_body(error.body)["event"], error.reference), ("EXPIRED", frame.uuid))

    def test_links_are_shown(self) -> None:
        """Both links with their sessions and counters; a broken one as broken."""
        self.successResultOf(self.start())
        shoset, _, link = self.connector()
        self.validate(shoset, link)
        shown = {entry["logical_name"]: entry for entry in self.aggregator.observed.connections()}
        self.assertEqual(set(shown), {"cluster1", "git1"})
        self.assertEqual((shown["git1"]["state"], shown["git1"]["validated"]), ("established", True))
        self.assertEqual(shown["git1"]["session"], link.session.hex())
        self.network.cable.cut()
        shown = {entry["logical_name"]: entry for entry in self.aggregator.observed.connections()}
        self.assertEqual(shown["git1"]["state"], "broken")

    def test_errors_are_shown(self) -> None:
        """The latest error events with their reasons."""
        self.successResultOf(self.start())
        self.member.send("cmd", {"command": "A"}, target="nobody")
        self.network.settle()
        (error,) = self.aggregator.observed.status()["recent_errors"]
        self.assertEqual((error["code"], error["target"], error["origin"]), ("NO_ROUTE", "nobody", "cluster1"))

    # Ending.

    def test_draining_finishes_what_is_pending(self) -> None:
        """Bye at once, new links refused; it ends when the command is answered, and leaves no timer."""
        self.successResultOf(self.start())
        shoset, host, link = self.connector()
        self.validate(shoset, link)
        link.send(shoset.frame("cmd", {"command": "A"}))
        self.network.settle()
        (command,) = [frame for frame, _ in self.member.host.received if frame.kind == "cmd"]
        draining = ensureDeferred(self.aggregator.drain())
        self.network.settle()
        self.assertEqual(host.leaving, [link])
        self.assertNoResult(draining)
        _, late, _ = self.connector("late1")
        self.assertEqual(late.up, [])
        self.member.send("evt", {"topic": "A", "event": "TAKEN"}, reference=command.uuid, target="git1")
        self.network.settle()
        self.network.advance(3)
        self.successResultOf(draining)
        self.assertTrue(self.database.closed)
        self.assertNotIn(LISTEN, self.network.listeners)

    def test_draining_gives_up_at_its_limit(self) -> None:
        """An event that no member acknowledges does not hold it for ever."""
        self.successResultOf(self.start())
        shoset, _, link = self.connector()
        self.validate(shoset, link)
        self.network.cables[0].dialling.severed = True
        link.send(shoset.frame("evt", {"topic": "a", "event": "X"}))
        self.network.settle()
        self.assertEqual(self.aggregator.observed.status()["pending"]["unacknowledged events"], 1)
        draining = ensureDeferred(self.aggregator.drain())
        self.network.advance(9.9)
        self.assertNoResult(draining)
        self.network.advance(5)
        self.successResultOf(draining)

    def test_no_timer_is_left_behind(self) -> None:
        """After the end of both sides nothing is scheduled."""
        self.successResultOf(self.start())
        draining = ensureDeferred(self.aggregator.drain())
        self.network.advance(3)
        self.successResultOf(draining)
        self.member.shoset.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
