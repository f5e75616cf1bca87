"""Peers that count too little, too much or backwards (protocol.md 5.3): nothing is lost, and nobody else suffers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.charge import Charge
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.settings import ACK_DELAY, LINGER, Limits
from gandalf.shoset.testing import FakeHost, FakeNetwork, RawListener, RawPeer, fake_dialler, fake_shoset, unique
from gandalf.wire.envelope import Frame
from gandalf.wire.kinds import ACK, EVENT, LINK, LINKED, REFUSED
from tests.unit.shoset.support import ShosetTestCase, event, uuids
from tests.unit.wire.support import EXAMPLES

SETTINGS = settings(EXAMPLES, max_examples=100, stateful_step_count=30)

LIMITS = Limits(accept_rate=1e6, session_keep=1e6)


class OpenHost(FakeHost):
    """Accepts every secret at once."""

    def link_up(self, link: ShosetLink, resumed: bool) -> None:
        """Recorded."""
        super().link_up(link, resumed)
        link.validated = True


class HostileMachine(RuleBasedStateMachine):
    """A peer that counts as it likes, at one side of a session; a bystander linked with the same shoset.

    The model knows what the peer has validly acknowledged: of that, and of nothing else, charges settle. What is
    not acknowledged comes again on the next connection that is agreed on, in order, with the number that the
    protocol gives it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.network = FakeNetwork(self.clock)
        self.sent: list[Frame] = []
        """Everything that was to be sent to the peer."""
        self.settled: list[bytes] = []
        self.numbered: list[bytes] = []
        """The frames of the session, as both should count them."""
        self.counted = 0
        """What the peer last acknowledged of them."""
        self.linked = False
        self.to_bystander: list[Frame] = []
        self.pattern = RawPeer(self.peer_type)
        self.setup()

    peer_type = ""

    def setup(self) -> None:
        """Make both ends, and the bystander."""
        raise NotImplementedError

    @property
    def link(self) -> ShosetLink:
        """Our end."""
        raise NotImplementedError

    @property
    def peer(self) -> RawPeer:
        """The peer on its latest connection."""
        raise NotImplementedError

    @property
    def bystander(self) -> RawPeer:
        """On its only connection."""
        raise NotImplementedError

    @property
    def host(self) -> OpenHost:
        """Ours."""
        raise NotImplementedError

    @rule(count=st.integers(1, 5))
    def send(self, count: int) -> None:
        """To the peer, linked or not, and to the bystander."""
        for _ in range(count):
            self.send_one(event(self.link.shoset))
        frame = event(self.link.shoset)
        self.to_bystander.append(frame)
        self.bystanders_link.send(frame)
        self.network.settle()

    @property
    def bystanders_link(self) -> ShosetLink:
        """Our end of it."""
        raise NotImplementedError

    def send_one(self, frame: Frame) -> None:
        """Its place is known; its charge settles in order."""
        self.sent.append(frame)
        if self.linked:
            self.numbered.append(frame.uuid)
        charge = Charge()
        charge.then(lambda: self.settled.append(frame.uuid))
        self.link.send(frame, charge)

    @precondition(lambda self: self.linked)
    @rule(share=st.floats(0, 1))
    def acknowledge(self, share: float) -> None:
        """As the protocol allows: none, some or all of what was received, or the same count again."""
        self.counted += int(share * (len(self.numbered) - self.counted))
        self.peer.say(ACK, {"received": self.counted})
        self.network.settle()
        assert not self.peer.ended

    @precondition(lambda self: self.linked)
    @rule(by=st.integers(1, 10), huge=st.booleans())
    def acknowledge_too_much(self, by: int, huge: bool) -> None:
        """Refused; nothing is settled by it."""
        self.impossible(2**64 - 1 if huge else len(self.numbered) + by)

    @precondition(lambda self: self.linked and self.counted)
    @rule(share=st.floats(0, 1, exclude_max=True))
    def acknowledge_backwards(self, share: float) -> None:
        """Refused; nothing comes back by it."""
        self.impossible(int(share * self.counted))

    def impossible(self, received: int) -> None:
        """One ``refused``, then the end."""
        peer = self.peer
        peer.say(ACK, {"received": received})
        self.network.settle()
        self.refused(peer)
        self.linked = False

    def refused(self, peer: RawPeer) -> None:
        """``peer`` was told so, last, and once."""
        assert [body["code"] for body in peer.heard(REFUSED)] == ["MALFORMED"]
        assert peer.frames[-1].kind == REFUSED
        assert peer.ended

    @precondition(lambda self: self.linked)
    @rule()
    def cut(self) -> None:
        """The peer's connection breaks; what it did not tell of is not known."""
        self.network.cable.cut()
        self.linked = False

    def agreed(self, received: int | None) -> None:
        """A handshake is through: what the peer counts from (None: anew), and what must come on it."""
        if received is None:
            self.counted = 0
            gone = set(self.settled)
            self.numbered = [frame.uuid for frame in self.sent if frame.uuid not in gone]
            first = 0
        else:
            first = self.counted = received
            known = set(self.numbered)
            self.numbered += [f.uuid for f in self.sent if f.uuid not in known and f.uuid not in set(self.settled)]
        self.first = first
        self.linked = True

    @invariant()
    def settles_what_was_acknowledged(self) -> None:
        """And nothing else, in order."""
        order = {frame.uuid: place for place, frame in enumerate(self.sent)}
        places = [order[uuid] for uuid in self.settled]
        assert places == list(range(len(places)))
        if self.linked:
            assert self.settled[len(self.settled) - self.counted :] == self.numbered[: self.counted]

    @invariant()
    def sends_what_is_owed(self) -> None:
        """On the present connection: what was not acknowledged when it came up, and what came since."""
        if self.linked:
            assert uuids(self.peer.routed) == self.numbered[self.first :]

    @invariant()
    def the_bystander_notices_nothing(self) -> None:
        """One connection, every frame, in order, once."""
        assert uuids(self.bystander.routed) == uuids(self.to_bystander)
        assert not self.bystander.ended
        assert [link for link in self.host.down if link is self.bystanders_link] == []

    def link_honestly(self) -> None:
        """The peer tells what it last acknowledged."""
        raise NotImplementedError

    def finish(self) -> None:
        """Close everything."""

    def teardown(self) -> None:
        """An honest peer gets all the rest."""
        if not self.linked:
            self.link_honestly()
        self.sends_what_is_owed()
        self.acknowledge(1.0)
        self.settles_what_was_acknowledged()
        assert self.settled == uuids(self.sent)
        self.finish()
        self.link.shoset.close()
        self.network.advance(LINGER)
        self.link.shoset.stop()
        assert self.clock.getDelayedCalls() == []


