"""An aggregator between connectors and cluster members, all in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gandalf.aggregator.service import AggregatorService
from gandalf.config import Address, AggregatorConfig, checked
from gandalf.network import BindFailed
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.testing import FakeHost, FakeNetwork, fake_dialler, fake_shoset, unique
from gandalf.store.errors import NotFound
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame

SECRET = "a secret of sufficient length"
LISTEN, API, MEMBER, PEER = "127.0.0.1:9103", "127.0.0.1:9203", "127.0.0.1:9100", "127.0.0.1:9101"


@implementer(IListeningPort)
class FakePort:
    """A port that can be closed."""

    def __init__(self, network: FakeNetwork, address: str) -> None:
        self._network, self._address = network, address

    def startListening(self) -> None:
        """It listens from the start."""

    def stopListening(self) -> Deferred[None]:
        """Nobody is accepted any more."""
        self._network.listeners.pop(self._address, None)
        return succeed(None)

    def getHost(self) -> Any:
        """Not asked."""
        raise AssertionError


class FakeDatabase:
    """Stands for the tenant's database; remembers which was used."""

    def __init__(self) -> None:
        self.used: list[str] = []
        self.failures: list[Exception] = []
        self.closed = False

    async def use(self, dsn: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.used.append(dsn)

    async def close(self) -> None:
        self.closed = True


class FakeLevel:
    """Stands for the log, whose level is changed."""

    level = "info"

    def set_level(self, level: str) -> None:
        """Changed."""
        self.level = level


class Member:
    """A cluster member: a real shoset whose host answers what start-up asks."""

    def __init__(self, network: FakeNetwork, address: str) -> None:
        self.host = FakeHost()
        self.shoset, _ = fake_shoset(network, "cl", logical_name="cluster1", tenant="gandalf", host=self.host)
        network.listeners[address] = self.shoset
        self.validation: dict[str, object] = {"payload": "true"}
        self.answers: dict[str, str] = {
            "PIVOT_CONFIGURATION": "{}",
            "LOGICAL_CONFIGURATION": "{}",
            "CONFIGURATION_DATABASE": json.dumps({"tenant": "acme", "dsn": "postgresql://acme@db/acme"}),
        }
        self.mute: set[str] = set()
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.host.charge = self._received

    @property
    def link(self) -> ShosetLink:
        """The aggregator's link."""
        return self.host.link

    def kinds(self) -> list[str]:
        """The kinds of all that was received."""
        return [frame.kind for frame, _ in self.host.received]

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        """The bodies of what was received of one kind."""
        return [unpack_body(frame.body) for frame, _ in self.host.received if frame.kind == kind]

    def send(self, kind: str, body: dict[str, object], **envelope: Any) -> Frame:
        """Send a frame of the aggregator's tenant."""
        frame = self.shoset.frame(kind, body, tenant="acme", **envelope)
        self.link.send(frame)
        return frame

    def _received(self, frame: Frame, link: ShosetLink) -> None:
        body = unpack_body(frame.body)
        command = body.get("command", "")
        if frame.reference is not None or command in self.mute:
            return
        if frame.kind == "secret":
            self._reply(frame, link, command, self.validation)
        elif command in self.answers:
            self.requests.append((command, body))
            self._reply(frame, link, command, {"payload": self.answers[command]})

    def _reply(self, frame: Frame, link: ShosetLink, command: str, more: dict[str, object]) -> None:
        body = {"command": f"{command}_REPLY", **more}
        link.send(self.shoset.frame(frame.kind, body, tenant="acme", reference=frame.uuid, target=frame.target))


class AggregatorCase(SynchronousTestCase):
    """One instance; the member answers as it is told."""

    limits: ClassVar[dict[str, int]] = {}
    """[limits] of its configuration."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = FakeNetwork(self.clock)
        self.member = Member(self.network, MEMBER)
        self.database = FakeDatabase()
        self.failed: list[Exception] = []
        self.taken: set[str] = set()
        self.drains = 0
        self.log_level = FakeLevel()
        self.aggregator = self.make()

    def make(self, address: str = LISTEN, api: str = API) -> AggregatorService:
        """An aggregator that has not started."""
        config = checked(
            AggregatorConfig,
            {
                "aggregator": {
                    "logical_name": "aggregator1",
                    "tenant": "acme",
                    "listen": address,
                    "cluster": [MEMBER],
                    "secret": SECRET,
                },
                "api": {"listen": api},
                "limits": self.limits,
            },
            Path("/"),
            source="test",
            environment={},
        )

        async def listen(address: Address, factory: IProtocolFactory, key: str) -> IListeningPort:
            if str(address) in self.taken:
                raise BindFailed(f"{key} = {address}: cannot listen there")
            self.network.listeners[str(address)] = factory  # type: ignore[assignment]
            return FakePort(self.network, str(address))

        return AggregatorService(
            config,
            clock=self.clock,
            connect=self.network.connect,
            listen=listen,
            listen_http=listen,
            certificate_names=lambda transport: None,
            database=self.database,  # type: ignore[arg-type]
            now=self.clock.seconds,
            random=unique,
            jitter=lambda: 0.0,
            failed=self.failed.append,
            drain_requested=self._drain_requested,
            log_level=self.log_level,
            in_thread=maybeDeferred,
            fetch=self._fetched,
        )

    async def _fetched(self, url: str) -> bytes:
        raise NotFound(f"{url}: nothing is fetched in these tests")

    def _drain_requested(self) -> None:
        self.drains += 1

    def start(self) -> Deferred[None]:
        """Start, and let happen what happens at once."""
        starting = ensureDeferred(self.aggregator.start())
        self.network.settle()
        return starting

    def connector(
        self, name: str = "git1", tenant: str = "acme", address: str = LISTEN
    ) -> tuple[ShosetFactory, FakeHost, ShosetLink]:
        """A connector that dials the aggregator."""
        shoset, host = fake_shoset(self.network, "c", logical_name=name, tenant=tenant)
        dialler = fake_dialler(self.network, shoset, address)
        dialler.start()
        self.addCleanup(dialler.stop)
        self.network.settle()
        return shoset, host, dialler.link

    def validate(self, shoset: ShosetFactory, link: ShosetLink) -> None:
        """Prove the connector's secret."""
        link.send(shoset.frame("secret", {"command": "VALIDATION", "context": {}}))
        self.network.settle()
        link.validated = True
        self.network.settle()
