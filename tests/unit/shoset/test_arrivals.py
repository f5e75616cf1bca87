"""When all dial at once: a bounded rate, first come, first served; nobody costs more than a bounded number."""

from __future__ import annotations

from gandalf.shoset.arrivals import SPARE
from gandalf.shoset.settings import Limits
from gandalf.shoset.testing import Cable, RawPeer
from gandalf.wire import kinds
from tests.unit.shoset.support import ShosetTestCase

RATE = 100.0


class StormTest(ShosetTestCase):
    """More at once than may begin: 100 a second, one at once."""

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.host = self.listen(limits=Limits(accept_rate=RATE))

    def storm(self, count: int) -> list[RawPeer]:
        """So many dial and say ``link``."""
        peers = [RawPeer("c", f"c{number}") for number in range(count)]
        for peer in peers:
            self.joined(peer, self.ours)
            peer.say_link()
        self.network.settle()
        return peers

    def names(self) -> list[str]:
        """Who is linked, in order."""
        return [link.logical_name for link, _ in self.host.up]

    def test_first_come_first_served_at_the_rate(self) -> None:
        """Nobody is forgotten, none before its turn, and the rate is used in full."""
        self.storm(30)
        self.assertEqual(self.names(), ["c0"])
        for tenth in range(1, 4):
            self.network.advance(0.1)
            self.assertIn(len(self.names()) - 10 * tenth, (0, 1))
        self.assertEqual(self.names(), [f"c{number}" for number in range(30)])
        self.assertEqual(len(self.ours.arrivals), 0)

    def test_later_ones_wait_behind(self) -> None:
        """Though there is a token when they come."""
        ours, host = self.listen(limits=Limits(accept_rate=1000))
        for number in range(13):
            if number == 12:
                self.clock.advance(0.004)
            peer = RawPeer("c", f"c{number}")
            self.joined(peer, ours)
            peer.say_link()
            self.network.settle()
        self.network.advance(0.1)
        self.assertEqual([link.logical_name for link, _ in host.up], [f"c{number}" for number in range(13)])

    def test_who_comes_alone_does_not_wait(self) -> None:
        """Not even for a turn of the reactor."""
        for number in range(5):
            self.storm(1)
            self.assertEqual(len(self.names()), number + 1)
            self.network.advance(0.011)

    def test_those_who_are_linked_are_heard_meanwhile(self) -> None:
        """They have no part in it."""
        first, *_ = self.storm(50)
        frame = first.say(kinds.EVENT)
        self.network.settle()
        self.assertEqual(self.host.uuids, [frame.uuid])

    def test_the_time_for_the_handshake_counts_from_the_turn(self) -> None:
        """Ours to wait is not the peer's fault; a peer that says nothing holds up nobody."""
        ours, host = self.listen(limits=Limits(accept_rate=1, handshake_timeout=2))
        peers = []
        for number in range(6):
            peers.append(RawPeer("c", f"c{number}"))
            self.joined(peers[-1], ours)
            if number != 3:
                peers[-1].say_link()
        self.network.advance(4.9)
        self.assertFalse(any(peer.ended for peer in peers))
        self.network.advance(0.2)
        self.assert_refused(peers[3], "HANDSHAKE_TIMEOUT")
        self.assertEqual(len(host.up), 5)

    def test_who_gave_up_takes_no_turn(self) -> None:
        """The next is served instead."""
        ours, host = self.listen(limits=Limits(accept_rate=1))
        cables: list[Cable] = []
        for number in range(20):
            peer = RawPeer("c", f"c{number}")
            cables.append(self.joined(peer, ours))
            peer.say_link()
        for cable in cables[1:19]:
            cable.cut()
        self.network.advance(1.1)
        self.assertEqual([link.logical_name for link, _ in host.up], ["c0", "c19"])

    def test_the_end(self) -> None:
        """Those who wait are closed, and no timer is left."""
        peers = self.storm(10)
        self.ours.close()
        self.network.advance(0)
        late = RawPeer("c", "late")
        self.joined(late, self.ours)
        self.network.settle()
        self.ours.stop()
        self.network.cable.cut()
        self.assertTrue(all(peer.ended for peer in peers))
        self.assertEqual(self.names(), ["c0"])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class BoundTest(ShosetTestCase):
    """How many connections there are at most, whatever they say."""

    def test_a_hard_bound(self) -> None:
        """A few beyond it are told; then they are cut, and cost nothing more."""
        ours, host = self.listen(limits=Limits(max_connections=3, accept_rate=10_000))
        peers = []
        for number in range(3 + SPARE + 5):
            peers.append(RawPeer("c", f"c{number}"))
            self.joined(peers[-1], ours)
        self.network.settle()
        self.assertEqual(len(ours.connections), 3 + SPARE)
        self.assertTrue(all(peer.ended for peer in peers[-5:]))
        self.assertEqual(ours.counters.refused["OVERLOADED"], 5)
        for peer in peers[:-5]:
            peer.say_link()
        self.network.settle()
        self.assert_refused(peers[0], "OVERLOADED", "no more than 3")
        self.network.advance(3)
        self.assertEqual((len(host.up), len(ours.connections)), (3, 3))
        again = RawPeer("c", "again")
        self.link_again(again, ours)
        self.assert_refused(again, "OVERLOADED")
