"""What a real cluster member does with events, commands and secrets, told by peers that speak the wire by hand."""

from __future__ import annotations

import functools
import json
import os
import time
from typing import Any

import psycopg2

from gandalf.store import tenants
from tests.integration.member import ONE, OTHER, Aggregator, SharedMemberCase, control_dsn, names
from tests.integration.peer import dial, frame
from tests.integration.programs import get_json, until


class RulesTest(SharedMemberCase):
    """What a member does with what comes in."""

    # Links and secrets.

    def test_linked(self) -> None:
        """An aggregator of a known tenant is linked; the answer is as protocol.md 5.1 says."""
        body = self.aggregator(valid=False).linked.body
        self.assertEqual((body["protocol"], body["logical_name"], body["type"]), (1, "cluster1", "cl"))
        self.assertEqual((len(body["instance"]), body["received"], body["max_frame"]), (16, 0, 8 << 20))

    def test_unknown_tenant(self) -> None:
        """An aggregator of a tenant that does not exist is refused."""
        refused = Aggregator(self, self.port, "aggregator1", "nobody").linked
        self.assertEqual((refused.kind, refused.body["code"]), ("refused", "WRONG_TENANT"))

    def test_new_tenant(self) -> None:
        """An aggregator of a tenant made after the member started is let in when it comes again."""
        name = f"late-{os.getpid()}"
        self.assertEqual(Aggregator(self, self.port, "a", name).linked.kind, "refused")
        tenants.create_tenant(control_dsn(), name, now=0)
        until(lambda: Aggregator(self, self.port, "a", name).linked.kind == "linked", "let in", timeout=5)

    def test_connector_is_refused(self) -> None:
        """Only aggregators may link."""
        peer = dial(self.port, "connector1", "c", tenant=ONE)
        self.addCleanup(peer.close)
        self.assertEqual(peer.expect("refused").body["code"], "WRONG_TYPE")

    def test_secret_refused(self) -> None:
        """A wrong secret, another component's, another tenant's: false, with the reason; then nothing may be sent."""
        cases = {
            "the secret is unknown": "nonsense-nonsense",
            "the secret belongs to another component": self.secret("aggregator", "somebody-else"),
            "the secret belongs to another tenant": self.secret("aggregator", "aggregator-x", OTHER),
        }
        for reason, secret in cases.items():
            with self.subTest(reason):
                aggregator = self.aggregator("aggregator-x", valid=False)
                reply = aggregator.validate(secret)
                self.assertEqual((reply.body["payload"], reply.body["context"]["reason"]), ("false", reason))
                uuid = aggregator.send("evt", {"topic": "a", "event": "B"})
                self.assertEqual(aggregator.error()[:2], ("NOT_VALIDATED", uuid))
                self.assertEqual(self.trace(uuid), [])
                self.assertNotIn(secret, self.log)

    def test_claims_must_fit(self) -> None:
        """An aggregator cannot take a connector's secret for its own, nor speak under another name."""
        aggregator = self.aggregator(valid=False)
        reply = aggregator.validate(self.secret("connector", aggregator.name), component_type="connector")
        self.assertEqual(reply.body["payload"], "false")
        self.assertIn("component_type must be 'aggregator'", reply.body["context"]["reason"])
        reply = aggregator.validate(self.secret("aggregator", "another"), logical_name="another")
        self.assertIn(f"logical_name must be '{aggregator.name}'", reply.body["context"]["reason"])

    def test_not_validated(self) -> None:
        """Before its secret is accepted an aggregator may not even ask for a connector."""
        aggregator = self.aggregator(valid=False)
        uuid = aggregator.send("secret", {"command": "VALIDATION", "context": {}}, target="connector1")
        self.assertEqual(aggregator.error()[:2], ("NOT_VALIDATED", uuid))
        uuid = aggregator.send("configuration", {"command": "PIVOT_CONFIGURATION", "context": {"name": "vcs"}})
        self.assertEqual(aggregator.error()[:2], ("NOT_VALIDATED", uuid))

    def test_connector_secret(self) -> None:
        """A connector's secret is judged under the name that the aggregator gives; the reply is addressed to it."""
        aggregator = self.aggregator()
        reply = aggregator.validate(self.secret("connector", "c-true"), "c-true")
        self.assertEqual((reply.body["payload"], reply.target, reply.tenant), ("true", "c-true", ONE))
        reply = aggregator.validate(self.secret("connector", "c-true"), "c-false", logical_name="c-true")
        self.assertEqual(reply.body["payload"], "false")

    def test_wrong_tenant(self) -> None:
        """A frame of another tenant is answered, and goes nowhere."""
        origin, other = self.aggregator(), self.aggregator(tenant=OTHER)
        for kind, body in (("evt", {"topic": "a", "event": "B"}), ("cmd", {"command": "X"}), ("config", {})):
            with self.subTest(kind):
                uuid = origin.send(kind, body, tenant=OTHER)
                code, reference, payload = origin.error()
                self.assertEqual((code, reference), ("WRONG_TENANT", uuid))
                self.assertEqual((payload["kind"], payload["tenant"], payload["origin"]), (kind, OTHER, origin.name))
                self.assertEqual(self.trace(uuid, OTHER), [])
        self.assertTrue(other.peer.nothing("evt", "cmd", "config"))

    # Events

    def test_event(self) -> None:
        """Recorded, acknowledged, and sent as it came to every validated aggregator of the tenant but the origin."""
        origin, brother = self.aggregator(), self.aggregator()
        stranger, outsider = self.aggregator(valid=False), self.aggregator(tenant=OTHER)
        body = {"topic": "repository.created", "event": "CREATED", "payload": b"\0\xff", "source": "git1", "odd": 1}
        uuid = os.urandom(16)
        raw = frame("evt", body, uuid=uuid, tenant=ONE, reference=b"r" * 16, target="somebody")
        origin.peer.sock.sendall(raw)
        self.assertEqual(brother.event().raw, raw)
        self.assertTrue(origin.acked(2))
        (record,) = self.trace(uuid)
        self.assertEqual(
            (record.topic, record.event, record.payload, record.source, record.target, record.reference),
            ("repository.created", "CREATED", b"\0\xff", "git1", "somebody", b"r" * 16),
        )
        self.assertEqual((record.kind, record.tenant, record.member), ("evt", ONE, f"127.0.0.1:{self.port}"))
        self.assertTrue(stranger.peer.nothing("evt", during=0.2))
        self.assertTrue(outsider.peer.nothing("evt", during=0.1))
        self.assertTrue(origin.peer.nothing("evt", during=0.1))

    def test_acknowledged_after_commit(self) -> None:
        """While the trace cannot be written an event is passed on but not acknowledged; nor is a duplicate of it."""
        origin, brother = self.aggregator(), self.aggregator()
        self.assertTrue(origin.acked(1))
        with psycopg2.connect(self.dsn()) as lock, lock.cursor() as cursor:
            cursor.execute("LOCK TABLE trace IN ACCESS EXCLUSIVE MODE")
            uuid = origin.send("evt", {"topic": "a", "event": "B"})
            origin.send("evt", {"topic": "a", "event": "B"}, uuid=uuid)
            self.assertEqual(brother.event().uuid, uuid)
            self.assertFalse(origin.acked(2, timeout=0.5))
        lock.close()
        self.assertTrue(origin.acked(3))
        self.assertEqual(len(self.trace(uuid)), 1)
        self.assertTrue(brother.peer.nothing("evt", during=0.2))

    def test_malformed_event(self) -> None:
        """A body that is not as protocol.md 4 says is answered, not recorded, and not passed on."""
        origin, brother = self.aggregator(), self.aggregator()
        uuid = origin.send("evt", {"topic": 5, "event": "B"})
        code, reference, payload = origin.error()
        self.assertEqual((code, reference), ("MALFORMED", uuid))
        self.assertIn("topic must be str", payload["message"])
        self.assertEqual(self.trace(uuid), [])
        self.assertTrue(brother.peer.nothing("evt", during=0.2))

    # Commands

    def command(self, origin: Aggregator, pivot: str = "", **envelope: Any) -> bytes:
        """Send a command for whoever speaks ``pivot``."""
        body: dict[str, Any] = {"command": "CREATE_REPOSITORY", "payload": "{}", "source": "asker"}
        if pivot:
            body["context"] = {"connector_type": pivot}
        return origin.send("cmd", body, **envelope)

    def test_command_is_resolved(self) -> None:
        """By the pivot to a stored component, once it is present; the answer ends it and reaches the origin."""
        origin, holder = self.aggregator(), self.aggregator()
        name = f"git-{next(names)}"
        component = {
            "logicalname": name,
            "type": "connector",
            "productconnector": {"name": "git", "major": 1, "minor": 0, "product": {"name": "git"}},
        }
        saved = holder.ask("logicalConfiguration", "LOGICAL_CONFIGURATION", {}, json.dumps(component))
        self.assertEqual(json.loads(saved.body["payload"])["aggregator"], holder.name)
        uuid = self.command(origin, "vcs")
        code, reference, payload = origin.error()
        self.assertEqual((code, reference), ("NO_ROUTE", uuid))
        self.assertIn(name, payload["message"])
        self.assertIn("is present", payload["message"])

        self.connector(holder, name)
        uuid = self.command(origin, "vcs", timeout=3000)
        command = holder.peer.expect("cmd")
        self.assertEqual((command.uuid, command.target, command.tenant), (uuid, name, ONE))
        self.assertEqual((command.timeout, command.body["source"]), (3000, "asker"))
        holder.send("evt", {"topic": "CREATE_REPOSITORY", "event": "TAKEN"}, reference=uuid, target="asker")
        self.assertEqual((event := origin.event()).reference, uuid)
        self.assertEqual(event.body["event"], "TAKEN")
        (record,) = self.trace(uuid)
        self.assertEqual((record.kind, record.command, record.connector_type), ("cmd", "CREATE_REPOSITORY", "vcs"))
        until(lambda: get_json(self.status, "/api/v1/status")["pending"]["commands"] == 0, "nothing pending")

    def test_command_by_heartbeat(self) -> None:
        """A connector of which nothing is stored is found by the pivot that its heartbeat names."""
        holder = self.aggregator()
        name = self.connector(holder, pivot="ticketing")
        uuid = self.command(holder, "ticketing")
        command = holder.peer.expect("cmd")
        self.assertEqual((command.uuid, command.target), (uuid, name))

    def test_no_route(self) -> None:
        """Nobody to be found: at once, saying what was looked for; and the trace has the error event too."""
        origin = self.aggregator()
        cases: list[tuple[dict[str, Any], str]] = [
            ({"pivot": "unheard-of"}, "speaks the pivot 'unheard-of'"),
            ({"target": "absent"}, "connector 'absent' of tenant 'member-one' is not present"),
            ({}, "neither a target nor"),
        ]
        for arguments, text in cases:
            with self.subTest(text):
                uuid = self.command(origin, **arguments)
                event = origin.event(timeout=2)
                self.assertEqual((event.body["event"], event.reference, event.target), ("NO_ROUTE", uuid, "asker"))
                self.assertIn(text, event.body["payload"])
                until(functools.partial(self.trace, event.uuid), "recorded")

    def test_command_with_target(self) -> None:
        """It goes to that connector, on the link that has it, its bytes as they came."""
        origin, holder = self.aggregator(), self.aggregator()
        name = self.connector(holder)
        uuid = self.command(origin, target=name)
        self.assertEqual(holder.peer.expect("cmd").uuid, uuid)
        self.assertTrue(origin.peer.nothing("cmd", "evt", during=0.2))

    def test_fall_through(self) -> None:
        """A connection that does not answer has its share of the budget; the next one gets the command."""
        origin, first, second = self.aggregator(), self.aggregator("two-links"), self.aggregator("two-links")
        name = f"behind-both-{next(names)}"
        self.connector(first, name)
        self.connector(second, name)
        uuid = self.command(origin, target=name, timeout=1000)
        began = time.monotonic()
        self.assertEqual(first.peer.expect("cmd").uuid, uuid)
        self.assertEqual(second.peer.expect("cmd").uuid, uuid)
        self.assertTrue(0.3 < time.monotonic() - began < 0.9, "half of the budget")
        code, reference, _ = origin.error()
        self.assertEqual((code, reference), ("TIMEOUT", uuid))

    def test_error_event_passes_over(self) -> None:
        """An error event from who has the command: the next at once; the last one's reason is told, no late one."""
        origin, first, second = self.aggregator(), self.aggregator("pair"), self.aggregator("pair")
        name = f"behind-pair-{next(names)}"
        self.connector(first, name)
        self.connector(second, name)
        uuid = self.command(origin, target=name, timeout=4000)
        self.assertEqual(first.peer.expect("cmd").uuid, uuid)

        def cannot(aggregator: Aggregator, message: str) -> None:
            payload = json.dumps({"code": "OVERLOADED", "message": message})
            body = {"topic": "error", "event": "OVERLOADED", "payload": payload}
            aggregator.send("evt", body, reference=uuid, target=ONE)

        cannot(first, "the first is full")
        self.assertEqual(second.peer.expect("cmd", timeout=0.5).uuid, uuid)
        cannot(first, "the first says so again")
        cannot(second, "the second is full")
        code, reference, payload = origin.error()
        self.assertEqual((code, reference), ("OVERLOADED", uuid))
        self.assertIn("the second is full", payload["message"])
        self.assertTrue(origin.peer.nothing("evt", during=0.2))

    def test_broken_link_passes_over(self) -> None:
        """When the connection that has the command breaks, the next one gets it at once."""
        origin, first, second = self.aggregator(), self.aggregator("breaks"), self.aggregator("breaks")
        name = f"behind-breaking-{next(names)}"
        self.connector(first, name)
        self.connector(second, name)
        uuid = self.command(origin, target=name, timeout=4000)
        first.peer.expect("cmd")
        first.peer.close()
        self.assertEqual(second.peer.expect("cmd", timeout=0.5).uuid, uuid)

    def test_two_components(self) -> None:
        """Several components that speak one pivot take turns, each command with its own target."""
        holder = self.aggregator()
        names = {self.connector(holder, pivot="calendar") for _ in range(2)}
        targets = set()
        for _ in range(2):
            self.command(holder, "calendar")
            targets.add(holder.peer.expect("cmd").target)
        self.assertEqual(targets, names)

    def test_other_tenants_answer_ends_nothing(self) -> None:
        """An event of another tenant that refers to a command does not end it, and does not reach its origin."""
        holder, outsider = self.aggregator(), self.aggregator(tenant=OTHER)
        name = self.connector(holder)
        uuid = self.command(holder, target=name, timeout=600)
        holder.peer.expect("cmd")
        outsider.send("evt", {"topic": "x", "event": "SUCCESS"}, reference=uuid)
        self.assertEqual(holder.error()[:2], ("TIMEOUT", uuid))

    def test_config(self) -> None:
        """Resolved likewise, sent once, with no waiting; nobody there is NO_ROUTE."""
        origin, holder = self.aggregator(), self.aggregator()
        name = self.connector(holder, pivot="configured")
        # The heartbeat has come in when what was sent after it is answered.
        holder.ask("configuration", "PIVOT_CONFIGURATION", {"name": "vcs"})
        uuid = origin.send("config", {"command": "SET", "context": {"connector_type": "configured"}})
        config = holder.peer.expect("config")
        self.assertEqual((config.uuid, config.target), (uuid, name))
        uuid = origin.send("config", {"command": "SET"}, target="absent")
        self.assertEqual(origin.error()[:2], ("NO_ROUTE", uuid))

    def test_duplicate_command(self) -> None:
        """A command that comes twice goes out once."""
        holder = self.aggregator()
        name = self.connector(holder)
        uuid = self.command(holder, target=name)
        self.command(holder, target=name, uuid=uuid)
        self.assertEqual(holder.peer.expect("cmd").uuid, uuid)
        self.assertTrue(holder.peer.nothing("cmd", during=0.3))
