"""The envelope (protocol.md 2): what a router reads of a message.

A :class:`Frame` keeps the bytes it came in, so that a router forwards them untouched.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import ClassVar, Final

import attrs
import msgpack

from gandalf.wire.errors import Malformed
from gandalf.wire.kinds import KINDS

LENGTH: Final = struct.Struct(">I")
"""The four bytes before each envelope: its length in bytes."""

MAX_UINT: Final = 2**64 - 1

_NAMES: Final = ("kind", "uuid", "tenant", "target", "reference", "timeout", "timestamp", "body")


@attrs.define(eq=False)
class Frame:
    """One message: its envelope, its body still packed, and the bytes of the whole frame.

    ``timeout`` is in ms from arrival, ``timestamp`` in ms since the epoch; ``raw`` includes the length.
    """

    kind: str
    uuid: bytes
    tenant: str
    target: str
    reference: bytes | None
    timeout: int
    timestamp: int
    body: bytes
    raw: bytes

    count: ClassVar = 1
    offset: ClassVar = 0
    """What a :class:`gandalf.wire.runs.Run` has as well: how many frames it is, and how many came before."""

    @property
    def uuids(self) -> tuple[bytes]:
        """As of a run: its own."""
        return (self.uuid,)

    def frames(self) -> tuple[Frame]:
        """As of a run: itself."""
        return (self,)

    def only(self, uuids: set[bytes]) -> Frame:
        """As of a run: there is but one."""
        return self

    def for_target(self, target: str) -> Frame:
        """The same message under another target."""
        return self.replace(target=target)

    def replace(self, *, tenant: str | None = None, target: str | None = None) -> Frame:
        """The same message under another tenant or target, for the rules that change the envelope."""
        return make_frame(
            self.kind,
            self.uuid,
            self.tenant if tenant is None else tenant,
            self.target if target is None else target,
            self.reference,
            self.timeout,
            self.timestamp,
            self.body,
        )


def refuse_extension(code: int, data: bytes) -> object:
    """Extension types are malformed wherever they stand (protocol.md 2)."""
    raise ValueError(f"extension type {code}")


def reason(error: Exception) -> str:
    """What ``error`` of the unpacker says; its name where it says nothing."""
    return str(error) or type(error).__name__


def _refuse_nested(values: list[object]) -> list[object]:
    if list in map(type, values):
        raise ValueError("a list inside a list")
    return values


def _unpacker(list_hook: Callable[[list[object]], list[object]] | None) -> Callable[[memoryview], object]:
    def unpack(packed: memoryview) -> object:
        return msgpack.unpackb(
            packed,
            ext_hook=refuse_extension,
            list_hook=list_hook,
            max_ext_len=0,
            max_array_len=8,
            max_map_len=0,
        )

    return unpack


# An envelope's elements are scalars. Lists of lists would take some seventy times the bytes they came in: in
# a long frame they are refused while they are built; a short one is not worth the time of looking.
_SHORT: Final = 64 * 1024
_unpack_short = _unpacker(None)
_unpack_long = _unpacker(_refuse_nested)


def decode_frame(raw: bytes) -> Frame:
    """Read the envelope of one whole frame, its length included.

    :raises Malformed: the envelope does not have the shape of protocol.md 2.
    """
    try:
        unpack = _unpack_short if len(raw) <= _SHORT else _unpack_long
        values = unpack(memoryview(raw)[4:])
    except (ValueError, RecursionError) as error:
        raise Malformed(f"envelope: not one MessagePack array of eight elements ({reason(error)})") from None
    if type(values) is not list or len(values) != 8:
        raise Malformed("envelope: must be one MessagePack array of exactly eight elements")
    kind, uuid, tenant, target, reference, timeout, timestamp, body = values
    if (
        type(kind) is str
        and kind in KINDS
        and type(uuid) is bytes
        and len(uuid) == 16
        and type(tenant) is str
        and type(target) is str
        and (reference is None or (type(reference) is bytes and len(reference) == 16))
        and type(timeout) is int
        and timeout >= 0
        and type(timestamp) is int
        and timestamp >= 0
        and type(body) is bytes
    ):
        return Frame(kind, uuid, tenant, target, reference, timeout, timestamp, body, raw)
    raise Malformed(_complaint(values))


def _complaint(values: list[object]) -> str:
    """Which element of an ill-shaped envelope is wrong, and what it must be."""
    kind, uuid, tenant, target, reference, timeout, timestamp, body = values
    checks = (
        (type(kind) is str and kind in KINDS, "one of " + ", ".join(sorted(KINDS))),
        (type(uuid) is bytes and len(uuid) == 16, "bin of 16 bytes"),
        (type(tenant) is str, "str"),
        (type(target) is str, "str"),
        (reference is None or (type(reference) is bytes and len(reference) == 16), "bin of 16 bytes, or nil"),
        (type(timeout) is int and timeout >= 0, "uint (ms)"),
        (type(timestamp) is int and timestamp >= 0, "uint (ms)"),
        (type(body) is bytes, "bin"),
    )
    wrong = [f"{name} must be {allowed}" for name, (right, allowed) in zip(_NAMES, checks, strict=True) if not right]
    return "envelope: " + "; ".join(wrong)


def make_frame(
    kind: str,
    uuid: bytes,
    tenant: str,
    target: str,
    reference: bytes | None,
    timeout: int,
    timestamp: int,
    body: bytes,
) -> Frame:
    """Make a frame from its elements (``timeout`` and ``timestamp`` in ms).

    :raises ValueError: an element is not what protocol.md 2 asks; a fault of the caller, not of a peer.
    """
    try:
        packed = msgpack.packb([kind, uuid, tenant, target, reference, timeout, timestamp, body])
        return decode_frame(LENGTH.pack(len(packed)) + packed)
    except (Malformed, OverflowError, TypeError) as error:
        raise ValueError(str(error)) from None
