"""Connections through the laboratory's proxy: what each end is told."""

from __future__ import annotations

import struct
from typing import Any

import msgpack
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase

from tests.faults.pipe import FAIR, Weather
from tests.faults.proxy import End, Pair, Proxy, envelope


class Transport(StringTransportWithDisconnection):
    """Notes how it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = ""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As a socket's."""

    def loseWriteConnection(self) -> None:
        """FIN."""
        self.closed = "half"

    def loseConnection(self) -> None:
        """FIN, and no more is read."""
        self.closed = "closed"

    def abortConnection(self) -> None:
        """RST."""
        self.closed = "reset"

    def getHandle(self) -> Any:
        """What a socket option is set on."""
        return self

    def setsockopt(self, *option: object) -> None:
        """As a socket's."""


class PairTests(SynchronousTestCase):
    """A dialler, the proxy, and a listener."""

    def setUp(self) -> None:
        """Connected."""
        self.reactor = MemoryReactorClock()
        self.weather = FAIR
        self.proxy = Proxy(
            "a1",
            9999,
            reactor=self.reactor,
            random=lambda: 0.5,
            name_of=lambda hello: str(envelope(hello)[0]),
            weather_of=lambda dialler, listener: self.weather if dialler == "w1" else FAIR,
        )
        self.near = self.proxy.accepted()
        self.near_side = self.connect(self.near)
        assert self.near.pair is not None
        self.pair: Pair = self.near.pair
        self.far: Any = self.reactor.tcpClients[0][2].buildProtocol(None)

    def connect(self, end: End) -> Transport:
        """Give it a transport."""
        transport = Transport()
        transport.protocol = end
        end.makeConnection(transport)
        return transport

    def test_both_ways(self) -> None:
        """What is said before the listener accepts gets there too."""
        self.near.dataReceived(b"early")
        far_side = self.connect(self.far)
        self.near.dataReceived(b" and late")
        self.far.dataReceived(b"back")
        self.assertEqual(far_side.value(), b"early and late")
        self.assertEqual(self.near_side.value(), b"back")

    def test_who_dials(self) -> None:
        """The first frame says it, in however many pieces it comes; it is subject to the weather already."""
        far_side = self.connect(self.far)
        self.weather = Weather(hold=True)
        packed = msgpack.packb(["w1", b"", "", "", None, 0, 0, b""])
        frame = struct.pack(">I", len(packed)) + packed
        for byte in frame:
            self.near.dataReceived(bytes([byte]))
        self.assertEqual(self.pair.dialler, "w1")
        self.assertEqual(far_side.value(), frame[:-1])
        self.weather = FAIR
        self.proxy.weather_changed()
        self.assertEqual(far_side.value(), frame)

    def test_a_close_is_passed_on(self) -> None:
        """After what was said before it."""
        far_side = self.connect(self.far)
        self.pair.set_weather(Weather(delay=1.0))
        self.near.dataReceived(b"last words")
        self.pair.lost(self.near)
        self.assertEqual(far_side.closed, "")
        self.reactor.advance(1.1)
        self.assertEqual((far_side.value(), far_side.closed), (b"last words", "closed"))
        self.assertNotIn(self.pair, self.proxy.pairs)

    def test_a_close_waits_for_fair_weather(self) -> None:
        """What was said before it is kept for as long as nothing passes; then the other end is closed too."""
        far_side = self.connect(self.far)
        self.pair.dialler = "w1"
        self.weather = Weather(hold=True)
        self.proxy.weather_changed()
        self.near.dataReceived(b"last words")
        self.near.connectionLost()
        self.assertEqual((far_side.value(), far_side.closed), (b"", ""))
        self.weather = FAIR
        self.proxy.weather_changed()
        self.assertEqual((far_side.value(), far_side.closed), (b"last words", "closed"))
        self.assertNotIn(self.pair, self.proxy.pairs)

    def test_both_ends_gone_while_nothing_passes(self) -> None:
        """Nobody is left to be told."""
        self.connect(self.far)
        self.pair.set_weather(Weather(hold=True))
        self.near.dataReceived(b"last words")
        self.near.connectionLost()
        self.far.connectionLost()
        self.assertNotIn(self.pair, self.proxy.pairs)

    def test_both_say_no_more(self) -> None:
        """Neither socket is left open: the reactor does not look at them any more."""
        far_side = self.connect(self.far)
        self.near.readConnectionLost()
        self.far.readConnectionLost()
        self.assertEqual((self.near_side.closed, far_side.closed), ("closed", "closed"))
        for end in (self.near, self.far):
            end.connectionLost()
        self.assertNotIn(self.pair, self.proxy.pairs)

    def test_a_half_close_is_passed_on(self) -> None:
        """And the other direction stays open."""
        far_side = self.connect(self.far)
        self.near.readConnectionLost()
        self.far.dataReceived(b"still")
        self.assertEqual((far_side.closed, self.near_side.value()), ("half", b"still"))

    def test_cut_and_reset(self) -> None:
        """Both ends are told; what waited is lost."""
        far_side = self.connect(self.far)
        self.pair.set_weather(Weather(hold=True))
        self.near.dataReceived(b"lost")
        self.pair.reset()
        self.pair.set_weather(FAIR)
        self.assertEqual((self.near_side.closed, far_side.closed, far_side.value()), ("reset", "reset", b""))

    def test_half_open(self) -> None:
        """One end is told that it is over; the other hears nothing for a while."""
        far_side = self.connect(self.far)
        self.pair.forget(dialler=True, after=5.0)
        self.near.connectionLost()
        self.far.dataReceived(b"into the void")
        self.assertEqual((self.near_side.closed, far_side.closed), ("reset", ""))
        self.reactor.advance(5.1)
        self.assertEqual(far_side.closed, "reset")

    def test_refuse(self) -> None:
        """Nothing listens for a while."""
        before = len(self.reactor.tcpServers)
        self.proxy.refuse(True)
        self.proxy.refuse(True)
        self.proxy.refuse(False)
        self.assertEqual(len(self.reactor.tcpServers), before + 1)
        self.assertEqual(self.reactor.tcpServers[-1][0], self.proxy.port)
