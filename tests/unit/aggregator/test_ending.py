"""An orderly end (protocol.md 5.2): nothing new comes, what was on its way is carried, the log says what was not."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from gandalf.aggregator.ending import PARTING
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.testing import FakeHost, RawPeer
from gandalf.wire.kinds import BYE, COMMAND, EVENT
from tests.unit.aggregator.support import MEMBER, AggregatorCase, Member


class EndingTests(AggregatorCase):
    """A member, a connector that does not close by itself, and an instance that drains."""

    def setUp(self) -> None:
        super().setUp()
        self.successResultOf(self.start())
        self.shoset, self.host, self.link = self.linked("git1")
        self.told: list[LogEvent] = []
        observer: Any = self.told.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def linked(self, name: str) -> tuple[ShosetFactory, FakeHost, ShosetLink]:
        """A connector whose secret is accepted."""
        shoset, host, link = self.connector(name)
        self.validate(shoset, link)
        return shoset, host, link

    def drain(self) -> Deferred[None]:
        """Begin to end; everybody has heard of it."""
        draining = ensureDeferred(self.aggregator.drain())
        self.network.settle()
        return draining

    def summary(self) -> str:
        """What the log says of the end."""
        (text,) = [text for event in self.told if (text := formatEvent(event)).startswith("drained:")]
        return text

    def heard(self, host: FakeHost, kind: str) -> list[bytes]:
        """The uuids of what a host got of one kind."""
        return [frame.uuid for frame, _ in host.received if frame.kind == kind]

    def test_everybody_hears_bye_at_once(self) -> None:
        """Members, too: they are to give it nothing new; their session need not be kept."""
        draining = self.drain()
        self.assertEqual([self.link], self.host.leaving)
        self.assertEqual([self.member.link], self.member.host.leaving)
        self.assertEqual((False, True), (self.member.link.available, self.member.link.over))
        self.network.advance(PARTING)
        self.successResultOf(draining)
        self.network.advance(3)
        self.assertEqual([self.member.link], self.member.host.gone)

    def test_what_a_connector_had_sent_is_carried(self) -> None:
        """An event reaches the member, a command too, and its answer comes back."""
        event = self.shoset.frame(EVENT, {"topic": "a", "event": "X"})
        command = self.shoset.frame(COMMAND, {"command": "A"})
        draining = ensureDeferred(self.aggregator.drain())
        self.link.send(event)
        self.link.send(command)
        self.network.settle()
        self.assertEqual([event.uuid], self.heard(self.member.host, EVENT))
        self.assertEqual([command.uuid], self.heard(self.member.host, COMMAND))
        self.network.advance(PARTING)
        self.assertNoResult(draining)
        answer = self.member.send(EVENT, {"topic": "A", "event": "TAKEN"}, reference=command.uuid, target="git1")
        self.network.advance(3)
        self.successResultOf(draining)
        self.assertEqual([answer.uuid], self.heard(self.host, EVENT))
        self.assertIn("drained: 1 of 1 pending commands", self.summary())

    def test_what_a_member_had_sent_is_carried(self) -> None:
        """A command for a connector, and the connector's answer."""
        command = self.member.shoset.frame(COMMAND, {"command": "A"}, target="git1", tenant="acme")
        draining = ensureDeferred(self.aggregator.drain())
        self.member.link.send(command)
        self.network.settle()
        self.assertEqual([command.uuid], self.heard(self.host, COMMAND))
        self.network.advance(PARTING)
        self.assertNoResult(draining)
        answer = self.shoset.frame(EVENT, {"topic": "A", "event": "TAKEN"}, reference=command.uuid)
        self.link.send(answer)
        self.network.advance(3)
        self.successResultOf(draining)
        self.assertEqual([answer.uuid], self.heard(self.member.host, EVENT))

    def test_a_link_that_comes_back_hears_it_again(self) -> None:
        """A member that was away has not heard it."""
        self.member.host.charge = lambda frame, link: None
        command = self.shoset.frame(COMMAND, {"command": "A"})
        self.link.send(command)
        self.network.settle()
        draining = self.drain()
        self.network.cables[0].cut()
        self.network.listeners.pop(MEMBER)
        other = Member(self.network, MEMBER)
        self.network.advance(0.5)
        self.assertEqual([other.link], other.host.leaving)
        self.network.advance(12)
        self.successResultOf(draining)

    def test_it_ends_when_the_connectors_have_left(self) -> None:
        """Nothing is waited for then."""
        other = self.linked("git2")[2]
        draining = self.drain()
        self.link.finish()
        self.network.settle()
        self.assertNoResult(draining)
        other.finish()
        self.network.advance(0.1)
        self.successResultOf(draining)
        self.assertLess(self.clock.seconds(), PARTING)

    def test_brothers_are_the_clusters_to_tell(self) -> None:
        """Connectors show their secrets to whom we name: another connector is not believed."""
        self.shoset.tell_brothers(self.link, "aggregator1", ("192.0.2.66:9103",))
        self.network.settle()
        self.assertEqual((), self.aggregator.shoset.brothers)
        self.assertEqual([], self.host.brothers)

    def test_bye_is_said_once(self) -> None:
        """However it ends."""
        peer = RawPeer("c", logical_name="git3")
        self.network.join(peer, self.aggregator.shoset.buildProtocol(None))  # type: ignore[arg-type]
        peer.say_link()
        self.network.settle()
        draining = self.drain()
        self.network.advance(3)
        self.successResultOf(draining)
        self.assertEqual(["DRAINING"], [bye["reason"] for bye in peer.heard(BYE)])
