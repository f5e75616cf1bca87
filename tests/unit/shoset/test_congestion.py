"""Bounds (protocol.md 5.3 and 6.7): congested and full links, slow consumers, pausing, eviction."""

from __future__ import annotations

import attrs
from twisted.internet.interfaces import IPushProducer, ISSLTransport
from zope.interface import alsoProvides

from gandalf.routing.charge import Charge
from gandalf.shoset.link import EVICT_INTERVAL
from gandalf.shoset.settings import LINGER, Limits
from gandalf.shoset.testing import FakeTransport, RawPeer
from gandalf.wire import kinds
from gandalf.wire.envelope import LENGTH
from tests.unit.shoset.support import ShosetTestCase, event, events, send_all, uuids


class CongestionTest(ShosetTestCase):
    """A link with more than its high-water mark unsent."""

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.host = self.listen(limits=Limits(high_water=10_000))
        self.peer = self.linked(self.ours)
        self.link = self.host.link
        self.socket: FakeTransport = self.network.cable.listening
        self.socket.capacity = 1000

    def fill_socket(self) -> None:
        """The socket takes no more."""
        self.socket.held = True
        self.link.send(event(self.ours, tenant="x" * 1000))
        self.assertEqual(0, self.link.outbox.unsent)

    def test_congested_above_the_high_water_mark(self) -> None:
        """What the socket does not take counts; exactly the mark is not above it."""
        self.fill_socket()
        frames = events(self.ours, 11)
        mark = 10 * len(frames[0].raw)
        self.ours.limits = attrs.evolve(self.ours.limits, high_water=mark)
        send_all(self.link, frames[:10])
        self.assertEqual((mark, False), (self.link.outbox.unsent_bytes, self.link.congested))
        self.link.send(frames[10])
        self.assertTrue(self.link.congested)
        self.assertTrue(self.link.available)

    def test_relieved_once_when_it_takes_frames_again(self) -> None:
        """In order, and the host hears of it."""
        self.fill_socket()
        frames = [event(self.ours, tenant="x" * 900) for _ in range(20)]
        send_all(self.link, frames)
        self.assertTrue(self.link.congested)
        self.assertEqual([], self.host.relieved)
        self.socket.held = False
        self.network.settle()
        self.assertFalse(self.link.congested)
        self.assertEqual([self.link], self.host.relieved)
        self.assertEqual(uuids(frames), uuids(self.peer.routed)[1:])
        self.assertEqual(0, self.link.outbox.unsent_bytes)

    def test_never_strained_never_relieved(self) -> None:
        """A link that was only busy for a moment says nothing."""
        self.fill_socket()
        self.link.send(event(self.ours))
        self.socket.held = False
        self.network.settle()
        self.assertEqual([], self.host.relieved)

    def test_frames_are_handed_to_the_socket_in_pieces(self) -> None:
        """What waits is not joined into one string of megabytes."""
        frames = [event(self.ours, tenant="x" * 50_000) for _ in range(20)]
        self.network.cable.cut()
        send_all(self.link, frames)
        peer = self.peer.again()
        self.link_again(peer, self.ours)
        writes = self.network.cable.listening.writes
        self.assertLess(max(len(data) for data in writes), 400_000)
        self.assertEqual(uuids(frames), uuids(peer.routed))

    def test_a_socket_that_fills_and_empties_before_the_handshake(self) -> None:
        """There is nothing to send yet; the link works as any other."""
        peer = RawPeer("c")
        cable = self.joined(peer, self.ours)
        connection = IPushProducer(cable.listening.protocol)
        connection.pauseProducing()
        connection.resumeProducing()
        peer.say_link()
        self.network.settle()
        self.host.link.send(event(self.ours))
        self.network.settle()
        self.assertEqual(1, len(peer.routed))

    def test_a_full_socket_and_a_broken_connection(self) -> None:
        """What the socket did not take is sent over the next one, after what it took and lost."""
        self.fill_socket()
        frames = events(self.ours, 3)
        send_all(self.link, frames)
        self.network.cable.cut()
        peer = self.peer.again()
        self.link_again(peer, self.ours)
        self.assertEqual(uuids(frames), uuids(peer.routed)[1:])


