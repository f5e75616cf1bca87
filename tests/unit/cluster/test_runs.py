"""A member that takes frames alike in one piece does what one does that takes them one by one (protocol.md 9)."""

from __future__ import annotations

import json
from collections import deque

from hypothesis import strategies as st
from hypothesis.stateful import rule
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cluster.directory import Directory, Speakers
from gandalf.cluster.presence import Presence
from gandalf.cluster.resolution import Resolver
from gandalf.cluster.router import ClusterRouter
from gandalf.routing.link import AGGREGATOR
from gandalf.routing.testing import TENANT, FakeLink, FrameMaker, run_of
from gandalf.store.errors import Conflict
from gandalf.store.trace import TraceRecord
from gandalf.store.trace_writer import Done
from gandalf.wire import kinds
from gandalf.wire.body import unpack_body
from tests.unit.twins import Side, Twins, run_twins

OTHER = "tenant2"


class MemberSide(Side):
    """A member's router and four aggregators, one of them another tenant's."""

    router: ClusterRouter

    def __init__(self, *, in_runs: bool) -> None:
        links = {
            "a": FakeLink(AGGREGATOR, "aggregator1", label="a"),
            "b": FakeLink(AGGREGATOR, "aggregator1", label="b"),
            "stranger": FakeLink(AGGREGATOR, "aggregator1", validated=False),
            "other": FakeLink(AGGREGATOR, "aggregator2", tenant=OTHER),
        }
        super().__init__(links, in_runs=in_runs)
        self.records: list[tuple[str, TraceRecord]] = []
        self.waiting: deque[Done] = deque()
        presence = Presence(self.clock.seconds)
        self.router = ClusterRouter(
            FrameMaker("cluster1", "gandalf", first=1 << 100),
            clock=self.clock,
            now=lambda: 1000.0,
            max_timeout=10.0,
            duplicate_window=1000,
            presence=presence,
            resolver=Resolver(Directory(self.look_up, self.clock), presence, self.clock),
            record=self.record,
            request=lambda frame, link: None,
            member="cluster1",
        )
        for link in links.values():
            self.router.link_up(link)
        for name, connector in (("a", "git1"), ("b", "git1"), ("b", "git2"), ("other", "git1")):
            presence.seen(links[name], connector, "vcs")

    def look_up(self, tenant: str) -> Deferred[Speakers]:
        """What the database knows."""
        return succeed({"vcs": ("git1", "git2")})

    def record(self, tenant: str, record: TraceRecord, done: Done) -> None:
        """The trace, which is committed when the test says."""
        self.records.append((tenant, record))
        self.waiting.append(done)

    def shown(self) -> dict[str, object]:
        """And what the trace has, and what the router says of itself.

        Over one link, commands for one component come in order; those for several need not.
        """
        router = self.router
        by_target: dict[str, object] = {}
        for name, link in self.links.items():
            sent = [frame for frame, _ in link.sent if unpack_body(frame.body).get("topic") != "error"]
            by_target[name] = {
                frame.target: [each.raw for each in sent if each.target == frame.target] for frame in sent
            }
        return super().shown() | {
            **by_target,
            "trace": [(tenant, record) for tenant, record in self.records if record.topic != "error"],
            "router": (router.pending, router.unsettled, dict(router.counters), len(self.waiting)),
            "pending": self.pending(router.commands),
        }


class MemberTwins(Twins):
    """What comes to a member."""

    sides: tuple[MemberSide, MemberSide]

    def __init__(self) -> None:
        super().__init__()
        self.sides = MemberSide(in_runs=True), MemberSide(in_runs=False)
        self.make = FrameMaker("git1")

    @rule(
        number=st.integers(0, 3),
        count=st.integers(1, 5),
        command=st.booleans(),
        to=st.sampled_from(["", "git1", "git2", "nobody"]),
        pivots=st.lists(st.sampled_from(["vcs", "vcs", "vcs", "ci"]), min_size=5, max_size=5),
        timeout=st.sampled_from([0, 2000]),
        tenant=st.sampled_from([TENANT, TENANT, TENANT, OTHER]),
    )
    def send(
        self, number: int, count: int, command: bool, to: str, pivots: list[str], timeout: int, tenant: str
    ) -> None:
        """Frames alike come."""
        frames = []
        for each in range(count):
            if command:
                body: dict[str, object] = {"command": "DO", "context": {"connector_type": pivots[each]}}
                frames.append(self.make(kinds.COMMAND, body, target=to, timeout=timeout, tenant=tenant))
            else:
                frames.append(self.make.event("a.b", target=to, tenant=tenant))
        self.arrive(number, frames)

    @rule(number=st.integers(0, 3), malformed=st.booleans())
    def send_odd(self, number: int, malformed: bool) -> None:
        """One of several cannot be recorded."""
        good: dict[str, object] = {"topic": "a", "event": "B"}
        odd: dict[str, object] = {"topic": 5, "event": "B"} if malformed else good
        self.arrive(number, [self.make(kinds.EVENT, body) for body in (good, good, odd)])

    @rule(number=st.integers(0, 3), data=st.data(), errors=st.booleans())
    def answer(self, number: int, data: st.DataObject, errors: bool) -> None:
        """Events with references: receipts, or errors of whoever has a command and cannot."""
        if not self.known:
            return
        known = st.sampled_from(self.known)
        chosen = data.draw(st.lists(known, min_size=1, max_size=5, unique_by=lambda frame: frame.uuid))
        tenant = data.draw(st.sampled_from([TENANT, TENANT, OTHER]))
        if errors:
            payload = json.dumps({"code": "NO_ROUTE", "message": "nobody"})
            body: dict[str, object] = {"topic": "error", "event": "NO_ROUTE", "payload": payload}
        else:
            body = {"topic": "DO", "event": "TAKEN"}
        frames = [self.make(kinds.EVENT, body, reference=frame.uuid, tenant=tenant) for frame in chosen]
        self.arrive(number, frames)

    @rule(count=st.integers(1, 6), refused=st.booleans())
    def commit(self, count: int, refused: bool) -> None:
        """The trace has some of what it was given; or the database refuses one for its own sake."""
        for side in self.sides:
            for _ in range(min(1 if refused else count, len(side.waiting))):
                side.waiting.popleft()(Conflict("no") if refused else None)


class RunsTest(SynchronousTestCase):
    """The machine under trial, and that it tries what it is to try."""

    def test_runs_or_not(self) -> None:
        """Whatever comes, from wherever, however it is answered, recorded, cut or delayed."""
        run_twins(MemberTwins)

    def test_runs_there_are(self) -> None:
        """Most that comes is really worked on in one piece."""
        side = MemberSide(in_runs=True)
        make = FrameMaker("git1")
        body: dict[str, object] = {"command": "DO", "context": {"connector_type": "vcs"}}
        for frames in (
            [make.event() for _ in range(5)],
            [make(kinds.COMMAND, body) for _ in range(5)],
            [make.event(target="git1", reference=bytes(16)) for _ in range(5)],
        ):
            self.assertIsNotNone(side.router.route_run(run_of(frames), side.links["a"]))
        self.assertEqual(len(side.records), 15)
