"""A peer written from protocol.md alone, with sockets and MessagePack: it shares no code with the project."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from types import TracebackType
from typing import Any, NamedTuple

import msgpack

TIMEOUT = 10.0


class Message(NamedTuple):
    """An envelope as it came, its body unpacked, and the frame's own bytes."""

    kind: str
    uuid: bytes
    tenant: str
    target: str
    reference: bytes | None
    timeout: int
    timestamp: int
    body: dict[str, Any]
    raw: bytes


def frame(
    kind: str,
    body: dict[str, Any] | bytes,
    *,
    uuid: bytes | None = None,
    tenant: str = "tenant1",
    target: str = "",
    reference: bytes | None = None,
    timeout: int = 0,
) -> bytes:
    """The bytes of one frame."""
    packed_body = body if isinstance(body, bytes) else msgpack.packb(body)
    values = [
        kind,
        uuid or os.urandom(16),
        tenant,
        target,
        reference,
        timeout,
        int(time.time() * 1000),
        packed_body,
    ]
    packed: bytes = msgpack.packb(values)
    return struct.pack(">I", len(packed)) + packed


class Peer:
    """One end of a connection, driven by hand. Acknowledges nothing unless told to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(TIMEOUT)
        self._buffer = b""
        self.received = 0
        """Routed frames read, for ``ack``."""

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cut the connection."""
        self.sock.close()

    def send(self, kind: str, body: dict[str, Any] | bytes, **envelope: Any) -> bytes:
        """Send one frame; returns its uuid."""
        uuid: bytes = envelope.pop("uuid", None) or os.urandom(16)
        self.sock.sendall(frame(kind, body, uuid=uuid, **envelope))
        return uuid

    def read(self, timeout: float = TIMEOUT) -> Message | None:
        """The next frame whatever it is; None at the end of the connection.

        :raises TimeoutError: nothing came.
        """
        header = self._exactly(4, timeout)
        if header is None:
            return None
        (length,) = struct.unpack(">I", header)
        packed = self._exactly(length, timeout)
        if packed is None:
            return None
        values = msgpack.unpackb(packed)
        message = Message._make([*values[:7], msgpack.unpackb(values[7]), header + packed])
        if message.kind not in ("link", "linked", "refused", "brothers", "bye", "ack", "ping", "pong"):
            self.received += 1
        return message

    def expect(self, *kinds: str, timeout: float = TIMEOUT) -> Message:
        """The next frame of one of these kinds; others are passed over, ``ping`` is answered."""
        deadline = time.monotonic() + timeout
        while True:
            message = self.read(max(deadline - time.monotonic(), 0.001))
            if message is None:
                raise AssertionError(f"the connection ended while waiting for {kinds}")
            if message.kind in kinds:
                return message
            if message.kind == "ping":
                self.send("pong", {})

    def nothing(self, *kinds: str, during: float = 0.3) -> bool:
        """Whether no frame of these kinds comes within so many seconds."""
        try:
            self.expect(*kinds, timeout=during)
        except TimeoutError:
            return True
        return False

    def ended(self, timeout: float = TIMEOUT) -> bool:
        """Whether the other side closes; what it still says is read."""
        try:
            while self.read(timeout) is not None:
                pass
        except ConnectionError:
            return True
        return True

    def ack(self, received: int | None = None) -> None:
        """Acknowledge so many routed frames: all that were read, unless told otherwise."""
        self.send("ack", {"received": self.received if received is None else received})

    def _exactly(self, size: int, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        while len(self._buffer) < size:
            ready, _, _ = select.select([self.sock], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise TimeoutError
            data = self.sock.recv(1 << 16)
            if not data:
                return None
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


def hello(logical_name: str, type: str, **more: Any) -> dict[str, Any]:
    """The body of ``link``."""
    return {
        "protocol": 1,
        "logical_name": logical_name,
        "type": type,
        "bind_address": "",
        "instance": os.urandom(16),
        "session": os.urandom(16),
        "received": 0,
        "heartbeat": 10_000,
        **more,
    }


def dial(port: int, logical_name: str, type: str, *, tenant: str = "tenant1", **more: Any) -> Peer:
    """Connect and say ``link``; the answer is left to be read."""
    peer = Peer(socket.create_connection(("127.0.0.1", port)))
    peer.send("link", hello(logical_name, type, **more), tenant=tenant)
    return peer


class Listener:
    """Where another program dials a :class:`Peer`; ``port`` 0: any that is free."""

    def __init__(self, logical_name: str = "cluster", type: str = "cl", port: int = 0) -> None:
        self.sock = socket.create_server(("127.0.0.1", port))
        self.port: int = self.sock.getsockname()[1]
        self.logical_name = logical_name
        self.type = type
        self.instance = os.urandom(16)

    def close(self) -> None:
        """Accept no more."""
        self.sock.close()

    def accept(self, timeout: float = TIMEOUT, received: int = 0, **more: Any) -> tuple[Peer, Message]:
        """The next connection, linked; with it the ``link`` that it said."""
        self.sock.settimeout(timeout)
        sock, _ = self.sock.accept()
        peer = Peer(sock)
        said = peer.expect("link")
        peer.send(
            "linked",
            {
                "protocol": 1,
                "logical_name": self.logical_name,
                "type": self.type,
                "instance": self.instance,
                "received": received,
                "heartbeat": 10_000,
                "max_frame": 8 << 20,
                "brothers": [],
                **more,
            },
            tenant="gandalf",
        )
        return peer, said


def reply(peer: Peer, request: Message, payload: str, context: dict[str, Any] | None = None) -> bytes:
    """Answer a request with its ``_REPLY`` (protocol.md 4)."""
    body = {"command": request.body["command"] + "_REPLY", "payload": payload, "context": context or {}}
    return peer.send(request.kind, body, tenant=request.tenant, target=request.target, reference=request.uuid)