class SlowConsumerTest(ShosetTestCase):
    """A listener's peer for whom as much is kept as may be."""

    def slow(self, limits: Limits, frames: int) -> None:
        """A peer that acknowledges nothing gets so many, then one more."""
        self.ours, self.host = self.listen(limits=limits)
        self.peer = self.linked(self.ours)
        self.other = self.linked(self.ours)
        self.link = self.host.up[0][0]
        self.frames = events(self.ours, frames + 1)
        for frame in self.frames[:-1]:
            self.link.send(frame)
        self.network.settle()
        self.assertFalse(self.peer.ended)
        self.link.send(self.frames[-1])
        self.network.settle()

    def assert_dismissed_and_catches_up(self) -> None:
        """Bye with its reason, counted once; resumed, everything comes."""
        self.assertEqual("SLOW_CONSUMER", self.peer.heard(kinds.BYE)[0]["reason"])
        self.assertTrue(self.peer.ended)
        self.assertFalse(self.other.ended)
        self.assertEqual(1, self.ours.counters.slow_consumers)
        self.assertEqual(0, self.ours.counters.overflowed)
        again = self.peer.again()
        self.link_again(again, self.ours, received=2)
        self.assertEqual(uuids(self.frames[2:]), uuids(again.routed))
        again.say(kinds.ACK, {"received": len(self.frames)})
        self.network.settle()
        self.assertFalse(self.link.full)
        frame = event(self.ours)
        self.link.send(frame)
        self.network.settle()
        self.assertEqual(frame.uuid, again.routed[-1].uuid)

    def test_at_the_bound_of_frames(self) -> None:
        """As many frames as are kept at the most."""
        self.slow(Limits(unacknowledged_frames=10), 9)
        self.assert_dismissed_and_catches_up()

    def test_at_the_bound_of_bytes(self) -> None:
        """As many bytes."""
        size = len(event(self.shoset()[0]).raw)
        self.slow(Limits(unacknowledged_bytes=10 * size), 9)
        self.assert_dismissed_and_catches_up()

    def test_who_reads_nothing_is_cut(self) -> None:
        """When the last words cannot be sent within the moment allowed."""
        ours, host = self.listen(limits=Limits(unacknowledged_frames=10))
        peer = self.linked(ours)
        self.network.cable.listening.held = True
        send_all(host.link, events(ours, 10))
        self.network.settle()
        self.assertFalse(host.link.available)
        self.network.advance(LINGER)
        self.assertTrue(peer.ended)
        self.assertEqual([host.link], host.down)

    def test_a_broken_session_keeps_what_fits(self) -> None:
        """Beyond the bound events are dropped and counted; who resumes gets the first ones."""
        ours, host = self.listen(limits=Limits(unacknowledged_frames=10))
        peer = self.linked(ours)
        self.network.cable.cut()
        frames = events(ours, 13)
        send_all(host.link, frames)
        self.assertTrue(host.link.full)
        self.assertEqual((3, 3), (host.link.counters.overflowed, ours.counters.overflowed))
        self.assertEqual(0, ours.counters.slow_consumers)
        again = peer.again()
        self.link_again(again, ours)
        self.assertEqual(uuids(frames[:10]), uuids(again.routed))
        again.say(kinds.ACK, {"received": 10})
        self.network.settle()
        self.assertEqual([host.link], host.relieved)

    def test_a_frame_beyond_the_bound_while_it_catches_up(self) -> None:
        """Is dropped and counted: it would come before what waits."""
        ours, host = self.listen(limits=Limits(unacknowledged_frames=10))
        peer = self.linked(ours)
        self.network.cable.cut()
        frames = [event(ours, tenant="x" * 70_000) for _ in range(10)]
        send_all(host.link, frames)
        again = peer.again()
        self.joined(again, ours)
        self.network.cable.listening.held = True
        again.say_link()
        self.network.settle()
        host.link.send(event(ours))
        self.assertEqual(1, host.link.counters.overflowed)
        self.assertFalse(again.ended)
        self.network.cable.listening.held = False
        self.network.settle()
        self.assertEqual(uuids(frames), uuids(again.routed))

    def test_who_links_again_and_again_and_acknowledges_nothing(self) -> None:
        """No frame is kept beyond the bound: it is dropped, counted, and the connection is closed again."""
        ours, host = self.listen(limits=Limits(unacknowledged_frames=10))
        peer = self.linked(ours)
        frames = events(ours, 10)
        send_all(host.link, frames)
        self.network.settle()
        for times in range(1, 4):
            peer = peer.again()
            self.link_again(peer, ours)
            host.link.send(event(ours))
            self.network.settle()
            self.assertEqual(uuids(frames), uuids(peer.routed))
            self.assertEqual("SLOW_CONSUMER", peer.heard(kinds.BYE)[0]["reason"])
            self.assertTrue(peer.ended)
            self.assertEqual((times, times + 1), (ours.counters.overflowed, ours.counters.slow_consumers))
        self.assertEqual(10, len(host.link.outbox))


