"""Crossbar.io: one node; WAMP with MessagePack over RawSocket."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
from pathlib import Path
from typing import Any, Final

import msgpack

from benchmarks.load.inbound import Inbound
from benchmarks.load.lane import End, OneWay, RoundTrip
from benchmarks.load.shape import Stamp, Template, random_ids
from benchmarks.peers.process import Absent, Servers
from tests.integration.ports import free_port

_ID: Final = b"\xfd" * 16
_REQUEST: Final = 0xFEFEFEFEFEFE
_HELLO, _SUBSCRIBE, _PUBLISH, _EVENT = 1, 32, 16, 36
_CALL, _RESULT, _REGISTER, _INVOCATION, _YIELD = 48, 50, 64, 68, 70
_ERRORS: Final = (3, 6, 8)
"""ABORT, GOODBYE, ERROR."""


def message(*values: object) -> bytes:
    """A message with its length."""
    packed: bytes = msgpack.packb(values)
    return struct.pack(">I", len(packed)) + packed


def prepared(*values: object) -> Template:
    """A message whose payload's identifier and whose request's number are stamped."""
    made = message(*values)
    number = struct.pack(">Q", _REQUEST)
    stamps = (Stamp(made.index(_ID), 16, random_ids(16)), Stamp(made.index(number) + 2, 6, random_ids(6)))
    return Template(made, stamps)


class WampInbound(Inbound):
    """Messages, each decoded: they vary in length, and the router is slower than that."""

    def __init__(self, counted: int) -> None:
        super().__init__(None)
        self._counted = counted

    def length(self, data: bytearray, position: int, end: int) -> int:
        return 4 + int.from_bytes(data[position + 1 : position + 4], "big") if end - position >= 4 else 0

    def other(self, frame: bytes, out: bytearray) -> None:
        values = msgpack.unpackb(frame[4:])
        if values[0] == self._counted:
            self.count += 1
            if self.verify:
                self.checksum += int.from_bytes(values[-1][0][:16], "little")
            if values[0] == _INVOCATION:
                out += message(_YIELD, values[1], {}, values[-1])
        elif values[0] in _ERRORS:
            raise ConnectionError(f"Crossbar.io says {values}")


class Client:
    """A session."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.settimeout(10)
        self.sock.sendall(b"\x7f\xf2\x00\x00")
        self._exactly(4)
        roles: dict[str, object] = {"publisher": {}, "subscriber": {}, "caller": {}, "callee": {}}
        self.ask(_HELLO, "realm1", {"roles": roles})

    def ask(self, *values: object) -> Any:
        """Send, and give the next message."""
        self.sock.sendall(message(*values))
        answer = msgpack.unpackb(self._exactly(int.from_bytes(self._exactly(4)[1:], "big")))
        if answer[0] in _ERRORS:
            raise ConnectionError(f"Crossbar.io says {answer}")
        return answer

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            got = self.sock.recv(size - len(data))
            if not got:
                raise ConnectionError("Crossbar.io closed the connection")
            data += got
        return data


class Crossbar:
    """The lanes through one router worker.

    :param environment: the virtual environment that it is installed in; None: where PATH finds it.
    """

    name = "crossbar"
    note = "1 router (Python); at most once: no acknowledgement, no duplicate check"

    def __init__(self, environment: str | None = None) -> None:
        program = shutil.which("crossbar", path=str(Path(environment) / "bin") if environment else None)
        if program is None:
            raise Absent("crossbar is not installed (an environment of its own is named by --crossbar)")
        self._servers = Servers()
        self._port = free_port()
        allow = {"call": True, "register": True, "publish": True, "subscribe": True}
        permission = {"uri": "", "match": "prefix", "allow": allow, "cache": True}
        node = {
            "version": 2,
            "workers": [
                {
                    "type": "router",
                    "realms": [{"name": "realm1", "roles": [{"name": "anonymous", "permissions": [permission]}]}],
                    "transports": [
                        {
                            "type": "rawsocket",
                            "endpoint": {"type": "tcp", "port": self._port, "interface": "127.0.0.1"},
                            "serializers": ["msgpack"],
                        }
                    ],
                }
            ],
        }
        directory = self._servers.directory / "node"
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps(node))
        without = {name: "" for name in os.environ if name.startswith("PYTHON")}
        try:
            command = [program, "start", "--cbdir", str(directory), "--loglevel", "warn"]
            self._servers.start(command, "crossbar", self._port, {**without, "HOME": str(directory)})
        except BaseException:
            self.close()
            raise

    def one_way(self, payload: int) -> OneWay:
        """A topic's events."""
        near, far = Client(self._port), Client(self._port)
        topic = f"bench.mark{payload}"
        far.ask(_SUBSCRIBE, 1, {}, topic)
        outgoing = prepared(_PUBLISH, _REQUEST, {}, topic, [_ID + bytes(payload - 16)])
        source, sink = End(near.sock, WampInbound(0)), End(far.sock, WampInbound(_EVENT))
        return OneWay(self.name, source, outgoing, sink, self._servers.tree)

    def round_trip(self, payload: int) -> RoundTrip:
        """Calls of a procedure."""
        near, far = Client(self._port), Client(self._port)
        procedure = f"bench.work{payload}"
        far.ask(_REGISTER, 1, {}, procedure)
        outgoing = prepared(_CALL, _REQUEST, {}, procedure, [_ID + bytes(payload - 16)])
        driver, responder = End(near.sock, WampInbound(_RESULT)), End(far.sock, WampInbound(_INVOCATION))
        return RoundTrip(self.name, driver, outgoing, responder, self._servers.tree)

    def close(self) -> None:
        """End everything."""
        self._servers.close()
