"""RabbitMQ: one node, a classic queue; AMQP 0-9-1 on raw sockets."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from benchmarks.load.inbound import Inbound
from benchmarks.load.lane import End, OneWay
from benchmarks.load.shape import Shape, Stamp, Template, random_ids
from benchmarks.peers.process import Absent, Servers, find
from tests.integration.ports import free_port

_ID = b"\xfd" * 16
_TAG = struct.pack(">Q", 0)
_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def frame(kind: int, channel: int, content: bytes) -> bytes:
    """A frame: 1 method, 2 header, 3 body."""
    return struct.pack(">BHI", kind, channel, len(content)) + content + b"\xce"


def method(channel: int, group: int, number: int, arguments: bytes = b"") -> bytes:
    """A method."""
    return frame(1, channel, struct.pack(">HH", group, number) + arguments)


def short(value: str) -> bytes:
    """A short string."""
    return bytes((len(value),)) + value.encode()


def long(value: bytes) -> bytes:
    """A long string, or a table."""
    return struct.pack(">I", len(value)) + value


def content(payload: bytes) -> bytes:
    """Header and body."""
    return frame(2, 1, struct.pack(">HHQH", 60, 0, len(payload), 0)) + frame(3, 1, payload)


class AmqpInbound(Inbound):
    """Deliveries, acknowledged by the last one's tag."""

    _tag = b""

    def take(self, data: bytearray, position: int, count: int, out: bytearray) -> None:
        super().take(data, position, count, out)
        assert self.shape is not None
        at = position + (count - 1) * self.shape.size + len(self.shape.signature)
        self._tag = bytes(data[at : at + 8])

    def length(self, data: bytearray, position: int, end: int) -> int:
        if end - position < 11:
            return 0
        if self.shape is not None and data[position + 7 : position + 11] == b"\x00\x3c\x00\x3c":
            return self.shape.size
        return 8 + int.from_bytes(data[position + 3 : position + 7], "big")

    def other(self, frame: bytes, out: bytearray) -> None:
        if frame[0] == 1 and frame[7:11] in (b"\x00\x0a\x00\x32", b"\x00\x14\x00\x28"):
            raise ConnectionError(f"RabbitMQ says {frame!r}")

    def acknowledge(self, out: bytearray) -> None:
        out += method(1, 60, 80, self._tag + b"\x01")


class Client:
    """A connection with one channel."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.settimeout(20)
        self.sock.sendall(b"AMQP\x00\x00\x09\x01")
        self.reply(10, 10)
        login = long(b"") + short("PLAIN") + long(b"\0guest\0guest") + short("en_US")
        self.sock.sendall(method(0, 10, 11, login))
        tuned = self.reply(10, 30)
        self.sock.sendall(method(0, 10, 31, tuned[:6] + b"\0\0"))
        self.ask(0, 10, 40, short("/") + short("") + b"\0")
        self.ask(1, 20, 10, short(""))

    def ask(self, channel: int, group: int, number: int, arguments: bytes) -> bytes:
        """A method, and what it is answered with."""
        self.sock.sendall(method(channel, group, number, arguments))
        return self.reply(group, number + 1)

    def reply(self, group: int, number: int) -> bytes:
        """The arguments of the next frame, which must be this method."""
        head = self._exactly(7)
        read = self._exactly(int.from_bytes(head[3:7], "big") + 1)
        if read[:4] != struct.pack(">HH", group, number):
            raise ConnectionError(f"RabbitMQ says {read!r}")
        return read[4:-1]

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            got = self.sock.recv(size - len(data))
            if not got:
                raise ConnectionError("RabbitMQ closed the connection")
            data += got
        return data


class RabbitMq:
    """The lane through one queue."""

    name = "rabbitmq"
    note = "1 server; publisher confirms and consumer acknowledgements, messages in memory, no duplicate check"

    def __init__(self) -> None:
        if not _PROGRAM.exists():
            raise Absent("rabbitmq-server is not installed")
        names = find("epmd")
        self._servers = Servers()
        home = self._servers.directory
        self._port, names_port, distribution = free_port(), free_port(), free_port()
        (home / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self._port}\nlog.file.level = error\n")
        (home / "plugins").write_text("[].\n")
        environment = {
            "HOME": str(home),
            "ERL_EPMD_PORT": str(names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "bench@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            # Waiting threads sleep, so that others in turn are not disturbed.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
        }
        try:
            self._servers.start([names, "-port", str(names_port), "-address", "127.0.0.1"], "epmd", names_port)
            self._servers.start([_PROGRAM], "rabbitmq", self._port, environment)
        except BaseException:
            self.close()
            raise

    def one_way(self, payload: int) -> OneWay:
        """A queue, its publisher and its consumer."""
        near, far = Client(self._port), Client(self._port)
        queue = f"bench{payload}"
        far.ask(1, 50, 10, b"\0\0" + short(queue) + b"\0" + long(b""))
        near.ask(1, 85, 10, b"\0")
        far.ask(1, 60, 20, b"\0\0" + short(queue) + short("c") + b"\0" + long(b""))
        body = content(_ID + bytes(payload - 16))
        sent = method(1, 60, 40, b"\0\0" + short("") + short(queue) + b"\0") + body
        came = method(1, 60, 60, short("c") + _TAG + b"\0" + short("") + short(queue)) + body
        # The delivery tag comes right behind the consumer's: type, channel, size, method, "c".
        sink = End(far.sock, AmqpInbound(Shape.of(came, 13, came.index(_ID))))
        template = Template(sent, (Stamp(sent.index(_ID), 16, random_ids(16)),))
        return OneWay(self.name, End(near.sock, AmqpInbound(None)), template, sink, self._servers.tree)

    def close(self) -> None:
        """End everything."""
        self._servers.close()
