"""The laboratory's TCP proxy: every link goes through one, so that the network can be as bad as the schedule says."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import msgpack
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.faults.pipe import FAIR, Pipe, Weather

NOBODY = ""
"""Who dials before it has said so."""

HELLO_BYTES = 64 * 1024
BACKLOG = 500


class Pair:
    """A connection through a proxy: both its ends, and the two directions between them."""

    def __init__(self, proxy: Proxy, near: End) -> None:
        self.proxy = proxy
        self.dialler = NOBODY
        self.near = near
        self.far: End | None = None
        self._hello: bytes | None = b""
        self._over = False
        self.up = Pipe(proxy.clock, proxy.random, self._to_far, near.read)
        self.down = Pipe(proxy.clock, proxy.random, near.write, self._read_far)
        self._early: list[bytes] = []

    def arrived(self, data: bytes, end: End) -> None:
        """Bytes from one of the ends."""
        if end is self.near:
            self._listen(data)
            self.up.feed(data)
        else:
            self.down.feed(data)

    def connected(self, far: End) -> None:
        """The listener has accepted."""
        self.far = far
        if self._over:
            far.abort()
            return
        early, self._early = self._early, []
        for data in early:
            far.write(data)
        if self.near.deaf_to_far:
            far.half_close()

    def finished(self, end: End) -> None:
        """This end sends no more."""
        if end is self.near:
            self.up.end(self._half_close_far)
        else:
            self.down.end(self.near.half_close)

    def lost(self, end: End) -> None:
        """This end is gone: so is the other, unless it is to be left alone with a connection that is none."""
        if end.forgotten:
            return
        if self._over:
            # Both are gone.
            self.up.break_off()
            self.down.break_off()
            self.proxy.pairs.discard(self)
            return
        self._over = True
        other = self.far if end is self.near else self.near
        pipe = self.up if end is self.near else self.down
        back = self.down if end is self.near else self.up
        back.break_off()
        if other is None:
            self.proxy.pairs.discard(self)
        else:
            # What it said last still gets there; until then the weather is that of a connection.
            pipe.end(partial(self._close, other))

    # What is done to it.

    def set_weather(self, weather: Weather) -> None:
        """Of both directions."""
        if weather != self.up.weather:
            self.up.change(weather)
            self.down.change(weather)

    def reset(self) -> None:
        """Both ends are told by RST; what is on its way is lost."""
        self._over = True
        self.up.break_off()
        self.down.break_off()
        self.near.abort()
        if self.far is not None:
            self.far.abort()
        self.proxy.pairs.discard(self)

    def cut(self) -> None:
        """Both ends are told by FIN; what is on its way is lost."""
        self._over = True
        self.up.break_off()
        self.down.break_off()
        self.near.close()
        if self.far is not None:
            self.far.close()
        self.proxy.pairs.discard(self)

    def half_close(self, *, listener: bool) -> None:
        """One end is told that the other says no more; the other direction stays open."""
        if listener:
            self._half_close_far()
        else:
            self.near.half_close()

    def forget(self, *, dialler: bool, after: float) -> None:
        """One end is told that the connection is over; the other is left with it, in silence, for ``after``
        seconds."""
        gone, left = (self.near, self.far) if dialler else (self.far, self.near)
        self.set_weather(Weather(hold=True))
        if gone is not None:
            gone.forgotten = True
            gone.abort()
        if left is not None:
            self.proxy.clock.callLater(after, self.reset)

    def _close(self, end: End) -> None:
        end.close()
        self.proxy.pairs.discard(self)

    def _listen(self, data: bytes) -> None:
        """The dialler's first frame says who it is."""
        if self._hello is None:
            return
        self._hello += data
        if len(self._hello) < 4:
            return
        (length,) = struct.unpack_from(">I", self._hello)
        if length > HELLO_BYTES:
            self._hello = None
        elif len(self._hello) >= 4 + length:
            hello, self._hello = self._hello[4 : 4 + length], None
            self.dialler = self.proxy.name_of(hello)
            self.proxy.identified(self)

    def _to_far(self, data: bytes) -> None:
        if self.far is None:
            self._early.append(data)
        else:
            self.far.write(data)

    def _read_far(self, reading: bool) -> None:
        if self.far is not None:
            self.far.read(reading)

    def _half_close_far(self) -> None:
        if self.far is None:
            self.near.deaf_to_far = True
        else:
            self.far.half_close()


