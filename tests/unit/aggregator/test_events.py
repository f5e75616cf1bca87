"""Events of the aggregator's own, and those that pass and are listened to."""

from __future__ import annotations

import attrs
from twisted.internet.defer import CancelledError, ensureDeferred

from gandalf.aggregator.event_queue import Event, EventQueue
from gandalf.aggregator.events import Events, Passed
from gandalf.routing.charge import Charge
from gandalf.routing.failures import RoutingFailure
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame
from tests.unit.aggregator.support import MEMBER
from tests.unit.aggregator.traffic import OTHER, TrafficCase


class EventCase(TrafficCase):
    """What all of these do."""

    @property
    def events(self) -> Events:
        """Those of the instance."""
        return self.aggregator.events

    @property
    def recorded(self) -> list[Frame]:
        """The events that the member was sent."""
        return [frame for frame, _ in self.cluster.host.received if frame.kind == "evt"]

    def emit(self, topic: str, event: str = "X") -> None:
        """The connector sends an event."""
        self.git.emit(topic, event)
        self.settle()


class WaitingForTheCluster(EventCase):
    """Events that a connector sent while the member was away."""

    def test_longer_than_it_accepts_when_it_is_back(self) -> None:
        """Its origin is told, and the link is as good as before."""
        for cable in self.network.cables:
            cable.cut()
        self.network.advance(0.01)
        del self.network.listeners[MEMBER]
        self.network.advance(2)
        self.git.emit("long", "X", payload="x" * 2000)
        self.network.advance(2)
        self.cluster.shoset.limits = attrs.evolve(self.cluster.shoset.limits, max_frame=2000)
        self.network.listeners[MEMBER] = self.cluster.shoset
        self.network.advance(10)
        self.emit("short")
        self.assertEqual([unpack_body(frame.body)["topic"] for frame in self.recorded], ["short"])
        self.assertEqual([body["event"] for body in self.git.bodies("evt")], ["TOO_LARGE"])
        self.network.advance(0.1)
        self.assertEqual(self.aggregator.router.unsettled, 0)


class Sending(EventCase):
    """Events of the aggregator's own."""

    def test_to_the_cluster_and_the_connectors(self) -> None:
        """Like an event of a connector; the uuid comes when a member has recorded it, not before."""
        self.cluster.unrecorded = []
        answered = bytes(range(16))
        sent = self.events.emit("build.done", "DONE", '{"n":1}', reference=answered)
        self.network.advance(5)
        self.assertNoResult(sent)
        (frame,) = self.recorded
        (event,) = self.git.bodies("evt")
        self.assertEqual(event, unpack_body(frame.body))
        del event["major"], event["minor"]
        self.assertEqual(
            event, {"topic": "build.done", "event": "DONE", "payload": '{"n":1}', "source": "aggregator1"}
        )
        self.assertEqual((frame.tenant, frame.target, frame.reference), ("acme", "", answered))
        self.cluster.unrecorded[0].settle()
        self.network.advance(1)
        self.assertEqual(self.successResultOf(sent), frame.uuid)

    def test_to_a_target(self) -> None:
        """To the connector of that name and to the cluster."""
        work = self.worker("work1")
        sent = self.events.emit("a", "X", target="work1")
        self.network.advance(1)
        self.successResultOf(sent)
        self.assertEqual((len(work.bodies("evt")), self.git.bodies("evt"), len(self.recorded)), (1, [], 1))

    def test_given_up(self) -> None:
        """Who does not wait any more is not told; the event goes its way."""
        self.cluster.unrecorded = []
        sent = self.events.emit("a", "X")
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.settle()
        self.cluster.unrecorded[0].settle()
        self.network.advance(1)
        self.assertEqual(len(self.recorded), 1)

    def test_what_can_never_be_sent(self) -> None:
        """Told by name, with what is allowed."""
        for arguments, told in (
            (("", "X"), "topic is empty"),
            (("error", "X"), "topic is 'error'"),
            (("x" * 257, "X"), "topic has 257 characters"),
            (("a", "x" * 257), "event has 257 characters"),
        ):
            with self.subTest(told), self.assertRaisesRegex(ValueError, told):
                self.events.emit(*arguments)
        with self.assertRaisesRegex(ValueError, "reference"):
            self.events.emit("a", "X", reference=b"short")
        self.settle()
        self.assertEqual(self.recorded, [])

    def test_too_large(self) -> None:
        """What no member accepts is refused at once, with the code of the error event."""
        failure = self.failureResultOf(self.events.emit("a", "X", "x" * (8 << 20)), RoutingFailure)
        self.assertEqual(failure.value.code, "TOO_LARGE")
        self.assertIn("more than any cluster member accepts", str(failure.value))

    def test_without_the_cluster(self) -> None:
        """One event waits for a member; more are not taken until one is there."""
        self.network.cables[0].cut()
        first = self.events.emit("a", "X")
        self.assertNoResult(first)
        failure = self.failureResultOf(self.events.emit("a", "X"), RoutingFailure)
        self.assertEqual(failure.value.code, "OVERLOADED")
        self.network.advance(1)
        self.successResultOf(first)
        second = self.events.emit("a", "X")
        self.network.advance(1)
        self.successResultOf(second)

    def test_the_end_of_the_instance(self) -> None:
        """Draining takes nothing more, and waits for what was sent; what is not acknowledged by then has failed."""
        self.cluster.unrecorded = []
        sent = self.events.emit("a", "X")
        draining = ensureDeferred(self.aggregator.drain())
        late = self.failureResultOf(self.events.emit("a", "X"), RoutingFailure)
        self.assertEqual(late.value.code, "DRAINING")
        self.network.advance(9.9)
        self.assertNoResult(sent)
        self.network.advance(5)
        self.successResultOf(draining)
        self.assertEqual(self.failureResultOf(sent, RoutingFailure).value.code, "DRAINING")


