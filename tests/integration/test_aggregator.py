"""A real ``twistd gandalf-aggregator`` between peers written from the protocol alone (tests/integration/peer.py)."""

from __future__ import annotations

import json
import signal
import struct
import time
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gandalf.rest import RestClient, RestError
from gandalf.store.seed import seed_txn
from tests.integration.peer import Listener, Message, Peer, dial, reply
from tests.integration.ports import free_port
from tests.integration.postgres import create_database, transaction
from tests.integration.programs import Program, get_json, until


class AggregatorCase(SynchronousTestCase):
    """An aggregator whose cluster is one scripted member."""

    def setUp(self) -> None:
        self.listener = Listener()
        self.addCleanup(self.listener.close)
        self.port, self.api = free_port(), free_port()
        self.dsn = create_database()  # before the aggregator waits for it: the first one starts the server

    def program(self, extra: str = "", **overrides: str) -> Program:
        """An aggregator, not started."""
        configuration = f"""
            [aggregator]
            logical_name = "aggregator1"
            tenant = "tenant1"
            listen = "127.0.0.1:{self.port}"
            cluster = ["127.0.0.1:{self.listener.port}"]
            secret = "0123456789abcdef0123"
            max_timeout = 2000
            drain_timeout = 1000
            {extra}
            [api]
            listen = "127.0.0.1:{self.api}"
        """
        program = Program("gandalf-aggregator", configuration, overrides)
        self.addCleanup(program.end)
        return program

    def start(self, extra: str = "") -> Program:
        """Start an aggregator; :attr:`member` is its cluster, and has led it to readiness."""
        program = self.program(extra).start()
        self.member = self.accept()
        self.configure(self.member)
        until(lambda: get_json(self.api, "/readyz"), "ready", log=lambda: program.log)
        return program

    def accept(self) -> Peer:
        """The aggregator's link, its secret accepted."""
        member, _ = self.listener.accept()
        self.addCleanup(member.close)
        reply(member, member.expect("secret"), "true")
        return member

    def configure(self, member: Peer) -> None:
        """Answer the requests of start-up."""
        reply(member, member.expect("configuration"), "{}")
        reply(member, member.expect("logicalConfiguration"), "{}")
        told = json.dumps({"tenant": "tenant1", "dsn": self.dsn})
        reply(member, member.expect("configurationDatabase"), told)
        member.ack()

    def log_in(self) -> RestClient:
        """The API as an administrator of the tenant, whose database gets its first rows only now."""
        with transaction(self.dsn) as connection:
            logins = seed_txn(connection, tenant="tenant1", now=0)
        return RestClient(f"127.0.0.1:{self.api}", logins.login[0], logins.password[0])

    def connector(self, name: str, **more: Any) -> Peer:
        """A connector that is linked and validated."""
        peer = dial(self.port, name, "c", **more)
        self.addCleanup(peer.close)
        self.assertEqual(peer.expect("linked", "refused").kind, "linked")
        peer.send("secret", {"command": "VALIDATION", "context": {"logical_name": name, "secret": "s"}})
        asked = self.member.expect("secret")
        self.assertEqual(asked.target, name)
        reply(self.member, asked, "true")
        self.assertEqual(peer.expect("secret").body["payload"], "true")
        return peer

    def error(self, message: Message) -> tuple[str, bytes | None]:
        """The code and the reference of an error event."""
        self.assertEqual((message.kind, message.body["topic"]), ("evt", "error"))
        payload = json.loads(message.body["payload"])
        self.assertEqual(set(payload), {"code", "message", "kind", "tenant", "target", "origin"})
        self.assertEqual(payload["code"], message.body["event"])
        return payload["code"], message.reference


