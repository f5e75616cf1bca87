"""A router over links in memory, whose trace and components are the test's."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cluster.directory import Directory, Speakers
from gandalf.cluster.presence import Presence
from gandalf.cluster.resolution import Resolver
from gandalf.cluster.router import ClusterRouter
from gandalf.routing.link import AGGREGATOR, Link
from gandalf.routing.testing import TENANT, FakeLink, FrameMaker
from gandalf.store.trace import TraceRecord
from gandalf.store.trace_writer import Done
from gandalf.wire import kinds
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame

OTHER = "tenant2"


class RouterCase(SynchronousTestCase):
    """``a`` and ``b`` are instances of the tenant's aggregator, ``other`` is another tenant's."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.make = FrameMaker("git1")
        self.records: list[tuple[str, TraceRecord, Done]] = []
        self.commits = True
        """Whether records are committed at once."""
        self.requests: list[tuple[Frame, Link]] = []
        self.presence = Presence(self.clock.seconds)
        self.lookups: list[Deferred[Speakers]] = []
        self.directory = Directory(self.look_up, self.clock)
        self.router = ClusterRouter(
            FrameMaker("cluster1", "gandalf", first=1),
            clock=self.clock,
            now=lambda: 1000.0,
            max_timeout=10.0,
            duplicate_window=1000,
            presence=self.presence,
            resolver=Resolver(self.directory, self.presence, self.clock),
            record=self.record,
            request=lambda frame, link: self.requests.append((frame, link)),
            member="127.0.0.1:9100",
        )
        self.a, self.b = self.link("aggregator1", label="a"), self.link("aggregator1", label="b")
        self.other = self.link("aggregator2", tenant=OTHER)

    def tearDown(self) -> None:
        """Nothing is left behind."""
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def link(self, name: str, **more: Any) -> FakeLink:
        """An aggregator's link that is up."""
        link = FakeLink(AGGREGATOR, name, **more)
        self.router.link_up(link)
        return link

    def look_up(self, tenant: str) -> Deferred[Speakers]:
        """The test says what is found."""
        result: Deferred[Speakers] = Deferred()
        self.lookups.append(result)
        return result

    def speak(self, **speakers: tuple[str, ...]) -> None:
        """Have components be known by pivot."""
        self.directory.saved(TENANT)
        self.lookups.pop().callback(speakers)

    def record(self, tenant: str, record: TraceRecord, done: Done) -> None:
        """The trace."""
        self.records.append((tenant, record, done))
        if self.commits:
            done(None)

    def recorded(self, kind: str = kinds.EVENT) -> list[bytes]:
        """The uuids of what the trace was given, without error events made here."""
        return [record.uuid for _, record, _ in self.records if record.kind == kind and record.topic != "error"]

    def command(self, pivot: str = "", **envelope: Any) -> Frame:
        """A command for whoever speaks ``pivot``."""
        context = {"connector_type": pivot} if pivot else {}
        return self.make(kinds.COMMAND, {"command": "DO", "context": context}, **envelope)

    def error_about(self, frame: Frame, code: str = "OVERLOADED", message: str = "it is full") -> Frame:
        """What an aggregator says of a frame that it cannot carry."""
        body = {"topic": "error", "event": code, "payload": json.dumps({"code": code, "message": message})}
        return self.make(kinds.EVENT, body, reference=frame.uuid)

    def assert_error(self, link: FakeLink, code: str, frame: Frame, text: str = "") -> None:
        """``link`` was sent one error event about ``frame``, and nothing else."""
        (error,) = link.take()
        body = unpack_body(error.body)
        self.assertEqual((error.kind, body["topic"], body["event"]), (kinds.EVENT, "error", code))
        self.assertEqual((error.reference, error.tenant), (frame.uuid, link.tenant))
        self.assertIn(text, json.loads(body["payload"])["message"])
        if link.validated:
            self.assertIn((link.tenant, error.uuid), [(tenant, record.uuid) for tenant, record, _ in self.records])

    def assert_nothing_else(self) -> None:
        """No link was sent anything more."""
        self.assertEqual([link.take() for link in (self.a, self.b, self.other)], [[], [], []])
