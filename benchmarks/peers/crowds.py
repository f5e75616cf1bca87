"""What each of thousands of connections says: connectors of Gandalf's, subscribers of NATS's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import msgpack

from benchmarks.load.crowd import Refused
from benchmarks.load.inbound import Inbound
from benchmarks.load.shape import Answer, Shape, Template
from benchmarks.peers.gandalf import CONTROL, PONG, GandalfInbound, acknowledgement
from tests.integration.peer import frame, hello


def name_of(number: int) -> str:
    """Of a connector; all have one length."""
    return f"c{number:05}"


class Connectors:
    """Connectors that link, and send their secret.

    :param heartbeat: ms, as they announce it.
    :param topics: what each names in its link; None: all.
    """

    def __init__(self, count: int, heartbeat: int, topics: Sequence[Sequence[str]] | None = None) -> None:
        self._heartbeat = heartbeat
        self._topics = topics
        self._instances = [os.urandom(16) for _ in range(count)]
        self._sessions = [os.urandom(16) for _ in range(count)]
        self._received = [0] * count
        self._counted_with = b""
        self.outgoing: Template | None = None
        """A message of connection 0, with its name at :attr:`name_at`."""
        self.name_at = 0
        self.answer: Shape | None = None
        """What it is answered with."""

    def hello(self, number: int, new: bool) -> bytes:
        if new:
            self._sessions[number] = os.urandom(16)
            self._received[number] = 0
        more: dict[str, Any] = {} if self._topics is None else {"topics": list(self._topics[number])}
        if not new:
            more["counted_with"] = self._counted_with
        body = hello(
            name_of(number),
            "c",
            instance=self._instances[number],
            session=self._sessions[number],
            received=self._received[number],
            heartbeat=self._heartbeat,
            **more,
        )
        return frame("link", body)

    def greet(self, number: int, data: bytearray) -> tuple[bytes, bool]:
        out, ready = b"", False
        for values in _frames(data):
            kind = values[0]
            if kind in ("refused", "bye"):
                raise Refused(kind)
            if kind == "linked":
                body = msgpack.unpackb(values[7])
                self._counted_with = body["instance"]
                if body.get("resumed"):
                    ready = True
                else:
                    context = {"logical_name": name_of(number), "secret": "s"}
                    out += frame("secret", {"command": "VALIDATION", "context": context})
            elif kind == "secret":
                self._received[number] += 1
                ready = True
            elif kind == "ping":
                out += PONG
        return out, ready

    def idle(self, number: int, data: bytearray) -> bytes:
        out = b""
        for values in _frames(data):
            if values[0] == "ping":
                out += PONG
            elif values[0] not in CONTROL:
                self._received[number] += 1
        return out

    def acknowledge(self, number: int, count: int) -> bytes:
        return acknowledgement(self._received[number] + count)

    def add(self, number: int, count: int) -> None:
        self._received[number] += count

    def received(self, number: int) -> int:
        return self._received[number]

    def answers(self) -> Inbound:
        return GandalfInbound(self.answer)

    def batch(self, number: int, count: int) -> memoryview:
        assert self.outgoing is not None
        made, length, size = self.outgoing.many(count), count * self.outgoing.size, self.outgoing.size
        for column, value in enumerate(name_of(number).encode()):
            self.outgoing.buffer[self.name_at + column : length : size] = bytes((value,)) * count
        return made


def _frames(data: bytearray) -> list[list[Any]]:
    found = []
    while len(data) >= 4:
        end = 4 + int.from_bytes(data[:4], "big")
        if len(data) < end:
            break
        found.append(msgpack.unpackb(bytes(data[4:end])))
        del data[:end]
    return found


class Plain:
    """Connections that say nothing."""

    def hello(self, number: int, new: bool) -> bytes:
        return b"hello"

    def greet(self, number: int, data: bytearray) -> tuple[bytes, bool]:
        data.clear()
        return b"", True

    def idle(self, number: int, data: bytearray) -> bytes:
        data.clear()
        return b""

    def acknowledge(self, number: int, count: int) -> bytes:
        return b""

    def add(self, number: int, count: int) -> None:
        pass

    def batch(self, number: int, count: int) -> bytes:
        return b""

    def received(self, number: int) -> int:
        return 0

    def answers(self) -> Inbound:
        raise NotImplementedError


class Subscribers(Plain):
    """Subscribers of one subject; beyond that they say nothing."""

    def __init__(self, subject: str) -> None:
        self._said = b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB ' + subject.encode() + b" 1\r\nPING\r\n"

    def hello(self, number: int, new: bool) -> bytes:
        return self._said

    def greet(self, number: int, data: bytearray) -> tuple[bytes, bool]:
        ready = b"PONG\r\n" in data
        if ready:
            data.clear()
        return b"", ready

    def idle(self, number: int, data: bytearray) -> bytes:
        said = b"PONG\r\n" * data.count(b"PING\r\n")
        data.clear()
        return said


class MemberInbound(GandalfInbound):
    """A cluster member that accepts every secret."""

    def __init__(self, shape: Shape | None = None, answer: Answer | None = None) -> None:
        super().__init__(shape, answer)

    def other(self, frame: bytes, out: bytearray) -> None:
        super().other(frame, out)
        values = msgpack.unpackb(frame[4:])
        if values[0] == "secret" and values[4] is None:
            out += accepted(values)


def accepted(values: list[Any]) -> bytes:
    """The answer to a `VALIDATION`."""
    body = {"command": "VALIDATION_REPLY", "payload": "true", "context": {}}
    return frame("secret", body, tenant=values[2], target=values[3], reference=values[1])


def inbound_of(end_inbound: Inbound) -> MemberInbound:
    """A member's connection goes on as one that accepts secrets."""
    member = MemberInbound()
    member.routed = end_inbound.routed
    member.hold(bytes(end_inbound.buffer[: end_inbound.held]))
    return member