class RoutingTests(AggregatorCase):
    """What must reach whom when something is wrong, and that nobody else notices (protocol.md 6)."""

    def setUp(self) -> None:
        super().setUp()
        self.running = self.start()
        self.one, self.other = self.connector("one1"), self.connector("other1")

    def nobody_noticed(self, *peers: Peer) -> None:
        """Everyone else's connection works, and brought nothing unasked."""
        for peer in peers:
            peer.send("ping", {})
            self.assertEqual(peer.expect("pong", "evt", "cmd", "bye", "refused").kind, "pong")

    def test_a_command_reaches_a_connector_and_its_answer_comes_back(self) -> None:
        """Unresolved to the member, resolved back under the same uuid, the receipt to the sender."""
        uuid = self.one.send("cmd", {"command": "A", "source": "one1", "context": {"connector_type": "x"}})
        asked = self.member.expect("cmd")
        self.assertEqual((asked.uuid, asked.target), (uuid, ""))
        self.member.send("cmd", asked.body, uuid=uuid, target="other1")
        got = self.other.expect("cmd")
        self.assertEqual((got.uuid, got.body), (uuid, asked.body))
        self.other.send("evt", {"topic": "A", "event": "TAKEN"}, reference=uuid, target="one1")
        self.assertEqual(self.one.expect("evt").body["event"], "TAKEN")
        self.assertEqual(self.member.expect("evt").reference, uuid)
        self.assertEqual(self.log_in().get("/api/v1/status")["pending"]["to the cluster"], 0)

    def test_wrong_tenant(self) -> None:
        """An error event to the cluster and to the origin, to nobody else."""
        for kind in ("evt", "cmd", "config"):
            uuid = self.one.send(kind, {"topic": "a", "command": "A"}, tenant="other")
            self.assertEqual(self.error(self.one.expect("evt")), ("WRONG_TENANT", uuid))
            self.assertEqual(self.error(self.member.expect("evt", "cmd", "config")), ("WRONG_TENANT", uuid))
        self.nobody_noticed(self.other)

    def test_unknown_target(self) -> None:
        """NO_ROUTE at once, to the member that sent the command."""
        began = time.monotonic()
        uuid = self.member.send("cmd", {"command": "A", "source": "one1"}, target="nobody")
        self.assertEqual(self.error(self.member.expect("evt")), ("NO_ROUTE", uuid))
        self.assertLess(time.monotonic() - began, 0.5)
        self.nobody_noticed(self.one, self.other)

    def test_a_mute_connector(self) -> None:
        """TIMEOUT to the sender when its time is over, not before."""
        began = time.monotonic()
        uuid = self.member.send("cmd", {"command": "A", "source": "one1"}, target="other1", timeout=500)
        self.assertEqual(self.other.expect("cmd").uuid, uuid)
        self.assertEqual(self.error(self.member.expect("evt")), ("TIMEOUT", uuid))
        self.assertTrue(0.45 < time.monotonic() - began < 0.8)
        self.nobody_noticed(self.one, self.other)

    def test_a_connection_that_breaks_hands_its_commands_to_a_brother_at_once(self) -> None:
        """Falling through does not wait for the share when the connection is gone."""
        brother = self.connector("other1")
        uuid = self.member.send("cmd", {"command": "A"}, target="other1", timeout=2000)
        first, second = (self.other, brother) if brother.nothing("cmd", during=0.2) else (brother, self.other)
        began = time.monotonic()
        first.close()
        self.assertEqual(second.expect("cmd").uuid, uuid)
        self.assertLess(time.monotonic() - began, 0.2)

    def test_not_validated(self) -> None:
        """Whoever has not proved its secret may send nothing else."""
        stranger = dial(self.port, "stranger1", "c")
        self.addCleanup(stranger.close)
        stranger.expect("linked")
        uuid = stranger.send("evt", {"topic": "a", "event": "X"})
        self.assertEqual(self.error(stranger.expect("evt")), ("NOT_VALIDATED", uuid))
        self.nobody_noticed(self.one, self.other, self.member)

    def test_a_refused_secret_of_a_connector(self) -> None:
        """The reply is forwarded, then bye and the end; the others stay."""
        stranger = dial(self.port, "stranger1", "c")
        self.addCleanup(stranger.close)
        stranger.expect("linked")
        stranger.send("secret", {"command": "VALIDATION", "context": {}})
        reply(self.member, self.member.expect("secret"), "false", {"reason": "unknown secret"})
        answer = stranger.expect("secret")
        self.assertEqual((answer.body["payload"], answer.body["context"]), ("false", {"reason": "unknown secret"}))
        self.assertEqual(stranger.expect("bye").body["message"], "unknown secret")
        self.assertTrue(stranger.ended())
        self.nobody_noticed(self.one, self.other, self.member)

    def _refused(self, data: bytes, code: str) -> None:
        event = self.one.send("evt", {"topic": "before", "event": "X"})
        self.one.sock.sendall(data)
        self.assertEqual(self.one.expect("refused").body["code"], code)
        self.assertTrue(self.one.ended())
        self.assertEqual(self.member.expect("evt").uuid, event)
        self.assertEqual(self.other.expect("evt").uuid, event)
        self.nobody_noticed(self.other, self.member)

    def test_a_malformed_frame(self) -> None:
        """One refused frame, then the end; what came before is not lost."""
        self._refused(struct.pack(">I", 3) + b"\xc1\xc1\xc1", "MALFORMED")

    def test_a_frame_of_2_gib_announced(self) -> None:
        """Refused from its length alone."""
        self._refused(struct.pack(">I", 2 << 30) + b"x" * 1000, "TOO_LARGE")

    def test_an_event_counts_when_the_cluster_has_it(self) -> None:
        """The aggregator acknowledges it when a member has, not before."""
        taken = self.one.expect("ack").body["received"]
        self.one.send("evt", {"topic": "a", "event": "X"})
        self.member.expect("evt")
        self.assertTrue(self.one.nothing("ack"))
        self.member.ack()
        self.assertEqual(self.one.expect("ack").body["received"], taken + 1)

    def test_a_broken_session_is_resumed(self) -> None:
        """What was not acknowledged comes again, in order; the session keeps its validation."""
        instance, session = b"i" * 16, b"s" * 16
        peer = self.connector("resumer1", instance=instance, session=session)
        peer.ack()
        sent = [self.member.send("evt", {"topic": "t", "event": str(number)}) for number in range(3)]
        self.assertEqual([peer.expect("evt").uuid for _ in range(3)], sent)
        peer.ack(2)
        peer.send("ping", {})
        peer.expect("pong")
        peer.close()
        late = self.member.send("evt", {"topic": "t", "event": "late"})
        again = dial(self.port, "resumer1", "c", instance=instance, session=session, received=2)
        self.addCleanup(again.close)
        self.assertEqual(again.expect("linked").body["received"], 1)
        self.assertEqual([again.expect("evt").uuid for _ in range(3)], [*sent[1:], late])
        again.send("heartbeat", {"event": "HEARTBEAT", "context": {}})
        self.assertEqual(self.member.expect("heartbeat").body["event"], "HEARTBEAT")
        thief = dial(self.port, "resumer1", "c", instance=b"o" * 16, session=session)
        self.addCleanup(thief.close)
        self.assertEqual(thief.expect("linked", "refused").kind, "refused")


