"""What the rules keep is bounded, whatever a peer sends (docs/operators.md, Memory)."""

from __future__ import annotations

import tracemalloc

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing import fallthrough, held
from gandalf.routing.failures import RoutingFailure
from gandalf.routing.fallthrough import OVERHEAD, FallThrough, Rotation
from gandalf.routing.heartbeats import LONGEST
from gandalf.routing.link import CONNECTOR
from gandalf.routing.testing import FakeLink, FrameMaker
from gandalf.wire import kinds
from gandalf.wire.envelope import Frame, decode_frame
from tests.unit.routing.support import Error, RoutingCase, event_answers


class PendingTest(SynchronousTestCase):
    """Frames on their way: each is kept until it is answered or its time is over."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.make = FrameMaker()
        self.link = FakeLink(CONNECTOR, "a")
        self.each = len(self.command().raw) + OVERHEAD
        self.table = FallThrough(self.clock, max_bytes=3 * self.each)

    def command(self) -> Frame:
        """Of 1000 bytes and a little."""
        return self.make(kinds.COMMAND, {"command": "DO", "payload": "x" * 1000})

    def send(self) -> Deferred[Frame]:
        """One more."""
        return self.table.send(self.command(), "group", [self.link], 2.0)

    def test_no_more_than_may_be(self) -> None:
        """The next is told at once; there is room when one has ended, in whatever way."""
        results = [self.send() for _ in range(3)]
        for result in results:
            self.assertNoResult(result)
        self.assertEqual("OVERLOADED", self.failureResultOf(self.send(), RoutingFailure).value.code)
        frame, _ = self.link.sent[0]
        self.table.answer(self.make.event(reference=frame.uuid))
        self.successResultOf(results[0])
        self.assertEqual(2 * self.each, self.table.bytes)
        results.append(self.send())
        self.assertNoResult(results[-1])
        self.clock.advance(2)
        for result in results[1:]:
            self.failureResultOf(result, RoutingFailure)
        self.assertEqual(0, self.table.bytes)

    def test_cancelled(self) -> None:
        """Nothing is counted of it."""
        result = self.send()
        result.cancel()
        self.failureResultOf(result)
        self.assertEqual(0, self.table.bytes)

    def test_turns(self) -> None:
        """Whose turn it is is not remembered of any number of groups."""
        self.patch(fallthrough, "GROUPS", 10)
        rotation = Rotation()
        for number in range(100):
            rotation.order(str(number), [self.link], self.command())
        self.assertLess(len(rotation._turns), 20)


class RouterTest(RoutingCase):
    """What an aggregator keeps."""

    def test_commands_on_their_way(self) -> None:
        """``OVERLOADED`` at once, to the origin."""
        self.router = self.new_router(pending_bytes=1)
        self.router.open()
        first, second = self.make.command(), self.make.command()
        self.route(first, self.git1, {self.member1: [first]})
        self.route(second, self.git1, {self.git1: [Error("OVERLOADED", second)]})
        back = self.make.command(target="flow")
        self.route(back, self.member1, {self.flow: [back]})
        again = self.make.command(target="flow")
        self.route(again, self.member1, {self.member1: [Error("OVERLOADED", again)]})
        self.drop(event_answers(first, self.make), self.member1)
        self.drop(event_answers(back, self.make), self.flow)

    def test_long_heartbeats(self) -> None:
        """They pass, and are not remembered."""
        usual = self.make(kinds.HEARTBEAT, {"event": "HEARTBEAT", "context": {"product": "x"}})
        long = self.make(kinds.HEARTBEAT, {"event": "HEARTBEAT", "context": {"product": "x" * LONGEST}})
        self.drop(usual, self.git1)
        self.assertEqual({"product": "x"}, self.router.heartbeats.latest(self.git1))
        self.route(long, self.git1, {self.member1: [long], self.member2: [long]})
        self.assertEqual({}, self.router.heartbeats.latest(self.git1))


class Counted(held.HeldFrame):
    """Counts how often any of them is looked at."""

    looks = 0

    def __getattribute__(self, name: str) -> object:
        """As any."""
        Counted.looks += 1
        return super().__getattribute__(name)


class HeldTest(RoutingCase):
    """What waits for the start-up."""

    def test_what_they_are_reckoned_to_take(self) -> None:
        """Short ones too: all of them take twice as much as the bound at the most (docs/operators.md, Memory)."""
        for size in (0, 100, 1000, 10_000):
            raw = [self.make.event(event="x" * size).raw for _ in range(500)]
            frames = held.HeldFrames(self.clock)
            tracemalloc.start()
            try:
                before, _ = tracemalloc.get_traced_memory()
                for each in raw:
                    frames.hold(decode_frame(bytes(bytearray(each))), self.git1).then(lambda: None)
                taken = tracemalloc.get_traced_memory()[0] - before
            finally:
                tracemalloc.stop()
            self.assertLess(taken, 2 * frames.bytes, size)

    def test_whoever_goes_is_not_looked_for_among_all(self) -> None:
        """Thousands may be forgotten in one turn, and as many frames of others wait."""
        self.patch(held, "HeldFrame", Counted)
        router = self.router = self.new_router()
        for _ in range(100):
            router.route(self.make.event(), self.git1)
        frame = self.make.event()
        router.route(frame, self.git2)
        looks = Counted.looks
        router.link_gone(self.git2)
        router.link_gone(self.flow)
        self.assertLess(Counted.looks - looks, 10)
        router.open()
        self.assertNotIn(frame.uuid, [sent.uuid for sent in self.member1.take()])
        self.forget_sent()

    def test_all_together(self) -> None:
        """Whoever sends is read no more, however little it sent itself; what is forgotten does not count."""
        self.patch(held, "HELD_BYTES_OF_ALL", 1500)
        router = self.router = self.new_router()
        router.route(self.make(kinds.EVENT, {"topic": "a", "payload": "x" * 1000}), self.git1)
        router.route(self.make.event(), self.git2)
        self.assertEqual([True, True, False], [link.paused for link in (self.git1, self.git2, self.flow)])
        router.link_gone(self.git1)
        router.route(self.make.event(), self.flow)
        self.assertFalse(self.flow.paused)
        router.open()
        self.forget_sent()
