"""Memory stays bounded whatever a peer does: each buffer of a link is driven to its bound (docs/operators.md)."""

from __future__ import annotations

from gandalf.routing.charge import Charge
from gandalf.shoset.kept import OVERHEAD, TRANCHE
from gandalf.shoset.link import EVICT_INTERVAL, ShosetLink
from gandalf.shoset.settings import Limits
from gandalf.shoset.testing import FakeTransport, RawPeer
from gandalf.wire import kinds
from tests.unit.shoset.support import ShosetTestCase, event, events, send_all, uuids


class UnreadControlTest(ShosetTestCase):
    """A peer that makes us speak and does not read."""

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.host = self.listen()
        self.peer = self.linked(self.ours)
        self.link = self.host.link
        self.socket: FakeTransport = self.network.cable.listening
        self.socket.capacity = 1000
        self.socket.held = True

    def kept(self) -> int:
        """Bytes that wait for the peer to read, for transport and protocol together."""
        return len(self.socket.waiting)

    def test_pings(self) -> None:
        """Pongs are left out once the socket takes nothing more; then a ping is answered again."""
        for _ in range(1000):
            self.peer.say(kinds.PING)
            self.network.settle()
        self.assertLess(self.kept(), 2 * self.socket.capacity)
        self.socket.held = False
        self.network.settle()
        before = len(self.peer.heard(kinds.PONG))
        self.peer.say(kinds.PING)
        self.network.settle()
        self.assertEqual(before + 1, len(self.peer.heard(kinds.PONG)))

    def test_signs_of_life(self) -> None:
        """A peer that speaks and never reads gets no more of them."""
        for _ in range(1000):
            self.peer.say(kinds.PONG)
            self.network.advance(self.ours.limits.heartbeat)
        self.assertLess(self.kept(), 2 * self.socket.capacity)
        self.assertTrue(self.link.available)

    def test_acknowledgements(self) -> None:
        """One tells all, when it can be sent."""
        for _ in range(10_000):
            self.peer.say(kinds.EVENT)
            self.network.settle()
        self.assertEqual(10_000, len(self.host.received))
        self.assertLess(self.kept(), 2 * self.socket.capacity)
        self.socket.held = False
        self.network.advance(0.2)
        self.assertEqual(10_000, self.peer.heard(kinds.ACK)[-1]["received"])

    def test_few_acknowledgements(self) -> None:
        """The timer, too, leaves it until later."""
        self.peer.say(kinds.EVENT)
        self.network.settle()
        self.socket.write(bytes(2000))
        self.network.advance(1)
        self.assertEqual(2000, self.kept())
        del self.socket.waiting[:]
        self.link.connection.resumeProducing()  # type: ignore[union-attr]
        self.socket.held = False
        self.network.advance(0.2)
        self.assertEqual([1], [ack["received"] for ack in self.peer.heard(kinds.ACK)])

    def test_brothers(self) -> None:
        """The latest are told when it can be."""
        for number in range(1000):
            self.ours.set_brothers((f"host:{number}",))
        self.assertLess(self.kept(), 2 * self.socket.capacity)
        self.socket.held = False
        self.network.settle()
        self.assertEqual(["host:999"], self.peer.heard(kinds.BROTHERS)[-1]["addresses"])

    def test_last_words_are_said(self) -> None:
        """Why it ends, and how much counts, even then: that is once a connection."""
        self.socket.write(bytes(2000))
        self.peer.say(kinds.EVENT)
        self.network.settle()
        self.link.dismiss("X", "")
        del self.socket.waiting[:2000]
        self.socket.held = False
        self.network.settle()
        self.assertEqual([1], [ack["received"] for ack in self.peer.heard(kinds.ACK)])
        self.assertEqual(["X"], [bye["reason"] for bye in self.peer.heard(kinds.BYE)])


