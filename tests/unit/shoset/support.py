"""What the tests of the shoset share: a network, shosets on it, and the proof that no timer is left behind."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.shoset.dialler import Dialler
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.settings import LINGER
from gandalf.shoset.testing import (
    Cable,
    FakeHost,
    FakeNetwork,
    RawListener,
    RawPeer,
    fake_dialler,
    fake_shoset,
)
from gandalf.wire.body import Body
from gandalf.wire.envelope import Frame
from gandalf.wire.kinds import EVENT, REFUSED

ADDRESS = "a:1"
"""Where the listener of a test listens."""


class HeldNetwork(FakeNetwork):
    """Nothing is delivered unless a test says how much."""

    held = True

    def join(self, dialling: IProtocol, listening: IProtocol) -> Cable:
        """As ever, but held, and with small sockets."""
        cable = super().join(dialling, listening)
        for transport in (cable.dialling, cable.listening):
            transport.held = self.held
            transport.capacity = 500
        return cable


class ShosetTestCase(SynchronousTestCase):
    """Makes shosets, diallers and raw peers; in the end all is closed, and no delayed call may be left."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = FakeNetwork(self.clock)
        self.shosets: list[ShosetFactory] = []
        self.diallers: list[Dialler] = []

    def tearDown(self) -> None:
        for dialler in self.diallers:
            dialler.stop()
        for cable in self.network.cables:
            cable.dialling.held = cable.listening.held = False
        for shoset in self.shosets:
            ensureDeferred(stopped(shoset))
        self.network.advance(LINGER + 1)
        self.assertEqual([], self.clock.getDelayedCalls())
        for shoset in self.shosets:
            self.assertEqual(frozenset(), shoset.connections)

    def shoset(self, type: str = "a", **settings: Any) -> tuple[ShosetFactory, FakeHost]:
        """A shoset that does nothing yet."""
        shoset, host = fake_shoset(self.network, type, **settings)
        self.shosets.append(shoset)
        return shoset, host

    def listen(self, type: str = "a", **settings: Any) -> tuple[ShosetFactory, FakeHost]:
        """A shoset that listens on :data:`ADDRESS`."""
        shoset, host = self.shoset(type, **settings)
        self.network.listeners[ADDRESS] = shoset
        return shoset, host

    def dial(
        self, type: str = "c", *, dialling: dict[str, Any] | None = None, **settings: Any
    ) -> tuple[Dialler, FakeHost]:
        """A shoset of its own that dials :data:`ADDRESS`; it has had time to link."""
        shoset, host = self.shoset(type, **settings)
        return self.dialler(shoset, **(dialling or {})), host

    def dialler(self, shoset: ShosetFactory, **dialling: Any) -> Dialler:
        """A dialler of ``shoset`` to :data:`ADDRESS` that has had time to link."""
        dialler = fake_dialler(self.network, shoset, ADDRESS, **dialling)
        self.diallers.append(dialler)
        dialler.start()
        self.network.settle()
        return dialler

    def joined(self, peer: RawPeer, shoset: ShosetFactory) -> Cable:
        """``peer`` dials ``shoset``; nothing is said yet."""
        listening = shoset.buildProtocol(None)
        assert listening is not None
        return self.network.join(peer, listening)

    def linked(self, shoset: ShosetFactory, type: str = "c", **link: object) -> RawPeer:
        """A raw peer that has linked to ``shoset``."""
        peer = RawPeer(type)
        self.link_again(peer, shoset, **link)
        return peer

    def link_again(self, peer: RawPeer, shoset: ShosetFactory, **link: object) -> Cable:
        """``peer`` dials ``shoset`` and links."""
        cable = self.joined(peer, shoset)
        peer.say_link(**link)
        self.network.settle()
        return cable

    def raw_listener(self, type: str = "a", **linked: object) -> RawListener:
        """Listens on :data:`ADDRESS` by hand; each connection is a new peer of one instance."""
        pattern = RawPeer(type)

        def make() -> RawPeer:
            return pattern.again()

        listener = RawListener(make)
        self.network.listeners[ADDRESS] = listener
        return listener

    def refusal(self, peer: RawPeer) -> Body:
        """The one ``refused`` that ``peer`` got, as its last frame."""
        self.assertEqual(REFUSED, peer.frames[-1].kind)
        (refused,) = peer.heard(REFUSED)
        return refused

    def assert_refused(self, peer: RawPeer, code: str, words: str = "") -> None:
        """``peer`` got exactly one ``refused`` with ``code``, then the end."""
        refused = self.refusal(peer)
        self.assertEqual(code, refused["code"])
        self.assertIn(words, refused.get("message", ""))
        self.assertTrue(peer.ended)


async def stopped(shoset: ShosetFactory) -> None:
    """Close all connections, and then, as a service does, the rest."""
    await shoset.close()
    shoset.stop()


def event(shoset: ShosetFactory, **envelope: Any) -> Frame:
    """A frame of ``shoset``'s to send."""
    return shoset.frame(EVENT, {"topic": "t", "event": "E"}, **envelope)


def events(shoset: ShosetFactory, count: int) -> list[Frame]:
    """So many frames to send."""
    return [event(shoset) for _ in range(count)]


def send_all(link: ShosetLink, frames: list[Frame]) -> None:
    """Send ``frames`` in one batch, as while a chunk is worked on."""
    with link.shoset.batch:
        for frame in frames:
            link.send(frame)


def uuids(frames: list[Frame]) -> list[bytes]:
    """Which frames these are."""
    return [frame.uuid for frame in frames]