class FullDialledLinkTest(ShosetTestCase):
    """A dialled link at its bound: the floor above stops reading; nothing is lost (protocol.md 5.3)."""

    def setUp(self) -> None:
        super().setUp()
        self.listener = self.raw_listener("cl")
        dialler, self.host = self.dial("a", limits=Limits(unacknowledged_frames=10))
        self.ours, self.link = dialler.shoset, dialler.link
        self.peer = self.listener.peers[0]
        self.peer.say_linked()
        self.network.settle()
        self.link.validated = True

    def again(self) -> None:
        """The next connection, with the same session."""
        self.network.cable.cut()
        self.network.advance(1)
        self.peer = self.listener.peers[-1]
        self.peer.say_linked()
        self.network.settle()

    def test_full_and_relieved(self) -> None:
        """It is not dismissed, keeps what still comes for later, and says when there is room."""
        frames = events(self.ours, 12)
        send_all(self.link, frames)
        self.network.settle()
        self.assertEqual((True, True), (self.link.full, self.link.available))
        self.assertEqual(0, self.ours.counters.slow_consumers)
        self.assertEqual(uuids(frames[:10]), uuids(self.peer.routed))
        self.peer.say(kinds.ACK, {"received": 2})
        self.network.settle()
        self.assertEqual(uuids(frames), uuids(self.peer.routed))
        self.assertEqual([], self.host.relieved)
        self.peer.say(kinds.ACK, {"received": 3})
        self.network.settle()
        self.assertEqual([self.link], self.host.relieved)

    def test_a_full_broken_link_drops_nothing_that_nobody_has(self) -> None:
        """However much comes."""
        self.network.cable.cut()
        frames = events(self.ours, 15)
        for frame in frames:
            self.link.send(frame, Charge())
        self.assertEqual(0, self.link.counters.overflowed)
        self.again()
        self.assertEqual(uuids(frames), uuids(self.peer.routed))

    def test_a_full_broken_link_evicts_what_another_has_taken_charge_of(self) -> None:
        """The rest keeps its order, and the numbers stay right."""
        sent = event(self.ours)
        has_it = Charge()
        self.link.send(sent, has_it)
        self.network.settle()
        self.network.cable.cut()
        self.network.listeners.clear()
        charges = [Charge() for _ in range(9)]
        frames = events(self.ours, 9)
        for frame, charge in zip(frames, charges, strict=True):
            self.link.send(frame, charge)
        self.assertTrue(self.link.full)
        for charge in (has_it, *charges[::2]):
            charge.settle()
        last = event(self.ours)
        self.link.send(last)
        self.assertFalse(self.link.full)
        self.assertEqual(1 + 4 + 1, len(self.link.outbox))
        self.network.listeners["a:1"] = self.listener
        self.again()
        expected = [sent, *frames[1::2], last]
        self.assertEqual(uuids(expected), uuids(self.peer.routed))
        self.peer.say(kinds.ACK, {"received": 6})
        self.network.settle()
        self.assertEqual((0, 0), (len(self.link.outbox), self.link.outbox.bytes))

    def test_a_full_link_is_looked_through_once_a_second(self) -> None:
        """Not for each frame."""
        self.network.cable.cut()
        self.network.listeners.clear()
        charges = [Charge() for _ in range(12)]
        for frame, charge in zip(events(self.ours, 11), charges, strict=False):
            self.link.send(frame, charge)
        charges[0].settle()
        self.link.send(event(self.ours), charges[11])
        self.assertEqual(12, len(self.link.outbox))
        self.network.advance(EVICT_INTERVAL)
        self.link.send(event(self.ours))
        self.assertEqual(12, len(self.link.outbox))

    def test_another_instance_is_spared_what_was_safe_long_ago(self) -> None:
        """What another has taken charge of, and came here before the time sessions are kept."""
        self.network.cable.cut()
        self.network.listeners.clear()
        old, open_, recent = events(self.ours, 3)
        safe = Charge()
        self.link.send(old, safe)
        self.link.send(open_, Charge())
        self.network.advance(61)
        self.link.send(recent, safe)
        safe.settle()
        self.raw_listener("cl")
        listener = self.network.listeners["a:1"]
        self.network.advance(10)
        peer = listener.peers[-1]  # type: ignore[attr-defined]
        peer.say_linked()
        self.network.settle()
        self.link.validated = True
        self.network.settle()
        self.assertEqual(uuids([open_, recent]), uuids(peer.routed))


