"""Opening a link, the dialling side (protocol.md 5.1), against a listener that answers by hand."""

from __future__ import annotations

from typing import Any

from gandalf.routing.charge import Charge
from gandalf.shoset.settings import SOFTWARE, Limits
from gandalf.shoset.testing import RawListener, RawPeer, unique
from gandalf.wire import kinds
from gandalf.wire.envelope import LENGTH
from tests.unit.shoset.support import ADDRESS, ShosetTestCase, event, events, send_all, uuids


class LinkTest(ShosetTestCase):
    """What a dialler says, and what it makes of the answer."""

    def test_link_says_all_that_5_1_lists(self) -> None:
        """The first frame is link with protocol, name, type, address, instance, session, count, interval, program."""
        listener = self.raw_listener()
        dialler, _ = self.dial(limits=Limits(heartbeat=3.0))
        (peer,) = listener.peers
        (body,) = peer.heard(kinds.LINK)
        self.assertEqual(
            {
                "protocol": 1,
                "logical_name": "c-name",
                "type": "c",
                "bind_address": "c:1",
                "instance": dialler.shoset.identity.instance,
                "session": dialler.link.session,
                "received": 0,
                "heartbeat": 3000,
                "software": SOFTWARE,
            },
            body,
        )
        self.assertEqual("acme", peer.frames[0].tenant)

    def test_topics_are_asked_for(self) -> None:
        """A connector that wants only some topics names them."""
        listener = self.raw_listener()
        self.dial(dialling={"topics": ("a.*",)})
        self.assertEqual(["a.*"], listener.peers[0].heard(kinds.LINK)[0]["topics"])

    def test_linked(self) -> None:
        """The link has the listener's name, type, tenant, instance and limit; its brothers are told."""
        listener = self.raw_listener()
        found: list[tuple[str, ...]] = []
        dialler, host = self.dial(dialling={"found": found.append})
        self.assertFalse(dialler.link.connected)
        peer = listener.peers[0]
        peer.tenant = "theirs"
        peer.say_linked(brothers=["b:1"], max_frame=1000, logical_name="agg")
        self.network.settle()
        link = dialler.link
        self.assertEqual([(link, False)], host.up)
        self.assertEqual(
            ("agg", "a", "theirs", peer.identity["instance"], 1000, ADDRESS),
            (link.logical_name, link.type, link.tenant, link.instance, link.max_frame, link.address),
        )
        self.assertEqual([("b:1",)], found)
        self.assertEqual("", dialler.trouble)
        self.assertEqual([link], dialler.shoset.registry.named("a", "agg"))

    def test_linked_without_max_frame(self) -> None:
        """A listener that does not say takes what we take."""
        listener = self.raw_listener()
        dialler, _ = self.dial()
        listener.peers[0].say_linked(max_frame=None)
        self.network.settle()
        self.assertEqual(8 * 1024 * 1024, dialler.link.max_frame)

    def test_long_frames_right_behind_linked(self) -> None:
        """What a listener has kept may come in one chunk with linked, and be long."""
        listener = self.raw_listener()
        _, host = self.dial()
        listener.peers[0].say_linked()
        frame = listener.peers[0].say(kinds.EVENT, {"payload": b"x" * 100_000})
        self.network.settle()
        self.assertEqual([frame.uuid], host.uuids)

    def test_another_name_at_the_same_address(self) -> None:
        """The link is registered under the name that it has now."""
        listener = self.raw_listener()
        dialler, _ = self.dial()
        listener.peers[0].say_linked(logical_name="old")
        self.network.settle()
        self.network.cable.cut()
        self.network.advance(1)
        listener.peers[1].say_linked(logical_name="new")
        self.network.settle()
        registry = dialler.shoset.registry
        self.assertEqual([], registry.named("a", "old"))
        self.assertEqual([dialler.link], registry.named("a", "new"))
        self.assertEqual([dialler.link], list(registry))