class HostileListenerMachine(HostileMachine):
    """We dial, and the listener counts as it likes."""

    peer_type = "a"

    def setup(self) -> None:
        """We dial the peer, and the bystander."""
        self.listener = RawListener(lambda: self.pattern.again())
        good = RawPeer("a", "good")
        self.others = RawListener(lambda: good.again())
        self.network.listeners = {"peer:1": self.listener, "good:1": self.others}
        self.our_host = OpenHost()
        shoset, _ = fake_shoset(self.network, "c", host=self.our_host, limits=LIMITS)
        self.good_dialler = fake_dialler(self.network, shoset, "good:1")
        self.good_dialler.start()
        self.network.settle()
        self.bystander.say_linked()
        self.network.settle()
        self.dialler = fake_dialler(self.network, shoset, "peer:1")
        self.dialler.start()
        self.network.settle()

    @property
    def link(self) -> ShosetLink:
        """Our end."""
        return self.dialler.link

    @property
    def peer(self) -> RawPeer:
        """The peer on its latest connection."""
        return self.listener.peers[-1]

    @property
    def bystander(self) -> RawPeer:
        """On its only connection."""
        return self.others.peers[-1]

    @property
    def bystanders_link(self) -> ShosetLink:
        """Our end of it."""
        return self.good_dialler.link

    @property
    def host(self) -> OpenHost:
        """Ours."""
        return self.our_host

    @initialize(count=st.integers(0, 3))
    def first_link(self, count: int) -> None:
        """Frames may wait for the first connection."""
        for _ in range(count):
            self.send_one(event(self.link.shoset))
        self.answer(None)

    def dialled(self) -> RawPeer:
        """The peer, once it has been dialled again; the bystander, which says nothing by itself, lives on."""
        count = len(self.listener.peers)
        while self.peer.ended or not self.peer.heard(LINK):
            self.bystander.say("pong")
            self.network.advance(5)
            assert len(self.listener.peers) <= count + 1
        return self.peer

    def answer(self, received: int | None, **linked: object) -> None:
        """The handshake: the peer tells its count, or (None) that it knows nothing."""
        peer = self.dialled()
        peer.say_linked(received=received or 0, **linked)
        self.network.settle()
        assert not peer.ended
        self.agreed(received)

    def link_honestly(self) -> None:
        """The peer tells what it last acknowledged."""
        hello = self.dialled().heard(LINK)[0]
        if hello.get("counted_with") == self.pattern.identity["instance"]:
            self.answer(self.counted, resumed=True)
        else:
            self.answer(None, resumed=False)

    @precondition(lambda self: not self.linked)
    @rule()
    def resume(self) -> None:
        """The peer tells what it last acknowledged."""
        self.link_honestly()

    @precondition(lambda self: not self.linked)
    @rule()
    def another_instance(self) -> None:
        """The listener was restarted."""
        self.pattern.identity["instance"] = unique()
        self.answer(None)

    @precondition(lambda self: not self.linked)
    @rule()
    def forgotten(self) -> None:
        """The listener knows nothing of the session any more."""
        self.answer(None, resumed=False)

    @precondition(lambda self: not self.linked)
    @rule(
        by=st.integers(1, 5), backwards=st.booleans(), instance=st.booleans(), resumed=st.sampled_from([None, False])
    )
    def answer_impossibly(self, by: int, backwards: bool, instance: bool, resumed: bool | None) -> None:
        """Refused; the next attempt is a session of its own."""
        received = self.counted - by if backwards else len(self.numbered) + by
        if received < 1:
            return
        if instance:
            self.pattern.identity["instance"] = unique()
        peer = self.dialled()
        session = peer.heard(LINK)[0]["session"]
        # Never sent there: what waits has no number with a peer that knows of none of it.
        peer.say_linked(received=received, resumed=resumed)
        self.network.settle()
        self.refused(peer)
        hello = self.dialled().heard(LINK)[0]
        assert hello["session"] != session
        assert hello["received"] == 0
        self.answer(None, resumed=False)

    def finish(self) -> None:
        """Close everything."""
        self.dialler.stop()
        self.good_dialler.stop()


