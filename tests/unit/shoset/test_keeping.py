"""Keeping links (protocol.md 5.2): ping and pong, dead peers, brothers, bye."""

from __future__ import annotations

from gandalf.shoset.link import ShosetLink
from gandalf.shoset.settings import ACK_DELAY, LINGER, Limits
from gandalf.shoset.testing import RawPeer
from gandalf.wire import kinds
from gandalf.wire.control import BrothersBody
from tests.unit.shoset.support import ShosetTestCase, event, events, send_all, uuids


class PingTest(ShosetTestCase):
    """Who says nothing is asked, and who says nothing for three intervals is dead."""

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.host = self.listen()

    def pings(self, peer: RawPeer) -> int:
        """How many pings ``peer`` got."""
        return len(peer.heard(kinds.PING))

    def test_ping_when_nothing_was_sent_for_an_interval(self) -> None:
        """After exactly 10 s, with an empty map as body."""
        peer = self.linked(self.ours)
        self.network.advance(9.999)
        self.assertEqual(0, self.pings(peer))
        self.network.advance(0.001)
        self.assertEqual([{}], peer.heard(kinds.PING))

    def test_ping_counts_from_what_was_sent_last(self) -> None:
        """A peer that hears us is not pinged, as long as it says something itself."""
        peer = self.linked(self.ours)
        for _ in range(10):
            self.network.advance(6)
            peer.say(kinds.PONG)
            self.host.link.send(event(self.ours))
            self.network.settle()
        self.assertEqual(0, self.pings(peer))
        self.network.advance(4)
        peer.say(kinds.PONG)
        self.network.advance(5.9)
        self.assertEqual(0, self.pings(peer))
        self.network.advance(0.11)
        self.assertEqual(1, self.pings(peer))

    def test_pong_answers_ping(self) -> None:
        """One for each, at once; it is not counted as a routed frame."""
        peer = self.linked(self.ours)
        peer.say(kinds.PING)
        peer.say(kinds.PING, b"anything")
        self.network.settle()
        self.assertEqual([{}, {}], peer.heard(kinds.PONG))
        self.network.advance(1)
        self.assertEqual([], peer.heard(kinds.ACK))
        self.assertEqual([], self.host.received)

    def test_dead_after_three_silent_intervals(self) -> None:
        """30 s after the last that came, whenever that was; the session is kept."""
        peer = self.linked(self.ours)
        self.network.advance(3)
        peer.say(kinds.PONG)
        self.network.advance(29.99)
        self.assertFalse(peer.ended)
        self.network.advance(0.02)
        self.assertTrue(peer.ended)
        self.assertEqual([], peer.heard(kinds.REFUSED))
        self.assertEqual(1, self.ours.counters.dead)
        self.assertEqual([self.host.link], self.host.down)
        self.assertIn(self.host.link, self.ours.registry)

    def trickle(self, peer: RawPeer, raw: bytes, size: int, every: float) -> float:
        """``peer`` sends ``raw`` piece by piece; returns for how long it was let."""
        began = self.clock.seconds()
        for start in range(0, len(raw), size):
            if peer.ended:
                break
            peer.write(raw[start : start + size])
            self.network.advance(every)
        return self.clock.seconds() - began

    def test_any_byte_is_a_sign_of_life(self) -> None:
        """A frame may come with pauses, as long as none is of three intervals."""
        peer = self.linked(self.ours)
        frame = peer.frame(kinds.EVENT, bytes(100))
        self.trickle(peer, frame.raw, 100, 29)
        self.assertEqual([frame.uuid], self.host.uuids)

    def test_a_frame_that_trickles(self) -> None:
        """One byte a second is no way to keep a connection: at most three intervals and the one it was noticed in."""
        peer = self.linked(self.ours)
        lasted = self.trickle(peer, peer.frame(kinds.EVENT, bytes(500)).raw, 1, 1)
        self.assertTrue(peer.ended)
        self.assertTrue(30 <= lasted <= 42, lasted)
        self.assertEqual(1, self.ours.counters.dead)
        self.assertIn(self.host.link, self.ours.registry)

    def test_a_large_frame_over_a_slow_line(self) -> None:
        """1 KiB a second is enough, however long it takes."""
        peer = self.linked(self.ours)
        frame = peer.frame(kinds.EVENT, bytes(200 * 1024))
        lasted = self.trickle(peer, frame.raw, 1024, 1)
        self.assertGreater(lasted, 200)
        self.assertEqual([frame.uuid], self.host.uuids)
        self.assertFalse(peer.ended)

    def test_small_frames_that_trickle(self) -> None:
        """Each is completed in time: that is an honest peer on a bad line."""
        peer = self.linked(self.ours)
        raw = peer.frame(kinds.PONG, b"\x80").raw
        half = len(raw) // 2
        peer.write(raw[:half])
        # Whenever it is looked at, half of a frame is there.
        self.trickle(peer, (raw[half:] + raw[:half]) * 20, len(raw), 5)
        self.assertFalse(peer.ended)

    def test_a_frame_that_we_do_not_read(self) -> None:
        """That it does not come is our doing, and the time counts anew when it is read on."""
        peer = self.linked(self.ours)
        frame = peer.frame(kinds.EVENT, bytes(3000))
        self.trickle(peer, frame.raw[:20], 1, 1)
        self.host.link.pause()
        self.network.advance(100)
        self.host.link.resume()
        self.trickle(peer, frame.raw[20:40], 1, 1)
        self.assertFalse(peer.ended)
        peer.write(frame.raw[40:])
        self.network.settle()
        self.assertEqual([frame.uuid], self.host.uuids)

    def test_an_answered_ping_keeps_the_connection(self) -> None:
        """Two of ours that have nothing to say stay linked for ever."""
        dialler, _ = self.dial()
        self.network.advance(1000)
        self.assertTrue(dialler.link.available)
        self.assertEqual(1, len(self.network.cables))

    def test_a_shorter_interval_of_the_peer(self) -> None:
        """Three of what it announced are enough; we ping as often as we announced ourselves."""
        peer = self.linked(self.ours, heartbeat=2000)
        self.network.advance(5.999)
        self.assertFalse(peer.ended)
        self.network.advance(0.001)
        self.assertTrue(peer.ended)
        peer = self.linked(self.ours, heartbeat=2000)
        for _ in range(9):
            peer.say(kinds.PONG)
            self.network.advance(1)
        self.assertEqual(0, self.pings(peer))

    def test_a_longer_interval_of_the_peer(self) -> None:
        """Ours counts: the peer is asked meanwhile, and answers."""
        peer = self.linked(self.ours, heartbeat=60_000)
        self.network.advance(29.9)
        self.assertEqual(2, self.pings(peer))
        self.assertFalse(peer.ended)
        self.network.advance(0.1)
        self.assertTrue(peer.ended)

    def test_an_interval_of_nothing(self) -> None:
        """A peer that announces none is held to ours; one that announces 1 ms cannot make us busy."""
        peer = self.linked(self.ours, heartbeat=None)
        self.network.advance(29.9)
        self.assertFalse(peer.ended)
        eager = self.linked(self.ours, heartbeat=1)
        self.network.advance(0.29)
        self.assertFalse(eager.ended)
        self.assertLess(self.pings(eager), 4)
        self.network.advance(0.01)
        self.assertTrue(eager.ended)

    def test_ours_is_announced_and_kept(self) -> None:
        """With another heartbeat of our own everything follows it."""
        shoset, _ = self.listen(limits=Limits(heartbeat=2.0))
        peer = self.linked(shoset)
        self.assertEqual(2000, peer.heard(kinds.LINKED)[0]["heartbeat"])
        self.network.advance(5.9)
        self.assertEqual(2, self.pings(peer))
        self.network.advance(0.1)
        self.assertTrue(peer.ended)

    def test_a_connection_that_we_do_not_read_is_not_dead(self) -> None:
        """Silence that is our doing does not count; the peer still hears from us; read again, it starts anew."""
        peer = self.linked(self.ours)
        self.network.advance(25)
        self.host.link.pause()
        self.network.advance(100)
        self.assertFalse(peer.ended)
        self.assertGreaterEqual(self.pings(peer), 10)
        self.host.link.resume()
        self.network.advance(29.9)
        self.assertFalse(peer.ended)
        self.network.advance(11)
        self.assertTrue(peer.ended)

    def test_a_connection_that_we_do_not_read_and_a_shorter_interval_of_the_peer(self) -> None:
        """We cannot answer its pings: it hears from us unasked, before it takes us for dead."""
        dialler, _ = self.dial(limits=Limits(heartbeat=1.0))
        self.host.link.pause()
        self.network.advance(60)
        self.assertTrue(dialler.link.available)
        self.assertEqual((0, 0), (self.ours.counters.dead, dialler.shoset.counters.dead))
        self.assertEqual(1, len(self.network.cables))

    def test_a_severed_line(self) -> None:
        """Nobody is told; both ends find out, and the dialler links again."""
        dialler, host = self.dial()
        cable = self.network.cable
        cable.dialling.severed = cable.listening.severed = True
        self.network.advance(31)
        self.assertEqual((1, 1), (self.ours.counters.dead, dialler.shoset.counters.dead))
        self.assertEqual([dialler.link], host.down)
        self.assertTrue(dialler.link.available)
        self.assertEqual((dialler.link, True), host.up[-1])


