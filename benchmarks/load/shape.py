"""Messages of one size: made by stamping a template, and counted in a stream without decoding each.

All messages of a run have one size, so that a run of `n` of them is one slice, and the same byte of each is one
slice with a step. Whatever is done to all of them costs a few operations of the interpreter, not a few each.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

import attrs

CYCLE: Final = 10_000
"""Messages that are made at once at the most where they are numbered."""
_LETTERS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
_READABLE = bytes(_LETTERS[value & 63] for value in range(256))

Columns = Callable[[int], bytes]
"""Bytes for so many messages, column after column."""


def random_ids(width: int) -> Columns:
    """Identifiers that nothing repeats."""
    return lambda count: os.urandom(width * count)


def readable_ids(width: int) -> Columns:
    """The same for protocols of text: 6 bits a character."""
    return lambda count: os.urandom(width * count).translate(_READABLE)


class PacketIds:
    """The 16-bit identifiers of MQTT, one after the other, never 0."""

    def __init__(self) -> None:
        self._high = bytes(number >> 8 for number in range(1, 65536)) * 2
        self._low = bytes(number & 255 for number in range(1, 65536)) * 2
        self._next = 0

    def __call__(self, count: int) -> bytes:
        start = self._next
        self._next = (start + count) % 65535
        return self._high[start : start + count] + self._low[start : start + count]


class Cycle:
    """The numbers from 0 to `count` - 1 in five digits, over and over."""

    width: Final = 5

    def __init__(self, count: int) -> None:
        self._count = count
        self._next = 0
        repeated = -(-2 * CYCLE // count) * count
        self._columns = [
            "".join(f"{number % count:05}"[column] for number in range(repeated)).encode() for column in range(5)
        ]

    def __call__(self, count: int) -> bytes:
        start = self._next
        self._next = (start + count) % self._count
        return b"".join(column[start : start + count] for column in self._columns)


@attrs.frozen
class Stamp:
    """Where a template gets new bytes in each message."""

    offset: int
    width: int
    columns: Columns


class Template:
    """A message, and what differs from one to the next.

    Messages are made in one buffer that is used again and again: what :meth:`many` gives is valid until it is
    called again.
    """

    def __init__(self, message: bytes, stamps: Sequence[Stamp] = ()) -> None:
        self.message = message
        self.stamps = stamps
        self.size = len(message)
        """Bytes of each message."""
        self.buffer = bytearray()

    def room(self, count: int) -> int:
        """Make room for so many; returns how many bytes they take."""
        length = count * self.size
        if length > len(self.buffer):
            self.buffer = bytearray(self.message * count)
        return length

    def many(self, count: int) -> memoryview:
        """`count` messages, stamped."""
        size, length = self.size, self.room(count)
        made = self.buffer
        for stamp in self.stamps:
            columns = stamp.columns(count)
            for column in range(stamp.width):
                made[stamp.offset + column : length : size] = columns[column * count : (column + 1) * count]
        return memoryview(made)[:length]


@attrs.frozen
class Field:
    """Bytes of a message that came, copied into its answer."""

    source: int
    target: int
    width: int


@attrs.define
class Answer:
    """How an answer is made from a message."""

    template: Template
    fields: Sequence[Field]

    def many(self, data: bytearray, position: int, count: int, size: int) -> memoryview:
        """The answers to the `count` messages of `size` bytes that start at `position`."""
        answers = self.template.many(count)
        made, length, step = self.template.buffer, len(answers), self.template.size
        end = position + count * size
        for field in self.fields:
            for column in range(field.width):
                made[field.target + column : length : step] = data[position + field.source + column : end : size]
        return answers


@attrs.frozen
class Shape:
    """What messages look like that come in.

    :param signature: offset and value of bytes by which one is told from others, and from the middle of one.
    :param id_at: where the 16 bytes are that make it unique.
    """

    size: int
    signature: tuple[tuple[int, int], ...]
    id_at: int = 0

    @classmethod
    def of(cls, message: bytes, prefix: int, id_at: int = 0) -> Shape:
        """The shape of messages that begin with the first `prefix` bytes of `message`."""
        return cls(len(message), tuple(enumerate(message[:prefix])), id_at)

    def run(self, data: bytearray, position: int, end: int) -> int:
        """How many such messages stand at `position`, one after the other, before `end`."""
        size = self.size
        count = (end - position) // size
        if count <= 0:
            return 0
        for offset, value in self.signature:
            start = position + offset
            if data[start] != value:
                return 0
            column = data[start : start + (count - 1) * size + 1 : size]
            count -= len(column.lstrip(bytes((value,))))
        return count

    def checksum(self, data: bytearray, position: int, count: int) -> int:
        """The sum of the identifiers of `count` messages, in whatever order."""
        size, total = self.size, 0
        for column in range(16):
            start = position + self.id_at + column
            total += sum(data[start : start + (count - 1) * size + 1 : size]) << (8 * column)
        return total
