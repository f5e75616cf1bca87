"""A member that takes frames alike in one piece does what one does that takes them one by one (protocol.md 9)."""

from __future__ import annotations

import json
from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cluster.directory import Directory, Speakers
from gandalf.cluster.presence import Presence
from gandalf.cluster.resolution import Resolver
from gandalf.cluster.router import ClusterRouter
from gandalf.routing.link import AGGREGATOR
from gandalf.routing.testing import TENANT, FakeLink, FrameMaker, run_of
from gandalf.shoset.session import Inbox
from gandalf.store.errors import Conflict, DatabaseUnavailable
from gandalf.store.trace import TraceRecord
from gandalf.store.trace_writer import Done
from gandalf.wire import kinds
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame
from gandalf.wire.framing import FrameReader
from gandalf.wire.runs import Run

LINKS = ["a", "b", "stranger", "other"]
OTHER = "tenant2"


class Side:
    """A member's router and those around it."""

    def __init__(self, *, in_runs: bool) -> None:
        self.in_runs = in_runs
        self.clock = Clock()
        self.records: list[tuple[str, TraceRecord]] = []
        self.waiting: deque[Done] = deque()
        self.links = {
            "a": FakeLink(AGGREGATOR, "aggregator1", label="a"),
            "b": FakeLink(AGGREGATOR, "aggregator1", label="b"),
            "stranger": FakeLink(AGGREGATOR, "aggregator1", validated=False),
            "other": FakeLink(AGGREGATOR, "aggregator2", tenant=OTHER),
        }
        self.inboxes = {name: Inbox(lambda: None) for name in self.links}
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
        for link in self.links.values():
            self.router.link_up(link)
        for name, connector in (("a", "git1"), ("b", "git1"), ("b", "git2"), ("other", "git1")):
            presence.seen(self.links[name], connector, "vcs")

    def look_up(self, tenant: str) -> Deferred[Speakers]:
        """What the database knows."""
        return succeed({"vcs": ("git1", "git2")})

    def record(self, tenant: str, record: TraceRecord, done: Done) -> None:
        """The trace, which is committed when the test says."""
        self.records.append((tenant, record))
        self.waiting.append(done)

    def arrive(self, name: str, frames: list[Frame]) -> None:
        """``frames`` come in one chunk."""
        link, inbox = self.links[name], self.inboxes[name]
        chunk = b"".join(frame.raw for frame in frames)
        reader = FrameReader(8 << 20)
        for parcel in reader.feed_parcels(chunk) if self.in_runs else reader.feed(chunk):
            if isinstance(parcel, Run):
                charge = self.router.route_run(parcel, link)
                if charge is not None:
                    inbox.take(charge, parcel.count)
                    continue
            for frame in parcel.frames():
                inbox.take(self.router.route(frame, link))

    def shown(self) -> dict[str, object]:
        """All that anybody could tell from outside. Error events may come in another order, under other uuids."""
        told: dict[str, object] = {}
        for name, link in self.links.items():
            bodies = [(frame, unpack_body(frame.body)) for frame, _ in link.sent]
            told[name] = [frame.raw for frame, body in bodies if body.get("topic") != "error"]
            told[f"errors to {name}"] = sorted(
                (frame.reference or b"", frame.target, json.loads(body["payload"])["message"])
                for frame, body in bodies
                if body.get("topic") == "error"
            )
            told[f"count of {name}"] = self.inboxes[name].received
        router = self.router
        told["trace"] = [(tenant, record) for tenant, record in self.records if record.topic != "error"]
        told["router"] = (router.pending, router.unsettled, dict(router.counters), len(self.waiting))
        told["pending"] = sorted(
            (uuid, str(pending.link), pending.tried)
            for pending in router.commands
            for uuid in router.commands.unanswered(pending).uuids
        )
        return told


