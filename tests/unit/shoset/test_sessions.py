"""Sessions on the listening side (protocol.md 5.3): acknowledgement, resuming, forgetting, taking over."""

from __future__ import annotations

from gandalf.routing.charge import Charge
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.settings import ACK_DELAY, ACK_FRAMES, Limits
from gandalf.shoset.testing import RawPeer
from gandalf.wire import kinds
from gandalf.wire.envelope import Frame
from tests.unit.shoset.support import ADDRESS, ShosetTestCase, event, events, send_all, uuids


class SessionTestCase(ShosetTestCase):
    """A listener and a raw connector linked to it."""

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.host = self.listen()
        self.charges: list[Charge] = []
        self.peer = self.linked(self.ours)
        self.link = self.host.link

    def charging(self) -> None:
        """From now on each frame waits for its charge, in :attr:`charges`."""

        def charge(frame: Frame, link: ShosetLink) -> Charge:
            self.charges.append(Charge())
            return self.charges[-1]

        self.host.charge = charge

    def say(self, count: int, peer: RawPeer | None = None) -> list[Frame]:
        """The peer sends so many events, in one chunk."""
        frames = [(peer or self.peer).say(kinds.EVENT) for _ in range(count)]
        self.network.settle()
        return frames

    def acks(self, peer: RawPeer | None = None) -> list[int]:
        """The counts acknowledged to the peer so far."""
        return [body["received"] for body in (peer or self.peer).heard(kinds.ACK)]

    def resume(self, **link: object) -> RawPeer:
        """The peer dials again with the same session; the former connection is gone."""
        self.network.cable.cut()
        peer = self.peer.again()
        self.link_again(peer, self.ours, **link)
        return peer


class AcknowledgementTest(SessionTestCase):
    """When and what is acknowledged."""

    def test_after_64_frames_at_once(self) -> None:
        """Without a moment passing."""
        self.say(ACK_FRAMES - 1)
        self.assertEqual([], self.acks())
        self.say(1)
        self.assertEqual([64], self.acks())
        self.say(200)
        self.assertEqual([64, 264], self.acks())

    def test_fewer_within_50_ms(self) -> None:
        """One acknowledgement for all that came meanwhile; nothing more afterwards."""
        self.say(1)
        self.network.advance(ACK_DELAY / 2)
        self.say(2)
        self.assertEqual([], self.acks())
        self.network.advance(ACK_DELAY / 2)
        self.assertEqual([3], self.acks())
        self.network.advance(5)
        self.assertEqual([3], self.acks())
        self.say(1)
        self.network.advance(ACK_DELAY)
        self.assertEqual([3, 4], self.acks())

    def test_the_timer_of_an_acknowledgement_sent_at_once(self) -> None:
        """Says nothing twice."""
        self.say(1)
        self.say(64)
        self.network.advance(1)
        self.assertEqual([65], self.acks())

    def test_settled_late_within_50_ms(self) -> None:
        """Counted from when it became countable."""
        self.charging()
        self.say(1)
        self.network.advance(9)
        self.assertEqual([], self.acks())
        self.charges[0].settle()
        self.network.advance(ACK_DELAY)
        self.assertEqual([1], self.acks())

    def test_64_settled_late_at_once(self) -> None:
        """As many as come free by one."""
        self.charging()
        self.say(64)
        for charge in self.charges[:0:-1]:
            charge.settle()
        self.network.settle()
        self.assertEqual([], self.acks())
        self.assertEqual(64, self.link.inbox.open)
        self.charges[0].settle()
        self.network.settle()
        self.assertEqual([64], self.acks())
        self.assertEqual(0, self.link.inbox.open)

    def test_the_count_is_contiguous_in_whatever_order_charges_settle(self) -> None:
        """Only frames without a gap before them count."""
        self.charging()
        self.say(5)
        for index, expected in ((3, []), (1, []), (0, [2]), (4, [2]), (2, [2, 5])):
            self.charges[index].settle()
            self.network.advance(ACK_DELAY)
            self.assertEqual(expected, self.acks())

    def test_what_is_settled_at_once_waits_for_what_is_not(self) -> None:
        """A gap is a gap, whatever follows."""
        self.charging()
        self.say(1)
        self.host.charge = lambda frame, link: None
        self.say(2)
        self.network.advance(ACK_DELAY)
        self.assertEqual([], self.acks())
        self.charges[0].settle()
        self.network.advance(ACK_DELAY)
        self.assertEqual([3], self.acks())

    def test_a_charge_settled_while_the_frame_is_worked_on(self) -> None:
        """Counts as if there had been none."""
        charge = Charge()
        charge.settle()
        self.host.charge = lambda frame, link: charge
        self.say(1)
        self.network.advance(ACK_DELAY)
        self.assertEqual([1], self.acks())

    def test_link_control_is_not_counted(self) -> None:
        """Only routed frames are."""
        for kind in (kinds.PING, kinds.PONG, kinds.BROTHERS):
            self.peer.say(kind)
        self.say(1)
        self.network.advance(ACK_DELAY)
        self.assertEqual([1], self.acks())

    def test_every_routed_kind_is_counted(self) -> None:
        """All of section 4 but link control."""
        for kind in sorted(kinds.ROUTED):
            self.peer.say(kind)
        self.network.advance(ACK_DELAY)
        self.assertEqual([8], self.acks())

    def test_our_frames_are_kept_until_acknowledged(self) -> None:
        """Their charges settle in order, and the bytes are let go."""
        charges = [Charge() for _ in range(3)]
        for charge in charges:
            self.link.send(event(self.ours), charge)
        self.network.settle()
        self.assertEqual(3, len(self.link.outbox))
        self.peer.say(kinds.ACK, {"received": 2})
        self.network.settle()
        self.assertEqual([True, True, False], [charge.settled for charge in charges])
        self.peer.say(kinds.ACK, {"received": 3})
        self.network.settle()
        self.assertEqual((0, 0), (len(self.link.outbox), self.link.outbox.bytes))

    def test_an_acknowledgement_said_twice(self) -> None:
        """The same count again is none too many."""
        self.link.send(event(self.ours))
        for _ in range(2):
            self.peer.say(kinds.ACK, {"received": 1})
        self.network.settle()
        self.assertFalse(self.peer.ended)

    def test_malformed_acknowledgements(self) -> None:
        """Too much or backwards: refused; no other link notices, and the session goes on as it was."""
        other = self.linked(self.ours)
        send_all(self.link, events(self.ours, 3))
        self.peer.say(kinds.ACK, {"received": 2})
        self.network.settle()
        for received in (1, 4, 2**64 - 1):
            self.peer.say(kinds.ACK, {"received": received})
            self.network.settle()
            self.assert_refused(self.peer, "MALFORMED", "received")
            self.peer = self.peer.again()
            self.link_again(self.peer, self.ours, received=2)
            self.assertEqual(1, len(self.peer.routed))
        self.assertFalse(other.ended)
        self.assertEqual([], other.routed)


