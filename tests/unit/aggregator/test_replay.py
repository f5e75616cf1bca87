"""Listening that is resumed: what the trace has, what passed meanwhile, what passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.aggregator import replay as replaying
from gandalf.aggregator.event_queue import Event
from gandalf.aggregator.events import Events, Subscription
from gandalf.aggregator.local import LocalOrigin
from gandalf.aggregator.replay import Replay, Replays
from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.failures import RoutingFailure
from gandalf.routing.link import CLUSTER
from gandalf.routing.testing import TENANT, FakeLink, FakeLinks, FrameMaker
from gandalf.store.errors import DatabaseUnavailable, NotFound
from gandalf.store.trace import Cursor, TraceRecord, after_txn, place_txn
from gandalf.wire.envelope import Frame

NOW = 1_700_000_000


class Trace:
    """Stands for the tenant's database: answers from a list, at once or when the test says so."""

    def __init__(self) -> None:
        self.records: list[TraceRecord] = []
        self.asked: list[Callable[..., Any]] = []
        self.held: list[tuple[Deferred[Any], Callable[[], Any]]] | None = None
        self.failure: Exception | None = None

    def run(self, name: str, txn: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Stands for the `run` of a `Database`."""
        self.asked.append(txn)
        if self.failure is not None:
            return fail(self.failure)
        if self.held is None:
            return succeed(self._answer(txn, *args, **kwargs))
        answer: Deferred[Any] = Deferred()
        self.held.append((answer, lambda: self._answer(txn, *args, **kwargs)))
        return answer

    def release(self) -> None:
        """Answer what was asked so far."""
        assert self.held is not None
        held, self.held = self.held, []
        for deferred, answer in held:
            deferred.callback(answer())

    def _answer(self, txn: Any, *args: Any, **kwargs: Any) -> Any:
        if txn is place_txn:
            uuid, kind = args
            places = [r.received_at for r in self.records if (r.uuid, r.kind) == (uuid, kind)]
            return Cursor(places[0], uuid, kind) if places else None
        assert txn is after_txn
        (place,) = args
        after = [
            record
            for record in sorted(self.records, key=lambda r: (r.received_at, r.uuid, r.kind))
            if (record.received_at, record.uuid, record.kind) > attrs.astuple(place) and record.kind == kwargs["kind"]
        ]
        return after[: kwargs["limit"]]


class ReplayCase(SynchronousTestCase):
    """A router with one member, over which events come, and a trace that the test fills."""

    def setUp(self) -> None:
        """Nobody listens."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.make = FrameMaker("git1")
        self.member = FakeLink(CLUSTER, "cluster")
        self.router = AggregatorRouter(
            TENANT,
            FakeLinks(self.member),
            self.make,
            clock=self.clock,
            now=self.clock.seconds,
            max_timeout=10.0,
            duplicate_window=1000,
            database=lambda frame: None,
        )
        self.events = Events(
            self.router, LocalOrigin("aggregator1", TENANT, 1 << 20), self.make, now=self.clock.seconds
        )
        self.trace = Trace()
        self.replays = Replays(self.events, lambda: self.trace, self.clock)
        self.received: list[Event] = []
        self.failures: list[Exception] = []
        self.room: Callable[[], Deferred[None]] = lambda: succeed(None)

    def tearDown(self) -> None:
        """Nothing is left behind: no timer, and no tap once the instance has stopped."""
        self.events.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.router.taps, [])

    def event(self, topic: str = "a.b", uuid: bytes | None = None) -> Frame:
        """One that has not passed."""
        return self.make.event(topic, uuid=uuid)

    def passes(self, *frames: Frame) -> None:
        """They come from the cluster."""
        for frame in frames:
            self.router.route(frame, self.member)

    def recorded(self, *frames: Frame, at: int | None = None, kind: str = "evt", topic: str = "a.b") -> None:
        """They are in the trace, received at a moment in ms, by default now."""
        for frame in frames:
            received = int(self.clock.seconds() * 1000) if at is None else at
            self.trace.records.append(
                TraceRecord(frame.uuid, kind, topic, event="HAPPENED", source="git1", received_at=received)
            )

    def resume(self, after: Frame, *patterns: str) -> Deferred[Replay]:
        """Resume after an event."""
        return ensureDeferred(
            self.replays.resume(
                patterns or [">"],
                after.uuid,
                self.received.append,
                room=lambda: self.room(),
                failed=self.failures.append,
            )
        )

    def resumed(self, after: Frame, *patterns: str) -> Replay:
        """It is, and has read the trace."""
        replay = self.successResultOf(self.resume(after, *patterns))
        self.clock.advance(0)
        return replay

    def assertReceived(self, *frames: Frame) -> None:
        """These were, in this order, and nothing else."""
        self.assertEqual([event.uuid for event in self.received], [frame.uuid for frame in frames])