class BadAnswerTest(ShosetTestCase):
    """Answers that are no consent: the listener hears why, the operator too, and the dialler comes again."""

    def answered(self, code: str, words: str, answer: Any) -> None:
        """``answer`` is called with the listening peer, and is refused."""
        listener = self.raw_listener()
        dialler, host = self.dial()
        answer(listener.peers[0])
        self.network.settle()
        self.assert_refused(listener.peers[0], code, words)
        self.assertEqual([], host.up)
        self.assertIn(code, dialler.trouble)
        self.network.advance(1)
        self.assertEqual(2, len(listener.peers))

    def test_malformed_kind(self) -> None:
        """Something else than linked or refused."""
        self.answered("MALFORMED", "pong", lambda peer: peer.say(kinds.PONG))

    def test_malformed_body(self) -> None:
        """A linked without an instance."""
        self.answered("MALFORMED", "instance", lambda peer: peer.say_linked(instance=None))

    def test_malformed_refused(self) -> None:
        """A refused that cannot be read."""
        self.answered("MALFORMED", "code", lambda peer: peer.say(kinds.REFUSED, {"code": 7}))

    def test_unsupported_version(self) -> None:
        """A listener that speaks another version."""
        self.answered("UNSUPPORTED_VERSION", "2", lambda peer: peer.say_linked(protocol=2))

    def test_wrong_type(self) -> None:
        """A listener of another type than was dialled."""
        self.answered("WRONG_TYPE", "'cl'", lambda peer: peer.say_linked(type="cl"))

    def test_too_large(self) -> None:
        """The limit before the handshake holds for the answer too."""
        self.answered("TOO_LARGE", "65536", lambda peer: peer.write(LENGTH.pack(64 * 1024 + 1)))

    def test_malformed_count(self) -> None:
        """A count of frames in a session that never was."""
        self.answered("MALFORMED", "received", lambda peer: peer.say_linked(received=1))

    def test_handshake_timeout(self) -> None:
        """No answer within 10 s."""
        listener = self.raw_listener()
        dialler, _ = self.dial()
        self.network.advance(9.999)
        self.assertEqual([kinds.LINK], [frame.kind for frame in listener.peers[0].frames])
        self.network.advance(0.001)
        self.assert_refused(listener.peers[0], "HANDSHAKE_TIMEOUT")
        self.assertIn("HANDSHAKE_TIMEOUT", dialler.trouble)

    def test_an_answer_that_trickles(self) -> None:
        """One byte a second does not keep us waiting for longer than silence does."""
        listener = self.raw_listener()
        dialler, _ = self.dial()
        peer = listener.peers[0]
        raw = peer.frame(kinds.LINKED, {**peer.identity, "max_frame": 1 << 20, "brothers": []}).raw
        for second in range(11):
            peer.write(raw[second : second + 1])
            self.network.advance(1)
        self.assert_refused(peer, "HANDSHAKE_TIMEOUT")
        self.assertEqual(10.05, self.network.dialled[1][0])
        self.assertIn("HANDSHAKE_TIMEOUT", dialler.trouble)

    def test_closed_without_an_answer(self) -> None:
        """As a listener does that does not like our certificate: the operator is told."""
        listener = self.raw_listener()
        dialler, _ = self.dial()
        listener.peers[0].transport.loseConnection()  # type: ignore[union-attr]
        self.network.settle()
        self.assertIn("closed", dialler.trouble)