class ResumeTest(SessionTestCase):
    """A session that goes on over another connection."""

    def test_exactly_the_unacknowledged_is_sent_again(self) -> None:
        """In order, with the same bytes, before anything new."""
        frames = events(self.ours, 6)
        send_all(self.link, frames[:4])
        self.network.settle()
        self.peer.say(kinds.ACK, {"received": 1})
        self.network.settle()
        self.network.cable.cut()
        send_all(self.link, frames[4:])
        peer = self.resume(received=2)
        self.assertEqual([frame.raw for frame in frames[2:]], [frame.raw for frame in peer.routed])
        self.assertEqual([(self.link, False), (self.link, True)], self.host.up)
        self.assertEqual([self.link], self.host.down)
        self.assertTrue(peer.heard(kinds.LINKED)[0]["resumed"])
        self.assertEqual(1, self.ours.counters.resumed)
        self.assertEqual(4, self.link.counters.resent)
        peer.say(kinds.ACK, {"received": 6})
        self.network.settle()
        self.assertEqual(0, len(self.link.outbox))

    def test_linked_tells_what_counts(self) -> None:
        """The dialler sends the rest again; what was open counts when its second coming does."""
        self.charging()
        self.say(3)
        self.charges[0].settle()
        self.charges[2].settle()
        peer = self.resume()
        self.assertEqual(1, peer.heard(kinds.LINKED)[0]["received"])
        self.charges[1].settle()
        self.host.charge = lambda frame, link: None
        self.say(2, peer)
        self.network.advance(ACK_DELAY)
        self.assertEqual([3], self.acks(peer))

    def test_settled_while_the_connection_is_broken(self) -> None:
        """Counts in linked, and no acknowledgement is left waiting."""
        self.charging()
        self.say(70)
        self.network.cable.cut()
        for charge in self.charges:
            charge.settle()
        peer = self.resume()
        self.assertEqual(70, peer.heard(kinds.LINKED)[0]["received"])
        self.network.advance(1)
        self.assertEqual([], self.acks(peer))

    def test_a_pending_acknowledgement_does_not_outlive_its_connection(self) -> None:
        """Its timer goes with the connection."""
        self.say(1)
        self.network.cable.cut()
        self.assertEqual(1, len(self.clock.getDelayedCalls()))

    def test_validation_survives(self) -> None:
        """A resumed session keeps its validation; a new one has none."""
        self.link.validated = True
        self.peer = self.resume()
        self.assertTrue(self.host.link.validated)
        self.network.cable.cut()
        self.network.advance(60)
        self.peer = self.resume()
        self.assertIsNot(self.link, self.host.link)
        self.assertFalse(self.host.link.validated)

    def test_a_count_of_another_listeners_frames(self) -> None:
        """A dialler that was linked elsewhere since counts anew, and so do we; what it did not take comes again."""
        frames = events(self.ours, 3)
        send_all(self.link, frames)
        self.say(2)
        self.network.advance(1)
        self.peer.say(kinds.ACK, {"received": 1})
        self.network.settle()
        self.link.validated = True
        peer = self.resume(received=77, counted_with=b"another instance")
        linked = peer.heard(kinds.LINKED)[0]
        self.assertEqual((0, False), (linked["received"], linked["resumed"]))
        self.assertEqual((self.link, False), self.host.up[-1])
        self.assertFalse(self.link.validated)
        self.assertEqual(uuids(frames[1:]), uuids(peer.routed))
        peer.say(kinds.ACK, {"received": 2})
        self.say(1, peer)
        self.network.advance(1)
        self.assertEqual([1], self.acks(peer))
        self.assertEqual(0, len(self.link.outbox))
        peer = self.resume(received=2, counted_with=self.ours.identity.instance)
        self.assertTrue(peer.heard(kinds.LINKED)[0]["resumed"])

    def test_topics_may_change(self) -> None:
        """The link that resumes says what it wants now."""
        self.resume(topics=["x"], bind_address="c:2")
        self.assertEqual((("x",), "c:2"), (self.link.topics, self.link.bind_address))

    def test_a_link_that_is_refused_leaves_the_session_as_it_was(self) -> None:
        """Impossible counts, bad topics, DRAINING: the connection that is there goes on."""
        send_all(self.link, events(self.ours, 3))
        self.network.settle()
        self.peer.say(kinds.ACK, {"received": 1})
        self.network.settle()
        for link in ({"received": 0}, {"received": 4}, {"received": 2, "topics": ["a..b"]}):
            thief = self.peer.again()
            self.link_again(thief, self.ours, **link)
            self.assert_refused(thief, "MALFORMED")
        self.ours.draining = True
        thief = self.peer.again()
        self.link_again(thief, self.ours, received=2)
        self.assert_refused(thief, "DRAINING")
        self.assertEqual((1, 0), (self.link.outbox.acknowledged, self.link.outbox.unsent))
        self.peer.say(kinds.ACK, {"received": 3})
        frame = self.peer.say(kinds.EVENT)
        self.network.settle()
        self.assertFalse(self.peer.ended)
        self.assertEqual([frame.uuid], self.host.uuids)

    def test_taken_over_while_the_old_connection_looks_alive(self) -> None:
        """The new one has the session; the old one is cut, and its end is nobody's concern."""
        frames = events(self.ours, 2)
        send_all(self.link, frames)
        self.network.settle()
        self.say(1)
        old = self.network.cable
        old.dialling.severed = old.listening.severed = True
        peer = self.peer.again()
        self.link_again(peer, self.ours, received=1)
        self.assertEqual([frames[1].uuid], uuids(peer.routed))
        self.assertEqual(1, peer.heard(kinds.LINKED)[0]["received"])
        self.assertEqual(1, len(self.ours.connections))
        self.assertEqual([], self.host.down)
        self.assertTrue(self.link.available)
        self.network.advance(1)
        self.say(1, peer)
        self.network.advance(ACK_DELAY)
        self.assertEqual([2], self.acks(peer))
        self.assertFalse(old.listening.connected)

    def test_bytes_and_frames_are_counted_over_all_connections(self) -> None:
        """What an operator sees of the link."""
        frames = events(self.ours, 2)
        send_all(self.link, frames)
        self.network.settle()
        self.link_again(self.peer.again(), self.ours, received=2)
        cut = sum(len(data) for data in self.network.cables[0].listening.writes)
        self.assertEqual(cut, self.link.counters.bytes_out)
        self.network.cable.cut()
        both = cut + sum(len(data) for data in self.network.cables[1].listening.writes)
        self.assertEqual(both, self.link.counters.bytes_out)
        self.assertEqual(2, self.link.counters.frames_out)

    def test_expired_are_dropped_and_reported(self) -> None:
        """What waited for longer than its timeout; the numbers stay right."""
        self.network.cable.cut()
        short, long = event(self.ours, timeout=1000), event(self.ours, timeout=3000)
        send_all(self.link, [short, long, event(self.ours)])
        self.network.advance(1.5)
        peer = self.resume()
        self.assertEqual(2, len(peer.routed))
        self.assertEqual([short], [kept[0] for kept, _ in self.host.expired])
        self.assertEqual(1, self.link.counters.expired)
        peer.say(kinds.ACK, {"received": 2})
        self.network.settle()
        self.assertEqual(0, len(self.link.outbox))