class Listening(EventCase):
    """Whoever subscribes hears what passes."""

    def setUp(self) -> None:
        """A list to hear with."""
        super().setUp()
        self.heard: list[Event] = []

    def topics(self) -> list[str]:
        """What was heard."""
        return [event.topic for event in self.heard]

    def test_whole(self) -> None:
        """An event is heard as it was sent; text and bytes alike."""
        self.events.subscribe([">"], self.heard.append)
        answered = bytes(range(16))
        frames = [
            self.git.emit("a.b", "X", payload=payload, target="nobody", reference=answered)
            for payload in ("é", "é".encode(), "")
        ]
        self.settle()
        self.assertEqual(
            self.heard,
            [
                Event(frame.uuid, "a.b", "X", payload, "git1", "nobody", answered, frame.timestamp)
                for frame, payload in zip(frames, ("é".encode(), "é".encode(), b""), strict=True)
            ],
        )

    def test_topics(self) -> None:
        """Only those whose topic matches one of the patterns; of none, nothing."""
        self.events.subscribe(["a.*", "b.>"], self.heard.append)
        self.events.subscribe([], self.fail)
        for topic in ("a.x", "a", "a.x.y", "b.x.y", "c", "a.z"):
            self.emit(topic)
        self.assertEqual(self.topics(), ["a.x", "b.x.y", "a.z"])
        with self.assertRaisesRegex(ValueError, "'>' must be the last word"):
            self.events.subscribe(["a.>.b"], self.heard.append)

    def test_from_everywhere_once(self) -> None:
        """From a connector here, from one at a brother, from the API here and at the brother."""
        brother = self.second()
        work = self.worker("work1", OTHER)
        others: list[Event] = []
        self.events.subscribe([">"], self.heard.append)
        brother.events.subscribe([">"], others.append)
        self.git.emit("git", "X")
        work.emit("work", "X", target="nobody")
        sent = [self.events.emit("here", "X"), brother.events.emit("there", "X")]
        self.network.advance(1)
        for each in sent:
            self.successResultOf(each)
        everything = ["git", "here", "there", "work"]
        self.assertEqual(sorted(self.topics()), everything)
        self.assertEqual(sorted(event.topic for event in others), everything)

    def test_closed(self) -> None:
        """Nothing is heard afterwards, not even the event that is being told of; closing again does nothing."""

        def first(event: Event) -> None:
            self.heard.append(event)
            second.close()
            second.close()

        self.events.subscribe([">"], first)
        second = self.events.subscribe([">"], self.fail)
        self.emit("a")
        self.emit("b")
        self.assertEqual(self.topics(), ["a", "b"])

    def test_nobody_listens(self) -> None:
        """The router has a tap only while someone listens."""
        taps = self.aggregator.router.taps
        self.assertEqual(taps, [])
        subscriptions = [self.events.subscribe([">"], self.heard.append) for _ in range(2)]
        for subscription in subscriptions:
            self.assertEqual(len(taps), 1)
            subscription.close()
            subscription.close()
        self.assertEqual(taps, [])

    def test_one_that_fails(self) -> None:
        """It is logged, and the others hear the event."""

        def failing(event: Event) -> None:
            raise ZeroDivisionError

        self.events.subscribe([">"], failing)
        self.events.subscribe([">"], self.heard.append)
        self.emit("a")
        self.assertEqual(self.topics(), ["a"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_cannot_be_read(self) -> None:
        """Not heard: the cluster does not record it either."""
        self.events.subscribe([">"], self.heard.append)
        self.git.link.send(self.git.shoset.frame("evt", {"topic": 5}))
        self.settle()
        self.assertEqual(self.heard, [])

    def test_the_end_of_the_instance(self) -> None:
        """Each who listens is told, once; one who closed is not."""
        reasons: list[RoutingFailure] = []
        self.events.subscribe([">"], self.heard.append, reasons.append)
        self.events.subscribe([">"], self.heard.append, reasons.append).close()
        self.events.stop()
        self.events.stop()
        self.assertEqual([reason.code for reason in reasons], ["DRAINING"])

    def test_what_passed(self) -> None:
        """The order is known of what was listened to, also after nobody listens any more."""
        began = int(self.clock.seconds() * 1000)
        subscription = self.events.subscribe(["none"], self.fail)
        frames = [self.git.emit("a", "X") for _ in range(3)]
        self.settle()
        subscription.close()
        unheard = self.git.emit("a", "X")
        self.network.advance(1)
        self.events.subscribe(["none"], self.fail)
        later = self.git.emit("a", "X")
        self.settle()
        uuids = [frame.uuid for frame in frames]
        self.assertEqual(self.events.passed(uuids[2]), Passed(frozenset(uuids[:2]), began))
        self.assertEqual(self.events.passed(uuids[0]), Passed(frozenset(), began))
        self.assertEqual(self.events.passed(later.uuid), Passed(frozenset(uuids), began + 1000))
        self.assertIsNone(self.events.passed(unheard.uuid))


def event(number: int, size: int = 0) -> Event:
    """An event of its own."""
    return Event(number.to_bytes(16, "big"), "t", "e", b"x" * size)


class Queues(EventCase):
    """`EventQueue`."""

    def test_in_order(self) -> None:
        """Taken some or all, as they came; the room is free again."""
        queue = EventQueue(3, 1 << 20)
        events = [event(number) for number in range(6)]
        for each in events[:3]:
            self.assertTrue(queue.put(each))
        self.assertEqual(queue.bytes, sum(each.weight for each in events[:3]))
        self.assertEqual(queue.take(2), events[:2])
        self.assertTrue(queue.put(events[3]))
        self.assertEqual((len(queue), queue.take()), (2, events[2:4]))
        self.assertEqual((queue.take(), queue.bytes, queue.overflowed), ([], 0, False))

    def test_overflow(self) -> None:
        """By number or by bytes; from then on nothing is kept, though there may be room again."""
        for queue in (EventQueue(2, 1 << 20), EventQueue(100, 2 * event(0, 100).weight)):
            kept = [queue.put(event(number, 100)) for number in range(4)]
            self.assertEqual((kept, queue.overflowed), ([True, True, False, False], True))
            self.assertEqual(len(queue.take()), 2)
            self.assertFalse(queue.put(event(9)))

    def test_one_that_is_larger_than_the_bound(self) -> None:
        """It is kept when it is alone: otherwise nobody would ever get it."""
        queue = EventQueue(100, 1000)
        self.assertTrue(queue.put(event(1, 5000)))
        self.assertFalse(queue.put(event(2)))


class Charges(EventCase):
    """The origin that the router sees."""

    def test_an_error_event_is_taken_charge_of(self) -> None:
        """At once, by whoever listens or by nobody."""
        charge = Charge()
        self.aggregator._origin.send(self.git.shoset.frame("evt", {"topic": "error", "event": "EXPIRED"}), charge)
        self.assertTrue(charge.settled)