class HostileDiallerMachine(HostileMachine):
    """We listen, and a dialler counts as it likes."""

    peer_type = "c"

    def setup(self) -> None:
        """The peer and the bystander dial us."""
        self.our_host = OpenHost()
        self.shoset, _ = fake_shoset(self.network, "a", host=self.our_host, limits=LIMITS)
        self.good = RawPeer("c", "good")
        self.dial(self.good)
        self.good_link = self.our_host.link
        self.current = self.pattern.again()
        self.dial(self.current)
        self.our_link = self.our_host.link
        self.agreed(None)

    def dial(self, peer: RawPeer, **link: object) -> None:
        """``peer`` links."""
        listening = self.shoset.buildProtocol(None)
        assert listening is not None
        self.network.join(peer, listening)
        peer.say_link(**link)
        self.network.settle()

    @property
    def link(self) -> ShosetLink:
        """Our end."""
        return self.our_link

    @property
    def peer(self) -> RawPeer:
        """The peer on its latest connection."""
        return self.current

    @property
    def bystander(self) -> RawPeer:
        """On its only connection."""
        return self.good

    @property
    def bystanders_link(self) -> ShosetLink:
        """Our end of it."""
        return self.good_link

    @property
    def host(self) -> OpenHost:
        """Ours."""
        return self.our_host

    @rule()
    def link_honestly(self) -> None:
        """The peer dials, whether its former connection is gone or not, and tells what it last acknowledged."""
        former, self.current = self.current, self.pattern.again()
        self.dial(self.current, received=self.counted)
        assert self.current.heard(LINKED)[0]["resumed"] is True
        assert former.ended
        self.agreed(self.counted)

    @rule(by=st.integers(1, 5), backwards=st.booleans())
    def link_impossibly(self, by: int, backwards: bool) -> None:
        """Refused; the session stays as it was, and so does a connection that it has."""
        received = self.counted - by if backwards else len(self.numbered) + by
        if not self.linked and not backwards:
            received += len(self.sent)
        if received < 0:
            return
        peer = self.pattern.again()
        self.dial(peer, received=received)
        self.refused(peer)
        assert peer.routed == []

    @rule()
    def link_as_another(self) -> None:
        """Another instance, or another name, does not get at the session."""
        for key, value in (("instance", unique()), ("logical_name", "thief")):
            thief = self.pattern.again()
            self.dial(thief, received=self.counted, **{key: value})
            assert [body["code"] for body in thief.heard(REFUSED)] == ["NOT_AUTHORISED"]
            assert thief.ended
            assert thief.routed == []