class BrothersTest(ShosetTestCase):
    """Addresses told at any time."""

    def test_brothers_are_told_to_all_who_dialled(self) -> None:
        """Once for each change; who is linked elsewhere later hears it in linked."""
        shoset, _ = self.listen()
        first, second = self.linked(shoset), self.linked(shoset)
        shoset.set_brothers(("a:2", "a:3"))
        shoset.set_brothers(("a:2", "a:3"))
        self.network.settle()
        for peer in (first, second):
            self.assertEqual([{"logical_name": "a-name", "addresses": ["a:2", "a:3"]}], peer.heard(kinds.BROTHERS))
        self.assertEqual(["a:2", "a:3"], self.linked(shoset).heard(kinds.LINKED)[0]["brothers"])

    def test_brothers_are_not_told_to_whom_we_dialled(self) -> None:
        """They tell us."""
        listener = self.raw_listener("cl")
        dialler, _ = self.dial("a")
        listener.peers[0].say_linked()
        self.network.settle()
        dialler.shoset.set_brothers(("a:2",))
        self.network.settle()
        self.assertEqual([], listener.peers[0].heard(kinds.BROTHERS))

    def test_a_broken_link_is_told_when_it_is_back(self) -> None:
        """Telling a link without connection does nothing."""
        shoset, host = self.listen()
        peer = self.linked(shoset)
        self.network.cable.cut()
        shoset.tell_brothers(host.link, "x", ("a:1",))
        shoset.set_brothers(("a:9",))
        again = peer.again()
        self.link_again(again, shoset)
        self.assertEqual(["a:9"], again.heard(kinds.LINKED)[0]["brothers"])

    def test_brothers_received_are_the_hosts_business(self) -> None:
        """It is told who said what."""
        shoset, host = self.listen()
        self.linked(shoset).say(kinds.BROTHERS, {"logical_name": "n", "addresses": ["a:1"]})
        self.network.settle()
        self.assertEqual([(BrothersBody("n", ("a:1",)), host.link)], host.brothers)


