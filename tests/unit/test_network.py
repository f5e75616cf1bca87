"""Dialling by name: looked up each time, every address tried, and no attempt that lasts for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gandalf.network import ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, dials
from gandalf.shoset.dialler import Dialler
from gandalf.shoset.testing import FakeNetwork, fake_shoset


@implementer(IHostResolution)
class Resolution:
    """A name that is looked up."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Looking up cannot be given up."""
        raise NotImplementedError


@implementer(IHostnameResolver)
class Resolver:
    """Answers at once with :attr:`addresses`; None: not at all."""

    def __init__(self) -> None:
        self.addresses: list[str] | None = []
        self.asked: list[str] = []

    def resolveHostName(
        self,
        receiver: IResolutionReceiver,
        name: str,
        portNumber: int = 0,  # noqa: N803  # the interface has it so
        types: Sequence[type] | None = None,
        semantics: str = "TCP",
    ) -> IHostResolution:
        """The addresses of the moment."""
        self.asked.append(name)
        resolution = Resolution(name)
        receiver.resolutionBegan(resolution)
        if self.addresses is not None:
            for address in self.addresses:
                receiver.addressResolved(IPv4Address("TCP", address, portNumber))
            receiver.resolutionComplete()
        return resolution


@implementer(IReactorPluggableNameResolver)
class Reactor(MemoryReactorClock):
    """Remembers whom it is to connect to."""

    def __init__(self) -> None:
        super().__init__()
        self.names = Resolver()
        self.nameResolver = self.names

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """It stays."""
        raise AssertionError

    @property
    def tried(self) -> list[str]:
        """The addresses that were dialled so far."""
        return [client[0] for client in self.tcpClients]

    def refuse(self, number: int) -> None:
        """Nobody listens there."""
        self.tcpClients[number][2].clientConnectionFailed(cast(Any, None), Failure(ConnectError("nobody listens")))


class DialTests(SynchronousTestCase):
    """One name, whose addresses change."""

    def setUp(self) -> None:
        """A reactor in memory."""
        self.reactor = Reactor()
        self.names = self.reactor.names
        self.connect = dials(self.reactor, None)

    def dial(self) -> Deferred[IProtocol]:
        """One attempt."""
        return self.connect("member.example:9100", Factory.forProtocol(Protocol))

    def pass_time(self) -> None:
        """One second."""
        for _ in range(10):
            self.reactor.advance(0.1)

    def test_the_name_is_looked_up_at_each_attempt(self) -> None:
        """An address that it had is not dialled any more."""
        for addresses in (["192.0.2.1"], ["192.0.2.2"]):
            self.names.addresses = addresses
            attempt = self.dial()
            self.reactor.refuse(-1)
            self.reactor.advance(1)
            self.failureResultOf(attempt, ConnectError)
        self.assertEqual(self.reactor.tried, ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(self.names.asked, ["member.example"] * 2)

    def test_every_address_is_tried(self) -> None:
        """One that refuses, or does not answer, does not keep us from the next."""
        self.names.addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        attempt = self.dial()
        self.reactor.refuse(0)
        self.pass_time()
        self.assertEqual(self.reactor.tried, self.names.addresses)
        protocol: Any = self.reactor.tcpClients[2][2].buildProtocol(None)
        protocol.makeConnection(None)
        self.assertNotEqual(self.successResultOf(attempt), None)
        self.assertEqual(self.reactor.tcpClients[1][3], CONNECT_TIMEOUT)

    def test_a_name_that_has_no_address(self) -> None:
        """Is a failure like another."""
        self.assertNotEqual(self.failureResultOf(self.dial()).getErrorMessage(), "")

    def test_a_name_server_that_does_not_answer(self) -> None:
        """The attempt ends; nothing is left of it."""
        self.names.addresses = None
        attempt = self.dial()
        self.reactor.advance(ATTEMPT_TIMEOUT - 0.1)
        self.assertNoResult(attempt)
        self.reactor.advance(0.2)
        self.failureResultOf(attempt)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_dialler_follows_the_name(self) -> None:
        """Through all that can be wrong with it, until somebody listens."""
        network: Any = FakeNetwork(self.reactor)
        shoset, _ = fake_shoset(network, "a")
        dialler = Dialler(shoset, "member.example:9100", self.connect, jitter=lambda: 0.0)
        self.names.addresses = None
        dialler.start()
        self.reactor.advance(ATTEMPT_TIMEOUT)
        self.assertIn("member.example", dialler.trouble)
        self.names.addresses = []
        self.pass_time()
        self.names.addresses = ["192.0.2.9"]
        self.pass_time()
        self.reactor.refuse(0)
        self.names.addresses = ["192.0.2.10"]
        self.pass_time()
        self.assertEqual(self.reactor.tried, ["192.0.2.9", "192.0.2.10"])
        dialler.stop()
