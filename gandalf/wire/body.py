"""Message bodies (protocol.md 3): one MessagePack map, read and written here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgpack

from gandalf.wire.envelope import reason, refuse_extension
from gandalf.wire.errors import Malformed

T = TypeVar("T")

Body = dict[str, Any]
"""A body as read: values are not trusted until taken out with :func:`take`."""

COMMON: Final[Mapping[str, object]] = {"major": 1, "minor": 0}
"""What every body made here says of its version (protocol.md 3)."""

_LONG_ARRAYS: Final = (b"\xdc", b"\xdd")


def pack_body(values: Mapping[str, object]) -> bytes:
    """A body of ``values``; keys whose value is "" are left out, which means the same (protocol.md 3)."""
    packed: bytes = msgpack.packb({key: value for key, value in values.items() if not _empty(value)})
    return packed


def _empty(value: object) -> bool:
    return isinstance(value, str) and not value


def unpack_body(body: bytes) -> Body:
    """The map in ``body``.

    :raises Malformed: it is not exactly one MessagePack map with str keys, without extension types.
    """
    try:
        if any(mark in body for mark in _LONG_ARRAYS):
            # The unpacker makes room for as many elements as an array announces. Walking over the body first,
            # which builds nothing, proves that the elements are really there.
            walker = msgpack.Unpacker(max_buffer_size=len(body))
            walker.feed(body)
            walker.skip()
        values = msgpack.unpackb(body, ext_hook=refuse_extension, max_ext_len=0)
    except (ValueError, RecursionError, msgpack.OutOfData) as error:
        raise Malformed(f"body: not one MessagePack map ({reason(error)})") from None
    if type(values) is not dict or not all(type(key) is str for key in values):
        raise Malformed("body: must be one MessagePack map whose keys are str")
    return values


def take(body: Body, key: str, kind: type[T], default: T) -> T:
    """The value of ``key``, or ``default`` when it is left out.

    :raises Malformed: it is there and not of ``kind``; an int must not be negative, and is no bool.
    """
    value = body.get(key, default)
    if type(value) is not kind or (isinstance(value, int) and value < 0):
        wanted = {int: "uint", bytes: "bin", dict: "map"}.get(kind, kind.__name__)
        found = "negative" if type(value) is kind else type(value).__name__
        raise Malformed(f"body: {key} must be {wanted}, not {found}")
    return value


def take_text_list(body: Body, key: str) -> tuple[str, ...] | None:
    """A list of str, or None when ``key`` is left out.

    :raises Malformed: it is there and is something else.
    """
    if key not in body:
        return None
    value = body[key]
    if type(value) is not list or not all(type(item) is str for item in value):
        raise Malformed(f"body: {key} must be a list of str")
    return tuple(value)


def take_payload(body: Body) -> str | bytes:
    """The ``payload``: str or bin, "" when left out.

    :raises Malformed: it is of another type.
    """
    value = body.get("payload", "")
    if not isinstance(value, str | bytes):
        raise Malformed(f"body: payload must be str or bin, not {type(value).__name__}")
    return value
