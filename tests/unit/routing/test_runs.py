"""Routing frames alike in one piece does what routing them one by one does (protocol.md 5.3 and 6)."""

from __future__ import annotations

import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.link import CLUSTER, CONNECTOR
from gandalf.routing.testing import TENANT, FakeLink, FakeLinks, FrameMaker, run_of
from gandalf.shoset.session import Inbox
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame
from gandalf.wire.framing import FrameReader
from gandalf.wire.runs import Run

LINKS = ["member1", "member2", "git1", "git1 too", "jira1", "stranger"]


class Side:
    """A router and those around it.

    :param in_runs: whether what comes in one chunk is routed in one piece where that can be.
    """

    def __init__(self, *, in_runs: bool) -> None:
        self.in_runs = in_runs
        self.clock = Clock()
        self.links = {
            "member1": FakeLink(CLUSTER, "cluster", label="member1"),
            "member2": FakeLink(CLUSTER, "cluster", label="member2"),
            "git1": FakeLink(CONNECTOR, "git1"),
            "git1 too": FakeLink(CONNECTOR, "git1", label="git1 too"),
            "jira1": FakeLink(CONNECTOR, "jira1", topics=["a.*", "error"]),
            "stranger": FakeLink(CONNECTOR, "stranger", validated=False),
        }
        self.inboxes = {name: Inbox(lambda: None) for name in self.links}
        self.tapped: list[bytes] = []
        self.router = AggregatorRouter(
            TENANT,
            FakeLinks(*self.links.values()),
            FrameMaker(first=1 << 100),
            clock=self.clock,
            now=lambda: 0.0,
            max_timeout=10.0,
            duplicate_window=1000,
            database=lambda frame: None,
        )
        self.router.open()

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

    def heard(self, frame: Frame) -> None:
        """As somebody who listens to events."""
        self.tapped.append(frame.uuid)

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
            told[f"state of {name}"] = (link.paused, link.dismissed, self.inboxes[name].received)
        router = self.router
        told["router"] = (router.pending, router.unsettled, router.paused, dict(router.counters))
        told["pending"] = sorted(
            (uuid, pending.link.logical_name if pending.link else "", pending.tried)
            for table in (router.from_connectors, router.from_cluster)
            for pending in table
            for uuid in table.unanswered(pending).uuids
        )
        told["tapped"] = self.tapped
        return told


class Twins(RuleBasedStateMachine):
    """Two sides to which the same happens; one of them works in runs."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = [Side(in_runs=True), Side(in_runs=False)]
        self.make = FrameMaker()
        self.known: list[Frame] = []

    @rule(
        name=st.sampled_from(LINKS),
        count=st.integers(1, 6),
        command=st.booleans(),
        to=st.sampled_from(["", "git1", "jira1", "nobody"]),
        topics=st.lists(st.sampled_from(["a.b", "b.c"]), min_size=6, max_size=6),
        timeout=st.sampled_from([0, 2000]),
        tenant=st.sampled_from([TENANT, TENANT, TENANT, "other"]),
    )
    def send(
        self, name: str, count: int, command: bool, to: str, topics: list[str], timeout: int, tenant: str
    ) -> None:
        """Frames alike come."""
        if command:
            frames = [self.make.command(target=to, timeout=timeout, tenant=tenant) for _ in range(count)]
        else:
            frames = [self.make.event(topics[number], target=to, tenant=tenant) for number in range(count)]
        self.arrive(name, frames)

    @rule(name=st.sampled_from(LINKS), data=st.data())
    def answer(self, name: str, data: st.DataObject) -> None:
        """Events with references, to commands and to what is unknown."""
        if self.known:
            chosen = data.draw(st.lists(st.sampled_from(self.known), min_size=1, max_size=6))
            target = data.draw(st.sampled_from(["", "git1", "jira1"]))
            self.arrive(name, [self.make.event("a.b", target=target, reference=frame.uuid) for frame in chosen])

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

    @rule(name=st.sampled_from(LINKS), count=st.integers(1, 8))
    def acknowledge(self, name: str, count: int) -> None:
        """A peer has taken charge of some."""
        for side in self.sides:
            link = side.links[name]
            link.acknowledge(min(count, len(link.sent) - link.acknowledged))

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
            if not congested:
                side.router.relieved()

    @rule(name=st.sampled_from(LINKS), max_frame=st.sampled_from([100, 8 << 20]))
    def accept(self, name: str, max_frame: int) -> None:
        """What a peer accepts."""
        for side in self.sides:
            side.links[name].max_frame = max_frame

    @rule(listen=st.booleans())
    def tap(self, listen: bool) -> None:
        """Somebody listens to events, or not any more."""
        for side in self.sides:
            side.router.taps[:] = [side.heard] if listen else []

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
        """Whatever comes, from wherever, however it is answered, acknowledged, cut or delayed."""
        run_state_machine_as_test(
            Twins,
            settings=settings(
                derandomize=True, deadline=None, database=None, max_examples=200, stateful_step_count=30
            ),
        )

    def test_runs_there_are(self) -> None:
        """Most that comes is really routed in one piece."""
        side = Side(in_runs=True)
        make = FrameMaker()
        for name, frames in (
            ("git1", [make.event() for _ in range(5)]),
            ("git1", [make.command() for _ in range(5)]),
            ("member1", [make.event(target="git1", reference=bytes(16)) for _ in range(5)]),
            ("member1", [make.command(target="git1") for _ in range(5)]),
        ):
            self.assertIsNotNone(side.router.route_run(run_of(frames), side.links[name]))

    def test_each_command_begins_with_another(self) -> None:
        """Those of a run are dealt to the members as those that come alone are (protocol.md 6.2)."""
        side = Side(in_runs=True)
        frames = [FrameMaker(first=number * 7).command() for number in range(1, 6)]
        side.router.route_run(run_of(frames), side.links["git1"])
        self.assertEqual(side.links["member1"].take(), frames_like(frames[0::2], side.links["member1"]))
        self.assertEqual(len(side.links["member2"].sent), 2)


def frames_like(frames: list[Frame], link: FakeLink) -> list[Frame]:
    """The frames sent to ``link``, if they are ``frames``."""
    sent = [frame for frame, _ in link.sent]
    assert [frame.raw for frame in sent] == [frame.raw for frame in frames]
    return sent
