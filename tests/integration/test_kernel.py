"""What Linux tells of a connection stands where it is looked for."""

from __future__ import annotations

import socket
import struct
import sys
import time

import attrs
from twisted.trial.unittest import SynchronousTestCase

from gandalf.shoset.kernel import unanswered


@attrs.frozen
class Transport:
    """A transport with a socket."""

    handle: socket.socket

    def getHandle(self) -> socket.socket:
        """As every transport of Twisted's."""
        return self.handle


class KernelTest(SynchronousTestCase):
    """A connection to a peer that acknowledges."""

    if not sys.platform.startswith("linux"):
        skip = "the kernel is asked on Linux only"

    def test_a_real_connection(self) -> None:
        """Nothing waits: 0. That Linux keeps these figures where we look is seen from a peer that acknowledges."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            near = socket.create_connection(server.getsockname())
            far, _ = server.accept()
        with near, far:
            near.sendall(b"x")
            time.sleep(0.15)
            self.assertEqual(unanswered(Transport(near)), 0)
            info = near.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 60)
            self.assertTrue(100 <= struct.unpack_from("=I", info, 56)[0] < 60_000)
            self.assertEqual(struct.unpack_from("=I", info, 24), (0,))
