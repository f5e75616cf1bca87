"""Stand-ins for tests of all floors: a network in memory, a host that records, and a peer that speaks by hand."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IAddress, IConsumer, IProducer, IProtocol, IPushProducer, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from gandalf.routing.charge import Charge
from gandalf.shoset.dialler import Dialler
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.host import Refusal
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.session import KeptFrame
from gandalf.shoset.settings import Identity, Limits
from gandalf.wire.body import Body, pack_body, unpack_body
from gandalf.wire.control import BrothersBody, LinkBody
from gandalf.wire.envelope import Frame, make_frame
from gandalf.wire.framing import FrameReader
from gandalf.wire.kinds import LINK, LINKED, ROUTED
from gandalf.wire.runs import Run


class _End(enum.Enum):
    NONE = enum.auto()
    HALF = enum.auto()
    WHOLE = enum.auto()
    ABORTED = enum.auto()


@implementer(ITransport, IConsumer, IPushProducer)
class FakeTransport:
    """One end of a TCP connection; what is written waits until it is delivered by the network.

    It pauses its producer when more than ``capacity`` bytes wait and resumes it when none do, as a socket; a
    reader that paused gets nothing. Closed with unread input, it loses what was not delivered, as TCP does.
    """

    peer: FakeTransport
    protocol: IProtocol

    def __init__(self, capacity: int = 64 * 1024) -> None:
        self.capacity = capacity
        self.writes: list[bytes] = []
        """Each call of :meth:`write`."""
        self.waiting = bytearray()
        """Written here, and not delivered."""
        self.held = False
        """Set it, and nothing that is written here is delivered."""
        self.severed = False
        """Set it, and what is written here vanishes, the end included: nobody is told."""
        self.connected = True
        self.reading = True
        self._end = _End.NONE
        self._end_told = False
        self._producer: IPushProducer | None = None
        self._producer_paused = False

    # What the protocol does.

    def write(self, data: bytes) -> None:
        """Send; until the end was told, as a socket, even what is written after it was asked for."""
        self.writes.append(data)
        if self.connected and self._end is not _End.ABORTED and not self._end_told:
            self.waiting += data
            if self._producer is not None and not self._producer_paused and len(self.waiting) > self.capacity:
                self._producer_paused = True
                self._producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        """Send all of ``data``."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close when all is sent."""
        self._finish(_End.WHOLE)

    def loseWriteConnection(self) -> None:
        """Send nothing more; go on reading."""
        self._finish(_End.HALF)

    def abortConnection(self) -> None:
        """Close at once."""
        self._end = _End.ABORTED

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """As a socket, for push producers only."""
        assert streaming and self._producer is None
        self._producer = IPushProducer(producer)

    def unregisterProducer(self) -> None:
        """The producer is told no more."""
        self._producer = None

    def pauseProducing(self) -> None:
        """Deliver nothing to this end's protocol for now."""
        self.reading = False

    def resumeProducing(self) -> None:
        """Deliver again."""
        self.reading = True

    def stopProducing(self) -> None:
        """As a socket: close."""
        self.loseConnection()

    def getPeer(self) -> IAddress:
        """Always the same address."""
        return IPv4Address("TCP", "192.0.2.1", 4711)

    def getHost(self) -> IAddress:
        """Always the same address."""
        return IPv4Address("TCP", "192.0.2.2", 9103)

    # What the network does.

    def deliver(self, count: int | None = None) -> bool:
        """Deliver ``count`` of the bytes that wait here (None: all) in one chunk; whether there were any."""
        taken = self.severed or (self.peer.reading and self.peer.connected)
        if not self.waiting or not self.connected or not taken:
            return False
        data = bytes(self.waiting[:count])
        del self.waiting[: len(data)]
        if not self.severed:
            self.peer.protocol.dataReceived(data)
        if not self.waiting and self._producer is not None and self._producer_paused:
            self._producer_paused = False
            self._producer.resumeProducing()
        return True

    def step(self) -> bool:
        """What the network does next about this end; whether there was anything."""
        if not self.connected:
            return False
        if self._end is _End.ABORTED:
            self.lose(ConnectionAborted())
            if not self.severed:
                self.peer.lose(ConnectionLost())
            return True
        if self._end is _End.WHOLE and self.peer.waiting and not self.peer.severed:
            self.lose(ConnectionDone())
            self.peer.lose(ConnectionLost())
            return True
        if not self.peer.connected and not self.peer.severed and (self.reading or self.waiting):
            self.lose(ConnectionDone())
            return True
        if not self.held and self.deliver():
            return True
        # A socket waits for its producer to be unregistered.
        return not self.waiting and self._producer is None and self._end is not _End.NONE and self._tell_end()

    def lose(self, reason: Exception) -> None:
        """The connection is gone for this end."""
        if self.connected:
            self.connected = False
            self.waiting.clear()
            if self._producer is not None:
                self._producer.stopProducing()
            self.protocol.connectionLost(Failure(reason))

    def _finish(self, end: _End) -> None:
        if self._end is _End.NONE:
            self._end = end

    def _tell_end(self) -> bool:
        """Tell the peer, which does not half-close, that nothing more comes."""
        self._end_told = True
        told = not self.severed and self.peer.connected and self.peer.reading
        if told:
            self.peer.lose(ConnectionDone())
        if self._end is _End.WHOLE:
            self.lose(ConnectionDone())
            return True
        return told


