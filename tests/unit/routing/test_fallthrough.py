"""One candidate after the other until one answers (protocol.md 6.2)."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.failures import RoutingFailure
from gandalf.routing.fallthrough import FallThrough, Rotation, validated
from gandalf.routing.link import CONNECTOR, Link
from gandalf.routing.testing import FakeLink, FrameMaker, run_of
from gandalf.wire.envelope import LENGTH, Frame
from gandalf.wire.runs import Parcel
from tests.unit.wire.support import EXAMPLES


class Rotating(SynchronousTestCase):
    """Who is tried first."""

    def setUp(self) -> None:
        """Three brothers."""
        self.rotation = Rotation()
        self.frame = FrameMaker().command()
        self.links = [FakeLink(CONNECTOR, name) for name in ("a", "b", "c")]

    def order(self, group: str = "group") -> str:
        """The names in the order in which they are to be tried, or the code of the failure."""
        try:
            return "".join(link.logical_name for link in self.rotation.order(group, self.links, self.frame))
        except RoutingFailure as failure:
            return failure.code

    def test_another_each_time(self) -> None:
        """And all others behind it."""
        self.assertEqual([self.order() for _ in range(4)], ["abc", "bca", "cab", "abc"])

    def test_each_group_by_itself(self) -> None:
        """Groups do not take turns from each other."""
        self.assertEqual([self.order(group) for group in "xyxy"], ["abc", "abc", "bca", "bca"])

    def test_who_is_no_candidate(self) -> None:
        """Not connected or leaving, congested, full, or accepting no such length."""
        length = len(self.frame.raw) - LENGTH.size
        for attribute, value in (
            ("available", False),
            ("congested", True),
            ("full", True),
            ("max_frame", length - 1),
        ):
            before = getattr(self.links[1], attribute)
            setattr(self.links[1], attribute, value)
            self.assertEqual(sorted(self.order()), ["a", "c"])
            setattr(self.links[1], attribute, before)
        self.links[1].max_frame = length
        self.assertEqual(sorted(self.order()), ["a", "b", "c"])

    def test_why_there_is_none(self) -> None:
        """Nobody there, all too small, or all congested; the first of these that is so."""
        table = (
            ("OVERLOADED", {"congested": True}),
            ("OVERLOADED", {"full": True}),
            ("TOO_LARGE", {"max_frame": 1}),
            ("TOO_LARGE", {"max_frame": 1, "congested": True}),
            ("NO_ROUTE", {"available": False, "max_frame": 1, "congested": True}),
        )
        for code, attributes in table:
            self.links = [FakeLink(CONNECTOR, name) for name in ("a", "b")]
            for link in self.links:
                for attribute, value in attributes.items():
                    setattr(link, attribute, value)
            self.assertEqual(self.order(), code)
        self.links = []
        self.assertEqual(self.order(), "NO_ROUTE")

    def test_validated(self) -> None:
        """Those whose secret was accepted, in order."""
        self.links[1].validated = False
        self.assertEqual(validated(self.links), [self.links[0], self.links[2]])


class Falling(SynchronousTestCase):
    """What the table itself promises to whoever sends."""

    def setUp(self) -> None:
        """Two candidates."""
        self.clock = Clock()
        self.idle: list[Link] = []
        self.table = FallThrough(self.clock, idle=self.idle.append)
        self.make = FrameMaker()
        self.a, self.b = FakeLink(CONNECTOR, "a"), FakeLink(CONNECTOR, "b")

    def tearDown(self) -> None:
        """Nothing is left."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.table), 0)

    def send(self, origin: Link | None = None) -> tuple[Frame, Deferred[Frame]]:
        """A command with 2 s for both."""
        frame = self.make.command()
        return frame, self.table.send(frame, "group", [self.a, self.b], 2.0, origin)

    def test_where_it_is(self) -> None:
        """A frame on its way is found by its uuid; when it has ended it is not."""
        frame, result = self.send()
        self.assertIn(frame.uuid, self.table)
        self.assertIs(self.table.at(frame.uuid), self.a)
        self.clock.advance(1)
        self.assertIs(self.table.at(frame.uuid), self.b)
        self.assertEqual([(pending.parcel, pending.tried) for pending in self.table], [(frame, 2)])
        self.assertTrue(self.table.answer(self.make.event(reference=frame.uuid)))
        self.successResultOf(result)
        self.assertNotIn(frame.uuid, self.table)
        self.assertIsNone(self.table.at(frame.uuid))

    def test_answers_that_nobody_waits_for(self) -> None:
        """Without reference, or with one that is unknown."""
        self.assertFalse(self.table.answer(self.make.event()))
        self.assertFalse(self.table.answer(self.make.event(reference=self.make.uuid())))

    def test_answered_while_it_is_sent(self) -> None:
        """As over a link without any delay."""
        frame = self.make.command()

        class Echo(FakeLink):
            def send(link, parcel: Parcel, charge: object = None) -> None:  # noqa: N805  # self is the test
                self.assertTrue(self.table.answer(self.make.event(reference=parcel.uuids[0])))

        result = self.table.send(frame, "group", [Echo(CONNECTOR, "echo")], 2.0)
        self.assertEqual(self.successResultOf(result).reference, frame.uuid)

    def test_pass_over(self) -> None:
        """Who has it says that it cannot: the next has it at once; after the last it has failed."""
        frame, result = self.send()
        self.assertTrue(self.table.pass_over(frame.uuid))
        self.assertEqual((self.a.take(), self.b.take()), ([frame], [frame]))
        self.assertTrue(self.table.pass_over(frame.uuid))
        self.assertEqual(self.failureResultOf(result, RoutingFailure).value.code, "TIMEOUT")
        self.assertFalse(self.table.pass_over(frame.uuid))

    def test_cancelled(self) -> None:
        """No timer is left, a late answer answers nothing, nobody else is tried."""
        frame, result = self.send(self.b)
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertFalse(self.table.answer(self.make.event(reference=frame.uuid)))
        self.clock.advance(10)
        self.assertEqual(self.b.take(), [])
        self.assertEqual(self.idle, [self.a, self.b])

    def test_one_result_ends_another(self) -> None:
        """Whoever is told that a connection broke may cancel or answer what else waited there."""
        (_, first), (_, second), (_, third) = self.send(), self.send(), self.send()
        self.b.available = False

        def end_the_others(failure: Failure) -> None:
            failure.trap(RoutingFailure)
            third.cancel()

        first.addErrback(end_the_others)
        # The second began at b, and is not concerned.
        self.table.link_lost(self.a)
        self.successResultOf(first)
        self.failureResultOf(third, CancelledError)
        self.assertNoResult(second)
        second.cancel()
        self.failureResultOf(second, CancelledError)

    def test_candidates_that_are_equal(self) -> None:
        """A candidate may be a value: losing it concerns every frame that waits at its equal."""

        class Route(FakeLink):
            def __eq__(self, other: object) -> bool:
                return isinstance(other, Route) and other.logical_name == self.logical_name

            def __hash__(self) -> int:
                return hash(self.logical_name)

        results = [self.table.send(self.make.command(), "group", [Route(CONNECTOR, "r")], 2.0) for _ in range(2)]
        self.assertEqual(self.table.pending_on(Route(CONNECTOR, "r")), 2)
        self.table.link_lost(Route(CONNECTOR, "r"))
        for result in results:
            self.failureResultOf(result, RoutingFailure)

    def test_one_answer_of_a_run_ends_another(self) -> None:
        """Whoever gets the first answer wants the second no more: both have ended once."""
        origin = FakeLink(CONNECTOR, "origin")
        first, one = self.send(origin)
        second, other = self.send(origin)
        one.addCallback(lambda _: other.cancel())
        answers = run_of([self.make.event(reference=frame.uuid) for frame in (first, second)])
        self.assertTrue(self.table.answer(answers))
        self.successResultOf(one)
        self.failureResultOf(other, CancelledError)
        self.assertEqual((len(self.table), self.table.bytes, self.table.pending_on(origin)), (0, 0, 0))

    def test_sent_again_by_whoever_is_told(self) -> None:
        """The same uuid may be sent again as soon as the result is there."""
        frame, result = self.send()
        again: list[Deferred[Frame]] = []

        def retry(failure: Failure) -> None:
            again.append(self.table.send(frame, "group", [self.b], 1.0))

        result.addErrback(retry)
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(len(self.b.take()), 2)
        self.clock.advance(1)
        self.failureResultOf(again[0], RoutingFailure)

    def test_pending_on(self) -> None:
        """What waits there for an answer, and what is to be told there."""
        frame, result = self.send(self.b)
        self.assertEqual((self.table.pending_on(self.a), self.table.pending_on(self.b)), (1, 1))
        self.clock.advance(1)
        self.assertEqual((self.table.pending_on(self.a), self.table.pending_on(self.b)), (0, 2))
        self.table.answer(self.make.event(reference=frame.uuid))
        self.successResultOf(result)
        self.assertEqual((self.table.pending_on(self.a), self.table.pending_on(self.b)), (0, 0))

    def test_idle_after_the_result(self) -> None:
        """Told of each link on which nothing is pending any more, after whoever asked has the result."""
        order: list[object] = []
        table = FallThrough(self.clock, idle=order.append)
        frames = [self.make.command() for _ in range(2)]
        for frame in frames:
            table.send(frame, "group", [self.a], 1.0, self.b).addCallback(
                lambda answer: order.append(answer.reference)
            )
        table.answer(self.make.event(reference=frames[0].uuid))
        self.assertEqual(order, [frames[0].uuid])
        table.answer(self.make.event(reference=frames[1].uuid))
        self.assertEqual(order, [frames[0].uuid, frames[1].uuid, self.a, self.b])

    def test_idle_when_it_goes_on(self) -> None:
        """The one whose share is over is idle when the next has it."""
        frame, result = self.send()
        self.clock.advance(1)
        self.assertEqual((self.idle, self.b.take()), ([self.a], [frame]))
        self.table.link_lost(self.b)
        self.failureResultOf(result, RoutingFailure)
        self.assertEqual(self.idle, [self.a, self.b])


