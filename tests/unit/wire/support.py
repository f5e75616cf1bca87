"""What the tests of the wire share: how examples are drawn, hand-made encodings, memory measured."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgpack
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from gandalf.wire.envelope import LENGTH, make_frame
from gandalf.wire.errors import WireError
from gandalf.wire.kinds import KINDS

EXAMPLES: Final = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""The same examples in every run, however slow the machine."""

UUID: Final = bytes(range(16))
REFERENCE: Final = bytes(range(16, 32))
ELEMENTS: Final = ("evt", UUID, "acme", "deploy", REFERENCE, 5000, 1_700_000_000_000, b"\x81\xa5topic\xa1t")
"""A right envelope's elements."""

uints = st.integers(min_value=0, max_value=2**64 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
uuids = st.binary(min_size=16, max_size=16)
elements = st.tuples(
    st.sampled_from(sorted(KINDS)),
    uuids,
    texts,
    texts,
    st.none() | uuids,
    uints,
    uints,
    st.binary(max_size=300),
)
frames = elements.map(lambda values: make_frame(*values))


def whole(packed: bytes) -> bytes:
    """A frame around a packed envelope."""
    return LENGTH.pack(len(packed)) + packed


def raw_of(values: Sequence[object]) -> bytes:
    """The frame of an array of ``values``, right or wrong."""
    return whole(msgpack.packb(list(values)))


def with_element(position: int, value: object) -> list[Any]:
    """A right envelope's elements but for one."""
    values: list[Any] = list(ELEMENTS)
    values[position] = value
    return values


EXTENSIONS: Final = {
    "fixext 1": b"\xd4\x05\x00",
    "fixext 2": b"\xd5\x05\x00\x00",
    "fixext 4": b"\xd6\x05\x00\x00\x00\x00",
    "fixext 8": b"\xd7\x05" + bytes(8),
    "fixext 16": b"\xd8\x05" + bytes(16),
    "ext 8": b"\xc7\x03\x05\x00\x00\x00",
    "ext 8, empty": b"\xc7\x00\x05",
    "ext 16": b"\xc8\x00\x03\x05\x00\x00\x00",
    "ext 32": b"\xc9\x00\x00\x00\x03\x05\x00\x00\x00",
    "timestamp 32": b"\xd6\xff\x00\x00\x00\x01",
    "timestamp 64": b"\xd7\xff" + bytes(7) + b"\x01",
    "timestamp 96": b"\xc7\x0c\xff" + bytes(11) + b"\x01",
    "timestamp, empty": b"\xc7\x00\xff",
    "another negative type": b"\xd4\xfe\x00",
}
"""Extension types in each encoding, the timestamp (-1) among them."""

_MILLIONS: Final = struct.pack(">I", 16_000_000)

HOSTILE: Final = {
    "array32 of millions": b"\xdd" + _MILLIONS,
    "array32 of 2**32-1": b"\xdd\xff\xff\xff\xff",
    "nested array32 of millions": (b"\xdd" + _MILLIONS) * 600,
    "nested array16": b"\xdc\xff\xff" * 900,
    "array16 full of array16": b"\xdc\xff\xff" + b"\xdc\xff\xff\xc0" * 900,
    "nested array32, each as long as the bytes": (b"\xdd" + struct.pack(">I", 70_000)) * 600 + bytes(80_000),
    "nested array16, each as long as the bytes": b"\xdc\xff\xff" * 600 + bytes(80_000),
    "map32 of millions": b"\xdf" + _MILLIONS,
    "map32 of 2**32-1": b"\xdf\xff\xff\xff\xff",
    "nested map32": (b"\xdf\x00\x00\x02\x00\xa1k") * 500,
    "str32 of 4 GiB": b"\xdb\xff\xff\xff\xff",
    "bin32 of 4 GiB": b"\xc6\xff\xff\xff\xff",
    "ext32 of 4 GiB": b"\xc9\xff\xff\xff\xff\x05",
    "ext32 timestamp of 4 GiB": b"\xc9\xff\xff\xff\xff\xff",
    "lists, thousands deep": b"\x91" * 20_000 + b"\xc0",
    "maps, thousands deep": b"\x81\xa1k" * 20_000 + b"\xc0",
    "full lists, thousands deep": b"\x9f" * 20_000,
    "never used byte": b"\xc1",
}
"""Packed values that announce far more than they bring."""


def refusal(read: Callable[[bytes], object], data: bytes) -> WireError:
    """The :class:`WireError` with which ``read`` refuses ``data``."""
    try:
        read(data)
    except WireError as error:
        return error
    raise AssertionError(f"accepted: {data[:80]!r}")


def peak_bytes(run: Callable[..., object], *arguments: object) -> int:
    """The most memory that ``run(*arguments)`` held at once, in bytes, whether it raised a WireError or not."""
    tracemalloc.start()
    try:
        run(*arguments)
    except WireError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


@st.composite
def mutated(draw: st.DrawFn, originals: st.SearchStrategy[bytes]) -> bytes:
    """An original with bytes changed, put in, taken out or cut off."""
    data = bytearray(draw(originals))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        new = draw(st.binary(max_size=5))
        removed = draw(st.integers(0, 5))
        data[at : at + removed] = new
    return bytes(data)