class StartAndEndTests(AggregatorCase):
    """Starting and ending as supervisord sees it (protocol.md 8)."""

    def test_it_starts_quickly_and_shows_each_step(self) -> None:
        """The status is there from the first step on; readiness follows the last."""
        program = self.program().start()
        member, said = self.listener.accept()
        self.addCleanup(member.close)
        self.assertEqual((said.body["type"], said.tenant), ("a", "tenant1"))
        secret = member.expect("secret")
        starting = self.assertRaises(RestError, RestClient(f"127.0.0.1:{self.api}").get, "/readyz", open=True)
        self.assertEqual(starting.status, 503)
        self.assertEqual([step["state"] for step in starting.body["startup"][:3]], ["done", "running", "waiting"])
        reply(member, secret, "true")
        self.configure(member)
        until(lambda: get_json(self.api, "/readyz"), "ready", log=lambda: program.log)
        self.assertNotIn("0123456789abcdef0123", program.log)

    def test_a_refused_secret_ends_it(self) -> None:
        """It says so and exits with a non-zero status."""
        program = self.program().start()
        member, _ = self.listener.accept()
        self.addCleanup(member.close)
        reply(member, member.expect("secret"), "false", {"reason": "revoked on Monday"})
        self.assertNotEqual(program.wait(), 0)
        self.assertIn("revoked on Monday", program.log)
        self.assertNotIn("Traceback", program.log)

    def test_a_taken_address_ends_it_and_names_the_key(self) -> None:
        """Both addresses are bound in the first step."""
        for key, port in (("aggregator.listen", "port"), ("api.listen", "api")):
            setattr(self, port, self.listener.port)
            program = self.program().start()
            self.assertNotEqual(program.wait(), 0)
            self.assertIn(key, program.log)
            self.assertNotIn("Traceback", program.log)
            setattr(self, port, free_port())

    def test_a_bad_configuration_ends_it_and_names_every_key(self) -> None:
        """All errors at once, each with its key."""
        program = self.program('nonsense = 1\n[log]\nlevel = "loud"').start()
        self.assertNotEqual(program.wait(), 0)
        for part in ("aggregator.nonsense", "log.level", "loud"):
            self.assertIn(part, program.log)
        self.assertNotIn("Traceback", program.log)

    def _end(self, between: Callable[[Peer], None]) -> str:
        program = self.start()
        peer = self.connector("one1")
        between(peer)
        self.assertEqual(program.wait(), 0)
        self.assertNotIn("Traceback", program.log)
        return program.log

    def test_sigterm_finishes_what_is_pending(self) -> None:
        """Bye at once, new links refused, a command on its way is answered, then status 0."""

        def between(peer: Peer) -> None:
            uuid = peer.send("cmd", {"command": "A", "source": "one1"}, timeout=2000)
            asked = self.member.expect("cmd")
            assert self.running.process is not None
            self.running.signal(signal.SIGTERM)
            self.assertEqual(peer.expect("bye").body["reason"], "DRAINING")
            late = dial(self.port, "late1", "c")
            self.addCleanup(late.close)
            self.assertEqual(late.expect("refused").body["code"], "DRAINING")
            self.member.send("evt", {"topic": "A", "event": "TAKEN"}, reference=asked.uuid, target="one1")
            self.assertEqual(peer.expect("evt").reference, uuid)
            self.member.ack()

        log = self._end(between)
        self.assertIn("1 of 1 pending commands", log)

    def test_sigterm_gives_up_when_the_time_is_over(self) -> None:
        """A command that nobody answers does not hold it up beyond its own timeout."""

        def between(peer: Peer) -> None:
            peer.send("cmd", {"command": "A", "source": "one1"}, timeout=300)
            self.member.expect("cmd")
            self.running.signal(signal.SIGTERM)
            self.assertEqual(self.error(peer.expect("evt"))[0], "TIMEOUT")

        self._end(between)

    def start(self, extra: str = "") -> Program:
        """Keeps the program at hand for signals."""
        self.running = super().start(extra)
        return self.running

    def test_the_cluster_comes_and_goes(self) -> None:
        """While it is away events are kept and their connector is not read; then all arrive, in order."""
        self.start()
        peer = self.connector("one1")
        api = self.log_in()
        self.member.close()
        until(lambda: not api.get("/api/v1/status")["cluster"][0]["linked"], "link down")
        uuid = peer.send("cmd", {"command": "A", "source": "one1"})
        self.assertEqual(self.error(peer.expect("evt")), ("NO_ROUTE", uuid))
        events = [peer.send("evt", {"topic": "t", "event": str(number)}) for number in range(5)]
        member, said = self.listener.accept(received=0)
        self.addCleanup(member.close)
        self.assertGreaterEqual(said.body["received"], 4)
        if member.nothing("evt", during=0.05):
            reply(member, member.expect("secret"), "true")
        self.assertEqual([member.expect("evt").uuid for _ in range(5)], events)