class Cable:
    """A connection: the two transports of a dialling and a listening protocol."""

    def __init__(self, dialling: IProtocol, listening: IProtocol) -> None:
        self.dialling = FakeTransport()
        self.listening = FakeTransport()
        for end, other, protocol in (
            (self.listening, self.dialling, listening),
            (self.dialling, self.listening, dialling),
        ):
            end.peer, end.protocol = other, protocol
        listening.makeConnection(self.listening)
        dialling.makeConnection(self.dialling)

    def cut(self) -> None:
        """Break the connection: both ends are told, and what was on its way is lost."""
        self.dialling.lose(ConnectionLost())
        self.listening.lose(ConnectionLost())

    def step(self) -> bool:
        """Let something happen; whether anything did."""
        moved = self.dialling.step()
        return self.listening.step() or moved


class FakeNetwork:
    """Connects diallers with listeners by address, and moves bytes when it is told to."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.listeners: dict[str, Factory] = {}
        self.silent: set[str] = set()
        """Addresses that never answer."""
        self.cables: list[Cable] = []
        """Every connection so far."""
        self.dialled: list[tuple[float, str]] = []
        """When which address was dialled."""
        self._attempts: list[tuple[str, Factory, Deferred[IProtocol]]] = []

    @property
    def cable(self) -> Cable:
        """The latest connection."""
        return self.cables[-1]

    def connect(self, address: str, factory: Factory) -> Deferred[IProtocol]:
        """A :data:`gandalf.shoset.dialler.Connect`; succeeds or fails when the network settles."""

        def cancelled(deferred: Deferred[IProtocol]) -> None:
            self._attempts.remove((address, factory, deferred))

        attempt: Deferred[IProtocol] = Deferred(cancelled)
        self.dialled.append((self.clock.seconds(), address))
        self._attempts.append((address, factory, attempt))
        return attempt

    def join(self, dialling: IProtocol, listening: IProtocol) -> Cable:
        """Connect two protocols."""
        cable = Cable(dialling, listening)
        self.cables.append(cable)
        return cable

    def settle(self) -> None:
        """Answer attempts and deliver bytes until nothing moves."""
        moved = True
        while moved:
            moved = self._answer()
            for cable in self.cables:
                moved = cable.step() or moved

    def advance(self, seconds: float) -> None:
        """Let time pass, and settle after each timer's call."""
        end = self.clock.seconds() + seconds
        self.settle()
        while (due := min((call.getTime() for call in self.clock.getDelayedCalls()), default=end + 1)) <= end:
            self.clock.advance(max(due - self.clock.seconds(), 1e-9))
            self.settle()
        self.clock.advance(max(end - self.clock.seconds(), 0))
        self.settle()

    def _answer(self) -> bool:
        attempts, self._attempts = self._attempts, []
        self._attempts = [attempt for attempt in attempts if attempt[0] in self.silent]
        for address, factory, attempt in attempts:
            if address in self.silent:
                continue
            listening = self.listeners[address].buildProtocol(None) if address in self.listeners else None
            dialling = factory.buildProtocol(None)
            if listening is None or dialling is None:
                attempt.errback(ConnectionRefusedError())
            else:
                self.join(dialling, listening)
                attempt.callback(dialling)
        return len(attempts) > len(self._attempts)


