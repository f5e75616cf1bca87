"""NATS: one server, or a leaf node linked to a hub; its protocol of lines on raw sockets."""

from __future__ import annotations

import socket
import time
from typing import Final

from benchmarks.load.inbound import Inbound
from benchmarks.load.lane import End, OneWay, RoundTrip
from benchmarks.load.shape import Answer, Field, Shape, Stamp, Template, random_ids, readable_ids
from benchmarks.peers.process import Servers, find
from tests.integration.ports import free_port

_ID: Final = b"\xfd" * 16


class NatsInbound(Inbound):
    """Lines, and `MSG` with its payload."""

    def length(self, data: bytearray, position: int, end: int) -> int:
        stop = data.find(b"\r\n", position, end)
        if stop < 0:
            return 0
        line = data[position:stop]
        head = stop + 2 - position
        return head + int(line.rsplit(b" ", 1)[1]) + 2 if line.startswith(b"MSG ") else head

    def other(self, frame: bytes, out: bytearray) -> None:
        if frame.startswith(b"PING"):
            out += b"PONG\r\n"
        elif frame.startswith(b"-ERR"):
            raise ConnectionError(frame.decode())


class Client:
    """A connection to a server, driven by hand."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.settimeout(10)
        self._buffer = b""
        self.line()
        self.say('CONNECT {"verbose":false,"pedantic":false,"tls_required":false,"protocol":1,"headers":true}')
        self.flush()

    def say(self, line: str) -> None:
        """Send one line."""
        self.sock.sendall(line.encode() + b"\r\n")

    def line(self) -> bytes:
        """The next line."""
        while b"\r\n" not in self._buffer:
            data = self.sock.recv(1 << 16)
            if not data:
                raise ConnectionError("NATS closed the connection")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def message(self) -> bytes:
        """The payload of the next message."""
        while not (line := self.line()).startswith((b"MSG ", b"HMSG ")):
            if line == b"PING":
                self.say("PONG")
        size = int(line.rsplit(b" ", 1)[1])
        while len(self._buffer) < size + 2:
            self._buffer += self.sock.recv(1 << 16)
        payload, self._buffer = self._buffer[:size], self._buffer[size + 2 :]
        return payload

    def flush(self) -> None:
        """Everything said before was worked on."""
        self.say("PING")
        while self.line() != b"PONG":
            pass

    def request(self, subject: str, payload: bytes) -> bytes:
        """Ask a service, such as JetStream's."""
        self.say("SUB _INBOX.admin 99")
        self.sock.sendall(f"PUB {subject} _INBOX.admin {len(payload)}\r\n".encode() + payload + b"\r\n")
        answer = self.message()
        self.say("UNSUB 99")
        return answer

    def end(self, shape: Shape | None = None, answer: Answer | None = None) -> End:
        """The connection for a load generator."""
        inbound = NatsInbound(shape, answer)
        inbound.hold(self._buffer)
        return End(self.sock, inbound)


def reaches(publisher: Client, subscriber: Client, subject: str = "probe.all") -> None:
    """Wait until what is published at one is delivered at the other, over however many servers.

    :raises RuntimeError: it never is.
    """
    subscriber.say(f"SUB {subject} 98")
    subscriber.flush()
    for _ in range(200):
        publisher.say(f"PUB {subject} 0\r\n")
        publisher.flush()
        subscriber.sock.settimeout(0.05)
        try:
            subscriber.message()
        except TimeoutError:
            continue
        finally:
            subscriber.sock.settimeout(10)
        subscriber.say("UNSUB 98")
        time.sleep(0.05)
        subscriber.flush()
        return
    raise RuntimeError(f"nothing published on {subject} arrives")


def _inbox(letter: str, payload: int) -> str:
    """Where answers go; the marks are stamped."""
    return f"_INBOX.{letter}{payload}.########"


