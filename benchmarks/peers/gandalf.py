"""An aggregator as operators run it, between connectors and a cluster member made of raw sockets."""

from __future__ import annotations

import json
import struct
from typing import Any, Final

import msgpack

from benchmarks.load.inbound import Inbound
from benchmarks.load.lane import End, OneWay, RoundTrip
from benchmarks.load.shape import Answer, Field, Shape, Stamp, Template, random_ids
from tests.integration.peer import Listener, Peer, dial, frame, reply
from tests.integration.ports import free_port
from tests.integration.postgres import create_database
from tests.integration.programs import Program, get_json, until

NAME: Final = "gandalf"
_UUID: Final = b"\xfd" * 16
_OTHER: Final = b"\xfe" * 16
PREFIX: Final = 11
"""Bytes of a frame before its uuid: length, list header, kind of three letters, header of the uuid."""
HEARTBEAT: Final = 600_000
HIGH_WATER: Final = 64 << 20
"""Bytes, as much as NATS lets wait for a client; 20,000 commands must find room."""
_ACK: Final = frame("ack", {"received": 2**32}, uuid=_UUID)
CONTROL: Final = ("link", "linked", "refused", "brothers", "bye", "ack", "ping", "pong")
PONG: Final = frame("pong", {})


def acknowledgement(received: int) -> bytes:
    """The frame `ack`, quickly made."""
    return _ACK[:-8] + struct.pack(">Q", received)


class GandalfInbound(Inbound):
    """Frames of protocol.md 2."""

    def length(self, data: bytearray, position: int, end: int) -> int:
        if end - position < 4:
            return 0
        return 4 + int.from_bytes(data[position : position + 4], "big")

    def other(self, frame: bytes, out: bytearray) -> None:
        kind, *_, packed = msgpack.unpackb(frame[4:])
        if kind not in CONTROL:
            self.routed += 1
            if kind == "evt" and (body := msgpack.unpackb(packed)).get("topic") == "error":
                raise RuntimeError(f"an error event: {body}")
        elif kind == "ping":
            out += PONG
        elif kind in ("refused", "bye"):
            raise ConnectionError(f"the aggregator says {frame!r}")

    def acknowledge(self, out: bytearray) -> None:
        out += acknowledgement(self.routed)


def event(payload: int, topic: str = "bench.mark") -> bytes:
    """An event; its uuid is to be stamped."""
    return frame("evt", {"topic": topic, "event": "DONE", "payload": bytes(payload)}, uuid=_UUID)


def command(payload: int, source: str, **envelope: Any) -> bytes:
    """A command; its uuid is to be stamped."""
    body = {"command": "WORK", "source": source, "context": {"connector_type": "vcs"}, "payload": bytes(payload)}
    return frame("cmd", body, uuid=_UUID, **envelope)


def receipt(target: str, payload: int, **envelope: Any) -> bytes:
    """The event that answers a command; its uuid and its reference are to be stamped."""
    body = {"topic": "WORK", "event": "TAKEN", "payload": bytes(payload)}
    return frame("evt", body, uuid=_UUID, reference=_OTHER, target=target, **envelope)


def stamped(message: bytes) -> Template:
    """A template of `message`."""
    return Template(message, (Stamp(message.index(_UUID), 16, random_ids(16)),))


def answer_to(asked: bytes, answered: bytes, source: str) -> Answer:
    """An answer that refers to what was asked, and is for whoever asked: names of one length, like `source`."""
    name = source.encode()
    fields = (
        Field(PREFIX, answered.index(_OTHER), 16),
        Field(asked.index(name), answered.index(name), len(name)),
    )
    return Answer(stamped(answered), fields)


def answering(aggregator: Aggregator, asked: bytes, answered: bytes, source: str) -> RoundTrip:
    """A lane whose responder is the member, and without a driver."""
    end = aggregator.member.end(Shape.of(asked, PREFIX), answer_to(asked, answered, source))
    return RoundTrip(NAME, end, stamped(asked), end, lambda: aggregator.pids)


class RawPeer(Peer):
    """A peer whose connection is handed on to a load generator."""

    def end(self, shape: Shape | None = None, answer: Answer | None = None) -> End:
        """The connection, with all that was read and counted so far."""
        inbound = GandalfInbound(shape, answer)
        inbound.routed = inbound.acknowledged = self.received
        inbound.hold(self._buffer)
        return End(self.sock, inbound)

    def go_on(self, inbound: Inbound) -> None:
        """Be driven by hand again, after a load generator had the connection."""
        if inbound.held:
            raise RuntimeError(f"{inbound.held} bytes are left over")
        self.received, self._buffer = inbound.routed, b""


