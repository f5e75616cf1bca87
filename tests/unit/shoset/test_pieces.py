"""What one read from the socket brought in several pieces, as TLS gives it, is worked on in one."""

from __future__ import annotations

from gandalf.shoset.testing import RawPeer
from gandalf.wire import kinds
from tests.unit.shoset.support import ShosetTestCase, event


class PiecesTest(ShosetTestCase):
    """Gathered, then worked on."""

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.host = self.listen()
        self.peer: RawPeer = self.linked(self.ours)
        connection = self.host.link.connection
        assert connection is not None
        self.connection = connection

    def pieces(self, data: bytes) -> None:
        """Seven bytes at a time."""
        self.connection.gather()
        for start in range(0, len(data), 7):
            self.connection.dataReceived(data[start : start + 7])

    def test_together(self) -> None:
        """Nothing before all is there; then each frame once and in order, and one acknowledgement."""
        frames = [event(self.ours) for _ in range(70)]
        read = self.connection.bytes_in
        self.pieces(b"".join(frame.raw for frame in frames))
        self.assertEqual((self.connection.bytes_in, self.host.received), (read, []))
        self.connection.gathered()
        self.assertEqual(self.host.uuids, [frame.uuid for frame in frames])
        self.assertEqual(self.connection.bytes_in, read + sum(len(frame.raw) for frame in frames))
        self.network.settle()
        self.assertEqual([{"received": 70}], self.peer.heard(kinds.ACK))

    def test_nothing_came(self) -> None:
        """As during the handshake of TLS: nothing happens, and what comes later is worked on as ever."""
        self.connection.gather()
        self.connection.gathered()
        frame = event(self.ours)
        self.connection.dataReceived(frame.raw)
        self.assertEqual(self.host.uuids, [frame.uuid])
