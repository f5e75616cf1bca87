"""The bodies of link control (protocol.md 5)."""

from __future__ import annotations

from typing import Final

import attrs

from gandalf.wire.body import Body, pack_body, take, take_text_list, unpack_body
from gandalf.wire.errors import Malformed

PROTOCOL: Final = 1
"""The version of the protocol that is spoken here."""

LONGEST_SOFTWARE: Final = 64
"""Characters that are read of what a peer calls its program."""


def _sixteen(value: bytes, key: str) -> bytes:
    if len(value) != 16:
        raise Malformed(f"body: {key} must be bin of 16 bytes, not {len(value)}")
    return value


def _software(body: Body) -> str:
    """As far as it is text, and as much of it as a person reads."""
    software = body.get("software")
    return software[:LONGEST_SOFTWARE] if isinstance(software, str) else ""


@attrs.frozen
class LinkBody:
    """What a dialler says first (protocol.md 5.1). ``heartbeat`` in ms; ``topics`` None means all.

    ``counted_with`` and ``software`` are our additions, ignored by others: the listener's instance of which
    ``received`` is the count, None when the dialler does not say; and the program and its version.
    """

    protocol: int
    logical_name: str
    type: str
    bind_address: str
    instance: bytes
    session: bytes
    received: int
    heartbeat: int
    topics: tuple[str, ...] | None = None
    counted_with: bytes | None = None
    software: str = ""

    def pack(self) -> bytes:
        """The packed body."""
        values: dict[str, object] = attrs.asdict(self, recurse=False)
        return pack_body({key: value for key, value in values.items() if value is not None})

    @classmethod
    def parse(cls, packed: bytes) -> LinkBody:
        """:raises Malformed: ``instance`` or ``session`` is missing, or a key is of another type."""
        body = unpack_body(packed)
        counted_with = body.get("counted_with")
        return cls(
            protocol=take(body, "protocol", int, 0),
            logical_name=take(body, "logical_name", str, ""),
            type=take(body, "type", str, ""),
            bind_address=take(body, "bind_address", str, ""),
            instance=_sixteen(take(body, "instance", bytes, b""), "instance"),
            session=_sixteen(take(body, "session", bytes, b""), "session"),
            received=take(body, "received", int, 0),
            heartbeat=take(body, "heartbeat", int, 0),
            topics=take_text_list(body, "topics"),
            counted_with=counted_with if isinstance(counted_with, bytes) else None,
            software=_software(body),
        )


@attrs.frozen
class LinkedBody:
    """A listener's consent (protocol.md 5.1).

    ``heartbeat`` in ms, ``max_frame`` in bytes. ``resumed`` and ``software`` are our additions, ignored by others:
    whether the session was known, None when the listener does not say; and the program and its version.
    """

    protocol: int
    logical_name: str
    type: str
    instance: bytes
    received: int
    heartbeat: int
    max_frame: int
    brothers: tuple[str, ...] = ()
    resumed: bool | None = None
    software: str = ""

    def pack(self) -> bytes:
        """The packed body."""
        values: dict[str, object] = attrs.asdict(self, recurse=False)
        if self.resumed is None:
            del values["resumed"]
        return pack_body(values)

    @classmethod
    def parse(cls, packed: bytes) -> LinkedBody:
        """:raises Malformed: ``instance`` is missing, or a key is of another type."""
        body = unpack_body(packed)
        resumed = body.get("resumed")
        return cls(
            protocol=take(body, "protocol", int, 0),
            logical_name=take(body, "logical_name", str, ""),
            type=take(body, "type", str, ""),
            instance=_sixteen(take(body, "instance", bytes, b""), "instance"),
            received=take(body, "received", int, 0),
            heartbeat=take(body, "heartbeat", int, 0),
            max_frame=take(body, "max_frame", int, 0),
            brothers=take_text_list(body, "brothers") or (),
            resumed=resumed if isinstance(resumed, bool) else None,
            software=_software(body),
        )


@attrs.frozen
class RefusedBody:
    """Why a link, or a frame on it, was refused (protocol.md 5.1)."""

    code: str
    message: str

    def pack(self) -> bytes:
        """The packed body."""
        return pack_body(attrs.asdict(self))

    @classmethod
    def parse(cls, packed: bytes) -> RefusedBody:
        """:raises Malformed: a key is of another type."""
        body = unpack_body(packed)
        return cls(take(body, "code", str, ""), take(body, "message", str, ""))


STOPPING = "STOPPING"
"""The reason of a ``bye`` from a process that ends: its session will not be resumed, and need not be kept."""


@attrs.frozen
class ByeBody:
    """Why a peer leaves in good order (protocol.md 5.2)."""

    reason: str
    message: str

    def pack(self) -> bytes:
        """The packed body."""
        return pack_body(attrs.asdict(self))

    @classmethod
    def parse(cls, packed: bytes) -> ByeBody:
        """:raises Malformed: a key is of another type."""
        body = unpack_body(packed)
        return cls(take(body, "reason", str, ""), take(body, "message", str, ""))


@attrs.frozen
class BrothersBody:
    """The addresses ("host:port") of the instances of a logical name (protocol.md 5.2)."""

    logical_name: str
    addresses: tuple[str, ...]

    def pack(self) -> bytes:
        """The packed body."""
        return pack_body(attrs.asdict(self))

    @classmethod
    def parse(cls, packed: bytes) -> BrothersBody:
        """:raises Malformed: a key is of another type."""
        body = unpack_body(packed)
        return cls(take(body, "logical_name", str, ""), take_text_list(body, "addresses") or ())


@attrs.frozen
class AckBody:
    """How many routed frames the peer has taken charge of on the session (protocol.md 5.3)."""

    received: int

    def pack(self) -> bytes:
        """The packed body."""
        return pack_body({"received": self.received})

    @classmethod
    def parse(cls, packed: bytes) -> AckBody:
        """:raises Malformed: ``received`` is missing or no uint."""
        return cls(take(unpack_body(packed), "received", int, -1))
