"""The shoset itself: everything that the connections of one process share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Set
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from gandalf.shoset.arrivals import Arrivals
from gandalf.shoset.batch import Batch
from gandalf.shoset.handshake import ListenerProtocol
from gandalf.shoset.host import Host
from gandalf.shoset.kept import KeptBytes
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.protocol import ShosetProtocol
from gandalf.shoset.registry import Registry
from gandalf.shoset.settings import Identity, Limits
from gandalf.wire.body import COMMON, pack_body
from gandalf.wire.control import BrothersBody
from gandalf.wire.envelope import Frame, make_frame
from gandalf.wire.uuid7 import UUIDMaker


@attrs.define
class ShosetCounters:
    """What happened to the connections of this process since it started."""

    accepted: int = 0
    refused: Counter[str] = attrs.field(factory=Counter)
    dead: int = 0
    slow_consumers: int = 0
    overflowed: int = 0
    resumed: int = 0
    forgotten: int = 0
    forgotten_frames: int = 0
    """Frames that were kept for sessions when they were forgotten."""
    crowded_out: int = 0
    """Sessions given up, and perhaps closed, because all together kept too much."""


class ShosetFactory(Factory):
    """Makes the listening side of connections, and keeps links by logical name and by type.

    :param clock: time for every timer and interval.
    :param now: seconds since the epoch, for timestamps only.
    :param random: as ``os.urandom``.
    :param max_timeout: seconds that a command with timeout 0 is worth waiting for (protocol.md 2).
    :param certificate_names: the names that the peer's certificate bears; None for plain TCP (protocol.md 5.1).
    """

    noisy = False
    log = Logger()

    def __init__(
        self,
        identity: Identity,
        limits: Limits,
        host: Host,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        random: Callable[[int], bytes],
        max_timeout: float,
        certificate_names: Callable[[Any], frozenset[str] | None] = lambda transport: None,
    ) -> None:
        self.identity = identity
        self.limits = limits
        self.host = host
        self.clock = clock
        self.now = now
        self.random = random
        self.max_timeout = max_timeout
        self.certificate_names = certificate_names
        self.batch = Batch()
        self.registry = Registry()
        self.counters = ShosetCounters()
        self.arrivals = Arrivals(limits.accept_rate, clock)
        self.brothers: tuple[str, ...] = ()
        """Addresses of the other instances of this shoset's logical name, told to those who dial (5.2)."""
        self.draining = False
        """New links are refused with ``DRAINING``."""
        self.make_uuid = UUIDMaker(now, random)
        self._connections: set[ShosetProtocol] = set()
        self._signs: dict[str, tuple[float, bytes]] = {}
        self._keeping: dict[ShosetLink, IDelayedCall] = {}
        self._when_closed: list[Deferred[None]] = []
        self.kept = KeptBytes(self)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """The listening side of a new connection."""
        return ListenerProtocol(self)

    # Frames made here.

    def frame(
        self,
        kind: str,
        body: dict[str, object],
        *,
        target: str = "",
        reference: bytes | None = None,
        timeout: int = 0,
        tenant: str | None = None,
        uuid: bytes | None = None,
    ) -> Frame:
        """A routed frame of this shoset's own; ``timeout`` in ms (protocol.md 2 and 3)."""
        return make_frame(
            kind,
            uuid or self.make_uuid(),
            self.identity.tenant if tenant is None else tenant,
            target,
            reference,
            timeout,
            int(self.now() * 1000),
            pack_body({**COMMON, "source": self.identity.logical_name, **body}),
        )

    def control_frame(self, kind: str, body: bytes) -> Frame:
        """A frame of link control (protocol.md 5)."""
        return make_frame(kind, self.make_uuid(), self.identity.tenant, "", None, 0, int(self.now() * 1000), body)

    def sign_of_life(self, kind: str) -> bytes:
        """The bytes of a ``ping`` or a ``pong``; all that are sent within a second are the same message."""
        now = self.clock.seconds()
        made = self._signs.get(kind)
        if made is None or now - made[0] >= 1.0:
            made = self._signs[kind] = now, self.control_frame(kind, b"\x80").raw
        return made[1]

    # Connections and links.

    @property
    def connections(self) -> Set[ShosetProtocol]:
        """Every connection, in whatever phase; not to be kept, since it changes."""
        return self._connections

    def opened(self, connection: ShosetProtocol) -> None:
        """A transport is connected."""
        self._connections.add(connection)

    def closed(self, connection: ShosetProtocol) -> None:
        """A transport is no more."""
        self._connections.discard(connection)
        if not self._connections:
            waiting, self._when_closed = self._when_closed, []
            for deferred in waiting:
                deferred.callback(None)

    def link_up(self, link: ShosetLink, connection: ShosetProtocol, *, resumed: bool) -> None:
        """A handshake succeeded: the link has its connection, and what waits for it is sent."""
        keeping = self._keeping.pop(link, None)
        if keeping is not None:
            keeping.cancel()
        link.attach(connection)
        self.registry.add(link)
        self.counters.accepted += 1
        self.counters.resumed += resumed
        connection.life.greeted()
        self.log.info(
            "linked with {name} ({type}) at {peer}{how}",
            name=link.logical_name,
            type=link.type,
            peer=connection.peer,
            how=", session resumed" if resumed else "",
        )
        with self.batch:
            link.pump()
            self.host.link_up(link, resumed)

    def link_down(self, link: ShosetLink) -> None:
        """A link lost its connection; a listener keeps a session that was broken for a while (protocol.md 5.3)."""
        self.log.info("link to {name} ({type}) is down", name=link.logical_name, type=link.type)
        kept = not link.address and link in self.registry
        if kept and not link.over:
            self._keeping[link] = self.clock.callLater(self.limits.session_keep, self.forget, link)
            self.kept.broken(len(self._keeping))
        with self.batch:
            self.host.link_down(link)
        if kept and link.over:
            self.forget(link)

    def forget(self, link: ShosetLink) -> None:
        """A session is not resumed any more."""
        keeping = self._keeping.pop(link, None)
        if keeping is not None and keeping.active():
            keeping.cancel()
        if link in self.registry:
            self.registry.remove(link)
            link.forgotten = True
            self.counters.forgotten += 1
            if left := len(link.outbox):
                self.counters.forgotten_frames += left
                self.log.info(
                    "the session with {name} ({type}) is forgotten, and {frames} frames that it had not acknowledged",
                    name=link.logical_name or link.address,
                    type=link.type,
                    frames=left,
                )
            link.outbox.clear()
            self.kept.release(link)
            with self.batch:
                self.host.link_gone(link)

    def tell_brothers(self, link: ShosetLink, logical_name: str, addresses: tuple[str, ...]) -> None:
        """Tell ``link`` the addresses of a logical name (protocol.md 5.2)."""
        if link.connection is not None:
            link.connection.tell_brothers(BrothersBody(logical_name, addresses))

    def set_brothers(self, addresses: tuple[str, ...]) -> None:
        """The other instances of this shoset's logical name are now these: tell all who dialled."""
        if addresses != self.brothers:
            self.brothers = addresses
            for link in self.registry:
                if not link.address:
                    self.tell_brothers(link, self.identity.logical_name, addresses)

    @property
    def broken(self) -> Iterator[ShosetLink]:
        """The sessions that are kept without a connection, the one that broke first before the others."""
        return iter(list(self._keeping))

    def close(self) -> Deferred[None]:
        """Close every connection in good order; fires when all are closed."""
        if not self._connections:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._when_closed.append(done)
        for connection in list(self._connections):
            connection.life.finished()
        return done

    def stop(self) -> None:
        """Forget kept sessions and those who wait, so that no timer is left behind."""
        for keeping in self._keeping.values():
            keeping.cancel()
        self._keeping.clear()
        self.kept.stop()
        self.arrivals.stop()

    @staticmethod
    def encrypted(transport: object) -> bool:
        """Whether ``transport`` is TLS, which knows no half-closing."""
        return ISSLTransport.providedBy(transport)
