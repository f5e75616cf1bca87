"""The whole path: connectors, an aggregator and a member with its trace; or leaf nodes and a hub that records."""

from __future__ import annotations

import json
from typing import Any, Protocol

from sqlalchemy import text

from benchmarks.load.lane import End, RoundTrip
from benchmarks.load.shape import Answer, Field, Shape
from benchmarks.peers.gandalf import HEARTBEAT, PREFIX, RawPeer, command, receipt, stamped
from benchmarks.peers.nats import Client, Nats
from tests.integration import postgres
from tests.integration.deployment import Deployment
from tests.integration.peer import dial
from tests.integration.programs import until

STREAM = "bench"


class Recorded(Protocol):
    """A round trip whose messages are recorded."""

    name: str
    note: str

    def lane(self, payload: int) -> RoundTrip:
        """Ready to be loaded."""

    def recorded(self) -> int:
        """How many messages are on record."""

    def close(self) -> None:
        """End everything."""


class GandalfPath:
    """A connector's commands, resolved by a real member and answered by another connector of the same aggregator."""

    name = "gandalf"
    note = "acknowledged, duplicates dropped, tenant rule, resolved by pivot, trace in PostgreSQL without fsync"

    def __init__(self) -> None:
        self._network = Deployment(members=1, aggregators=1)
        self._programs = [self._network.member(0), self._network.aggregator(0)]
        self._ends: list[tuple[RawPeer, End]] = []
        try:
            for program in self._programs:
                program.start()
            until(lambda: self._network.ready(0), "ready", timeout=60, log=lambda: self._programs[1].log)
            self._sender, self._worker = self._connector("bench1"), self._connector("bench2")
            self._heartbeat()
        except BaseException:
            self.close()
            raise

    def _connector(self, name: str) -> RawPeer:
        tenant, port = self._network.tenant, self._network.aggregator_ports[0]
        peer = RawPeer(dial(port, name, "c", tenant=tenant, heartbeat=HEARTBEAT).sock)
        peer.expect("linked")
        context = {
            "logical_name": name,
            "component_type": "connector",
            "bind_address": "",
            "secret": self._network.secret("connector", name),
            "instance": "",
        }
        peer.send("secret", {"command": "VALIDATION", "context": context}, tenant=tenant)
        answer = peer.expect("secret")
        if answer.body["payload"] != "true":
            raise RuntimeError(f"the secret of {name} is refused: {answer.body}")
        return peer

    def _heartbeat(self) -> None:
        """Says which pivot the worker speaks."""
        context = {
            "component_type": "connector",
            "logical_name": "bench2",
            "bind_address": "",
            "connector_type": "vcs",
            "product": "bench",
            "versions": [{"major": 1, "minor": 0}],
        }
        self._worker.send("heartbeat", {"event": "HEARTBEAT", "context": context}, tenant=self._network.tenant)

    def lane(self, payload: int) -> RoundTrip:
        tenant = self._network.tenant
        asked = command(payload, "bench1", tenant=tenant)
        # A command that is resolved gets its target into the envelope.
        came = command(payload, "bench1", tenant=tenant, target="bench2")
        answered = receipt("bench1", payload, tenant=tenant)
        for peer, end in self._ends:
            peer.go_on(end.inbound)
        until(self._answers, "a command that is answered", log=lambda: self._programs[0].log[-3000:])
        answer = Answer(stamped(answered), (Field(PREFIX, answered.index(b"\xfe" * 16), 16),))
        driver = self._sender.end(Shape.of(answered, PREFIX))
        responder = self._worker.end(Shape.of(came, PREFIX), answer)
        self._ends = [(self._sender, driver), (self._worker, responder)]
        return RoundTrip(self.name, driver, stamped(asked), responder, self.pids)

    def _answers(self) -> bool:
        """Whether a first command makes its way."""
        tenant = self._network.tenant
        context = {"connector_type": "vcs"}
        uuid = self._sender.send("cmd", {"command": "FIRST", "source": "bench1", "context": context}, tenant=tenant)
        try:
            got = self._worker.expect("cmd", timeout=2)
        except TimeoutError:
            return False
        body = {"topic": "FIRST", "event": "TAKEN"}
        self._worker.send("evt", body, tenant=tenant, reference=got.uuid, target="bench1")
        while self._sender.expect("evt").reference != uuid:
            pass
        return True

    def recorded(self) -> int:
        with postgres.transaction(self._network.tenant_dsn()) as connection:
            return int(connection.execute(text("SELECT count(*) FROM trace")).scalar_one())

    def pids(self) -> list[int]:
        """Of aggregator and member; what PostgreSQL uses is not counted."""
        return [program.process.pid for program in self._programs if program.process is not None]

    def close(self) -> None:
        for program in reversed(self._programs):
            program.end()


class NatsPath(Nats):
    """Requests at one leaf, answered at another; a stream of the hub records both, in files."""

    def __init__(self) -> None:
        super().__init__(leaves=2, jetstream=True)
        self.note = "3 servers; JetStream records in files without fsync; requests themselves at most once"
        self._admin = Client(self.hub_port)
        self._ask(
            "STREAM.CREATE",
            {
                "name": STREAM,
                "subjects": ["work.>", "_INBOX.d100.>", "_INBOX.d1024.>", "_INBOX.d16384.>"],
                "storage": "file",
                "retention": "limits",
                "discard": "old",
                "num_replicas": 1,
                # Else the stream's acknowledgement would be taken for the answer.
                "no_ack": True,
            },
        )

    def _ask(self, what: str, body: object) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(
            self._admin.request(f"$JS.API.{what}.{STREAM}", json.dumps(body).encode() if body else b"")
        )
        if "error" in answer:
            raise RuntimeError(f"JetStream says {answer['error']}")
        return answer

    def lane(self, payload: int) -> RoundTrip:
        return self.round_trip(payload)

    def recorded(self) -> int:
        return int(self._ask("STREAM.INFO", None)["state"]["messages"])


class NatsPlainPath(Nats):
    """The same without a stream: what recording costs."""

    def __init__(self) -> None:
        super().__init__(leaves=2)

    def lane(self, payload: int) -> RoundTrip:
        """Ready to be loaded."""
        return self.round_trip(payload)

    def recorded(self) -> int:
        """Nothing."""
        return 0
