"""Mosquitto: one broker, or a broker bridged to another; MQTT 3.1.1 on raw sockets."""

from __future__ import annotations

import socket
import struct

from benchmarks.load.inbound import Inbound
from benchmarks.load.lane import End, OneWay
from benchmarks.load.shape import Answer, Field, PacketIds, Shape, Stamp, Template, random_ids
from benchmarks.peers.process import Servers, find
from tests.integration.ports import free_port

_ID = b"\xfd" * 16
_PACKET = b"\xfc\xfb"
_PUBACK = b"\x40\x02"


def _remaining(length: int) -> bytes:
    out = bytearray()
    while True:
        length, digit = divmod(length, 128)
        out.append(digit | (128 if length else 0))
        if not length:
            return bytes(out)


def packet(first: int, content: bytes) -> bytes:
    """A control packet."""
    return bytes((first,)) + _remaining(len(content)) + content


def text(value: str) -> bytes:
    """A string with its length."""
    return struct.pack(">H", len(value)) + value.encode()


def publish(topic: str, payload: bytes, qos: int) -> bytes:
    """A PUBLISH; its packet identifier is to be stamped."""
    return packet(0x30 | qos << 1, text(topic) + (_PACKET if qos else b"") + payload)


class MqttInbound(Inbound):
    """Control packets."""

    def length(self, data: bytearray, position: int, end: int) -> int:
        length, shift = 0, 0
        for at in range(position + 1, min(position + 5, end)):
            length |= (data[at] & 127) << shift
            if not data[at] & 128:
                return at + 1 - position + length
            shift += 7
        return 0


class Client:
    """A session with a broker."""

    def __init__(self, port: int, name: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.settimeout(10)
        self.sock.sendall(packet(0x10, text("MQTT") + b"\x04\x02\x00\x00" + text(name)))
        self._exactly(4)

    def subscribe(self, topic: str, qos: int) -> None:
        """Wait until the broker has consented."""
        self.sock.sendall(packet(0x82, b"\x00\x01" + text(topic) + bytes((qos,))))
        self._exactly(5)

    def _exactly(self, size: int) -> None:
        while size:
            got = self.sock.recv(size)
            if not got:
                raise ConnectionError("the broker closed the connection")
            size -= len(got)

    def reached_by(self, publisher: Client, topic: str) -> None:
        """Wait until what `publisher` says arrives here.

        :raises RuntimeError: it never does.
        """
        self.subscribe(topic, 0)
        probe = publish(topic, b"", 0)
        self.sock.settimeout(0.1)
        for _ in range(100):
            publisher.sock.sendall(probe)
            try:
                self._exactly(len(probe))
            except TimeoutError:
                continue
            self._rest()
            return
        raise RuntimeError(f"nothing published on {topic} arrives")

    def _rest(self) -> None:
        try:
            while self.sock.recv(1 << 16):
                pass
        except TimeoutError:
            self.sock.settimeout(10)


class Mosquitto:
    """The lanes through it.

    :param bridged: the publisher is at another broker, bridged to the subscriber's.
    """

    def __init__(self, qos: int, bridged: bool = False) -> None:
        self.name = f"mosquitto {'bridge ' if bridged else ''}QoS {qos}"
        promise = "each hop acknowledged, nothing on disk, no duplicate check" if qos else "at most once"
        self.note = f"{2 if bridged else 1} server{'s' * bridged}; {promise}"
        self._qos = qos
        program = find("mosquitto")
        self._servers = Servers()
        self._far = self._near = free_port()
        try:
            self._start(program, "hub", self._far, "")
            if bridged:
                self._near = free_port()
                bridge = (
                    f"connection hub\naddress 127.0.0.1:{self._far}\ntopic # out {qos}\n"
                    "notifications false\ntry_private true\n"
                )
                self._start(program, "local", self._near, bridge)
        except BaseException:
            self.close()
            raise

    def _start(self, program: str, name: str, port: int, more: str) -> None:
        configuration = self._servers.directory / f"{name}.conf"
        configuration.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\n"
            f"max_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n{more}"
        )
        self._servers.start([program, "-c", configuration], name, port)

    def one_way(self, payload: int) -> OneWay:
        """What is published, to one subscriber."""
        near, far = Client(self._near, f"near{payload}"), Client(self._far, f"far{payload}")
        far.reached_by(near, f"probe/{payload}")
        topic = f"bench/mark{payload}"
        far.subscribe(topic, self._qos)
        message = publish(topic, _ID + bytes(payload - 16), self._qos)
        at = message.index(_ID)
        stamps = [Stamp(at, 16, random_ids(16))]
        prefix, answer = at, None
        if self._qos:
            prefix = at - 2
            stamps.append(Stamp(prefix, 2, PacketIds()))
            answer = Answer(Template(_PUBACK + b"\0\0"), (Field(prefix, 2, 2),))
        sink = End(far.sock, MqttInbound(Shape.of(message, prefix, at), answer))
        return OneWay(
            self.name, End(near.sock, MqttInbound(None)), Template(message, stamps), sink, self._servers.pids
        )

    def close(self) -> None:
        """End everything."""
        self._servers.close()