class HostilePeersTest(SynchronousTestCase):
    """The machines under trial."""

    def test_a_listener_that_counts_as_it_likes(self) -> None:
        """It is refused; what it did not validly acknowledge is sent again."""
        run_state_machine_as_test(HostileListenerMachine, settings=SETTINGS)

    def test_a_dialler_that_counts_as_it_likes(self) -> None:
        """It is refused; its session goes on as it was."""
        run_state_machine_as_test(HostileDiallerMachine, settings=SETTINGS)


class BoundTest(ShosetTestCase):
    """What a session keeps is bounded, whatever its peer does (protocol.md 5.3 and 6.7)."""

    def test_what_is_kept_for_a_dialler_never_exceeds_the_bound(self) -> None:
        """Broken, reading nothing or acknowledging little: the bound, and one frame."""

        @settings(SETTINGS, max_examples=60)
        @given(data=st.data(), frames=st.integers(1, 30), size=st.integers(300, 5000))
        def bounded(data: st.DataObject, frames: int, size: int) -> None:
            limits = Limits(unacknowledged_frames=frames, unacknowledged_bytes=size, session_keep=1e6)
            shoset, host = self.listen(limits=limits)
            peer = self.linked(shoset)
            link, longest = host.link, 0
            acknowledged = 0
            for what in data.draw(st.lists(st.sampled_from(["send", "send", "cut", "link", "ack"]), max_size=60)):
                if what == "send":
                    frame = event(shoset, tenant="x" * data.draw(st.sampled_from([0, 300, 900])))
                    longest = max(longest, len(frame.raw))
                    link.send(frame)
                elif what == "cut":
                    self.network.cable.cut()
                elif what == "link":
                    peer = peer.again()
                    self.link_again(peer, shoset, received=acknowledged)
                    if peer.routed:
                        acknowledged += 1
                elif not peer.ended and peer.routed and len(link.outbox):
                    acknowledged = link.outbox.acknowledged + 1
                    peer.say(ACK, {"received": acknowledged})
                self.network.settle()
                acknowledged = link.outbox.acknowledged
                assert len(link.outbox) <= frames
                assert link.outbox.bytes < size + longest

        bounded()

    def test_slow_acknowledgements_pause_whoever_feeds_a_dialled_link(self) -> None:
        """It says that it is full, keeps what is sent nevertheless, sends no more than the bound, and tells when
        there is room."""
        listener = self.raw_listener()
        dialler, host = self.dial(limits=Limits(unacknowledged_frames=10))
        peer, link = listener.peers[0], dialler.link
        peer.say_linked()
        self.network.settle()
        link.validated = True
        frames = [event(dialler.shoset) for _ in range(12)]
        for frame in frames:
            link.send(frame)
        self.network.settle()
        self.assertTrue(link.full)
        self.assertEqual(uuids(frames[:10]), uuids(peer.routed))
        for received in range(1, 3):
            peer.say(ACK, {"received": received})
            self.network.advance(ACK_DELAY)
            self.assertEqual([], host.relieved)
        peer.say(ACK, {"received": 3})
        self.network.settle()
        self.assertEqual([link], host.relieved)
        self.assertEqual(uuids(frames), uuids(peer.routed))
        self.assertFalse(link.full)


class ExpiryTest(ShosetTestCase):
    """What waits longer than it is worth (protocol.md 5.3)."""

    def test_only_what_is_too_old_is_dropped_and_each_is_told_once(self) -> None:
        """Over any number of reconnections; the rest keeps its order."""

        @settings(SETTINGS, max_examples=60)
        @given(
            timeouts=st.lists(st.sampled_from([0, 500, 1500, 60_000]), min_size=1, max_size=12),
            pauses=st.lists(st.sampled_from([0.1, 0.4, 1.0, 3.0]), min_size=1, max_size=5),
        )
        def expires(timeouts: list[int], pauses: list[float]) -> None:
            shoset, host = self.listen(limits=LIMITS)
            peer = self.linked(shoset)
            link = host.link
            self.network.cable.cut()
            frames = [event(shoset, timeout=timeout) for timeout in timeouts]
            for frame in frames:
                link.send(frame)
            gone: list[Frame] = []
            waited = 0.0
            for pause in pauses:
                self.network.advance(pause)
                waited += pause
                peer = peer.again()
                self.link_again(peer, shoset)
                gone += [f for f in frames if f not in gone and f.timeout and f.timeout / 1000 < waited]
                assert sorted(uuids(gone)) == sorted(uuids([kept[0] for kept, _ in host.expired]))
                assert uuids(peer.routed) == uuids([frame for frame in frames if frame not in gone])
                assert {frame.kind for frame in peer.routed} <= {EVENT}
                self.network.cable.cut()

        expires()