class Resuming(ReplayCase):
    """What is received, and in which order."""

    def test_the_trace_then_what_passed_then_what_passes(self) -> None:
        """Each once, also when the trace has what passed while it was read."""
        self.trace.held = []
        first, old, both, meanwhile, later = (self.event() for _ in range(5))
        self.recorded(first, at=1)
        self.recorded(old, at=2)
        resuming = self.resume(first)
        self.passes(both, meanwhile)
        self.trace.release()
        self.successResultOf(resuming)
        self.clock.advance(0)
        self.recorded(both, at=3)
        self.trace.release()
        self.assertReceived(old, both, meanwhile)
        self.passes(later)
        self.assertReceived(old, both, meanwhile, later)
        self.recorded(meanwhile, later)
        self.clock.advance(2)
        self.trace.release()
        self.assertReceived(old, both, meanwhile, later)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_received(self) -> None:
        """Read from the trace it is as it passed."""
        first, frame = self.event(), self.event()
        self.recorded(first, at=1)
        reference = bytes(range(16))
        self.trace.records.append(
            TraceRecord(
                frame.uuid, "evt", "a.b", "", "HAPPENED", reference, "git1", "work1", TENANT, "", b"{}", 5, 9, "m"
            )
        )
        self.resumed(first).close()
        self.assertEqual(self.received, [Event(frame.uuid, "a.b", "HAPPENED", b"{}", "git1", "work1", reference, 5)])

    def test_topics_and_kinds(self) -> None:
        """Only events, and of the topics asked for, in the trace and live."""
        first, other, mine, command, live, none = (self.event(topic) for topic in ("x", "x", "b", "b", "b", "x"))
        self.recorded(first, at=1)
        self.recorded(other, at=2, topic="x")
        self.recorded(mine, at=3, topic="b")
        self.recorded(command, at=4, kind="cmd", topic="b")
        self.resumed(first, "b")
        self.passes(live, none)
        self.assertReceived(mine, live)

    def test_who_asked_is_told_first(self) -> None:
        """Nothing is received before there is something to close."""
        first, second = self.event(), self.event()
        self.recorded(first, at=1)
        self.recorded(second, at=2)
        self.successResultOf(self.resume(first))
        self.assertReceived()
        self.clock.advance(0)
        self.assertReceived(second)

    def test_recorded_late(self) -> None:
        """What a slow member records before what was read already is found two seconds later, once."""
        first, late, read = (self.event() for _ in range(3))
        at = NOW * 1000
        self.recorded(first, at=at)
        self.recorded(read, at=at + 1500)
        self.resumed(first)
        self.recorded(late, at=at + 1)
        self.clock.advance(1.9)
        self.assertReceived(read)
        self.clock.advance(0.1)
        self.assertReceived(read, late)
        self.passes(late, read)
        self.assertReceived(read, late)
        asked = len(self.trace.asked)
        self.clock.advance(60)
        self.assertEqual(len(self.trace.asked), asked)

    def test_pages(self) -> None:
        """The trace is read by pages, each when there is room."""
        first, *others = (self.event() for _ in range(replaying.PAGE * 2 + 2))
        for number, frame in enumerate((first, *others)):
            self.recorded(frame, at=number)
        rooms: list[Deferred[None]] = []

        def room() -> Deferred[None]:
            rooms.append(Deferred())
            return rooms[-1]

        self.room = room
        self.resumed(first)
        # The first page begins with the event that is known.
        for page, received in enumerate((0, replaying.PAGE - 1, 2 * replaying.PAGE - 1)):
            self.assertEqual((len(rooms), len(self.received)), (page + 1, received))
            rooms[-1].callback(None)
        self.assertReceived(*others)

    def test_more_passes_than_is_kept(self) -> None:
        """What passes while the trace is read, and is too much to keep, is read from the trace too."""
        self.patch(replaying, "MAX_EVENTS", 2)
        self.trace.held = []
        first, *others = (self.event() for _ in range(6))
        live = self.event()
        self.recorded(first, at=1)
        resuming = self.resume(first)
        self.trace.release()
        self.successResultOf(resuming)
        self.clock.advance(0)
        self.passes(*others)
        self.trace.release()
        self.assertReceived()
        for number, frame in enumerate(others):
            self.recorded(frame, at=10 + number)
        self.trace.release()
        self.passes(live)
        self.assertReceived(*others, live)


