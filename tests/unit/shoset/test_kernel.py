"""A cable that is cut while we do not read: the kernel tells."""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gandalf.shoset.kernel import unanswered
from tests.unit.shoset.support import ShosetTestCase


class Handle:
    """A socket of which only one thing is asked."""

    def __init__(self) -> None:
        self.data_ms = self.ack_ms = 0
        self.unacked = 1

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """As Linux fills it."""
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        return struct.pack("=24xI24x2I100x", self.unacked, self.data_ms, self.ack_ms)[:size]


class Transport:
    """A transport with a socket."""

    def __init__(self, handle: Any) -> None:
        self.getHandle = lambda: handle


class HeardTest(SynchronousTestCase):
    """What a socket says. That Linux says it there is seen in tests/integration/test_kernel.py."""

    if not sys.platform.startswith("linux"):
        skip = "the kernel is asked on Linux only"

    def test_under_tls(self) -> None:
        """The socket is that of the transport beneath."""
        handle, outer = Handle(), Transport(None)
        outer.transport = Transport(handle)  # type: ignore[attr-defined]
        handle.data_ms, handle.ack_ms = 9000, 1500
        self.assertEqual(unanswered(outer), 1.5)
        handle.unacked = 0
        self.assertEqual(unanswered(outer), 0)

    def test_not_known(self) -> None:
        """No socket, or one that is closed."""
        self.assertEqual(unanswered(object()), 0)
        with socket.socket() as closed:
            pass
        self.assertEqual(unanswered(Transport(closed)), 0)


class PausedTest(ShosetTestCase):
    """A connection that we do not read."""

    def test_a_cable_cut_while_we_do_not_read(self) -> None:
        """Dead when our pings were not acknowledged for three intervals; alive as long as they are."""
        ours, host = self.listen()
        handle = Handle()
        peer = self.linked(ours)
        self.network.cable.listening.getHandle = lambda: handle  # type: ignore[attr-defined]
        host.link.pause()
        handle.data_ms, handle.ack_ms = 100_000, 9_000
        self.network.advance(100)
        self.assertFalse(peer.ended)
        handle.ack_ms, handle.unacked = 100_000, 0
        self.network.advance(100)
        self.assertFalse(peer.ended)
        handle.unacked = 2
        for seconds in range(10, 35, 5):
            handle.ack_ms = seconds * 1000
            self.network.advance(5)
        self.network.advance(10)
        self.assertTrue(peer.ended)
        self.assertEqual(ours.counters.dead, 1)
        self.assertIn(host.link, ours.registry)