class ForgetTest(SessionTestCase):
    """A listener keeps a broken session for 60 s."""

    def test_forgotten_after_60_s(self) -> None:
        """Then its peer starts anew: nothing is sent again, counts begin at nothing."""
        self.link.send(event(self.ours))
        self.say(3)
        self.network.cable.cut()
        self.network.advance(59.99)
        self.assertIn(self.link, self.ours.registry)
        self.assertEqual([], self.host.gone)
        self.network.advance(0.01)
        self.assertEqual([self.link], self.host.gone)
        self.assertEqual([], self.ours.registry.named("c", "raw"))
        self.assertEqual((1, 1), (self.ours.counters.forgotten, self.ours.counters.forgotten_frames))
        peer = self.resume(received=1)
        linked = peer.heard(kinds.LINKED)[0]
        self.assertEqual((0, False), (linked["received"], linked["resumed"]))
        self.assertEqual([], peer.routed)
        self.assertEqual((self.host.link, False), self.host.up[-1])

    def test_kept_as_long_as_configured(self) -> None:
        """Each loss starts the time anew."""
        shoset, host = self.listen(limits=Limits(session_keep=5.0))
        peer = self.linked(shoset)
        for _ in range(3):
            self.network.cable.cut()
            self.network.advance(4)
            peer = peer.again()
            self.link_again(peer, shoset)
        self.assertEqual(3, shoset.counters.resumed)
        self.network.cable.cut()
        self.network.advance(5)
        self.assertEqual([host.link], host.gone)

    def test_a_peer_whose_process_ends_is_not_kept(self) -> None:
        """Once its connection is closed its session is forgotten; after any other farewell it can be resumed."""
        for reason, gone in (("STOPPING", 1), ("TOPICS", 0)):
            shoset, host = self.listen()
            peer = self.linked(shoset)
            peer.say(kinds.BYE, {"reason": reason, "message": ""})
            self.network.settle()
            self.assertEqual([], host.gone)
            host.link.finish()
            self.network.settle()
            self.assertEqual((gone, not gone), (len(host.gone), host.link in shoset.registry), reason)

    def test_both_sides_start_anew(self) -> None:
        """A dialler that comes too late sends what is unacknowledged, counted from the first."""
        dialler, host = self.dial()
        link, listening = dialler.link, self.host.link
        link.validated = True
        self.host.charge = lambda frame, link: Charge() if len(self.host.received) > 2 else None
        frames = events(dialler.shoset, 4)
        send_all(link, frames)
        send_all(listening, events(self.ours, 3))
        self.network.advance(1)
        self.assertEqual((2, 3), (link.outbox.acknowledged, link.inbox.received))
        del self.network.listeners[ADDRESS]
        self.network.cable.cut()
        self.network.advance(61)
        self.network.listeners[ADDRESS] = self.ours
        self.host.received.clear()
        self.network.advance(10)
        self.assertEqual((link, False), host.up[-1])
        self.assertFalse(link.validated)
        self.assertEqual(0, link.inbox.received)
        self.host.link.send(event(self.ours))
        link.validated = True
        self.network.advance(1)
        self.assertEqual(uuids(frames[2:]), self.host.uuids)
        self.assertEqual((2, 1), (link.outbox.acknowledged, self.host.link.outbox.acknowledged))

    def test_forget_closes_the_connection(self) -> None:
        """The session is gone at once, and not kept when the connection ends."""
        self.link.forget()
        self.network.settle()
        self.assertTrue(self.peer.ended)
        self.assertEqual([self.link], self.host.gone)
        self.link.forget()
        self.assertEqual([self.link], self.host.gone)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_forget_a_broken_session(self) -> None:
        """Its timer goes with it."""
        self.network.cable.cut()
        self.link.forget()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual([self.link], self.host.gone)

    def test_stop_forgets_kept_sessions_timers(self) -> None:
        """So that a process can end."""
        self.network.cable.cut()
        self.ours.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_dialled_link_is_never_forgotten_by_itself(self) -> None:
        """What waits for a member that is away waits on."""
        dialler, host = self.dial()
        dialler.stop()
        self.network.cable.cut()
        self.network.advance(1000)
        self.assertEqual([], host.gone)
        self.assertIn(dialler.link, dialler.shoset.registry)