class WhereItBegins(ReplayCase):
    """The event after which to go on, and what stands near it in the trace."""

    def listen(self) -> Subscription:
        """Someone listens, so that the order in which events pass is known."""
        return self.events.subscribe([">"], lambda event: None)

    def test_passed_after_it_and_stands_before_it(self) -> None:
        """Members record what passes at one time in an order of their own: nothing that was not heard is left out."""
        seen, last, missed, between = (self.event() for _ in range(4))
        at = NOW * 1000
        subscription = self.listen()
        self.passes(seen, last, missed)
        subscription.close()
        self.passes(between)
        for frame, moment in ((seen, 200), (between, 400), (missed, 900), (last, 1000)):
            self.recorded(frame, at=at + moment)
        self.resumed(last)
        self.assertReceived(between, missed)

    def test_passed_before_it_and_stands_after_it(self) -> None:
        """Whoever had the event from the trace has not had what stands after it, though it passed before."""
        passed, last = self.event(), self.event()
        self.listen()
        self.passes(passed, last)
        self.recorded(last, at=1)
        self.recorded(passed, at=2)
        self.resumed(last)
        self.assertReceived(passed)

    def test_nothing_from_before_anyone_listened(self) -> None:
        """What stands before the event, and passed before listening began, is not heard."""
        early, last, next_one = (self.event() for _ in range(3))
        self.passes(early)
        self.recorded(early)
        self.clock.advance(0.001)
        self.listen()
        for frame in (last, next_one):
            self.passes(frame)
            self.recorded(frame)
        self.resumed(last)
        self.assertReceived(next_one)

    def test_one_that_did_not_pass_here(self) -> None:
        """What was received in the same millisecond may come again; nothing from before it does."""
        before, same, last, after = (self.event() for _ in range(4))
        for frame, at in ((before, 1), (same, 2), (last, 2), (after, 3)):
            self.recorded(frame, at=at)
        self.resumed(last)
        self.assertReceived(same, after)

    def test_about_to_be_recorded(self) -> None:
        """It is looked for again; what passes meanwhile is not lost."""
        last, next_one = self.event(), self.event()
        resuming = self.resume(last)
        self.passes(next_one)
        self.clock.advance(0.5)
        self.assertNoResult(resuming)
        self.recorded(last)
        self.clock.advance(0.5)
        self.successResultOf(resuming)
        self.clock.advance(0)
        self.assertReceived(next_one)

    def test_unknown(self) -> None:
        """After two seconds it is told that there is no such event; a command of this uuid is none."""
        unknown = self.event()
        self.recorded(unknown, kind="cmd")
        resuming = self.resume(unknown)
        for _ in range(4):
            self.assertNoResult(resuming)
            self.clock.advance(0.5)
        self.failureResultOf(resuming, NotFound)
        self.assertEqual((self.router.taps, self.failures), ([], []))

    def test_a_bad_pattern(self) -> None:
        """It is refused at once, and nobody listens."""
        self.failureResultOf(self.resume(self.event(), "a.>.b"), ValueError)
        self.assertEqual(self.router.taps, [])


