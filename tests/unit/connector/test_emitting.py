"""Events on their way out: none lost, none grown without bound."""

from __future__ import annotations

from typing import Any

from gandalf.connector import EventRefused
from gandalf.routing.charge import Charge
from gandalf.shoset.settings import Limits
from gandalf.wire import kinds
from tests.unit.connector.support import Aggregator, RuntimeCase, body_of, payload_of

BOTH = ("127.0.0.1:1", "127.0.0.1:2")


class EmitCase(RuntimeCase):
    """An aggregator of which the test says when it takes charge of an event."""

    def hold(self, aggregator: Aggregator) -> None:
        """Let `aggregator` take charge of no event until `release`."""
        self.charges: list[Charge] = []

        def charge(frame: Any, link: Any) -> Charge | None:
            if frame.kind != kinds.EVENT:
                return None
            self.charges.append(Charge())
            return self.charges[-1]

        aggregator.host.charge = charge

    def release(self) -> None:
        """Take charge of what was held."""
        for charge in self.charges:
            charge.settle()
        self.network.advance(0.1)

    def emit(self, topic: str = "a.b", event: str = "X", payload: object = None, **more: Any) -> Any:
        """Emit, and let it arrive."""
        promise: Any = self.running.emit(topic, event, payload, **more)
        self.network.settle()
        return promise


class EmitTests(EmitCase):
    """`Network.emit` (protocol.md 5.3)."""

    def test_an_event_as_it_goes_out(self) -> None:
        """It bears topic, event, payload, source and target."""
        self.start()
        self.emit("vcs.pushed", "PUSHED", {"n": 1}, target="workflow1")
        (frame,) = self.first.heard(kinds.EVENT)
        body = body_of(frame)
        self.assertEqual((frame.tenant, frame.target, frame.reference), ("acme", "workflow1", None))
        self.assertEqual((body["topic"], body["event"], body["source"]), ("vcs.pushed", "PUSHED", "git1"))
        self.assertEqual((payload_of(frame), body["major"], body["minor"]), ({"n": 1}, 1, 0))

    def test_the_promise_is_kept_when_the_aggregator_has_it(self) -> None:
        """Sent is not enough: it fires at the acknowledgement."""
        self.start()
        self.hold(self.first)
        promise = self.emit()
        self.network.advance(5)
        self.assertNoResult(promise)
        self.release()
        self.successResultOf(promise)
        self.assertEqual(len(self.running.emitter), 0)

    def test_events_of_a_topic_keep_their_order(self) -> None:
        """A topic has its link; the topics are spread over the links."""
        second = self.second()
        self.start(None, *BOTH)
        for number in range(8):
            for topic in ("a", "b", "c", "d"):
                self.emit(topic, str(number))
        for topic in ("a", "b", "c", "d"):
            heard = [[event for name, event in side.events() if name == topic] for side in (self.first, second)]
            self.assertIn([str(number) for number in range(8)], heard)
        self.assertTrue(self.first.events() and second.events())

    def test_it_waits_for_a_link(self) -> None:
        """Without an aggregator events wait, and go out in order when one is there."""
        listener = self.network.listeners.pop("127.0.0.1:1")
        self.start()
        promises = [self.emit("a", str(number)) for number in range(3)]
        self.network.listeners["127.0.0.1:1"] = listener
        self.network.advance(2)
        self.assertEqual(self.first.events(), [("a", "0"), ("a", "1"), ("a", "2")])
        for promise in promises:
            self.successResultOf(promise)

    def test_bad_events(self) -> None:
        """What can never be sent is a ValueError where it is made."""
        self.start()
        self.assertRaises(ValueError, self.running.emit, "a", "X", float("nan"))
        self.assertRaises(ValueError, self.running.emit, "", "X")
        self.assertEqual(len(self.running.emitter), 0)


class BrokenLinkTests(EmitCase):
    """A link breaks before the acknowledgement."""

    def held_by(self, sides: list[Aggregator]) -> tuple[Aggregator, Aggregator]:
        """Who got the event that was emitted last, and who did not."""
        got = next(side for side in sides if side.events())
        return got, next(side for side in sides if side is not got)

    def test_it_goes_out_over_another_at_once(self) -> None:
        """Under the same uuid; the promise is kept when any of the two has it."""
        second = self.second()
        self.start(None, *BOTH)
        for side in (self.first, second):
            self.hold(side)
        promise = self.emit()
        got, other = self.held_by([self.first, second])
        other.host.charge = lambda frame, link: None
        got.down()
        self.assertEqual([frame.uuid for frame in other.heard(kinds.EVENT)], [got.heard(kinds.EVENT)[0].uuid])
        self.network.advance(0.1)
        self.successResultOf(promise)
        self.assertEqual(self.running.emitter.resent, 1)

    def test_the_broken_link_keeps_it_too(self) -> None:
        """Back before anybody has the event, the first link sends it again by itself, and once."""
        self.start()
        self.hold(self.first)
        promise = self.emit()
        self.first.cut()
        self.network.advance(1)
        self.assertEqual(len(self.first.heard(kinds.EVENT)), 2)
        self.assertEqual(len({frame.uuid for frame in self.first.heard(kinds.EVENT)}), 1)
        self.release()
        self.successResultOf(promise)
        self.assertEqual(self.running.emitter.resent, 0)

    def test_no_link_is_left(self) -> None:
        """Both break: the first that comes back gets what is not acknowledged, the earlier events first."""
        second = self.second()
        self.start(None, *BOTH)
        for side in (self.first, second):
            self.hold(side)
        uuids = []
        for number in range(4):
            self.assertNoResult(self.emit(f"t{number}"))
        self.network.settle()
        uuids = [*self.running.emitter._pending]
        self.first.down()
        second.down()
        third = Aggregator(self.network, "127.0.0.1:2")
        self.network.advance(3)
        self.assertEqual({frame.uuid for frame in third.heard(kinds.EVENT)}, set(uuids))
        self.assertEqual(len(self.running.emitter), 0)