class PauseTest(ShosetTestCase):
    """Not reading from a peer (protocol.md 5.3: the sender stops reading from whoever feeds it)."""

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.host = self.listen()
        self.peer = self.linked(self.ours)
        self.link = self.host.link

    def test_pause_and_resume(self) -> None:
        """Nothing is read meanwhile, and nothing lost; saying so twice is the same."""
        self.link.pause()
        self.link.pause()
        frame = self.peer.say(kinds.EVENT)
        self.network.settle()
        self.assertEqual([], self.host.received)
        self.link.resume()
        self.link.resume()
        self.network.settle()
        self.assertEqual([frame.uuid], self.host.uuids)

    def test_several_reasons(self) -> None:
        """Read again when the last is gone; over a reconnection too."""
        self.link.pause()
        self.link.pause("other")
        self.peer.say(kinds.EVENT)
        self.link.resume()
        self.network.settle()
        self.assertEqual([], self.host.received)
        self.network.cable.cut()
        again = self.peer.again()
        self.link_again(again, self.ours)
        frame = again.say(kinds.EVENT)
        self.network.settle()
        self.assertEqual([], self.host.received)
        self.link.resume("other")
        self.network.settle()
        self.assertEqual([frame.uuid], self.host.uuids)

    def test_read_at_most(self) -> None:
        """What is told reaches the socket, under TLS too."""
        connection = self.link.connection
        assert connection is not None
        connection.read_at_most(100)
        self.assertEqual(100, vars(self.network.cable.listening)["bufferSize"])
        socket = FakeTransport()
        self.network.cable.listening.transport = socket  # type: ignore[attr-defined]
        connection.read_at_most(200)
        self.assertEqual(200, vars(socket)["bufferSize"])
        self.assertEqual(100, vars(self.network.cable.listening)["bufferSize"])

    def test_pause_lasts_over_a_reconnection(self) -> None:
        """The next connection of the session is not read either, but sent to."""
        self.link.pause()
        self.network.cable.cut()
        again = self.peer.again()
        self.link_again(again, self.ours)
        frame = again.say(kinds.EVENT)
        self.link.send(event(self.ours))
        self.network.settle()
        self.assertEqual([], self.host.received)
        self.assertEqual(1, len(again.routed))
        self.link.resume()
        self.network.settle()
        self.assertEqual([frame.uuid], self.host.uuids)

    def test_resumed_while_broken(self) -> None:
        """The next connection is read."""
        self.link.pause()
        self.network.cable.cut()
        self.link.resume()
        again = self.peer.again()
        self.link_again(again, self.ours)
        frame = again.say(kinds.EVENT)
        self.network.settle()
        self.assertEqual([frame.uuid], self.host.uuids)

    def test_the_feeding_socket_fills(self) -> None:
        """Both ends of ours: the dialler's link becomes congested, and relieved when it is read again."""
        dialler, host = self.dial(limits=Limits(high_water=1000))
        dialler.link.validated = True
        self.host.link.pause()
        frames = [event(dialler.shoset, tenant="x" * 40_000) for _ in range(4)]
        for frame in frames:
            dialler.link.send(frame)
            self.network.settle()
        self.assertTrue(dialler.link.congested)
        self.host.link.resume()
        self.network.settle()
        self.assertEqual([dialler.link], host.relieved)
        self.assertEqual(uuids(frames), self.host.uuids)


class EncryptedTest(ShosetTestCase):
    """TLS knows no half-closing: its connections are closed whole, with the same last words."""

    def test_refused_over_tls(self) -> None:
        """The peer hears why."""
        ours, _ = self.listen()
        peer = self.linked(ours)
        alsoProvides(self.network.cable.listening, ISSLTransport)
        peer.write(LENGTH.pack(0))
        self.network.settle()
        self.assert_refused(peer, "MALFORMED")
        self.assertEqual(frozenset(), ours.connections)

    def test_no_delay_where_the_transport_knows_it(self) -> None:
        """Small frames are not held back by the kernel."""
        ours, _ = self.listen()
        listening = ours.buildProtocol(None)
        assert listening is not None
        said: list[bool] = []
        transport = FakeTransport()
        transport.setTcpNoDelay = said.append  # type: ignore[attr-defined]
        transport.protocol, transport.peer = listening, FakeTransport()
        listening.makeConnection(transport)
        self.assertEqual([True], said)
        transport.lose(Exception())
