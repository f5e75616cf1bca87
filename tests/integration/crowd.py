"""Many peers in a process of their own, written from protocol.md alone; told what to do by arguments.

    python -m tests.integration.crowd member DSN                        a cluster member, which answers every command
    python -m tests.integration.crowd senders PORT COUNT RATE SECONDS WAIT   connectors that send commands
    python -m tests.integration.crowd storm PORT COUNT                  connectors that all dial at once, when told

Each prints one line of JSON for what it has seen.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgpack

from tests.integration.peer import frame, hello

CONTROL = {"link", "linked", "refused", "brothers", "bye", "ack", "ping", "pong"}


class Peer(asyncio.Protocol):
    """One end of a connection: cuts frames, acknowledges what a chunk brought, answers pings."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = b""
        self.received = 0
        """Routed frames of the session."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing is held back."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begin()

    def begin(self) -> None:
        """The connection is there."""

    def got(self, kind: str, uuid: bytes, reference: bytes | None, values: list[Any]) -> bytes:
        """A frame came; returns what is to be sent."""
        return b""

    def data_received(self, data: bytes) -> None:
        """Whole frames are worked on; one write for all of them."""
        buffer = self._buffer + data
        position, before, out = 0, self.received, []
        while len(buffer) - position >= 4:
            end = position + 4 + struct.unpack_from(">I", buffer, position)[0]
            if end > len(buffer):
                break
            values = msgpack.unpackb(buffer[position + 4 : end])
            position = end
            if values[0] == "ping":
                out.append(frame("pong", {}))
            self.received += values[0] not in CONTROL
            out.append(self.got(values[0], values[1], values[4], values))
        self._buffer = buffer[position:]
        if self.received != before:
            out.append(frame("ack", {"received": self.received}))
        self.transport.write(b"".join(out))


class Member(Peer):
    """Accepts every secret, leads an aggregator to readiness, and answers each command with a receipt."""

    instance = os.urandom(16)

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._database = json.dumps({"tenant": "tenant1", "dsn": dsn})

    def got(self, kind: str, uuid: bytes, reference: bytes | None, values: list[Any]) -> bytes:
        """By its kind."""
        if kind == "link":
            said: dict[str, Any] = {"type": "cl", "instance": self.instance, "max_frame": 8 << 20, "brothers": []}
            return frame("linked", {**hello("cluster", "cl"), **said}, tenant="gandalf")
        if kind == "cmd":
            body = {"topic": "A", "event": "TAKEN"}
            return frame("evt", body, target=msgpack.unpackb(values[7])["source"], reference=uuid)
        if reference is None and kind in ("secret", "configuration", "logicalConfiguration", "configurationDatabase"):
            answers: dict[str, str] = {"secret": "true", "configurationDatabase": self._database}
            command = msgpack.unpackb(values[7])["command"] + "_REPLY"
            reply = {"command": command, "payload": answers.get(kind, "{}"), "context": {}}
            return frame(kind, reply, target=values[3], reference=uuid)
        return b""


class Connector(Peer):
    """Links and proves its secret; then calls `ready`, and `answered` with each event that answers something."""

    def __init__(self, name: str, identity: dict[str, Any], ready: Callable[[Connector], None]) -> None:
        super().__init__()
        self.name = name
        self.identity = identity
        self.received = identity["received"]
        self._ready = ready
        self.refusals: list[dict[str, Any]] = []
        self.answered: Callable[[bytes, dict[str, Any]], None] = lambda reference, body: None

    def begin(self) -> None:
        """Say `link`, and the secret with it."""
        secret = {"command": "VALIDATION", "context": {"logical_name": self.name, "secret": "s"}}
        self.transport.write(frame("link", self.identity))
        self.transport.write(frame("secret", secret))

    def got(self, kind: str, uuid: bytes, reference: bytes | None, values: list[Any]) -> bytes:
        """By its kind."""
        self.identity["received"] = self.received
        if kind == "refused":
            self.refusals.append(msgpack.unpackb(values[7]))
        if kind == "secret":
            self._ready(self)
        elif kind == "evt" and reference is not None:
            self.answered(reference, msgpack.unpackb(values[7]))
        return b""


def command(name: str) -> tuple[bytes, bytes]:
    """The uuid and the bytes of a command of 100 bytes of payload."""
    uuid = os.urandom(16)
    return uuid, frame("cmd", {"command": "A", "source": name, "payload": "x" * 100}, uuid=uuid)


def percentiles(times: list[float]) -> dict[str, float]:
    """In ms."""
    ordered = sorted(times) or [0.0]
    return {
        name: round(ordered[min(int(len(ordered) * part), len(ordered) - 1)] * 1000, 2)
        for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
    }


async def until(condition: Callable[[], bool], within: float = 60.0) -> None:
    """Wait for something, but not for ever: what is told shows it then."""
    deadline = time.perf_counter() + within
    while not condition() and time.perf_counter() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def tell(**what: Any) -> None:
    """One line for whoever started us."""
    print(json.dumps(what), flush=True)


async def member(dsn: str) -> None:
    """Listen until we are ended."""
    server = await asyncio.get_running_loop().create_server(lambda: Member(dsn), "127.0.0.1", 0, backlog=1024)
    tell(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def senders(port: int, count: int, rate: float, seconds: float, wait: float) -> None:
    """`count` connectors, each of which sends `rate` commands a second; the time to each answer.

    For answers that are late they wait `wait` seconds more.
    """
    loop = asyncio.get_running_loop()
    sent: dict[bytes, float] = {}
    times: list[float] = []
    answers: Counter[str] = Counter()
    ready: list[Connector] = []

    def answered(reference: bytes, body: dict[str, Any]) -> None:
        began = sent.pop(reference, None)
        if began is not None:
            answers[body["event"]] += 1
            if body["event"] == "TAKEN":
                times.append(time.perf_counter() - began)

    for number in range(count):
        name = f"sender{os.getpid()}-{number}"
        connector = Connector(name, hello(name, "c"), ready.append)
        connector.answered = answered
        await loop.create_connection(lambda connector=connector: connector, "127.0.0.1", port)  # type: ignore[misc]
    await until(lambda: len(ready) == count)
    tell(ready=count)
    total = began = time.perf_counter()
    done = 0
    while (now := time.perf_counter()) < began + seconds:
        due = int((now - began) * rate * count)
        while done < due:
            connector = ready[done % count]
            done += 1
            if connector.transport.get_write_buffer_size() > 1 << 20:
                answers["not sent"] += 1
                continue
            uuid, raw = command(connector.name)
            sent[uuid] = time.perf_counter()
            connector.transport.write(raw)
        await asyncio.sleep(max(began + (done + 1) / (rate * count) - time.perf_counter(), 0.0005))
    total = time.perf_counter() - total
    await until(lambda: not sent, wait)
    tell(sent=done, seconds=round(total, 2), answers=dict(answers), unanswered=len(sent), **percentiles(times))


async def storm(port: int, count: int) -> None:
    """At each line of input all connections are cut, and all dial at once; until they are validated."""
    loop = asyncio.get_running_loop()
    identities = [hello(f"storm{number}", "c") for number in range(count)]
    up: list[Connector] = []
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        for connector in up:
            connector.transport.abort()
        up.clear()
        began = time.perf_counter()
        validated: list[float] = []
        retries = 0

        def ready(connector: Connector, validated: list[float] = validated, began: float = began) -> None:
            validated.append(time.perf_counter() - began)
            up.append(connector)

        async def dial(identity: dict[str, Any], ready: Callable[[Connector], None] = ready) -> Connector:
            nonlocal retries
            while True:
                connector = Connector(identity["logical_name"], identity, ready)
                try:
                    await loop.create_connection(lambda connector=connector: connector, "127.0.0.1", port)  # type: ignore[misc]
                except OSError:
                    retries += 1
                    await asyncio.sleep(0.05)
                else:
                    return connector

        dialled = await asyncio.gather(*map(dial, identities))
        await until(lambda validated=validated: len(validated) == count)  # type: ignore[misc]
        refusals = Counter(f"{each['code']}: {each['message']}" for one in dialled for each in one.refusals)
        tell(
            validated=len(validated),
            retries=retries,
            refusals=dict(refusals.most_common(3)),
            **percentiles(validated),
        )


def main(arguments: list[str]) -> None:
    """Do as told."""
    role, *numbers = arguments
    if role == "member":
        asyncio.run(member(*numbers))
    elif role == "senders":
        port, count, rate, seconds, wait = numbers
        asyncio.run(senders(int(port), int(count), float(rate), float(seconds), float(wait)))
    else:
        port, count = numbers
        asyncio.run(storm(int(port), int(count)))


if __name__ == "__main__":
    main(sys.argv[1:])