class BoundTests(EmitCase):
    """What waits is bounded."""

    limits = Limits(unacknowledged_frames=3, unacknowledged_bytes=2000, max_frame=1500)

    def test_frames(self) -> None:
        """At the bound `emit` fails with a clear error; acknowledged, there is room again."""
        self.start()
        self.hold(self.first)
        kept = [self.emit() for _ in range(3)]
        error = self.failureResultOf(self.emit(), EventRefused).value
        self.assertEqual((error.code, len(self.running.emitter)), ("OVERLOADED", 3))
        self.assertIn("3 events", error.message)
        self.release()
        for promise in [*kept, self.emit()]:
            self.network.advance(0.1)
            self.release()
            self.successResultOf(promise)

    def test_bytes(self) -> None:
        """Likewise of the bytes together."""
        self.start()
        self.hold(self.first)
        kept = [self.emit("a", "X", "x" * 1000) for _ in range(2)]
        error = self.failureResultOf(self.emit(), EventRefused).value
        self.assertEqual(error.code, "OVERLOADED")
        for promise in kept:
            self.assertNoResult(promise)
            self.release()
            self.successResultOf(promise)

    def test_one_too_long(self) -> None:
        """An event longer than any link accepts would end each of them: it fails at once."""
        self.first.shoset.limits = Limits(max_frame=1000)
        self.start()
        error = self.failureResultOf(self.emit("a", "X", "x" * 1000), EventRefused).value
        self.assertEqual(error.code, "TOO_LARGE")
        self.assertIn("accepts 1000", error.message)
        self.successResultOf_after(self.emit())

    def test_one_too_long_for_who_comes(self) -> None:
        """An event that waited, and is longer than the first link to come accepts, fails then."""
        self.first.shoset.limits = Limits(max_frame=1000)
        self.runtime()
        promise: Any = self.running.emit("a", "X", "x" * 1000)
        behind: Any = self.running.emit("a", "Y")
        self.assertNoResult(promise)
        self.running.start()
        self.network.settle()
        self.assertEqual(self.failureResultOf(promise, EventRefused).value.code, "TOO_LARGE")
        self.successResultOf_after(behind)

    def successResultOf_after(self, promise: Any) -> None:
        """The promise is kept when the acknowledgement has had its time."""
        self.network.advance(0.1)
        self.successResultOf(promise)


class CongestionTests(EmitCase):
    """Protocol.md 6.7, on the connector's side."""

    limits = Limits(high_water=1024)

    def test_a_congested_link_is_passed_over(self) -> None:
        """While one is congested events take the other, whatever their topic; relieved, it gets some again."""
        second = self.second()
        self.start(None, *BOTH)
        stuck = next(cable for cable in self.network.cables if cable.listening.protocol is self.first.link.connection)
        stuck.dialling.held = True
        for number in range(40):
            self.emit(f"t{number}", "X", "x" * 8000)
        self.assertGreater(len(second.events()), 20)
        self.assertLess(len(second.events()), 40)
        stuck.dialling.held = False
        self.network.settle()
        self.assertEqual(len(self.first.events()) + len(second.events()), 40)
        self.network.advance(0.1)
        self.assertEqual(len(self.running.emitter), 0)

    def test_none_is_free(self) -> None:
        """Events wait here, and go on when the link takes frames again."""
        self.start()
        self.network.cable.dialling.held = True
        for _ in range(40):
            self.emit("a", "X", "x" * 8000)
        self.assertGreater(len(self.running.emitter._waiting), 20)
        self.network.cable.dialling.held = False
        self.network.advance(0.1)
        self.assertEqual((len(self.first.events()), len(self.running.emitter)), (40, 0))


class RefusedTests(EmitCase):
    """Error events about an event (protocol.md 6.6)."""

    def test_the_promise_is_broken(self) -> None:
        """The error's code and message are what `emit` fails with, though the frame is acknowledged."""
        self.start()
        self.hold(self.first)
        promise = self.emit()
        self.first.error(self.first.heard(kinds.EVENT)[0], "WRONG_TENANT", message="of another tenant")
        error = self.failureResultOf(promise, EventRefused).value
        self.assertEqual((error.code, error.message), ("WRONG_TENANT", "of another tenant"))
        self.release()

    def test_not_validated(self) -> None:
        """The secret is shown again, then the event is sent again."""
        self.start()
        self.hold(self.first)
        promise = self.emit()
        self.first.error(self.first.heard(kinds.EVENT)[0], "NOT_VALIDATED")
        self.release()
        self.assertNoResult(promise)
        self.network.advance(0.1)
        self.release()
        self.assertEqual(len(self.first.heard(kinds.SECRET)), 2)
        self.assertEqual(len(self.first.heard(kinds.EVENT)), 2)
        self.successResultOf(promise)

    def test_a_receipt_that_is_refused_is_logged(self) -> None:
        """Nobody waits for it: the operator learns of it."""
        self.start()
        self.hold(self.first)
        self.first.command("GREET", {"name": "x"})
        self.first.error(self.first.heard(kinds.EVENT)[0], "EXPIRED")
        self.assertEqual(len(self.running.emitter), 1)
        self.release()