class ByeTest(ShosetTestCase):
    """An orderly end."""

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.host = self.listen()
        self.peer = self.linked(self.ours)
        self.link: ShosetLink = self.host.link

    def bye(self) -> None:
        """The peer leaves."""
        self.peer.say(kinds.BYE, {"reason": "DRAINING", "message": "see you"})
        self.network.settle()

    def test_bye_received(self) -> None:
        """The host is asked to finish; until then the link is connected, but no candidate."""
        self.bye()
        self.assertEqual([self.link], self.host.leaving)
        self.assertEqual((True, False), (self.link.connected, self.link.available))
        self.assertFalse(self.peer.ended)
        self.link.finish()
        self.network.settle()
        self.assertTrue(self.peer.ended)
        self.assertEqual([self.link], self.host.down)
        self.assertIn(self.link, self.ours.registry)

    def test_what_a_leaving_peer_still_sends_is_read(self) -> None:
        """It finishes what is pending; finishing acknowledges what counts."""
        self.bye()
        frame = self.peer.say(kinds.EVENT)
        self.network.settle()
        self.assertEqual([frame.uuid], self.host.uuids)
        self.link.finish()
        self.network.settle()
        self.assertEqual([1], [body["received"] for body in self.peer.heard(kinds.ACK)])

    def test_leaving_sends_only_what_has_a_reference(self) -> None:
        """The rest waits for the next connection of the session, behind nothing."""
        for number, leave in enumerate((self.bye, lambda: self.link.say_bye("DRAINING", "m"))):
            leave()
            new, answer = event(self.ours), event(self.ours, reference=b"r" * 16)
            send_all(self.link, [new, answer])
            self.network.settle()
            self.assertEqual([answer.uuid], uuids(self.peer.routed))
            self.peer.say(kinds.ACK, {"received": 2 * number + 1})
            self.network.settle()
            self.link.finish()
            self.network.settle()
            self.peer = self.peer.again()
            self.link_again(self.peer, self.ours, received=2 * number + 1)
            self.assertEqual([new.uuid], uuids(self.peer.routed))
            self.peer.say(kinds.ACK, {"received": 2 * number + 2})
            self.network.settle()
            self.peer.frames.clear()

    def test_leaving_does_not_pump(self) -> None:
        """What waited for the socket waits on."""
        self.network.cable.listening.held = True
        for _ in range(3):
            self.link.send(event(self.ours))
        big = event(self.ours, tenant="x" * 70_000)
        self.link.send(big)
        waits = event(self.ours)
        self.link.send(waits)
        self.assertEqual(1, self.link.outbox.unsent)
        self.bye()
        self.network.cable.listening.held = False
        self.network.settle()
        self.assertEqual(big.uuid, self.peer.routed[-1].uuid)
        self.assertEqual(1, self.link.outbox.unsent)

    def test_answers_that_waited_for_the_socket(self) -> None:
        """What is pending at a peer that leaves is finished, in order; the rest waits on."""
        socket = self.network.cable.listening
        socket.held = True
        self.link.send(event(self.ours, tenant="x" * 70_000))
        new = event(self.ours)
        answers = [event(self.ours, reference=bytes([number]) * 16) for number in range(3)]
        send_all(self.link, [new, *answers[:2]])
        self.bye()
        self.link.send(answers[2])
        socket.held = False
        self.network.settle()
        self.assertEqual(uuids(answers), uuids(self.peer.routed)[1:])
        self.assertEqual(1, self.link.outbox.unsent)
        self.peer.say(kinds.ACK, {"received": 4})
        self.link.finish()
        self.network.settle()
        again = self.peer.again()
        self.link_again(again, self.ours, received=4)
        self.assertEqual([new.uuid], uuids(again.routed))

    def test_say_bye(self) -> None:
        """We leave: the peer hears why, its answers are read, and it ends when we finish."""
        self.link.say_bye("DRAINING", "this instance stops")
        self.network.settle()
        self.assertEqual([{"reason": "DRAINING", "message": "this instance stops"}], self.peer.heard(kinds.BYE))
        self.assertFalse(self.peer.ended)
        frame = self.peer.say(kinds.EVENT)
        self.network.settle()
        self.assertEqual([frame.uuid], self.host.uuids)
        self.link.finish()
        self.network.settle()
        self.assertTrue(self.peer.ended)

    def test_say_bye_and_go_on_sending(self) -> None:
        """The peer is to send nothing new; ours goes on, and our own end of the link is as available as before."""
        self.link.say_bye("STOPPING", "", sends=True)
        self.link.say_bye("STOPPING", "", sends=True)
        frame = event(self.ours)
        self.link.send(frame)
        self.network.settle()
        self.assertEqual([frame.uuid], [each.uuid for each in self.peer.routed])
        self.assertTrue(self.link.available)
        self.link.dismiss("DRAINING", "")
        self.network.settle()
        self.assertEqual(["STOPPING"], [bye["reason"] for bye in self.peer.heard(kinds.BYE)])
        self.assertTrue(self.peer.ended)

    def test_part_from_a_process_that_ends(self) -> None:
        """It closes by itself; if it does not, it has as long as a session is kept."""
        self.peer.say(kinds.BYE, {"reason": "STOPPING", "message": ""})
        self.network.settle()
        self.link.part()
        self.link.part()
        self.network.settle()
        self.assertFalse(self.peer.ended)
        for _ in range(6):
            self.peer.say(kinds.PING)
            self.network.advance(9.9)
        self.assertFalse(self.peer.ended)
        self.network.advance(1)
        self.assertTrue(self.peer.ended)

    def test_part_from_another(self) -> None:
        """At once."""
        self.bye()
        self.link.part()
        self.network.settle()
        self.assertTrue(self.peer.ended)

    def test_part_when_answers_wait_for_the_socket(self) -> None:
        """They go out first: that is what is pending."""
        socket = self.network.cable.listening
        socket.held = True
        self.link.send(event(self.ours, tenant="x" * 70_000))
        new, answer = event(self.ours), event(self.ours, reference=b"r" * 16)
        send_all(self.link, [new, answer])
        self.bye()
        self.link.part()
        socket.held = False
        self.network.settle()
        self.assertEqual(answer.uuid, self.peer.routed[-1].uuid)
        self.assertTrue(self.peer.ended)
        self.assertEqual([self.link], self.host.down)

    def test_part_from_one_that_does_not_read(self) -> None:
        """It has as long as a session is kept."""
        self.network.cable.listening.held = True
        send_all(self.link, [event(self.ours, tenant="x" * 70_000), event(self.ours, reference=b"r" * 16)])
        self.link.send(event(self.ours, reference=b"r" * 16))
        self.assertEqual(1, self.link.outbox.unsent)
        self.bye()
        self.link.part()
        for _ in range(6):
            self.peer.say(kinds.PING)
            self.network.advance(9.9)
        self.assertFalse(self.peer.ended)
        self.network.advance(1 + LINGER)
        self.assertTrue(self.peer.ended)

    def test_bye_from_both_sides(self) -> None:
        """The host is asked to finish; nobody says it twice."""
        self.link.say_bye("DRAINING", "")
        self.link.say_bye("DRAINING", "")
        self.bye()
        self.assertEqual([self.link], self.host.leaving)
        self.link.dismiss("DRAINING", "at last")
        self.network.settle()
        self.assertEqual(1, len(self.peer.heard(kinds.BYE)))
        self.assertTrue(self.peer.ended)

    def test_dismiss(self) -> None:
        """Bye and the end at once; the session is kept."""
        self.peer.say(kinds.EVENT)
        self.network.settle()
        self.link.dismiss("NOT_VALIDATED", "unknown secret")
        self.network.settle()
        self.assertEqual([kinds.LINKED, kinds.ACK, kinds.BYE], [frame.kind for frame in self.peer.frames])
        self.assertTrue(self.peer.ended)
        self.assertIn(self.link, self.ours.registry)

    def test_nothing_to_say_without_a_connection(self) -> None:
        """A broken link can be dismissed, finished, paused: nothing happens."""
        self.network.cable.cut()
        self.link.dismiss("X", "")
        self.link.say_bye("X", "")
        self.link.finish()
        self.link.pause()
        self.link.resume()
        self.assertEqual([self.link], self.host.down)

    def test_a_leaving_peer_that_is_silent_is_dead(self) -> None:
        """What is pending is not waited for longer than for any other."""
        self.bye()
        self.network.advance(30)
        self.assertTrue(self.peer.ended)
        self.assertEqual(1, self.ours.counters.dead)

    def test_a_fault_of_a_leaving_peer(self) -> None:
        """Is refused like any other."""
        self.bye()
        self.peer.say(kinds.LINK)
        self.network.settle()
        self.assert_refused(self.peer, "MALFORMED")

    def test_a_closing_connection_hears_nothing_more(self) -> None:
        """Whatever happens until the peer is gone."""
        self.network.cable.dialling.reading = False
        self.link.dismiss("DRAINING", "")
        connection = self.link.connection
        assert connection is not None
        connection.life.farewell()
        connection.life.refuse("MALFORMED", "late")
        self.link.dismiss("DRAINING", "")
        self.link.send(event(self.ours))
        self.peer.say(kinds.PING)
        self.network.settle()
        self.network.advance(ACK_DELAY)
        self.assertTrue(self.link.connected)
        self.network.advance(LINGER)
        self.assertFalse(self.link.connected)
        for late in (connection.life.farewell, connection.life.finished, connection.life.died):
            late()
        connection.life.refuse("MALFORMED", "later")
        self.assertEqual({}, dict(self.ours.counters.refused))
        self.assertEqual(1, self.link.outbox.unsent)

    def test_both_ends_of_ours(self) -> None:
        """A dialler that is told bye finishes, and links again."""
        dialler, host = self.dial()
        listening = self.host.link
        listening.say_bye("DRAINING", "")
        self.network.settle()
        self.assertEqual([dialler.link], host.leaving)
        dialler.link.finish()
        self.network.advance(1)
        self.assertTrue(dialler.link.available)
        self.assertEqual((listening, True), self.host.up[-1])


