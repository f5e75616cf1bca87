"""Writing to a socket without waiting for the reactor."""

from __future__ import annotations

import socket

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from gandalf.shoset.writing import write_at_once, writes_at_once


class Socket(FileDescriptor):
    """A transport whose kernel takes as much as a test allows, over Twisted's own buffers."""

    def __init__(self) -> None:
        super().__init__(MemoryReactor())
        self.connected = 1
        self.room = 1 << 30
        self.lost = False
        self.sent = b""
        self.calls = 0

    def writeSomeData(self, data: bytes) -> int | BaseException:
        """As much as there is room for."""
        self.calls += 1
        if self.lost:
            return ConnectionLost()
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.sent += taken
        return len(taken)

    @property
    def asks(self) -> bool:
        """Whether the reactor is to say when there is room."""
        return self in self.reactor.getWriters()


class WriteAtOnce(SynchronousTestCase):
    """Everything goes out once, in order, whatever the kernel takes when."""

    def setUp(self) -> None:
        self.socket = Socket()

    def test_all_of_it(self) -> None:
        """The reactor has nothing to do."""
        write_at_once(self.socket, b"abc")
        write_at_once(self.socket, b"def")
        self.assertEqual((self.socket.sent, self.socket.asks), (b"abcdef", False))

    def test_a_part(self) -> None:
        """The rest goes when there is room, and what comes later behind it."""
        for room in range(3):
            self.socket = Socket()
            self.socket.room = room
            write_at_once(self.socket, b"abc")
            self.assertEqual((self.socket.sent, self.socket.asks), (b"abc"[:room], True))
            write_at_once(self.socket, b"def")
            self.assertEqual(self.socket.sent, b"abc"[:room])
            self.socket.room = 1
            self.socket.doWrite()
            write_at_once(self.socket, b"ghi")
            self.socket.room = 1 << 30
            self.socket.doWrite()
            self.socket.doWrite()
            self.assertEqual((self.socket.sent, self.socket.asks), (b"abcdefghi", False))
            write_at_once(self.socket, b"jkl")
            self.assertEqual(self.socket.sent, b"abcdefghijkl")

    def test_lost(self) -> None:
        """The reactor finds out by itself."""
        self.socket.lost = True
        write_at_once(self.socket, b"abc")
        self.assertEqual((self.socket.sent, self.socket.asks), (b"", True))

    def test_over(self) -> None:
        """What is closing or gone is left to the transport, which takes nothing any more."""
        self.socket.disconnecting = 1
        write_at_once(self.socket, b"abc")
        self.socket.disconnecting, self.socket.connected = 0, 0
        write_at_once(self.socket, b"abc")
        self.assertEqual(self.socket.calls, 0)

    def test_which(self) -> None:
        """Plain TCP only: what wraps it, as TLS does, is not to be passed by."""
        plain = socket.socket()
        self.addCleanup(plain.close)
        self.assertTrue(writes_at_once(Connection(plain, Protocol(), MemoryReactor())))
        self.assertFalse(writes_at_once(StringTransport()))
