"""What comes in on a load generator's connection: counted, acknowledged, answered."""

from __future__ import annotations

import socket
from typing import Final

from benchmarks.load.shape import Answer, Shape

READ: Final = 1 << 19
"""Bytes that are read at once."""
ACKNOWLEDGE_AFTER: Final = 64
"""Messages; protocol.md 5.3 lets a peer wait for so many."""


class Inbound:
    """Counts the messages of one shape in a stream; subclasses know the protocol.

    :param answer: how each is answered, if it is.
    """

    def __init__(self, shape: Shape | None, answer: Answer | None = None) -> None:
        self.shape = shape
        self.answer = answer
        self.count = 0
        self.routed = 0
        """Everything that the protocol counts, for acknowledgements."""
        self.acknowledged = 0
        self.checksum = 0
        self.verify = False
        self.buffer = bytearray(READ)
        self.held = 0
        """Bytes at the start of the buffer that are not a whole message yet."""

    def hold(self, data: bytes | bytearray) -> None:
        """What was read of the connection before."""
        self.buffer[: len(data)] = data
        self.held = len(data)

    def read(self, sock: socket.socket) -> bytearray:
        """Read once; returns what is to be sent: acknowledgements and answers.

        :raises ConnectionError: the other side closed.
        """
        got = sock.recv_into(memoryview(self.buffer)[self.held :])
        if not got:
            raise ConnectionError("the connection was closed")
        data, end, position = self.buffer, self.held + got, 0
        out = bytearray()
        while position < end:
            count = self.shape.run(data, position, end) if self.shape is not None else 0
            if count:
                assert self.shape is not None
                self.take(data, position, count, out)
                position += count * self.shape.size
            else:
                length = self.length(data, position, end)
                if not length or position + length > end:
                    break
                self.other(bytes(data[position : position + length]), out)
                position += length
        self.held = end - position
        data[: self.held] = data[position:end]
        if self.routed - self.acknowledged >= ACKNOWLEDGE_AFTER:
            self.late(out)
        return out

    def carried_on(self, routed: int) -> None:
        """Another process read the connection, up to a whole message, and acknowledged all."""
        self.routed = self.acknowledged = routed
        self.held = 0

    def late(self, out: bytearray) -> None:
        """Acknowledge what is not yet: for when nothing more came for a while."""
        if self.routed != self.acknowledged:
            self.acknowledged = self.routed
            self.acknowledge(out)

    def take(self, data: bytearray, position: int, count: int, out: bytearray) -> None:
        """`count` messages stand at `position`."""
        assert self.shape is not None
        self.count += count
        self.routed += count
        if self.verify:
            self.checksum += self.shape.checksum(data, position, count)
        if self.answer is not None:
            out += self.answer.many(data, position, count, self.shape.size)

    # The protocol's.

    def length(self, data: bytearray, position: int, end: int) -> int:
        """The length of whatever starts at `position`; 0 when that cannot be told from what is there before `end`."""
        raise NotImplementedError

    def other(self, frame: bytes, out: bytearray) -> None:
        """Something else came."""

    def acknowledge(self, out: bytearray) -> None:
        """Say that everything counted by now is taken."""
