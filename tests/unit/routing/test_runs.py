"""Routing frames alike in one piece does what routing them one by one does (protocol.md 5.3 and 6)."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.link import CLUSTER, CONNECTOR
from gandalf.routing.testing import TENANT, FakeLink, FakeLinks, FrameMaker, run_of
from gandalf.wire.envelope import Frame
from tests.unit.twins import Side, Twins, run_twins


class AggregatorSide(Side):
    """An aggregator's router between two members and four connectors."""

    router: AggregatorRouter

    def __init__(self, *, in_runs: bool) -> None:
        links = {
            "member1": FakeLink(CLUSTER, "cluster", label="member1"),
            "member2": FakeLink(CLUSTER, "cluster", label="member2"),
            "git1": FakeLink(CONNECTOR, "git1"),
            "git1 too": FakeLink(CONNECTOR, "git1", label="git1 too"),
            "jira1": FakeLink(CONNECTOR, "jira1", topics=["a.*", "error"]),
            "stranger": FakeLink(CONNECTOR, "stranger", validated=False),
        }
        super().__init__(links, in_runs=in_runs)
        self.tapped: list[bytes] = []
        self.router = AggregatorRouter(
            TENANT,
            FakeLinks(*links.values()),
            FrameMaker(first=1 << 100),
            clock=self.clock,
            now=lambda: 0.0,
            max_timeout=10.0,
            duplicate_window=1000,
            database=lambda frame: None,
        )
        self.router.open()

    def heard(self, frame: Frame) -> None:
        """As somebody who listens to events."""
        self.tapped.append(frame.uuid)

    def shown(self) -> dict[str, object]:
        """And what the router says of itself."""
        router = self.router
        return super().shown() | {
            "router": (router.pending, router.unsettled, router.paused, dict(router.counters)),
            "pending": self.pending(router.from_connectors, router.from_cluster),
            "tapped": self.tapped,
        }


class AggregatorTwins(Twins):
    """What comes to an aggregator."""

    sides: tuple[AggregatorSide, AggregatorSide]

    def __init__(self) -> None:
        super().__init__()
        self.sides = AggregatorSide(in_runs=True), AggregatorSide(in_runs=False)
        self.make = FrameMaker()

    @rule(
        number=st.integers(0, 5),
        count=st.integers(1, 6),
        command=st.booleans(),
        to=st.sampled_from(["", "git1", "jira1", "nobody"]),
        topics=st.lists(st.sampled_from(["a.b", "b.c"]), min_size=6, max_size=6),
        timeout=st.sampled_from([0, 2000]),
        tenant=st.sampled_from([TENANT, TENANT, TENANT, "other"]),
    )
    def send(
        self, number: int, count: int, command: bool, to: str, topics: list[str], timeout: int, tenant: str
    ) -> None:
        """Frames alike come."""
        if command:
            frames = [self.make.command(target=to, timeout=timeout, tenant=tenant) for _ in range(count)]
        else:
            frames = [self.make.event(topics[each], target=to, tenant=tenant) for each in range(count)]
        self.arrive(number, frames)

    @rule(number=st.integers(0, 5), data=st.data())
    def answer(self, number: int, data: st.DataObject) -> None:
        """Events with references, to commands and to what is unknown."""
        if self.known:
            chosen = data.draw(st.lists(st.sampled_from(self.known), min_size=1, max_size=6))
            to = data.draw(st.sampled_from(["", "git1", "jira1"]))
            self.arrive(number, [self.make.event("a.b", target=to, reference=frame.uuid) for frame in chosen])

    @rule()
    def relieve(self) -> None:
        """The router is told that somebody takes frames again."""
        for side in self.sides:
            side.router.relieved()

    @rule(listen=st.booleans())
    def tap(self, listen: bool) -> None:
        """Somebody listens to events, or not any more."""
        for side in self.sides:
            side.router.taps[:] = [side.heard] if listen else []


class RunsTest(SynchronousTestCase):
    """The machine under trial, and that it tries what it is to try."""

    def test_runs_or_not(self) -> None:
        """Whatever comes, from wherever, however it is answered, acknowledged, cut or delayed."""
        run_twins(AggregatorTwins)

    def test_runs_there_are(self) -> None:
        """Most that comes is really routed in one piece."""
        side = AggregatorSide(in_runs=True)
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
        side = AggregatorSide(in_runs=True)
        frames = [FrameMaker(first=number * 7).command() for number in range(1, 6)]
        side.router.route_run(run_of(frames), side.links["git1"])
        for name, expected in (("member1", frames[0::2]), ("member2", frames[1::2])):
            self.assertEqual([frame.raw for frame in side.links[name].take()], [frame.raw for frame in expected])