class Nats:
    """Servers, the lanes through them.

    :param leaves: how many leaf nodes are linked to the server; with none clients meet at the one server.
    :param jetstream: the hub keeps streams in files.
    """

    def __init__(self, leaves: int = 0, jetstream: bool = False) -> None:
        self.name = ("nats leaf-hub" if leaves == 1 else "nats leaf-hub-leaf") if leaves else "nats single"
        program = find("nats-server")
        self.note = f"{leaves + 1} server{'s' * (leaves > 0)}; at most once: no acknowledgement, no duplicate check, "
        self.note += "no tracking of replies" + ("; the hub records all in files" if jetstream else "")
        self._servers = Servers()
        self.hub_port, leaf_port = free_port(), free_port()
        directory = self._servers.directory
        hub = directory / "hub.conf"
        store = f'jetstream {{ store_dir: "{directory / "store"}" }}' if jetstream else ""
        links = f'leafnodes {{ listen: "127.0.0.1:{leaf_port}" }}' if leaves else ""
        hub.write_text(f'listen: "127.0.0.1:{self.hub_port}"\nserver_name: hub\n{store}\n{links}\n')
        self.leaf_ports = [free_port() for _ in range(leaves)]
        try:
            self._servers.start([program, "-c", hub], "hub", self.hub_port)
            for number, port in enumerate(self.leaf_ports):
                leaf = directory / f"leaf{number}.conf"
                leaf.write_text(
                    f'listen: "127.0.0.1:{port}"\nserver_name: leaf{number}\n'
                    f'leafnodes {{ remotes = [ {{ url: "nats-leaf://127.0.0.1:{leaf_port}" }} ] }}\n'
                )
                self._servers.start([program, "-c", leaf], f"leaf{number}", port)
        except BaseException:
            self.close()
            raise

    @property
    def near_port(self) -> int:
        """Where publishers and requesters are."""
        return self.leaf_ports[0] if self.leaf_ports else self.hub_port

    @property
    def far_port(self) -> int:
        """Where subscribers and responders are."""
        return self.leaf_ports[1] if len(self.leaf_ports) > 1 else self.hub_port

    def pids(self) -> list[int]:
        """Of the servers."""
        return self._servers.pids()

    def one_way(self, payload: int) -> OneWay:
        """What is published at the leaf, subscribed to at the hub."""
        near, far = Client(self.near_port), Client(self.far_port)
        subject = f"bench.mark{payload}"
        far.say(f"SUB {subject} 1")
        far.flush()
        reaches(near, far)
        padding = bytes(payload - 16)
        sent = f"PUB {subject} {payload}\r\n".encode() + _ID + padding + b"\r\n"
        came = f"MSG {subject} 1 {payload}\r\n".encode() + _ID + padding + b"\r\n"
        template = Template(sent, (Stamp(sent.index(_ID), 16, random_ids(16)),))
        at = came.index(_ID)
        return OneWay(self.name, near.end(), template, far.end(Shape.of(came, at, at)), self.pids)

    def round_trip(self, payload: int) -> RoundTrip:
        """Requests at the leaf, answered at the hub."""
        far = Client(self.far_port)
        subject = f"work.do{payload}"
        far.say(f"SUB {subject} 1")
        far.flush()
        ends, outgoing = [], []
        for letter in "de":
            inbox = _inbox(letter, payload)
            near = Client(self.near_port)
            near.say(f"SUB {inbox.rsplit('.', 1)[0]}.* 1")
            near.flush()
            reaches(near, far, f"probe.there{letter}")
            reaches(far, near, f"probe.back{letter}")
            body = bytes(payload) + b"\r\n"
            asked = f"PUB {subject} {inbox} {payload}\r\n".encode() + body
            outgoing.append(Template(asked, (Stamp(asked.index(b"#"), 8, readable_ids(8)),)))
            answered = f"MSG {inbox} 1 {payload}\r\n".encode() + body
            ends.append(near.end(Shape.of(answered, answered.index(b"#"))))
        inbox = _inbox("d", payload)
        came = f"MSG {subject} 1 {inbox} {payload}\r\n".encode() + body
        back = f"PUB {inbox} {payload}\r\n".encode() + body
        mark = f".d{payload}.".encode()
        answer = Answer(
            Template(back),
            (Field(came.index(b"#"), back.index(b"#"), 8), Field(came.index(mark) + 1, back.index(mark) + 1, 1)),
        )
        shape = Shape.of(came, came.index(b" _INBOX"))
        return RoundTrip(self.name, ends[0], outgoing[0], far.end(shape, answer), self.pids, ends[1], outgoing[1])

    def close(self) -> None:
        """End everything."""
        self._servers.close()
