"""A cluster that carries commands and events on, and a connector that answers: what commands and events meet."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from gandalf.aggregator.service import AggregatorService
from gandalf.routing.charge import Charge
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.testing import FakeHost
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame
from tests.unit.aggregator.support import LISTEN, MEMBER, AggregatorCase, Member

OTHER, OTHER_API = "127.0.0.1:9104", "127.0.0.1:9204"
"""Where a second instance listens."""


class Cluster(Member):
    """A member that resolves commands by a table, and spreads events."""

    speakers: dict[str, str]
    """Which connector speaks a pivot."""
    homes: dict[str, ShosetLink]
    """Behind which link a connector is, unless it is behind the one that asks."""
    unrecorded: list[Charge] | None = None
    """A list: events are recorded when the test settles the charges in it."""

    def _received(self, frame: Frame, link: ShosetLink) -> Any:
        if frame.kind == "cmd" and unpack_body(frame.body)["command"] not in self.mute:
            self._resolve(frame, link)
        elif frame.kind == "evt":
            for other in dict.fromkeys(link for link, _ in self.host.up):
                if other is not link:
                    other.send(frame)
            if self.unrecorded is not None:
                self.unrecorded.append(Charge())
                return self.unrecorded[-1]
        else:
            super()._received(frame, link)
        return None

    def _resolve(self, frame: Frame, link: ShosetLink) -> None:
        target = frame.target or self.speakers.get(unpack_body(frame.body)["context"]["connector_type"], "")
        if target:
            self.homes.get(target, link).send(frame.replace(target=target))
            return
        payload = json.dumps({"code": "NO_ROUTE", "message": "nobody speaks it"})
        body: dict[str, object] = {"topic": "error", "event": "NO_ROUTE", "payload": payload}
        error = self.shoset.frame("evt", body, tenant="acme", target="aggregator1", reference=frame.uuid)
        link.send(error)


class Worker:
    """A connector whose secret is accepted; the test says what it answers."""

    def __init__(self, shoset: ShosetFactory, host: FakeHost, link: ShosetLink) -> None:
        self.shoset, self.host, self.link = shoset, host, link

    @property
    def commands(self) -> list[Frame]:
        """What it was sent to do."""
        return [frame for frame, _ in self.host.received if frame.kind == "cmd"]

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        """The bodies of what it was sent of one kind."""
        return [unpack_body(frame.body) for frame, _ in self.host.received if frame.kind == kind]

    def answer(self, event: str, payload: str | bytes = "", command: Frame | None = None) -> Frame:
        """An event about the command that came last, or another (protocol.md 7)."""
        command = command or self.commands[-1]
        body = unpack_body(command.body)
        return self.emit(body["command"], event, payload=payload, target=body["source"], reference=command.uuid)

    def emit(self, topic: str, event: str, *, payload: str | bytes = "", **envelope: Any) -> Frame:
        """An event."""
        frame = self.shoset.frame("evt", {"topic": topic, "event": event, "payload": payload}, **envelope)
        self.link.send(frame)
        return frame


class TrafficCase(AggregatorCase):
    """One instance that is ready, with the connector ``git1``, which speaks ``vcs``."""

    def setUp(self) -> None:
        """Everything linked."""
        super().setUp()
        self.clock.advance(1_700_000_000)
        self.cluster = self.new_cluster(MEMBER)
        self.successResultOf(self.start())
        self.git = self.worker("git1")

    def tearDown(self) -> None:
        """When both sides have ended nothing is scheduled, and nobody listens."""
        if self.aggregator.startup.ready:
            ending = ensureDeferred(self.aggregator.stop())
            self.network.advance(3)
            self.successResultOf(ending)
        self.assertEqual(self.aggregator.router.taps, [])

    def new_cluster(self, address: str) -> Cluster:
        """A member that carries on."""
        cluster = Cluster(self.network, address)
        cluster.speakers, cluster.homes = {"vcs": "git1"}, {}
        return cluster

    def worker(self, name: str, address: str = LISTEN) -> Worker:
        """A connector."""
        worker = Worker(*self.connector(name, address=address))
        self.validate(worker.shoset, worker.link)
        return worker

    def second(self) -> AggregatorService:
        """A brother, ready."""
        brother = self.make(OTHER, OTHER_API)
        starting: Deferred[None] = ensureDeferred(brother.start())
        self.network.settle()
        self.successResultOf(starting)

        def end() -> None:
            ending = ensureDeferred(brother.stop())
            self.network.advance(3)
            self.successResultOf(ending)

        self.addCleanup(end)
        return brother

    def settle(self) -> None:
        """Let happen what happens at once."""
        self.network.settle()