class Twins(RuleBasedStateMachine):
    """Two sides to which the same happens; one of them works in runs."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = [Side(in_runs=True), Side(in_runs=False)]
        self.make = FrameMaker("git1")
        self.known: list[Frame] = []

    @rule(
        name=st.sampled_from(LINKS),
        count=st.integers(1, 5),
        command=st.booleans(),
        to=st.sampled_from(["", "git1", "git2", "nobody"]),
        pivots=st.lists(st.sampled_from(["vcs", "vcs", "vcs", "ci"]), min_size=5, max_size=5),
        timeout=st.sampled_from([0, 2000]),
        tenant=st.sampled_from([TENANT, TENANT, TENANT, OTHER]),
    )
    def send(
        self, name: str, count: int, command: bool, to: str, pivots: list[str], timeout: int, tenant: str
    ) -> None:
        """Frames alike come."""
        frames = []
        for number in range(count):
            if command:
                body: dict[str, object] = {"command": "DO", "context": {"connector_type": pivots[number]}}
                frames.append(self.make(kinds.COMMAND, body, target=to, timeout=timeout, tenant=tenant))
            else:
                frames.append(self.make.event("a.b", target=to, tenant=tenant))
        self.arrive(name, frames)

    @rule(name=st.sampled_from(LINKS), malformed=st.booleans())
    def send_odd(self, name: str, malformed: bool) -> None:
        """One of several cannot be recorded."""
        odd: dict[str, object] = {"topic": 5, "event": "B"} if malformed else {"topic": "a", "event": "B"}
        bodies: list[dict[str, object]] = [{"topic": "a", "event": "B"}, {"topic": "a", "event": "B"}, odd]
        self.arrive(name, [self.make(kinds.EVENT, body) for body in bodies])

    @rule(name=st.sampled_from(LINKS), data=st.data(), errors=st.booleans())
    def answer(self, name: str, data: st.DataObject, errors: bool) -> None:
        """Events with references: receipts, or errors of whoever has a command and cannot."""
        if not self.known:
            return
        chosen = data.draw(
            st.lists(st.sampled_from(self.known), min_size=1, max_size=5, unique_by=lambda frame: frame.uuid)
        )
        tenant = data.draw(st.sampled_from([TENANT, TENANT, OTHER]))
        if errors:
            payload = json.dumps({"code": "NO_ROUTE", "message": "nobody"})
            body: dict[str, object] = {"topic": "error", "event": "NO_ROUTE", "payload": payload}
        else:
            body = {"topic": "DO", "event": "TAKEN"}
        frames = [self.make(kinds.EVENT, body, reference=frame.uuid, tenant=tenant) for frame in chosen]
        self.arrive(name, frames)

    @rule(name=st.sampled_from(LINKS), data=st.data())
    def again(self, name: str, data: st.DataObject) -> None:
        """Frames that came before, from there or from elsewhere."""
        if self.known:
            self.arrive(name, data.draw(st.lists(st.sampled_from(self.known), min_size=1, max_size=4)))

    def arrive(self, name: str, frames: list[Frame]) -> None:
        """On both sides."""
        self.known = [*self.known, *frames][-20:]
        for side in self.sides:
            side.arrive(name, frames)

    @rule(count=st.integers(1, 6), refused=st.booleans())
    def commit(self, count: int, refused: bool) -> None:
        """The trace has some of what it was given; or the database refuses one for its own sake."""
        for side in self.sides:
            for _ in range(min(1 if refused else count, len(side.waiting))):
                side.waiting.popleft()(Conflict("no") if refused else None)

    @rule(name=st.sampled_from(LINKS), there=st.booleans())
    def link(self, name: str, there: bool) -> None:
        """A connection breaks, or is there again."""
        for side in self.sides:
            if there:
                side.links[name].reconnect()
                side.router.link_up(side.links[name])
            else:
                side.links[name].disconnect()
                side.router.link_lost(side.links[name])

    @rule(name=st.sampled_from(LINKS), congested=st.booleans())
    def congest(self, name: str, congested: bool) -> None:
        """A connection has too much to send, or no longer."""
        for side in self.sides:
            side.links[name].congested = congested

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        for side in self.sides:
            side.clock.pump([0.25] * round(seconds / 0.25))

    @invariant()
    def same(self) -> None:
        """Nobody can tell them apart."""
        one, other = (side.shown() for side in self.sides)
        for key, value in other.items():
            assert one[key] == value, key


class TwinsTest(SynchronousTestCase):
    """The machine under trial."""

    def test_runs_or_not(self) -> None:
        """Whatever comes, from wherever, however it is answered, recorded, cut or delayed."""
        run_state_machine_as_test(
            Twins,
            settings=settings(
                derandomize=True, deadline=None, database=None, max_examples=200, stateful_step_count=30
            ),
        )

    def test_runs_there_are(self) -> None:
        """Most that comes is really worked on in one piece."""
        side = Side(in_runs=True)
        make = FrameMaker("git1")
        body: dict[str, object] = {"command": "DO", "context": {"connector_type": "vcs"}}
        for frames in (
            [make.event() for _ in range(5)],
            [make(kinds.COMMAND, body) for _ in range(5)],
            [make.event(target="git1", reference=bytes(16)) for _ in range(5)],
        ):
            self.assertIsNotNone(side.router.route_run(run_of(frames), side.links["a"]))
        self.assertEqual(len(side.records), 15)

    def test_the_trace_gives_up_amid_a_run(self) -> None:
        """What a member that stops gives up is never acknowledged, though more is written after that."""
        side = Side(in_runs=True)
        make = FrameMaker("git1")
        charge = side.router.route_run(run_of([make.event() for _ in range(4)]), side.links["a"])
        assert charge is not None
        for error in (DatabaseUnavailable("given up"), DatabaseUnavailable("given up"), None, None):
            side.waiting.popleft()(error)
        self.assertEqual((charge.done, side.router.unsettled), (0, 0))
