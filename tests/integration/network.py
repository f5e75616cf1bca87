"""A Gandalf network in this process, over loopback: real aggregator instances, and a cluster member that knows
every secret and resolves commands by a table."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from gandalf.aggregator.service import AggregatorService
from gandalf.config import Address, AggregatorConfig, checked
from gandalf.connector import Account, Connector, Program, Runtime, connect
from gandalf.logs import LogOutput
from gandalf.network import dials, listen
from gandalf.routing.charge import Charge
from gandalf.routing.duplicates import DuplicateWindow
from gandalf.routing.failures import RoutingFailure
from gandalf.routing.fallthrough import FallThrough
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.host import Refusal
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.session import KeptFrame
from gandalf.shoset.settings import Identity, Limits
from gandalf.store.errors import NotFound
from gandalf.wire import kinds
from gandalf.wire.body import unpack_body
from gandalf.wire.control import BrothersBody, LinkBody
from gandalf.wire.envelope import Frame
from gandalf.wire.runs import Run
from tests.integration.ports import free_port

reactor: Any = global_reactor


async def no_files(url: str) -> bytes:
    """There is no repository of definitions."""
    raise NotFound(url)


class Member:
    """A cluster member without a database. `speakers` says which logical name speaks a pivot."""

    def __init__(self) -> None:
        self.shoset = ShosetFactory(
            Identity("cluster", "cl", "gandalf", os.urandom(16)),
            Limits(),
            self,
            clock=reactor,
            now=time.time,
            random=os.urandom,
            max_timeout=10.0,
        )
        self.speakers: dict[str, str] = {}
        self.refused: set[str] = set()
        """Logical names whose secret is not accepted."""
        self.events: Counter[bytes] = Counter()
        """How often each event was received."""
        self._commands = FallThrough(reactor)
        self._seen = DuplicateWindow(100_000)

    def admit(self, hello: LinkBody, tenant: str) -> Refusal | None:
        """Everybody."""
        return None

    def link_up(self, link: ShosetLink, resumed: bool) -> None:
        """Nothing."""

    def link_leaving(self, link: ShosetLink) -> None:
        """Nothing is pending for long."""
        link.finish()

    def link_down(self, link: ShosetLink) -> None:
        """Commands go to another instance."""
        self._commands.link_lost(link)

    def link_gone(self, link: ShosetLink) -> None:
        """Nothing."""

    def link_relieved(self, link: ShosetLink) -> None:
        """Nothing."""

    def run_received(self, run: Run, link: ShosetLink) -> Charge | None:
        """Each by itself."""
        return None

    def frame_expired(self, kept: KeptFrame, link: ShosetLink) -> None:
        """Nothing."""

    def brothers_received(self, brothers: BrothersBody, link: ShosetLink) -> None:
        """Nothing."""

    def frame_received(self, frame: Frame, link: ShosetLink) -> Charge | None:
        """Protocol.md 9, in short."""
        if frame.kind == kinds.EVENT:
            self.events[frame.uuid] += 1
        if self._seen.seen(frame.uuid):
            return None
        if frame.kind == kinds.EVENT:
            self._commands.answer(frame)
            for other in self._instances():
                if other is not link:
                    other.send(frame)
        elif frame.kind == kinds.COMMAND:
            self._resolve(frame, link)
        elif frame.kind == kinds.SECRET:
            accepted = unpack_body(frame.body)["context"]["logical_name"] not in self.refused
            if not frame.target:
                link.validated = accepted
            self._reply(frame, link, "true" if accepted else "false", {"reason": "" if accepted else "revoked"})
        elif frame.kind == kinds.CONFIGURATION_DATABASE:
            self._reply(frame, link, json.dumps({"tenant": "tenant1", "dsn": "postgresql:///none"}))
        elif frame.kind in (kinds.CONFIGURATION, kinds.LOGICAL_CONFIGURATION):
            self._reply(frame, link, "{}")
        return None

    def _instances(self) -> list[ShosetLink]:
        return [link for link in self.shoset.registry.of_type("a") if link.validated]

    def _resolve(self, frame: Frame, link: ShosetLink) -> None:
        context = unpack_body(frame.body)["context"]
        target = frame.target or self.speakers.get(context["connector_type"], "")
        resolved = frame.replace(target=target)

        def failed(failure: Any) -> None:
            failure.trap(RoutingFailure)
            self._error(frame, link, failure.value.code, str(failure.value))

        if not target:
            self._error(frame, link, "NO_ROUTE", f"nobody speaks {context['connector_type']!r}")
        else:
            self._commands.send(resolved, "all", self._instances(), 10.0).addErrback(failed)

    def _error(self, frame: Frame, link: ShosetLink, code: str, message: str) -> None:
        source = unpack_body(frame.body)["source"]
        payload = {"code": code, "message": message, "kind": frame.kind, "origin": link.logical_name}
        body: dict[str, object] = {"topic": "error", "event": code, "payload": json.dumps(payload)}
        link.send(self.shoset.frame(kinds.EVENT, body, target=source, reference=frame.uuid, tenant=frame.tenant))

    def _reply(self, frame: Frame, link: ShosetLink, payload: str, context: dict[str, object] | None = None) -> None:
        command = unpack_body(frame.body)["command"] + "_REPLY"
        body: dict[str, object] = {"command": command, "payload": payload, "context": context or {}}
        link.send(self.shoset.frame(frame.kind, body, target=frame.target, reference=frame.uuid, tenant=frame.tenant))


class NoDatabase:
    """Stands for the tenant's database, which commands and events do not need."""

    async def use(self, dsn: str) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""