class ResumeTest(ShosetTestCase):
    """How a dialler and a listener agree on what a session has seen (protocol.md 5.3)."""

    def setUp(self) -> None:
        super().setUp()
        self.listener: RawListener = self.raw_listener()
        self.ours, self.host = self.dial()
        self.link = self.ours.link
        self.peer = self.answer()
        self.link.validated = True
        self.frames = events(self.ours.shoset, 5)
        send_all(self.link, self.frames)
        self.network.settle()
        self.assertEqual(uuids(self.frames), uuids(self.peer.routed))

    def answer(self, **linked: object) -> RawPeer:
        """The next peer answers ``linked``."""
        peer = self.listener.peers[-1]
        peer.say_linked(**linked)
        self.network.settle()
        return peer

    def again(self, **linked: object) -> RawPeer:
        """The connection breaks, and the next one is answered."""
        self.network.cable.cut()
        self.network.advance(1)
        return self.answer(**linked)

    def acknowledge(self, received: int) -> None:
        """The peer takes charge of so many."""
        self.peer.say(kinds.ACK, {"received": received})
        self.network.settle()

    def test_a_listener_that_does_not_say_whether_it_resumes(self) -> None:
        """By instance and count: the same session goes on, with the same bytes, in order."""
        self.acknowledge(2)
        peer = self.again(received=3)
        self.assertEqual([frame.raw for frame in self.frames[3:]], [frame.raw for frame in peer.routed])
        self.assertEqual((self.link, True), self.host.up[-1])
        self.assertTrue(self.link.validated)
        self.assertEqual(self.peer.heard(kinds.LINK)[0]["session"], peer.heard(kinds.LINK)[0]["session"])
        self.assertEqual(2, self.link.counters.resent)

    def test_received_tells_what_was_taken_charge_of(self) -> None:
        """The count in link is of frames that count, without a gap."""
        charges = [Charge() for _ in range(3)]
        self.host.charge = lambda frame, link: charges[len(self.host.received) - 1]
        for _ in range(3):
            self.peer.say(kinds.EVENT)
        self.network.settle()
        charges[0].settle()
        charges[2].settle()
        peer = self.again()
        self.assertEqual(1, peer.heard(kinds.LINK)[0]["received"])

    def test_settled_between_link_and_linked_does_not_count_twice(self) -> None:
        """What was open when link was said is sent again, and counts once."""
        charge = Charge()
        self.host.charge = lambda frame, link: charge
        self.peer.say(kinds.EVENT)
        self.network.settle()
        self.network.cable.cut()
        self.network.advance(1)
        peer = self.listener.peers[-1]
        self.assertEqual(0, peer.heard(kinds.LINK)[0]["received"])
        charge.settle()
        peer.say_linked()
        peer.say(kinds.EVENT)
        self.network.advance(1)
        self.assertEqual([1], [body["received"] for body in peer.heard(kinds.ACK)])

    def test_another_instance_gets_everything_unacknowledged(self) -> None:
        """In order, with the same bytes, once the secret is accepted anew; counted from the first."""
        self.acknowledge(2)
        peer = self.again(instance=unique())
        self.assertEqual([], peer.routed)
        self.assertFalse(self.link.validated)
        self.assertEqual((self.link, False), self.host.up[-1])
        self.link.validated = True
        self.network.settle()
        self.assertEqual([frame.raw for frame in self.frames[2:]], [frame.raw for frame in peer.routed])
        self.assertEqual(0, self.link.outbox.acknowledged)
        peer.say(kinds.ACK, {"received": 3})
        self.network.settle()
        self.assertEqual(0, len(self.link.outbox))

    def test_a_listener_that_forgot_the_session(self) -> None:
        """The same instance, which says so or whose count is nothing: as a new one."""
        self.peer.say(kinds.EVENT)
        self.network.settle()
        for linked in ({"resumed": False}, {}):
            self.acknowledge(1)
            self.peer = self.again(**linked)
            self.assertEqual((self.link, False), self.host.up[-1])
            self.assertEqual(0, self.link.inbox.received)
            self.link.validated = True
            self.network.settle()
        self.assertEqual(uuids(self.frames[2:]), uuids(self.peer.routed))

    def disagree(self, words: str, **linked: object) -> None:
        """The next answer is refused, and the one after it is to another session, which is new."""
        self.acknowledge(3)
        session = self.link.session
        self.assert_refused(self.again(**linked), "MALFORMED", words)
        self.assertIn("MALFORMED", self.ours.trouble)
        # What is routed meanwhile is for it as well, as for any link that is broken.
        self.assertEqual([self.link], self.ours.shoset.registry.of_type(self.link.type))
        self.assertIsNone(self.ours.shoset.registry.session(session))
        self.network.advance(1)
        peer = self.answer()
        body = peer.heard(kinds.LINK)[0]
        self.assertNotEqual(session, body["session"])
        self.assertEqual([self.link], list(self.ours.shoset.registry))
        self.assertEqual(0, body["received"])
        self.assertEqual((self.link, False), self.host.up[-1])
        self.link.validated = True
        self.network.settle()
        self.assertEqual(uuids(self.frames[3:]), uuids(peer.routed))

    def test_disagreement_backwards(self) -> None:
        """The listener says less than it has acknowledged."""
        self.disagree("between 3 and 5 in this one, not 2", received=2)

    def test_disagreement_too_much(self) -> None:
        """The listener says more than was sent."""
        self.disagree("not 6", received=6)

    def test_disagreement_new_and_counted(self) -> None:
        """The listener does not know the session, but counts it."""
        self.disagree("not 4", received=4, resumed=False)

    def test_disagreement_another_instance_that_counts(self) -> None:
        """Another instance, which has a count in this session."""
        self.disagree("not 4", received=4, instance=unique())

    def test_link_tells_with_whom_it_counted(self) -> None:
        """So that another instance, which may know the session too, does not take the count for its own."""
        self.assertNotIn("counted_with", self.peer.heard(kinds.LINK)[0])
        peer = self.again(received=5)
        self.assertEqual(self.peer.identity["instance"], peer.heard(kinds.LINK)[0]["counted_with"])

    def test_expired_are_dropped_and_reported(self) -> None:
        """After a reconnection, what waited longer than its timeout is not sent; the numbers stay right."""
        self.network.cable.cut()
        short = [event(self.ours.shoset, timeout=500), event(self.ours.shoset, timeout=5000)]
        command = self.ours.shoset.frame(kinds.COMMAND, {})
        charge = Charge()
        self.link.send(short[0], charge)
        send_all(self.link, [short[1], command])
        self.network.listeners.clear()
        self.network.advance(1)
        self.network.listeners[ADDRESS] = self.listener
        self.network.advance(2)
        peer = self.answer(received=4)
        self.assertEqual(uuids([self.frames[4], short[1], command]), uuids(peer.routed))
        (((frame, _, kept_charge), link),) = self.host.expired
        self.assertEqual((short[0], charge, self.link), (frame, kept_charge, link))
        self.assertFalse(charge.settled)
        self.assertEqual(1, self.link.counters.expired)
        peer.say(kinds.ACK, {"received": 7})
        self.network.settle()
        self.assertEqual(0, len(self.link.outbox))

    def test_what_is_too_long_by_now(self) -> None:
        """A listener that was started anew accepts less: only what it would refuse is dropped and reported."""
        long, short = (event(self.ours.shoset, tenant="x" * length) for length in (2000, 1999))
        send_all(self.link, [long, short])
        self.network.settle()
        peer = self.again(instance=unique(), max_frame=len(long.raw) - LENGTH.size - 1)
        self.link.validated = True
        self.network.settle()
        self.assertEqual(uuids([*self.frames, short]), uuids(peer.routed))
        self.assertEqual([long], [kept[0] for kept, _ in self.host.expired])
        peer.say(kinds.ACK, {"received": 6})
        self.network.settle()
        self.assertEqual((0, 0), (len(self.link.outbox), self.link.outbox.bytes))

    def test_a_command_without_timeout_expires_after_max_timeout(self) -> None:
        """0 means the receiver's max_timeout for a command, and no limit for an event."""
        self.network.cable.cut()
        send_all(self.link, [event(self.ours.shoset), self.ours.shoset.frame(kinds.COMMAND, {})])
        self.network.listeners.clear()
        self.network.advance(10)
        self.network.listeners[ADDRESS] = self.listener
        self.network.advance(10)
        peer = self.answer(received=5)
        self.assertEqual([kinds.EVENT], [frame.kind for frame in peer.routed])
        self.assertEqual([kinds.COMMAND], [kept[0].kind for kept, _ in self.host.expired])

    def test_impossible_ack_is_refused_and_the_session_goes_on(self) -> None:
        """Backwards or more than was sent: MALFORMED; what was acknowledged stays so."""
        self.acknowledge(3)
        for received in (2, 6):
            self.peer.say(kinds.ACK, {"received": received})
            self.network.settle()
            self.assert_refused(self.peer, "MALFORMED", f"between 3 and 5, not {received}")
            self.network.advance(10)
            self.peer = self.answer(received=3)
            self.assertEqual(uuids(self.frames[3:]), uuids(self.peer.routed))
            self.assertEqual((self.link, True), self.host.up[-1])


