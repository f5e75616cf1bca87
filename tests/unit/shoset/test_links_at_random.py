"""Two whole shosets, driven at random over connections that break at any byte (protocol.md 5)."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.charge import Charge
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.settings import LINGER, Limits
from gandalf.shoset.testing import FakeHost, fake_dialler, fake_shoset
from gandalf.wire.envelope import Frame
from tests.unit.shoset.support import ADDRESS, HeldNetwork, event
from tests.unit.wire.support import EXAMPLES

LIMITS = Limits(accept_rate=1e6, session_keep=1e6, high_water=2000)
"""Sessions are not forgotten here, so that everything has to arrive."""


class CarefulHost(FakeHost):
    """Counts a duplicate when the first is counted, and watches the order on each connection."""

    def __init__(self) -> None:
        super().__init__()
        self.charges: dict[bytes, Charge] = {}
        self.raw: dict[bytes, bytes] = {}
        self.at_once = False
        self._latest = b""

    def link_up(self, link: ShosetLink, resumed: bool) -> None:
        """A new connection begins; the secret is accepted at once."""
        super().link_up(link, resumed)
        self._latest = b""
        link.validated = True

    def link_leaving(self, link: ShosetLink) -> None:
        """Nothing is ever pending."""
        link.finish()

    def frame_received(self, frame: Frame, link: ShosetLink) -> Charge | None:
        """In the order in which they were made, on one connection."""
        assert frame.uuid > self._latest
        self._latest = frame.uuid
        self.raw[frame.uuid] = frame.raw
        charge = self.charges.get(frame.uuid)
        if charge is None:
            charge = self.charges[frame.uuid] = Charge()
            if self.at_once:
                charge.settle()
        return charge


class LinksMachine(RuleBasedStateMachine):
    """A dialler and a listener. In the end the line holds: whatever was sent has arrived, and is acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.network = HeldNetwork(self.clock)
        self.dialling_host = CarefulHost()
        self.dialling, _ = fake_shoset(self.network, "c", host=self.dialling_host, limits=LIMITS)
        self.dialler = fake_dialler(self.network, self.dialling, ADDRESS, jitter=lambda: 0.5)
        self.delivered: dict[bytes, bytes] = {}
        """What former listeners got."""
        self.from_dialler: dict[bytes, Frame] = {}
        self.from_listener: dict[bytes, Frame] = {}
        self.listeners: list[ShosetFactory] = []
        self.new_listener()
        self.calm = 0
        """How often something could be delivered since the connection broke."""
        self.dialler.start()
        self.deliver_all()

    def new_listener(self) -> None:
        """Another instance at the address."""
        self.listening_host = CarefulHost()
        self.listening, _ = fake_shoset(self.network, "a", host=self.listening_host, limits=LIMITS)
        self.network.listeners[ADDRESS] = self.listening
        self.listeners.append(self.listening)
        self.from_listener = {}

    @property
    def links(self) -> list[ShosetLink]:
        """The two ends, or one as long as no handshake was through."""
        return [self.dialler.link, *self.listening.registry]

    @rule(count=st.integers(1, 4), size=st.sampled_from([0, 700]))
    def dialler_sends(self, count: int, size: int) -> None:
        """Connected or not."""
        for _ in range(count):
            frame = event(self.dialling, tenant="x" * size)
            self.from_dialler[frame.uuid] = frame
            self.dialler.link.send(frame)

    @rule(count=st.integers(1, 4), size=st.sampled_from([0, 700]))
    def listener_sends(self, count: int, size: int) -> None:
        """Connected or not."""
        for link in self.listening.registry:
            for _ in range(count):
                frame = event(self.listening, tenant="x" * size)
                self.from_listener[frame.uuid] = frame
                link.send(frame)

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
        self.let_go()
        self.network.held = True
        for cable in self.network.cables:
            cable.dialling.held = cable.listening.held = True

    def let_go(self) -> None:
        """From now on everything is delivered."""
        self.network.held = False
        for cable in self.network.cables:
            cable.dialling.held = cable.listening.held = False
        self.network.settle()

    @rule(dialling=st.booleans(), at_once=st.booleans())
    def charge(self, dialling: bool, at_once: bool) -> None:
        """From now on frames count at once, or later."""
        (self.dialling_host if dialling else self.listening_host).at_once = at_once

    @rule(data=st.data(), dialling=st.booleans())
    def settle(self, data: st.DataObject, dialling: bool) -> None:
        """Any of the open frames is finished."""
        host = self.dialling_host if dialling else self.listening_host
        open_ = [charge for charge in host.charges.values() if not charge.settled]
        if open_:
            data.draw(st.sampled_from(open_)).settle()

    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        """One end stops reading."""
        data.draw(st.sampled_from(self.links)).pause()

    @rule()
    def read(self) -> None:
        """Both ends read."""
        for link in self.links:
            link.resume()

    @rule(seconds=st.sampled_from([0.03, 0.2, 3.0, 12.0]))
    def pass_time(self, seconds: float) -> None:
        """Timers run: acknowledgements, pings, dialling again, timeouts."""
        self.network.advance(seconds)

    @precondition(lambda self: self.calm >= 4)
    @rule(
        what=st.sampled_from(["cut", "cut", "cut unnoticed", "leave", "another instance"]),
        dialling=st.booleans(),
        seconds=st.sampled_from([0.0, 1.0, 12.0]),
    )
    def trouble(self, what: str, dialling: bool, seconds: float) -> None:
        """The connection breaks, in one of many ways, after it had some time to do something."""
        self.calm = 0
        if what == "cut":
            self.network.cable.cut()
        elif what == "cut unnoticed":
            # The old connection looks alive to the listener when the next one comes.
            self.network.cable.dialling.severed = True
            self.network.cable.dialling.lose(ConnectionLost())
        elif what == "leave":
            (self.links[0] if dialling else self.links[-1]).say_bye("DRAINING", "")
        else:
            self.another_instance()
        self.network.advance(seconds)

    def another_instance(self) -> None:
        """The listener is killed, and another one started at its address."""
        for cable in self.network.cables:
            cable.cut()
        self.listening.stop()
        self.delivered.update(self.listening_host.raw)
        self.new_listener()

    def teardown(self) -> None:
        """Everything is delivered, acknowledged and closed."""
        self.let_go()
        for host in (self.dialling_host, self.listening_host):
            host.at_once = True
            for charge in list(host.charges.values()):
                charge.settle()
        self.read()
        self.network.advance(100)
        self.read()
        self.network.advance(1)
        got = {**self.delivered, **self.listening_host.raw}
        assert got == {uuid: frame.raw for uuid, frame in self.from_dialler.items()}
        for uuid, frame in self.from_listener.items():
            assert self.dialling_host.raw[uuid] == frame.raw
        assert len(self.links) == 2
        for link in self.links:
            assert link.available
            assert (len(link.outbox), link.outbox.bytes, link.inbox.open, link.congested) == (0, 0, 0, False)
        ours, theirs = self.links
        assert (ours.outbox.acknowledged, ours.inbox.received) == (
            theirs.inbox.received,
            theirs.outbox.acknowledged,
        )
        refused: dict[str, Any] = {}
        for shoset in (self.dialling, *self.listeners):
            refused |= shoset.counters.refused
        assert set(refused) <= {"HANDSHAKE_TIMEOUT"}
        self.dialler.stop()
        for shoset in (self.dialling, *self.listeners):
            shoset.close()
        self.network.advance(LINGER)
        for shoset in self.listeners:
            shoset.stop()
        assert self.clock.getDelayedCalls() == []
        assert not self.dialling.connections


class LinksAtRandomTest(SynchronousTestCase):
    """The machine under trial."""

    def test_links_over_a_network_that_breaks_at_any_byte(self) -> None:
        """Nothing is lost, nothing out of order, nobody is refused, no timer is left behind."""
        run_state_machine_as_test(
            LinksMachine,
            settings=settings(EXAMPLES, max_examples=150, stateful_step_count=40),
        )