STEP = 0.05
"""Seconds; what a timer may be late by in the machine below."""


@attrs.define(eq=False)
class Sent:
    """What the machine knows of a frame that it sent."""

    frame: Frame
    began: float
    budget: float
    results: list[object] = attrs.field(factory=list)


class Machine(RuleBasedStateMachine):
    """Anything that can happen, in any order."""

    sent = Bundle("sent")

    @initialize()
    def begin(self) -> None:
        """Four links, nothing sent."""
        self.clock = Clock()
        self.make = FrameMaker()
        self.links = [FakeLink(CONNECTOR, name) for name in "abcd"]
        self.idle: list[Link] = []
        self.table = FallThrough(self.clock, idle=self.idle.append)
        self.all: list[Sent] = []
        self.deferreds: dict[bytes, Deferred[Frame]] = {}

    @rule(
        target=sent,
        numbers=st.lists(st.integers(0, 3), max_size=4, unique=True),
        budget=st.sampled_from([0.5, 1.0, 4.0]),
        origin=st.none() | st.integers(0, 3),
    )
    def send(self, numbers: Sequence[int], budget: float, origin: int | None) -> Sent:
        """A frame for some of the links."""
        item = Sent(self.make.command(), self.clock.seconds(), budget)
        self.all.append(item)
        candidates = [self.links[number] for number in numbers]
        asks = None if origin is None else self.links[origin]
        free = [link for link in candidates if link.available and not link.congested]
        result = self.table.send(item.frame, "group", candidates, budget, asks)
        self.deferreds[item.frame.uuid] = result
        result.addBoth(item.results.append)
        assert bool(item.results) == (not free)
        return item

    @rule(item=sent)
    def answer(self, item: Sent) -> None:
        """Whoever it was, an answer ends it unless it has ended."""
        ended = bool(item.results)
        assert self.table.answer(self.make.event(reference=item.frame.uuid)) is not ended
        assert item.results
        if not ended:
            assert isinstance(item.results[0], Frame)

    @rule(item=consumes(sent))
    def cancel(self, item: Sent) -> None:
        """Whoever asked has changed its mind."""
        self.deferreds[item.frame.uuid].cancel()
        assert item.results

    @rule(item=sent)
    def pass_over(self, item: Sent) -> None:
        """The candidate that has it cannot."""
        ended, before = bool(item.results), self.table.at(item.frame.uuid)
        assert self.table.pass_over(item.frame.uuid) is not ended
        after = self.table.at(item.frame.uuid)
        assert after is None or after is not before

    @rule(number=st.integers(0, 3))
    def lose(self, number: int) -> None:
        """A connection breaks: nothing waits there any more."""
        link = self.links[number]
        link.disconnect()
        self.table.link_lost(link)
        assert all(pending.link is not link for pending in self.table)

    @rule(number=st.integers(0, 3))
    def link_again(self, number: int) -> None:
        """A connection is there again."""
        self.links[number].reconnect()

    @rule(number=st.integers(0, 3), congested=st.booleans())
    def congest(self, number: int, congested: bool) -> None:
        """A connection has too much to send, or no longer."""
        self.links[number].congested = congested

    @rule(seconds=st.sampled_from([0.1, 0.25, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        """Time passes: what had its budget has ended."""
        before = {link: len(link.sent) for link in self.links}
        self.pass_time(seconds)
        for link in self.links:
            assert len(link.sent) == before[link] or (link.available and not link.congested)
        for item in self.all:
            assert item.results or self.clock.seconds() - item.began < item.budget + 5 * STEP

    def pass_time(self, seconds: float) -> None:
        """In steps, so that a timer is not late by more than one."""
        self.clock.pump([STEP] * round(seconds / STEP))

    @invariant()
    def one_result_at_most(self) -> None:
        """Each has ended in exactly one result, or is on its way."""
        if not hasattr(self, "table"):
            return
        on_its_way = {uuid for pending in self.table for uuid in self.table.unanswered(pending).uuids}
        for item in self.all:
            assert len(item.results) == (item.frame.uuid not in on_its_way)

    @invariant()
    def one_place_and_one_timer(self) -> None:
        """Each on its way is at one link, those that wait equally long have a timer, and none was sent twice to a
        link."""
        if not hasattr(self, "table"):
            return
        pendings = list(self.table)
        assert len(self.clock.getDelayedCalls()) == len({pending.share for pending in pendings})
        for link in self.links:
            here = sum(pending.left for pending in pendings if pending.link is link)
            asked = sum(pending.left for pending in pendings if pending.origin is link)
            assert self.table.pending_on(link) == here + asked
            uuids = [frame.uuid for frame, _ in link.sent]
            assert len(uuids) == len(set(uuids))
        assert all(pending.link in self.links for pending in pendings)

    def teardown(self) -> None:
        """After the longest budget nothing is left: no frame, no timer, nothing at any link."""
        self.pass_time(5.0)
        assert not len(self.table)
        assert not self.clock.getDelayedCalls()
        assert all(len(item.results) == 1 for item in self.all)
        assert not any(self.table.pending_on(link) for link in self.links)


class AnyOrder(SynchronousTestCase):
    """Every send ends in exactly one result, whatever happens."""

    def test_any_order(self) -> None:
        """Answers, losses, congestion, cancellation and time, in any order."""
        run_state_machine_as_test(Machine, settings=EXAMPLES)