class SameAgainTest(ShosetTestCase):
    """A peer that sends again and again what we cannot take charge of."""

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.host = self.listen(limits=Limits(unacknowledged_frames=100))
        self.charge = Charge()
        self.host.charge = lambda frame, link: self.charge
        self.peer = self.linked(self.ours)
        self.link = self.host.link

    def flood(self, peer: RawPeer, count: int = 1000) -> None:
        """One event after the other, a chunk each."""
        for _ in range(count):
            peer.say(kinds.EVENT)
            self.network.settle()

    def test_it_is_not_read(self) -> None:
        """Once as much as may be does not count yet; read again when half of it does."""
        self.flood(self.peer)
        self.assertEqual(100, self.link.inbox.open)
        self.charge.settle()
        self.network.settle()
        self.assertEqual(1000, len(self.host.received))
        self.assertEqual(0, self.link.inbox.open)

    def test_it_is_not_read_when_resumed_by_others(self) -> None:
        """Two reasons not to read are two."""
        self.flood(self.peer, 200)
        self.link.pause()
        self.link.resume()
        self.network.settle()
        self.assertEqual(100, len(self.host.received))
        self.link.pause()
        self.charge.settle()
        self.network.settle()
        self.assertEqual(100, len(self.host.received))
        self.link.resume()
        self.network.settle()
        self.assertEqual(200, len(self.host.received))

    def test_a_charge_knows_whom_to_tell_once(self) -> None:
        """However often the same comes, over however many connections."""
        calls: list[int] = []
        charge, call = Charge(), calls.append
        told = self.link.inbox.take
        for _ in range(100):
            told(charge)
        self.assertEqual(1, len(charge._then))
        charge.then(lambda: call(1))
        charge.settle()
        self.assertEqual((100, [1]), (self.link.inbox.received, calls))

    def test_a_new_connection_is_read(self) -> None:
        """What did not count comes again there."""
        self.flood(self.peer, 200)
        self.network.cable.cut()
        peer = self.peer.again()
        self.link_again(peer, self.ours)
        self.flood(peer, 50)
        self.assertEqual(150, len(self.host.received))