class FakeHost:
    """Implements :class:`gandalf.shoset.host.Host`: records what it is told, and answers what the test sets."""

    def __init__(self) -> None:
        self.refusal: Refusal | None = None
        """The answer to :meth:`admit`."""
        self.charge: Callable[[Frame, ShosetLink], Charge | None] = lambda frame, link: None
        """The answer to :meth:`frame_received`."""
        self.admitted: list[tuple[LinkBody, str]] = []
        self.up: list[tuple[ShosetLink, bool]] = []
        self.leaving: list[ShosetLink] = []
        self.down: list[ShosetLink] = []
        self.gone: list[ShosetLink] = []
        self.relieved: list[ShosetLink] = []
        self.received: list[tuple[Frame, ShosetLink]] = []
        self.expired: list[tuple[KeptFrame, ShosetLink]] = []
        self.brothers: list[tuple[BrothersBody, ShosetLink]] = []

    @property
    def link(self) -> ShosetLink:
        """The link that came up last."""
        return self.up[-1][0]

    @property
    def uuids(self) -> list[bytes]:
        """The uuids of all frames received, in order."""
        return [frame.uuid for frame, _ in self.received]

    def admit(self, hello: LinkBody, tenant: str) -> Refusal | None:
        """As the test says."""
        self.admitted.append((hello, tenant))
        return self.refusal

    def link_up(self, link: ShosetLink, resumed: bool) -> None:
        """Recorded."""
        self.up.append((link, resumed))

    def link_leaving(self, link: ShosetLink) -> None:
        """Recorded; the test finishes the link."""
        self.leaving.append(link)

    def link_down(self, link: ShosetLink) -> None:
        """Recorded."""
        self.down.append(link)

    def link_gone(self, link: ShosetLink) -> None:
        """Recorded."""
        self.gone.append(link)

    def link_relieved(self, link: ShosetLink) -> None:
        """Recorded."""
        self.relieved.append(link)

    def frame_received(self, frame: Frame, link: ShosetLink) -> Charge | None:
        """Recorded; the charge as the test says."""
        self.received.append((frame, link))
        return self.charge(frame, link)

    def run_received(self, run: Run, link: ShosetLink) -> Charge | None:
        """Each by itself."""
        return None

    def frame_expired(self, kept: KeptFrame, link: ShosetLink) -> None:
        """Recorded."""
        self.expired.append((kept, link))

    def brothers_received(self, brothers: BrothersBody, link: ShosetLink) -> None:
        """Recorded."""
        self.brothers.append((brothers, link))


_serial = itertools.count(1)


def unique(length: int = 16) -> bytes:
    """As ``os.urandom``, but never the same twice, and in order."""
    return next(_serial).to_bytes(length, "big")