class Ending(ReplayCase):
    """However it ends, nothing is left behind, and whoever listens is told at most once."""

    def begin(self, held: bool = False) -> tuple[Frame, Frame]:
        """Two events in the trace."""
        first, second = self.event(), self.event()
        self.recorded(first, at=1)
        self.recorded(second, at=2)
        self.trace.held = [] if held else None
        return first, second

    def test_closed(self) -> None:
        """At any moment; closing again does nothing."""
        first, second = self.begin()
        replay = self.successResultOf(self.resume(first))
        replay.close()
        self.assertEqual((self.clock.getDelayedCalls(), self.router.taps), ([], []))
        replay = self.resumed(first)
        replay.close()
        replay.close()
        self.passes(self.event())
        self.assertReceived(second)
        self.assertEqual(self.failures, [])

    def test_closed_while_it_is_received(self) -> None:
        """By who receives, in the midst of a page: nothing more of it is received."""
        first, _ = self.begin()
        self.recorded(*(self.event() for _ in range(3)), at=3)
        closing: list[Replay] = []

        def receive(event: Event) -> None:
            self.received.append(event)
            closing[0].close()

        resuming = ensureDeferred(
            self.replays.resume([">"], first.uuid, receive, room=self.room, failed=self.failures.append)
        )
        closing.append(self.successResultOf(resuming))
        self.clock.advance(0)
        self.assertEqual((len(self.received), self.failures), (1, []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_client_leaves_while_the_trace_is_asked(self) -> None:
        """Cancelled before and after the event is found."""
        first, _ = self.begin(held=True)
        resuming = self.resume(first)
        resuming.cancel()
        self.failureResultOf(resuming, CancelledError)
        self.assertEqual(self.router.taps, [])
        resuming = self.resume(first)
        self.trace.release()
        replay = self.successResultOf(resuming)
        self.clock.advance(0)
        replay.close()
        self.assertEqual((self.failures, self.router.taps), ([], []))

    def test_the_client_leaves_while_the_event_is_looked_for(self) -> None:
        """The timer goes with it."""
        resuming = self.resume(self.event())
        resuming.cancel()
        self.failureResultOf(resuming, CancelledError)
        self.assertEqual((self.clock.getDelayedCalls(), self.router.taps), ([], []))

    def test_no_database_at_the_start(self) -> None:
        """Its error comes out of resuming."""
        self.trace.failure = DatabaseUnavailable("away")
        self.failureResultOf(self.resume(self.event()), DatabaseUnavailable)
        self.assertEqual((self.failures, self.router.taps), ([], []))

    def test_the_database_goes_away(self) -> None:
        """While pages are read, and at the last look: told once, and nothing is received any more."""
        for advanced in (0, 2):
            first, _ = self.begin()
            replay = self.successResultOf(self.resume(first))
            if advanced:
                self.clock.advance(0)
            self.trace.failure = DatabaseUnavailable("away")
            self.clock.advance(advanced)
            self.assertEqual([str(error) for error in self.failures], ["away"])
            self.assertEqual(self.router.taps, [])
            replay.close()
            self.failures.clear()
            self.trace.failure = None

    def test_a_defect(self) -> None:
        """Who receives raises: it is logged, and told as a failure."""
        first, _ = self.begin()

        def receive(event: Event) -> None:
            raise ZeroDivisionError

        resuming = self.replays.resume([">"], first.uuid, receive, room=self.room, failed=self.failures.append)
        self.successResultOf(ensureDeferred(resuming))
        self.clock.advance(0)
        self.assertEqual([type(error) for error in self.failures], [ZeroDivisionError])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_the_instance_stops(self) -> None:
        """Whoever listens is told, and whoever still waits for the event to be found."""
        first, _ = self.begin()
        self.resumed(first)
        looking = self.resume(self.event())
        self.events.stop()
        self.assertEqual([getattr(error, "code", "") for error in self.failures], ["DRAINING"])
        self.assertEqual(self.failureResultOf(looking, RoutingFailure).value.code, "DRAINING")
        self.assertEqual(self.clock.getDelayedCalls(), [])


@attrs.frozen
class Happening:
    """One event; times in ms."""

    pause: int
    """Until it passes."""
    skew: int
    """By which its member's clock is off."""
    commit: int
    """Until it is in the trace."""
    leave: bool
    """Whether the client leaves when it has received it, and comes back by it."""
    away: int
    """For which it then stays away."""


def happenings(skew: int) -> st.SearchStrategy[list[Happening]]:
    """Any, with clocks that are off by up to ``skew`` ms."""
    milliseconds = st.integers
    each = st.builds(
        Happening,
        pause=milliseconds(2, 1000),
        skew=milliseconds(-skew, skew),
        commit=milliseconds(0, 1500),
        leave=st.booleans(),
        away=milliseconds(0, 3000),
    )
    return st.lists(each, min_size=1, max_size=25)


class Anything(ReplayCase):
    """A client that leaves and comes back hears every event, if members record within two seconds."""

    @settings(max_examples=200, deadline=None)
    @given(happenings(skew=0))
    def test_alone(self, happenings: list[Happening]) -> None:
        """Each once when clocks agree, also what passes while nobody listens."""
        frames, heard = self.everything(happenings, others=False)
        self.assertEqual(sorted(heard), sorted(frame.uuid for frame in frames))

    @settings(max_examples=200, deadline=None)
    @given(happenings(skew=400))
    def test_among_others(self, happenings: list[Happening]) -> None:
        """With clocks that are off, when others go on listening; those twice that passed within that time."""
        frames, heard = self.everything(happenings, others=True)
        self.assertEqual(set(heard), {frame.uuid for frame in frames})
        moments = {frame.uuid: sum(each.pause for each in happenings[: n + 1]) for n, frame in enumerate(frames)}
        left = [moments[frame.uuid] for frame, each in zip(frames, happenings, strict=True) if each.leave]
        for uuid in {uuid for uuid in heard if heard.count(uuid) > 1}:
            self.assertTrue(any(abs(moments[uuid] - moment) <= 800 for moment in left))

    def everything(self, happenings: list[Happening], others: bool) -> tuple[list[Frame], list[bytes]]:
        """Let all of it happen; the events that passed, and what was heard."""
        self.events.stop()
        self.setUp()
        frames = [self.event() for _ in happenings]
        leaving = {frame.uuid: each for frame, each in zip(frames, happenings, strict=True) if each.leave}
        heard: list[bytes] = []
        listening: list[Subscription | Replay] = []
        stays_until = [0.0]

        def receive(event: Event) -> None:
            heard.append(event.uuid)
            happening = leaving.pop(event.uuid, None)
            if happening is not None and self.clock.seconds() > stays_until[0]:
                listening.pop().close()
                self.clock.callLater(happening.away / 1000, come_back, event.uuid)

        def come_back(last: bytes) -> None:
            # As long as it takes to find the event, and the last look.
            stays_until[0] = self.clock.seconds() + 4.5
            resuming = self.replays.resume([">"], last, receive, room=self.room, failed=self.failures.append)
            ensureDeferred(resuming).addCallbacks(listening.append, self.fail)

        listening.append(self.events.subscribe([">"], receive))
        if others:
            self.events.subscribe([">"], lambda event: None)
            self.clock.advance(1)
        for frame, each in zip(frames, happenings, strict=True):
            self.move(each.pause)
            at = int(self.clock.seconds() * 1000) + each.skew
            self.clock.callLater(each.commit / 1000, self.recorded, frame, at=at)
            self.passes(frame)
        self.move(25 * 5000)
        self.assertEqual(self.failures, [])
        return frames, heard

    def move(self, milliseconds: int) -> None:
        """Let time pass, timer by timer."""
        end = self.clock.seconds() + milliseconds / 1000
        while calls := [call for call in self.clock.getDelayedCalls() if call.getTime() <= end]:
            self.clock.advance(max(min(call.getTime() for call in calls) - self.clock.seconds(), 0))
        self.clock.advance(max(end - self.clock.seconds(), 0))
