"""Faults on an established link, and how a connection is closed (protocol.md 2 and 5), by hand."""

from __future__ import annotations

from gandalf.routing.charge import Charge
from gandalf.shoset.settings import LINGER
from gandalf.shoset.testing import RawPeer
from gandalf.wire import kinds
from gandalf.wire.envelope import LENGTH
from gandalf.wire.framing import FrameReader
from tests.unit.shoset.support import ShosetTestCase, event, uuids


class RefusedLaterTest(ShosetTestCase):
    """A frame on an established link that breaks the protocol."""

    def setUp(self) -> None:
        super().setUp()
        self.listener, self.host = self.listen()
        self.peer = self.linked(self.listener)
        self.cable = self.network.cable

    def test_what_came_before_is_not_lost(self) -> None:
        """Frames before the fault are delivered and acknowledged; refused is the last word, what follows unread."""
        frames = [self.peer.say(kinds.EVENT) for _ in range(3)]
        self.peer.write(LENGTH.pack(2) + b"\x91\xc0")
        self.peer.say(kinds.EVENT)
        self.network.settle()
        self.assertEqual(uuids(frames), self.host.uuids)
        self.assert_refused(self.peer, "MALFORMED")
        self.assertEqual([3], [body["received"] for body in self.peer.heard(kinds.ACK)])

    def test_what_came_before_is_not_lost_many(self) -> None:
        """The same with more frames than are acknowledged at once."""
        for _ in range(100):
            self.peer.say(kinds.EVENT)
        self.peer.write(LENGTH.pack(2) + b"\x91\xc0")
        self.network.settle()
        self.assert_refused(self.peer, "MALFORMED")
        self.assertEqual(100, self.peer.heard(kinds.ACK)[-1]["received"])

    def test_the_session_goes_on_after_a_refusal(self) -> None:
        """Who was refused for a frame may resume: nothing that came before is asked for again."""
        self.peer.say(kinds.EVENT)
        self.peer.write(LENGTH.pack(0))
        self.network.settle()
        again = self.peer.again()
        self.link_again(again, self.listener)
        (linked,) = again.heard(kinds.LINKED)
        self.assertEqual((1, True), (linked["received"], linked["resumed"]))

    def test_nothing_is_read_after_a_refusal(self) -> None:
        """Neither the rest of the chunk nor later ones, not even faults in them."""
        self.cable.listening.held = True
        self.peer.say(kinds.LINKED)
        self.peer.say(kinds.EVENT)
        self.network.settle()
        self.patch(FrameReader, "feed", lambda reader, chunk: self.fail("it was read"))
        self.peer.say(kinds.EVENT)
        self.peer.write(LENGTH.pack(2**31))
        self.network.settle()
        self.assertEqual([], self.host.received)
        self.cable.listening.held = False
        self.network.settle()
        self.assert_refused(self.peer, "MALFORMED")
        self.assertEqual(1, self.listener.counters.refused.total())

    def test_too_large_after_the_handshake(self) -> None:
        """8 MiB are the limit; refused from the length alone, 2 GiB too."""
        for length in (8 * 1024 * 1024 + 1, 2**31, 2**32 - 1):
            peer = self.linked(self.listener)
            frame = peer.say(kinds.EVENT)
            peer.write(LENGTH.pack(length))
            self.network.settle()
            self.assert_refused(peer, "TOO_LARGE", "8388608")
            self.assertEqual(frame.uuid, self.host.uuids[-1])

    def test_a_frame_of_8_mib_is_read(self) -> None:
        """As long as the limit."""
        pad = 8 * 1024 * 1024
        pad -= len(self.peer.frame(kinds.EVENT, bytes(pad)).raw) - LENGTH.size - pad
        frame = self.peer.say(kinds.EVENT, bytes(pad))
        self.network.settle()
        self.assertEqual(8 * 1024 * 1024 + LENGTH.size, len(frame.raw))
        self.assertEqual([frame.uuid], self.host.uuids)

    def test_malformed_second_link(self) -> None:
        """link and linked have their place."""
        for kind in (kinds.LINK, kinds.LINKED):
            peer = self.linked(self.listener)
            peer.say(kind)
            self.network.settle()
            self.assert_refused(peer, "MALFORMED", kind)

    def test_malformed_control_bodies(self) -> None:
        """The bodies of link control are read strictly."""
        for kind, body in (
            (kinds.ACK, {}),
            (kinds.ACK, {"received": "1"}),
            (kinds.BYE, {"reason": 1}),
            (kinds.BROTHERS, {"addresses": "b:1"}),
            (kinds.REFUSED, {"code": 1}),
        ):
            peer = self.linked(self.listener)
            peer.say(kind, body)
            self.network.settle()
            self.assert_refused(peer, "MALFORMED")

    def test_nobody_else_notices(self) -> None:
        """Another link of the same listener goes on."""
        other = self.linked(self.listener)
        self.peer.write(LENGTH.pack(2**31))
        self.network.settle()
        frame = other.say(kinds.EVENT)
        self.network.settle()
        self.assertEqual([frame.uuid], self.host.uuids)
        self.assertFalse(other.ended)

    def test_a_refused_from_the_peer_closes(self) -> None:
        """It is not answered by another."""
        self.peer.say(kinds.REFUSED, {"code": "TOO_LARGE", "message": "for me"})
        self.network.settle()
        self.assertTrue(self.peer.ended)
        self.assertEqual([], self.peer.heard(kinds.REFUSED))
        self.assertEqual([self.host.link], self.host.down)