class Instance:
    """A real aggregator instance, in this process."""

    def __init__(self, member_port: int) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.ports: list[IListeningPort] = []
        data = {
            "aggregator": {
                "logical_name": "aggregator1",
                "tenant": "tenant1",
                "listen": self.address,
                "cluster": [f"127.0.0.1:{member_port}"],
                "secret": "s",
            },
            "api": {"listen": f"127.0.0.1:{free_port()}"},
        }
        config = checked(AggregatorConfig, data, Path(), source="a test", environment={})

        async def listen_here(address: Address, factory: IProtocolFactory, key: str) -> IListeningPort:
            port = await listen(reactor, address, factory, None, key)
            self.ports.append(port)
            return port

        database: Any = NoDatabase()
        self.service = AggregatorService(
            config,
            clock=reactor,
            connect=dials(reactor, None),
            listen=listen_here,
            listen_http=listen_here,
            certificate_names=lambda transport: None,
            database=database,
            now=time.time,
            random=os.urandom,
            jitter=random.random,
            failed=lambda error: None,
            drain_requested=lambda: None,
            log_level=LogOutput(sys.stderr, "info", "text"),
            in_thread=deferToThread,
            fetch=no_files,
        )
        self.running = False

    async def start(self) -> None:
        """Ready when it returns."""
        await self.service.start()
        self.running = True

    async def kill(self) -> None:
        """As SIGKILL: every connection breaks, nobody is told anything."""
        self.running = False
        self.service.diallers.stop()
        for port in self.ports:
            await maybeDeferred(port.stopListening)
        for connection in self.service.shoset.connections:
            connection.life.died()
        await self.service.stop()

    async def stop(self) -> None:
        """In good order."""
        if self.running:
            self.running = False
            await self.service.stop()


class NetworkCase(TestCase):
    """A cluster member, instances of an aggregator, connectors."""

    timeout = 60

    async def network(self, instances: int = 2) -> None:
        """Start a member and `instances` of an aggregator."""
        self.member = Member()
        number = free_port()
        port = await listen(reactor, Address("127.0.0.1", number), self.member.shoset, None, "cluster")
        self.addCleanup(self.end_member, port)
        self.instances = [Instance(number) for _ in range(instances)]
        self.addCleanup(self.end_instances)
        await gatherResults([Deferred.fromCoroutine(instance.start()) for instance in self.instances])

    @property
    def addresses(self) -> list[str]:
        """What connectors dial."""
        return [instance.address for instance in self.instances]

    async def connector(self, program: Connector | Program, logical_name: str, *addresses: str) -> Runtime:
        """A connector of this process, linked to every instance."""
        account = Account(logical_name, "tenant1", addresses or self.addresses, "s", drain_timeout=3.0)
        runtime = await connect(program, account, reactor=reactor)
        self.member.speakers.setdefault(runtime.connector.type, logical_name)
        self.addCleanup(runtime.stop)
        await until(lambda: len(runtime._ready_links()) == len(account.aggregators))
        return runtime

    async def end_instances(self) -> None:
        """For `addCleanup`."""
        for instance in self.instances:
            await instance.stop()

    async def end_member(self, port: Any) -> None:
        """For `addCleanup`."""
        await maybeDeferred(port.stopListening)
        await self.member.shoset.close()
        self.member.shoset.stop()


async def until(condition: Callable[[], Any], what: str = "", within: float = 20.0) -> Any:
    """What `condition` gives once it is true, while the reactor works."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        await deferLater(reactor, 0.005, lambda: None)
    raise AssertionError(f"not within {within} s: {what}")