def fake_shoset(
    network: FakeNetwork,
    type: str,
    *,
    logical_name: str = "",
    tenant: str = "acme",
    host: FakeHost | None = None,
    limits: Limits | None = None,
    max_timeout: float = 10.0,
    certificate_names: Callable[[Any], frozenset[str] | None] = lambda transport: None,
) -> tuple[ShosetFactory, FakeHost]:
    """A shoset on ``network``'s clock with its recording host."""
    host = host or FakeHost()
    shoset = ShosetFactory(
        Identity(logical_name or f"{type}-name", type, tenant, unique(), f"{type}:1"),
        limits or Limits(),
        host,
        clock=network.clock,
        now=network.clock.seconds,
        random=unique,
        max_timeout=max_timeout,
        certificate_names=certificate_names,
    )
    return shoset, host


def fake_dialler(network: FakeNetwork, shoset: ShosetFactory, address: str, **settings: Any) -> Dialler:
    """A dialler on ``network`` that has not started, without jitter unless ``settings`` say so."""
    return Dialler(shoset, address, network.connect, **{"jitter": lambda: 0.0, **settings})


class RawPeer(Protocol):
    """Speaks frames by hand, as a foreign implementation would; says nothing by itself.

    Its body for ``link`` and ``linked`` can be changed in :attr:`identity`.
    """

    def __init__(self, type: str, logical_name: str = "raw", tenant: str = "acme") -> None:
        self.tenant = tenant
        self.frames: list[Frame] = []
        self.ended = False
        self.identity: dict[str, object] = {
            "protocol": 1,
            "logical_name": logical_name,
            "type": type,
            "instance": unique(),
            "received": 0,
            "heartbeat": 10_000,
        }
        self.session = unique()
        self._reader = FrameReader(2**31)

    def dataReceived(self, data: bytes) -> None:
        """Keep the frames."""
        self._reader.feed_into(data, self.frames)
        assert self._reader.error is None, self._reader.error

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Remember that it is over."""
        self.ended = True

    def again(self) -> RawPeer:
        """The same peer for a new connection: same identity and session, nothing received."""
        other = RawPeer("", tenant=self.tenant)
        other.identity = dict(self.identity)
        other.session = self.session
        return other

    def frame(self, kind: str, body: Mapping[str, object] | bytes, **envelope: Any) -> Frame:
        """A frame of this peer's; ``envelope`` as :func:`gandalf.wire.envelope.make_frame`, all optional."""
        elements: dict[str, Any] = {
            "uuid": unique(),
            "tenant": self.tenant,
            "target": "",
            "reference": None,
            "timeout": 0,
            "timestamp": 0,
            **envelope,
        }
        return make_frame(kind, body=body if isinstance(body, bytes) else pack_body(body), **elements)

    def say(self, kind: str, body: Mapping[str, object] | bytes = b"\x80", **envelope: Any) -> Frame:
        """Send a frame; see :meth:`frame`."""
        frame = self.frame(kind, body, **envelope)
        self.write(frame.raw)
        return frame

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        assert self.transport is not None
        self.transport.write(data)

    def say_link(self, **changes: object) -> None:
        """Send ``link``; a change to None leaves the key out."""
        body = {**self.identity, "bind_address": "", "session": self.session, **changes}
        self.say(LINK, {key: value for key, value in body.items() if value is not None})

    def say_linked(self, **changes: object) -> None:
        """Send ``linked``; a change to None leaves the key out."""
        body = {**self.identity, "max_frame": 8 * 1024 * 1024, "brothers": [], **changes}
        self.say(LINKED, {key: value for key, value in body.items() if value is not None})

    def heard(self, kind: str) -> list[Body]:
        """The bodies of the frames of ``kind`` received so far."""
        return [unpack_body(frame.body) for frame in self.frames if frame.kind == kind]

    @property
    def routed(self) -> list[Frame]:
        """The routed frames received so far."""
        return [frame for frame in self.frames if frame.kind in ROUTED]


class RawListener(Factory):
    """Listens with :class:`RawPeer` protocols, one a connection, made by ``make``."""

    noisy = False

    def __init__(self, make: Callable[[], RawPeer]) -> None:
        self.peers: list[RawPeer] = []
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """The next peer."""
        peer = self._make()
        self.peers.append(peer)
        return peer
