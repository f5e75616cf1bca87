"""Two ends and a model of protocol.md 5.3, over connections that break at any byte.

Only what others may see is looked at: what is sent and what comes in, which charges settle, and the bytes on the
wire. What an end keeps, and how, is its own business.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.charge import Charge
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.session import KeptFrame
from gandalf.shoset.settings import LINGER, Limits
from gandalf.shoset.testing import Cable, FakeHost, FakeNetwork, FakeTransport, fake_dialler, fake_shoset
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame
from gandalf.wire.framing import FrameReader
from gandalf.wire.kinds import ACK, COMMAND, EVENT, LINK, LINKED, REFUSED, ROUTED
from tests.unit.shoset.support import ADDRESS, HeldNetwork
from tests.unit.wire.support import EXAMPLES

LIMITS = Limits(accept_rate=1e6, session_keep=1e6, high_water=2000)
"""Sessions are not forgotten here, so that everything has to arrive."""

MAX_TIMEOUT = 10.0

ACK_WITHIN = 0.2
"""Seconds after which protocol.md 5.3 wants to see an acknowledgement at the latest."""


@attrs.define(eq=False)
class Written:
    """What one end has written to one connection, read as the peer would."""

    transport: FakeTransport
    routed: list[bytes] = attrs.field(factory=list)
    """Uuids, in order."""
    base: int | None = None
    """``received`` of its ``link`` or ``linked``."""
    resumed: bool = True
    acks: list[int] = attrs.field(factory=list)
    refused: list[str] = attrs.field(factory=list)
    _read: int = 0
    _reader: FrameReader = attrs.field(factory=lambda: FrameReader(2**31))

    def read(self) -> None:
        """Read what was written since."""
        for data in self.transport.writes[self._read :]:
            for frame in self._reader.feed(data):
                self._frame(frame)
        self._read = len(self.transport.writes)
        assert self._reader.error is None

    def _frame(self, frame: Frame) -> None:
        if frame.kind in ROUTED:
            self.routed.append(frame.uuid)
        elif frame.kind in (LINK, LINKED):
            body = unpack_body(frame.body)
            self.base, self.resumed = body["received"], body.get("resumed", True)
        elif frame.kind == ACK:
            self.acks.append(unpack_body(frame.body)["received"])
        elif frame.kind == REFUSED:
            self.refused.append(unpack_body(frame.body)["code"])


@attrs.define(eq=False)
class Sent:
    """A frame that an end was given to send."""

    frame: Frame
    at: float
    worth: float
    """Seconds that it is worth waiting for."""
    expired: bool = False
    acknowledged: bool = False


class Stream:
    """What one process sends to the other: the model."""

    def __init__(self) -> None:
        self.sent: dict[bytes, Sent] = {}
        self.order: list[bytes] = []

    def index(self, uuid: bytes) -> int:
        """Where it stands; every uuid that is seen has been sent."""
        return self.order.index(uuid)

    def send(self, link: ShosetLink, frame: Frame, now: float, safe: Callable[[bytes], bool]) -> None:
        """``link`` is given ``frame``; ``safe``: whether somebody has taken charge of it."""
        worth = frame.timeout / 1000 or (MAX_TIMEOUT if frame.kind == COMMAND else float("inf"))
        sent = self.sent[frame.uuid] = Sent(frame, now, worth)
        self.order.append(frame.uuid)

        def settled() -> None:
            assert safe(frame.uuid), "acknowledged, and nobody has taken charge of it"
            assert not sent.expired
            earlier = self.order[: self.index(frame.uuid)]
            assert all(self.sent[uuid].acknowledged or self.sent[uuid].expired for uuid in earlier)
            sent.acknowledged = True

        charge = Charge()
        charge.then(settled)
        link.send(frame, charge)

    def expire(self, uuid: bytes, now: float) -> None:
        """The sender has dropped it."""
        sent = self.sent[uuid]
        assert now - sent.at > sent.worth, "dropped before its time"
        assert not sent.acknowledged
        assert not sent.expired
        sent.expired = True


class ModelHost(FakeHost):
    """Drops duplicates by uuid, as protocol.md 6.5; knows what should come next."""

    def __init__(self, clock: Clock, network: FakeNetwork, incoming: Stream) -> None:
        super().__init__()
        self.clock = clock
        self.network = network
        self.incoming = incoming
        self.outgoing = Stream()
        self.first: list[bytes] = []
        """What came for the first time, in order."""
        self.charges: dict[bytes, Charge] = {}
        self.at_once = False
        """Whether what comes is taken charge of at once."""
        self.cable: Cable | None = None
        self.linked_at = 0.0
        self.arrivals: list[Charge] = []
        """The charges of all that came on the present connection."""

    def link_up(self, link: ShosetLink, resumed: bool) -> None:
        """A connection; the secret is accepted at once."""
        super().link_up(link, resumed)
        self.cable, self.arrivals, self.linked_at = self.network.cable, [], self.clock.seconds()
        link.validated = True

    def link_leaving(self, link: ShosetLink) -> None:
        """Nothing is pending."""
        link.finish()

    def frame_received(self, frame: Frame, link: ShosetLink) -> Charge | None:
        """In order and without a gap, once duplicates are dropped."""
        charge = self.charges.get(frame.uuid)
        if charge is None:
            assert frame.raw == self.incoming.sent[frame.uuid].frame.raw
            self._in_order(self.incoming.index(frame.uuid))
            self.first.append(frame.uuid)
            charge = self.charges[frame.uuid] = Charge()
            if self.at_once:
                charge.settle()
        self.arrivals.append(charge)
        return charge

    def _in_order(self, index: int) -> None:
        """Between the one before and this one there is nothing that is still owed."""
        after = self.incoming.index(self.first[-1]) + 1 if self.first else 0
        assert after <= index, "out of order"
        for uuid in self.incoming.order[after:index]:
            sent = self.incoming.sent[uuid]
            assert sent.expired or (sent.acknowledged and not self.first), "a gap"

    def frame_expired(self, kept: KeptFrame, link: ShosetLink) -> None:
        """Told once of each that waited too long."""
        super().frame_expired(kept, link)
        self.outgoing.expire(kept[0].uuid, self.clock.seconds())

    def taken(self, uuid: bytes) -> bool:
        """Whether this end has taken charge of it."""
        charge = self.charges.get(uuid)
        return charge is not None and charge.settled

    @property
    def count(self) -> int:
        """How many of what came on this connection count: those without a gap before them."""
        count = 0
        for charge in self.arrivals:
            if not charge.settled:
                break
            count += 1
        return count


class ModelMachine(RuleBasedStateMachine):
    """A dialler and a listener that send, take charge of some, and lose their connection again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.network = HeldNetwork(self.clock)
        self.written: dict[Cable, tuple[Written, Written]] = {}
        """By connection: what the dialler wrote, and what the listener wrote."""
        self.dialling_host = ModelHost(self.clock, self.network, Stream())
        self.dialling, _ = fake_shoset(self.network, "c", host=self.dialling_host, limits=LIMITS)
        self.dialler = fake_dialler(self.network, self.dialling, ADDRESS, jitter=lambda: 0.5)
        self.listening_hosts: list[ModelHost] = []
        self.listeners: list[ShosetFactory] = []
        self.new_listener()
        self.calm = 0
        """How often something could be delivered since the connection broke."""
        self.dialler.start()
        self.deliver_all()

    def new_listener(self) -> None:
        """Another process listens at the address: what the former one sent and kept went with it."""
        host = ModelHost(self.clock, self.network, self.dialling_host.outgoing)
        self.listening_hosts.append(host)
        self.dialling_host.incoming, self.dialling_host.first = host.outgoing, []
        listening, _ = fake_shoset(self.network, "a", host=host, limits=LIMITS)
        self.network.listeners[ADDRESS] = listening
        self.listeners.append(listening)

    @property
    def hosts(self) -> tuple[ModelHost, ModelHost]:
        """The dialling and the listening end."""
        return self.dialling_host, self.listening_hosts[-1]

    @property
    def links(self) -> list[ShosetLink]:
        """The two ends, or one as long as no handshake was through."""
        return [self.dialler.link, *self.listeners[-1].registry]

    def safe(self, uuid: bytes) -> bool:
        """Whether one end, of those that ever were, has taken charge of it."""
        return any(host.taken(uuid) for host in (self.dialling_host, *self.listening_hosts))

    @rule(
        dialling=st.booleans(),
        count=st.sampled_from([1, 2, 3, 4, 70]),
        size=st.sampled_from([0, 700]),
        kind=st.sampled_from([EVENT, EVENT, COMMAND]),
        timeout=st.sampled_from([0, 0, 3000]),
        together=st.booleans(),
    )
    def send(self, dialling: bool, count: int, size: int, kind: str, timeout: int, together: bool) -> None:
        """Connected or not, one by one or in one chunk."""
        if not dialling and len(self.links) < 2:
            return
        link, host = (self.links[0], self.hosts[0]) if dialling else (self.links[1], self.hosts[1])
        frames = [link.shoset.frame(kind, {}, tenant="x" * size, timeout=timeout) for _ in range(count)]
        now = self.clock.seconds()
        if together:
            with link.shoset.batch:
                for frame in frames:
                    host.outgoing.send(link, frame, now, self.safe)
        else:
            for frame in frames:
                host.outgoing.send(link, frame, now, self.safe)

    @rule(forward=st.integers(0, 1200), back=st.integers(0, 1200))
    def deliver(self, forward: int, back: int) -> None:
        """Some bytes arrive, each way in one chunk."""
        self.calm += 1
        self.network.cable.dialling.deliver(forward)
        self.network.cable.listening.deliver(back)
        self.network.settle()

    @rule()
    def deliver_all(self) -> None:
        """Everything arrives, and what answers it too."""
        self.calm += 2
        self.hold(False)
        self.network.settle()
        self.hold(True)

    def hold(self, held: bool) -> None:
        """Whether bytes stay on the way."""
        self.network.held = held
        for cable in self.network.cables:
            cable.dialling.held = cable.listening.held = held

    @rule(dialling=st.booleans(), at_once=st.booleans())
    def charge(self, dialling: bool, at_once: bool) -> None:
        """From now on what comes is taken charge of at once, or later."""
        self.hosts[0 if dialling else 1].at_once = at_once

    @rule(data=st.data(), dialling=st.booleans(), all_before=st.booleans())
    def take_charge(self, data: st.DataObject, dialling: bool, all_before: bool) -> None:
        """Of any one that came, or of it and all that came before."""
        host = self.hosts[0 if dialling else 1]
        open_ = [uuid for uuid in host.first if not host.taken(uuid)]
        if open_:
            chosen = data.draw(st.integers(0, len(open_) - 1))
            for uuid in open_[0 if all_before else chosen : chosen + 1]:
                host.charges[uuid].settle()

    @rule(dialling=st.booleans(), reads=st.booleans())
    def read(self, dialling: bool, reads: bool) -> None:
        """An end stops reading, or reads again."""
        link = self.links[0 if dialling else -1]
        if reads:
            link.resume()
        else:
            link.pause()

    @rule(seconds=st.sampled_from([0.03, ACK_WITHIN, 2.0, 12.0]))
    def pass_time(self, seconds: float) -> None:
        """What counts has been told within 200 ms, unless the socket takes nothing."""
        before = [(host, host.cable, self.counts(host)) for host in self.hosts]
        self.network.advance(seconds)
        if seconds < ACK_WITHIN:
            return
        self.look()
        for host, cable, count in before:
            if cable is None or cable is not host.cable or not host.link.available or count is None:
                continue
            if host.link.connection.writable:  # type: ignore[union-attr]  # available: it has one
                assert self.told(host) >= count

    @precondition(lambda self: self.calm >= 3)
    @rule(
        what=st.sampled_from(["cut", "cut", "cut", "cut unnoticed", "leave", "another instance"]),
        dialling=st.booleans(),
        seconds=st.sampled_from([0.0, 1.0, 4.0, 12.0]),
    )
    def trouble(self, what: str, dialling: bool, seconds: float) -> None:
        """The connection is lost in one of many ways, and comes back after a while."""
        self.calm = 0
        if what == "cut":
            self.network.cable.cut()
        elif what == "cut unnoticed":
            # The old connection looks alive to the listener when the next one comes.
            self.network.cable.dialling.severed = True
            self.network.cable.dialling.lose(ConnectionLost())
        elif what == "leave":
            self.links[0 if dialling else -1].say_bye("TOPICS", "")
        else:
            for cable in self.network.cables:
                cable.cut()
            self.listeners[-1].stop()
            self.new_listener()
        self.network.advance(seconds)

    @precondition(lambda self: self.calm >= 1)
    @rule(times=st.integers(2, 6), forward=st.integers(0, 1500), back=st.integers(0, 1500))
    def flap(self, times: int, forward: int, back: int) -> None:
        """Many connections in a row, each cut after so many bytes, with whatever was acknowledged by then."""
        for _ in range(times):
            self.network.cable.cut()
            self.network.advance(12.0)
            self.deliver(forward, back)

    # What always holds.

    def look(self) -> None:
        """Read what was written since."""
        for cable in self.network.cables[len(self.written) :]:
            self.written[cable] = Written(cable.dialling), Written(cable.listening)
        for pair in self.written.values():
            for written in pair:
                written.read()

    def counts(self, host: ModelHost) -> int | None:
        """What ``host`` has taken charge of in this session, as the protocol counts; None: no handshake yet."""
        self.look()
        if host.cable is None:
            return None
        dialler, listener = self.written[host.cable]
        if host is not self.dialling_host:
            return None if listener.base is None else listener.base + host.count
        # A dialler counts on when the listener does.
        return ((dialler.base or 0) if listener.resumed else 0) + host.count

    def told(self, host: ModelHost) -> int:
        """What ``host`` has told of it, on its present connection."""
        assert host.cable is not None
        dialler, listener = self.written[host.cable]
        if host is self.dialling_host:
            return dialler.acks[-1] if dialler.acks else ((dialler.base or 0) if listener.resumed else 0)
        return listener.acks[-1] if listener.acks else listener.base or 0

    @invariant()
    def nobody_tells_more_than_counts(self) -> None:
        """And what is told only grows."""
        for host in self.hosts:
            count = self.counts(host)
            if count is not None:
                assert self.told(host) <= count
        for pair in self.written.values():
            for written in pair:
                assert written.acks == sorted(set(written.acks))

    @invariant()
    def once_and_in_order_on_each_connection(self) -> None:
        """Nothing is sent twice on one connection, and nothing that was too old when it came up."""
        self.look()
        for host, which in zip(self.hosts, (0, 1), strict=True):
            if host.cable is None:
                continue
            places = [host.outgoing.index(uuid) for uuid in self.written[host.cable][which].routed]
            assert places == sorted(set(places))
            for place in places:
                sent = host.outgoing.sent[host.outgoing.order[place]]
                assert host.linked_at - sent.at <= sent.worth, "sent after its time"

    @invariant()
    def nobody_is_refused(self) -> None:
        """Both ends keep to the protocol."""
        for pair in self.written.values():
            for written in pair:
                assert set(written.refused) <= {"HANDSHAKE_TIMEOUT"}

    def teardown(self) -> None:
        """The line holds: every frame was taken charge of, once, and nothing is left."""
        self.hold(False)
        for host in self.hosts:
            host.at_once = True
        for _ in range(3):
            for host in self.hosts:
                for charge in host.charges.values():
                    charge.settle()
            for link in self.links:
                link.resume()
            self.network.advance(40)
        self.once_and_in_order_on_each_connection()
        self.nobody_is_refused()
        for host in self.hosts:
            for sent in host.outgoing.sent.values():
                assert sent.acknowledged != sent.expired, "lost" if not sent.expired else "both"
            assert self.told(host) == self.counts(host)
        self.dialler.stop()
        for shoset in (self.dialling, *self.listeners):
            shoset.close()
        self.network.advance(LINGER)
        for shoset in self.listeners:
            shoset.stop()
        assert self.clock.getDelayedCalls() == []


class SessionModelTest(SynchronousTestCase):
    """The machine under trial."""

    def test_two_ends_against_the_model(self) -> None:
        """Every frame is taken charge of exactly once after duplicates are dropped, in order, and none is lost."""
        run_state_machine_as_test(
            ModelMachine,
            settings=settings(EXAMPLES, max_examples=200, stateful_step_count=40),
        )