class LastWordsTest(ShosetTestCase):
    """How a connection is closed."""

    def test_unread_input_does_not_destroy_the_last_words(self) -> None:
        """What the peer goes on sending is read and thrown away, until it has read why."""
        shoset, _ = self.listen()
        peer = RawPeer("c")
        cable = self.joined(peer, shoset)
        cable.listening.held = True
        peer.write(LENGTH.pack(2**31))
        self.network.settle()
        peer.write(bytes(1_000_000))
        cable.listening.held = False
        self.network.settle()
        self.assert_refused(peer, "TOO_LARGE")

    def test_a_peer_that_does_not_go_is_cut(self) -> None:
        """It has a moment to read the last words, not more."""
        shoset, _ = self.listen()
        peer = RawPeer("c")
        cable = self.joined(peer, shoset)
        cable.dialling.reading = False
        peer.write(LENGTH.pack(2**31))
        self.network.advance(LINGER - 0.01)
        self.assertEqual(1, len(shoset.connections))
        peer.write(b"more")
        self.network.advance(0.01)
        self.assertEqual(0, len(shoset.connections))

    def test_a_connection_that_does_not_read_reads_again_to_close(self) -> None:
        """The end of a peer whose frames we held up is not missed."""
        shoset, host = self.listen()
        peer = self.linked(shoset)
        host.link.pause()
        host.link.dismiss("DRAINING", "")
        self.network.settle()
        self.assertTrue(peer.ended)
        self.assertEqual(frozenset(), shoset.connections)

    def test_no_ack_follows_the_last_word(self) -> None:
        """What is settled after refused is told when the session is resumed, not before."""
        shoset, host = self.listen()
        charge = Charge()
        host.charge = lambda frame, link: charge
        peer = self.linked(shoset)
        self.network.cable.listening.held = True
        peer.say(kinds.EVENT)
        peer.write(LENGTH.pack(0))
        self.network.settle()
        charge.settle()
        host.link.send(event(shoset))
        self.clock.advance(0.2)
        self.network.cable.listening.held = False
        self.network.settle()
        self.assert_refused(peer, "MALFORMED")
        self.assertEqual([], peer.heard(kinds.ACK))
        again = peer.again()
        self.link_again(again, shoset)
        self.assertEqual(1, again.heard(kinds.LINKED)[0]["received"])
