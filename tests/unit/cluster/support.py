"""What tests of a member's parts stand on: a router over links in memory, and requests over a database in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cluster.authority import Authority
from gandalf.cluster.directory import Directory, Speakers
from gandalf.cluster.presence import Presence
from gandalf.cluster.requests import Handlers, Requests
from gandalf.cluster.resolution import Resolver
from gandalf.cluster.router import ClusterRouter
from gandalf.routing.link import AGGREGATOR, Link
from gandalf.routing.testing import TENANT, FakeLink, FrameMaker
from gandalf.store.testing import Asked, FakeDatabase
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


class AnswersCase(SynchronousTestCase):
    """Requests to handlers over a database that answers what the test says."""

    kind = ""

    def setUp(self) -> None:
        self.database = FakeDatabase()
        self.link = FakeLink(AGGREGATOR, "aggregator1")
        self.replies: list[Frame] = []
        self.known = {OTHER}
        """Tenants that exist, besides the link's."""
        self.authority = Authority(("gandalf", "ops"), self.exists)

    async def exists(self, tenant: str) -> bool:
        """Whether there is such a tenant."""
        return tenant in self.known

    def serve(self, handlers: Handlers) -> None:
        """Answer by these handlers."""
        self.requests = Requests(handlers, FrameMaker("cluster1"), lambda link, frame: self.replies.append(frame))

    def ask(self, command: str, context: Mapping[str, object], payload: str = "", target: str = "") -> None:
        """A request of the class's kind."""
        body = {"command": command, "context": context, "payload": payload}
        self.requests.received(FrameMaker()(self.kind, body, target=target), self.link)

    def asked(self) -> Asked:
        """The only thing that the database is asked."""
        (asked,) = self.database.asked
        self.database.asked.clear()
        return asked

    def answer(self) -> tuple[Any, dict[str, Any]]:
        """Payload and context of the only reply."""
        (reply,) = self.replies
        self.replies.clear()
        body = unpack_body(reply.body)
        return body.get("payload", ""), body["context"]

    def failure(self) -> str:
        """The code of the only reply, which failed."""
        return self.refusal()[0]

    def refusal(self) -> tuple[str, str]:
        """The code and message of the only reply, which failed."""
        payload, context = self.answer()
        self.assertEqual(payload, "")
        return context["error"]["code"], context["error"]["message"]
