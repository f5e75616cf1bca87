"""An aggregator's router among links in memory, and one assertion over all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.charge import Charge
from gandalf.routing.link import CLUSTER, CONNECTOR
from gandalf.routing.testing import TENANT, FakeLink, FakeLinks, FrameMaker
from gandalf.wire import kinds
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame

MAX_TIMEOUT = 10.0
OTHER_TENANT = "tenant2"
KINDS = sorted(kinds.ROUTED)


@attrs.frozen
class Error:
    """An error event as a test expects it: its code, and the frame that it refers to."""

    code: str
    about: Frame


Expected = Sequence[Frame | Error]


class RoutingCase(SynchronousTestCase):
    """Two cluster members; two brothers ``git``; ``flow``; ``bare``, whose secret nobody has seen yet."""

    def setUp(self) -> None:
        """Everything linked, start-up done."""
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.make = FrameMaker("somebody")
        self.member1 = FakeLink(CLUSTER, "cluster", label="member1")
        self.member2 = FakeLink(CLUSTER, "cluster", label="member2")
        self.git1 = FakeLink(CONNECTOR, "git", label="git1")
        self.git2 = FakeLink(CONNECTOR, "git", label="git2")
        self.flow = FakeLink(CONNECTOR, "flow")
        self.bare = FakeLink(CONNECTOR, "bare", validated=False)
        self.links = FakeLinks(self.member1, self.member2, self.git1, self.git2, self.flow, self.bare)
        self.databases: list[Frame] = []
        self.router = self.new_router()
        self.router.open()

    def tearDown(self) -> None:
        """Whatever the test did: nothing was sent that it did not look at, and no timer is left."""
        self.assertSent({})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def new_router(self, **changes: Any) -> AggregatorRouter:
        """A router whose start-up is not done."""
        arguments: dict[str, Any] = {
            "clock": self.clock,
            "now": lambda: 1_700_000_000.5,
            "max_timeout": MAX_TIMEOUT,
            "duplicate_window": 1000,
            "database": self.databases.append,
            **changes,
        }
        return AggregatorRouter(TENANT, self.links, FrameMaker(first=1 << 64), **arguments)

    def assertSent(self, expected: Mapping[FakeLink, Expected]) -> None:
        """Since the last look, each link was sent exactly what is expected, byte by byte; all others nothing."""
        sent = {link: [self._as_expected(frame) for frame in link.take()] for link in self.links}
        wanted = {
            link: [_shown(item) if isinstance(item, Frame) else (item.code, item.about.uuid) for item in items]
            for link, items in expected.items()
        }
        self.assertLessEqual(set(wanted), set(sent), "a link that the router does not know")
        for link, items in sent.items():
            self.assertEqual(items, wanted.get(link, []), f"sent to {link!r}")

    def route(self, frame: Frame, origin: FakeLink, expected: Mapping[FakeLink, Expected]) -> Charge | None:
        """Route ``frame`` and look at what everybody was sent."""
        charge = self.router.route(frame, origin)
        self.assertSent(expected)
        return charge

    def drop(self, frame: Frame, origin: FakeLink) -> Charge | None:
        """Route ``frame`` without looking at what was sent."""
        charge = self.router.route(frame, origin)
        self.forget_sent()
        return charge

    def forget_sent(self) -> None:
        """What was sent up to now is of no interest."""
        for link in self.links:
            link.take()

    def pass_time(self, seconds: float) -> None:
        """Let timers run."""
        self.clock.advance(seconds)

    @staticmethod
    def _as_expected(frame: Frame) -> object:
        body = unpack_body(frame.body)
        if frame.kind == kinds.EVENT and body.get("topic") == "error" and body.get("source") == "aggregator1":
            return (body["event"], frame.reference)
        return _shown(frame)


def _shown(frame: Frame) -> object:
    return (frame.kind, frame.uuid.hex(), frame.raw)


def payload_of(frame: Frame) -> dict[str, object]:
    """The JSON payload of ``frame``."""
    payload: dict[str, object] = json.loads(unpack_body(frame.body)["payload"])
    return payload


def event_answers(frame: Frame, make: FrameMaker, event: str = "TAKEN", target: str = "") -> Frame:
    """A connector's event about the command ``frame`` (protocol.md 7)."""
    return make.event("DO", event, reference=frame.uuid, target=target)