class MuteMemberTest(ShosetTestCase):
    """One that is dialled, takes everything, and takes charge of nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.listener = self.raw_listener("cl")
        dialler, self.host = self.dial("a", limits=Limits(unacknowledged_frames=100))
        self.ours, self.link = dialler.shoset, dialler.link
        self.peer = self.listener.peers[0]
        self.peer.say_linked()
        self.network.settle()
        self.link.validated = True

    def test_what_others_have_is_not_kept_for_it(self) -> None:
        """What it was sent is kept, up to the bound; of the rest what nobody else has taken charge of."""
        for _ in range(50):
            self.network.advance(EVICT_INTERVAL)
            for _ in range(100):
                charge = Charge()
                self.link.send(event(self.ours), charge)
                charge.settle()
            self.assertLessEqual(len(self.link.outbox), 300)
        self.assertEqual(100, len(self.peer.routed))

    def test_what_waited_goes_no_further_than_the_bound(self) -> None:
        """As much as is handed to the socket at a time may be beyond it."""
        self.network.cable.cut()
        for _ in range(300):
            self.link.send(event(self.ours, tenant="x" * 10_000))
        self.network.advance(1)
        self.peer = self.listener.peers[-1]
        self.peer.say_linked()
        self.network.settle()
        self.assertLess(len(self.peer.routed), 130)
        for _ in range(20):
            self.peer.say(kinds.ACK, {"received": len(self.peer.routed)})
            self.network.settle()
        self.assertEqual(300, len(self.peer.routed))

    def test_it_goes_on_when_it_acknowledges(self) -> None:
        """In order."""
        frames = events(self.ours, 250)
        send_all(self.link, frames)
        self.network.settle()
        self.assertEqual(100, len(self.peer.routed))
        for _ in range(3):
            self.peer.say(kinds.ACK, {"received": len(self.peer.routed)})
            self.network.settle()
        self.assertEqual(uuids(frames), uuids(self.peer.routed))
        self.assertEqual([self.link], self.host.relieved)


PIECE = 4 * TRANCHE
"""Bytes."""


class KeptBytesTest(ShosetTestCase):
    """What is kept for all peers of a listener together."""

    def setUp(self) -> None:
        super().setUp()
        self.limits = Limits(kept_bytes=10 * PIECE, max_connections=5)
        self.ours, self.host = self.listen(limits=self.limits)

    def session(self) -> ShosetLink:
        """Of one more peer, which is linked."""
        self.linked(self.ours)
        return self.host.link

    def keep(self, link: ShosetLink, pieces: int) -> None:
        """So much more is kept for ``link``."""
        for _ in range(pieces * 4):
            link.send(event(self.ours, tenant="x" * (PIECE // 4)))

    def kept(self) -> int:
        """Bytes, over all sessions that are known."""
        return sum(link.outbox.bytes + OVERHEAD * len(link.outbox) for link in self.ours.registry)

    def bound(self) -> int:
        """As docs/operators.md says."""
        return self.limits.kept_bytes + len(self.ours.registry) * 2 * PIECE

    def test_the_oldest_broken_session_gives_way(self) -> None:
        """One after the other, as far as needed."""
        links = []
        for _ in range(3):
            links.append(self.session())
            self.network.cable.cut()
            self.network.advance(1)
        for link in links:
            self.keep(link, 3)
        self.network.advance(0.1)
        self.assertEqual(links, list(self.ours.registry))
        self.keep(links[2], 3)
        self.network.advance(0.1)
        self.assertEqual(links[1:], list(self.ours.registry))
        self.assertEqual([links[0]], self.host.gone)
        self.assertEqual(1, self.ours.counters.crowded_out)
        self.assertEqual(0, links[0].outbox.bytes)
        self.assertLessEqual(self.kept(), self.bound())

    def test_whoever_keeps_most_is_a_slow_consumer(self) -> None:
        """When no broken session keeps anything: it is closed, and starts anew."""
        peers = [RawPeer("c") for _ in range(3)]
        links = []
        for peer in peers:
            self.link_again(peer, self.ours)
            links.append(self.host.link)
        self.session()
        self.network.cable.cut()
        for link, pieces in zip(links, (1, 6, 2), strict=True):
            self.keep(link, pieces)
        self.network.advance(0.1)
        self.assertEqual([], peers[1].heard(kinds.BYE))
        self.keep(links[0], 3)
        self.network.advance(0.1)
        self.assertEqual(["SLOW_CONSUMER"], [bye["reason"] for bye in peers[1].heard(kinds.BYE)])
        self.assertEqual([links[1]], self.host.gone)
        self.assertEqual((1, 1), (self.ours.counters.slow_consumers, self.ours.counters.crowded_out))
        self.assertIn(links[0], self.ours.registry)

    def test_what_is_acknowledged_is_not_kept(self) -> None:
        """The account goes down with it; nobody gives way."""
        peer = RawPeer("c")
        self.link_again(peer, self.ours)
        link = self.host.link
        for _ in range(10):
            self.keep(link, 6)
            self.network.settle()
            peer.say(kinds.ACK, {"received": len(peer.routed)})
            self.network.settle()
            self.assertEqual(0, self.ours.kept.bytes)
        self.network.advance(0.1)
        self.assertEqual(0, self.ours.counters.crowded_out)

    def test_nothing_is_counted_of_what_is_forgotten(self) -> None:
        """Time is up for a broken session."""
        link = self.session()
        self.keep(link, 6)
        self.network.cable.cut()
        self.assertGreater(self.ours.kept.bytes, 5 * PIECE)
        self.network.advance(self.limits.session_keep)
        self.assertEqual((0, 0), (self.ours.kept.bytes, link.outbox.bytes))

    def test_what_comes_for_a_session_that_is_forgotten(self) -> None:
        """As errors about its commands: nobody is there to get it, nothing is kept or counted, nobody gives way."""
        other, link = self.session(), self.session()
        self.network.cable.cut()
        self.ours.forget(link)
        self.keep(link, 11)
        self.assertEqual((0, 0), (self.ours.kept.bytes, len(link.outbox)))
        self.assertEqual(44, self.ours.counters.overflowed)
        self.network.advance(0.1)
        self.assertEqual([other], list(self.ours.registry))
        self.assertEqual(0, self.ours.counters.slow_consumers)

    def test_small_frames_weigh_more_than_their_bytes(self) -> None:
        """What each takes besides is counted as well."""
        link = self.session()
        self.network.cable.cut()
        frames = events(self.ours, 3000)
        send_all(link, frames)
        self.assertLess(link.outbox.bytes, self.limits.kept_bytes)
        self.network.advance(0.1)
        self.assertEqual([link], self.host.gone)

    def test_as_many_broken_sessions_as_connections(self) -> None:
        """However little they keep: those that broke first are forgotten."""
        links = []
        for _ in range(20):
            links.append(self.session())
            self.network.cable.cut()
            self.network.advance(0.1)
        self.assertEqual(links[-5:], list(self.ours.registry))

    def test_not_while_it_is_sent_to_many(self) -> None:
        """Who walks over the links meets all of them."""
        links = [self.session() for _ in range(4)]
        walked = []
        for link in self.ours.registry.of_type("c"):
            walked.append(link)
            self.keep(link, 4)
        self.assertEqual(links, walked)
        self.network.advance(0.1)
        self.assertLessEqual(self.kept(), self.bound())