@implementer(IHalfCloseableProtocol)
class End(Protocol):
    """One socket of a pair."""

    transport: Any
    deaf_to_far = False
    forgotten = False
    """Its end is not told to the other."""

    def __init__(self, pair: Pair | None = None) -> None:
        self.pair = pair
        self._open = False
        self._heard_all = False
        self._said_all = False

    def connectionMade(self) -> None:
        """Twisted: a connection."""
        self._open = True
        self.transport.setTcpNoDelay(True)
        if self.pair is not None and self is not self.pair.near:
            self.pair.connected(self)

    def dataReceived(self, data: bytes) -> None:
        """Twisted: bytes."""
        if self.pair is not None:
            self.pair.arrived(data, self)

    def readConnectionLost(self) -> None:
        """Twisted: FIN from the peer."""
        self._heard_all = True
        if self.pair is not None:
            self.pair.finished(self)
        self._close_if_over()

    def writeConnectionLost(self) -> None:
        """Twisted: nothing can be written any more."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the end."""
        self._open = False
        if self.pair is not None:
            self.pair.lost(self)

    # Used by the pair.

    def write(self, data: bytes) -> None:
        """To the peer, unless it is gone."""
        if self._open and not self._said_all:
            self.transport.write(data)

    def read(self, reading: bool) -> None:
        """Whether the peer is read."""
        if self._open:
            if reading:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    def half_close(self) -> None:
        """FIN, and still read."""
        if self._open and not self._said_all:
            self._said_all = True
            self.transport.loseWriteConnection()
            self._close_if_over()

    def _close_if_over(self) -> None:
        """With nothing more to read or write the reactor leaves a socket alone, and open."""
        if self._heard_all and self._said_all:
            self.close()

    def close(self) -> None:
        """FIN after what was written."""
        if self._open:
            self.transport.loseConnection()

    def abort(self) -> None:
        """RST."""
        if self._open:
            linger = struct.pack("ii", 1, 0)
            self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abortConnection()


class Near(Factory):
    """Accepts those who dial the proxy."""

    noisy = False

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """A new pair."""
        return self._proxy.accepted()


class Far(ClientFactory):
    """Dials the listener for a pair."""

    noisy = False

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """Its end."""
        return End(self._pair)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """Nobody listens: whoever dialled is told so as near as can be."""
        self._pair.reset()


class Proxy:
    """Stands before one listener.

    :param listener: its name.
    :param port: of the listener.
    :param name_of: who dials, from the envelope that it said first.
    :param weather_of: what a connection of a dialler goes through at the moment.
    """

    def __init__(
        self,
        listener: str,
        port: int,
        *,
        reactor: Any,
        random: Callable[[], float],
        name_of: Callable[[bytes], str],
        weather_of: Callable[[str, str], Weather],
    ) -> None:
        self.listener = listener
        self.clock = reactor
        self.random = random
        self.name_of = name_of
        self.pairs: set[Pair] = set()
        self.bytes = 0
        self._port = port
        self._reactor = reactor
        self._weather_of = weather_of
        self._listening: Any = reactor.listenTCP(0, Near(self), BACKLOG, "127.0.0.1")
        self.port: int = self._listening.getHost().port

    def refuse(self, refuse: bool) -> None:
        """Whether nothing listens here."""
        if refuse and self._listening is not None:
            self._listening.stopListening()
            self._listening = None
        elif not refuse and self._listening is None:
            self._listening = self._reactor.listenTCP(self.port, Near(self), BACKLOG, "127.0.0.1")

    def cut_off(self) -> None:
        """Every connection is reset, and nothing listens here."""
        self.refuse(True)
        for pair in list(self.pairs):
            pair.reset()

    def accepted(self) -> End:
        """Somebody has dialled."""
        near = End()
        near.pair = pair = Pair(self, near)
        self.pairs.add(pair)
        pair.set_weather(self._weather_of(NOBODY, self.listener))
        self._reactor.connectTCP("127.0.0.1", self._port, Far(pair), 5)
        return near

    def identified(self, pair: Pair) -> None:
        """Who has dialled is known now."""
        self.weather_changed()

    def weather_changed(self) -> None:
        """Each pair goes on in the weather that it has now."""
        for pair in list(self.pairs):
            weather = self._weather_of(pair.dialler, self.listener)
            pair.set_weather(FAIR if weather == FAIR else weather)


def envelope(hello: bytes) -> list[Any]:
    """The values of the first frame; none when it is no frame."""
    try:
        values = msgpack.unpackb(hello)
    except ValueError:
        return []
    return values if isinstance(values, list) and len(values) == 8 else []