class BatchTest(ShosetTestCase):
    """A whole chunk is worked on before anything is written (design.md 5)."""

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.host = self.listen()
        self.source = self.linked(self.ours)
        self.source_cable = self.network.cable
        self.target = self.linked(self.ours)
        self.target_cable = self.network.cable
        self.link = self.host.link
        for cable in (self.source_cable, self.target_cable):
            cable.listening.writes.clear()

    def test_a_chunk_causes_one_write_to_each_destination(self) -> None:
        """However many frames it brings, pings and acknowledgements among them."""
        self.host.frame_received = lambda frame, link: self.link.send(frame)  # type: ignore[method-assign]
        for _ in range(100):
            self.source.say(kinds.EVENT)
        self.source.say(kinds.PING)
        self.network.settle()
        self.assertEqual((1, 1), (len(self.target_cable.listening.writes), len(self.source_cable.listening.writes)))
        self.assertEqual(100, len(self.target.routed))
        self.assertEqual([kinds.PONG, kinds.ACK], [frame.kind for frame in self.source.frames[1:]])

    def test_forwarded_bytes_are_the_ones_that_came(self) -> None:
        """A router does not make a frame anew (protocol.md 2)."""
        self.host.frame_received = lambda frame, link: self.link.send(frame)  # type: ignore[method-assign]
        frame = self.source.say(kinds.EVENT, {"payload": "p"})
        self.network.settle()
        self.assertEqual(frame.raw, self.target.routed[0].raw)

    def test_outside_a_chunk_a_frame_is_written_at_once(self) -> None:
        """One write each."""
        for frame in events(self.ours, 3):
            self.link.send(frame)
        self.assertEqual(3, len(self.target_cable.listening.writes))

    def test_a_destination_that_goes_while_a_chunk_is_worked_on(self) -> None:
        """What was gathered for it stays in its outbox; the others get theirs."""

        def received(frame: object, link: ShosetLink) -> None:
            self.link.send(event(self.ours))
            link.send(event(self.ours))
            self.target_cable.cut()

        self.host.frame_received = received  # type: ignore[method-assign]
        self.source.say(kinds.EVENT)
        self.network.settle()
        self.assertEqual((0, 1), (len(self.target_cable.listening.writes), len(self.source.routed)))
        again = self.target.again()
        self.link_again(again, self.ours)
        self.assertEqual(1, len(again.routed))