class Aggregator:
    """A `twistd gandalf-aggregator` that is ready, on a PostgreSQL; its cluster is one raw member.

    :param extra: more of its [limits].
    :param max_timeout: ms.
    :param heartbeat: ms; long enough by default that nothing but the load is sent.
    """

    def __init__(self, extra: str = "", max_timeout: int = 10_000, heartbeat: int = HEARTBEAT) -> None:
        self.listener = Listener()
        self.port, self.api = free_port(), free_port()
        self.program = Program(
            "gandalf-aggregator",
            f"""
            [aggregator]
            logical_name = "aggregator1"
            tenant = "tenant1"
            listen = "127.0.0.1:{self.port}"
            cluster = ["127.0.0.1:{self.listener.port}"]
            secret = "0123456789abcdef0123"
            max_timeout = {max_timeout}
            [api]
            listen = "127.0.0.1:{self.api}"
            [limits]
            heartbeat = {heartbeat}
            high_water = {HIGH_WATER}
            {extra}
            """,
        )
        self.dsn = create_database()
        try:
            self.program.start()
            self.member = self._accept(heartbeat)
            until(lambda: get_json(self.api, "/readyz"), "ready", log=lambda: self.program.log)
        except BaseException:
            self.close()
            raise

    def _accept(self, heartbeat: int) -> RawPeer:
        accepted, _ = self.listener.accept(heartbeat=heartbeat)
        member = RawPeer(accepted.sock)
        reply(member, member.expect("secret"), "true")
        reply(member, member.expect("configuration"), "{}")
        reply(member, member.expect("logicalConfiguration"), "{}")
        told = json.dumps({"tenant": "tenant1", "dsn": self.dsn})
        reply(member, member.expect("configurationDatabase"), told)
        return member

    @property
    def pids(self) -> list[int]:
        """Of its process."""
        assert self.program.process is not None
        return [self.program.process.pid]

    def connector(self, name: str, **more: Any) -> RawPeer:
        """A connector that is linked and validated."""
        peer = RawPeer(dial(self.port, name, "c", heartbeat=HEARTBEAT, **more).sock)
        said = peer.expect("linked", "refused")
        if said.kind == "refused":
            raise RuntimeError(f"refused: {said.body}")
        peer.send("secret", {"command": "VALIDATION", "context": {"logical_name": name, "secret": "s"}})
        reply(self.member, self.member.expect("secret"), "true")
        peer.expect("secret")
        return peer

    def close(self) -> None:
        """End everything."""
        self.program.end()
        self.listener.close()


class Gandalf:
    """The lanes through one aggregator."""

    name = NAME
    note = "acknowledged, sent again after a break, duplicates dropped, tenant rule, replies tracked"

    def __init__(self, aggregator: Aggregator | None = None) -> None:
        self.aggregator = aggregator or Aggregator()
        self._one = self.aggregator.connector("bench1").end()
        self._two: End | None = None
        """For commands only: it would receive the events of the other."""
        self._member: End | None = None

    def one_way(self, payload: int) -> OneWay:
        """A connector's events to the member."""
        message = event(payload)
        if self._member is None:
            self._member = self.aggregator.member.end()
        member = self._member
        member.inbound.shape, member.inbound.answer = Shape.of(message, PREFIX, PREFIX), None
        return OneWay(self.name, self._one, stamped(message), member, lambda: self.aggregator.pids)

    def round_trip(self, payload: int) -> RoundTrip:
        """A connector's commands, which the member answers with a receipt."""
        asked, answered = command(payload, "bench1"), receipt("bench1", payload)
        if self._two is None:
            if self._member is not None:
                self.aggregator.member.go_on(self._member.inbound)
            self._two = self.aggregator.connector("bench2").end()
            self._member = self.aggregator.member.end()
        member = self._member
        assert member is not None
        member.inbound.shape = Shape.of(asked, PREFIX)
        member.inbound.answer = answer_to(asked, answered, "bench1")
        for end in (self._one, self._two):
            end.inbound.shape = Shape.of(answered, PREFIX)
        return RoundTrip(
            self.name,
            self._one,
            stamped(asked),
            member,
            lambda: self.aggregator.pids,
            self._two,
            stamped(command(payload, "bench2")),
        )

    def close(self) -> None:
        """End everything."""
        self.aggregator.close()