class GateTest(ShosetTestCase):
    """A dialled link sends only ``secret`` until it is validated; then the rest, in order (protocol.md 6, 9)."""

    def setUp(self) -> None:
        super().setUp()
        self.listener = self.raw_listener()
        self.ours, self.host = self.dial()
        self.link = self.ours.link
        self.peer = self.listener.peers[0]

    def test_only_secret_before_validation(self) -> None:
        """The rest waits, whenever it came; secret goes past it."""
        shoset = self.ours.shoset
        frames = events(shoset, 3)
        self.link.send(frames[0])
        self.peer.say_linked()
        self.network.settle()
        self.link.send(frames[1])
        secret = shoset.frame(kinds.SECRET, {"command": "VALIDATION"})
        self.link.send(secret)
        self.link.send(frames[2])
        self.network.settle()
        self.assertEqual([secret.uuid], uuids(self.peer.routed))
        self.peer.say(kinds.ACK, {"received": 1})
        self.network.settle()
        self.link.validated = True
        self.network.settle()
        self.assertEqual(uuids([secret, *frames]), uuids(self.peer.routed))
        self.peer.say(kinds.ACK, {"received": 4})
        self.network.settle()
        self.assertEqual(0, len(self.link.outbox))

    def test_validation_survives_a_resumed_session_not_a_restart(self) -> None:
        """The same session: frames flow at once. A new one: they wait for the secret."""
        self.peer.say_linked()
        self.network.settle()
        self.link.validated = True
        for linked, validated in (({}, True), ({"instance": unique()}, False)):
            self.network.cable.cut()
            self.network.advance(1)
            peer = self.listener.peers[-1]
            peer.say_linked(**linked)
            frame = event(self.ours.shoset)
            self.network.settle()
            self.link.send(frame)
            self.network.settle()
            self.assertEqual(validated, self.link.validated)
            self.assertEqual([frame.uuid] if validated else [], uuids(peer.routed))
            peer.say(kinds.ACK, {"received": len(peer.routed)})
            self.network.settle()

    def test_nothing_is_sent_on_a_link_that_leaves_before_it_is_validated(self) -> None:
        """Not even secret, or what answers something: that is not waited for either."""
        self.peer.say_linked()
        self.peer.say(kinds.BYE, {"reason": "DRAINING"})
        self.network.settle()
        self.link.send(self.ours.shoset.frame(kinds.SECRET, {}))
        self.network.settle()
        self.link.send(event(self.ours.shoset, reference=b"r" * 16))
        self.network.settle()
        self.assertEqual([], self.peer.routed)
        self.link.part()
        self.network.settle()
        self.assertTrue(self.peer.ended)


class AdmitTest(ShosetTestCase):
    """Who is asked whether a peer may link."""

    def test_a_dialler_does_not_ask_its_host_to_admit(self) -> None:
        """Only listeners do."""
        _, listening = self.listen()
        _, dialling = self.dial()
        self.assertEqual((1, 0), (len(listening.admitted), len(dialling.admitted)))
