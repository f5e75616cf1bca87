"""Events over HTTP: sent, and streamed."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from twisted.python.failure import Failure

from gandalf.aggregator.event_queue import Event, EventQueue
from gandalf.api.v1.events import LONGEST_S, EventsAPI
from gandalf.routing.failures import RoutingFailure
from gandalf.store.errors import NotFound
from tests.unit.api.v1.support import COMMAND, COMMAND_TEXT, FakeEvents, FakeSubscription, Later, OperationsCase


def event(number: int, payload: bytes = b'{"a":1}') -> Event:
    """An event."""
    return Event(UUID(int=number).bytes, "vcs.push", "PUSHED", payload, "git1", "", COMMAND, 17)


class EventsCase(OperationsCase):
    """At most two streams, and three events that wait for one."""

    def subject(self) -> EventsAPI:
        """See `OperationsCase`."""
        self.events = FakeEvents()
        clock: Any = Later(self)
        self.api = EventsAPI(self.events, self.events, lambda: EventQueue(3, 10_000), clock, limit=2)
        return self.api


class Sending(EventsCase):
    """`POST /events`"""

    def send(self, **more: Any) -> Any:
        """The answer, if there is one."""
        return self.ask("POST", "/events", json.dumps({"topic": "t", "event": "E", **more}).encode())

    def test_recorded(self) -> None:
        """201 once a member has recorded it."""
        self.assertIsNone(self.send(payload=[1], target="git1", reference=COMMAND_TEXT))
        self.assertEqual(self.events.emitted, [(("t", "E", "[1]"), {"target": "git1", "reference": COMMAND})])
        self.events.recorded.callback(b"\0" * 16)
        answer = self.answered()
        self.assertEqual((answer.status, json.loads(answer.body)), (201, {"uuid": str(UUID(int=0))}))

    def test_nobody_records_it(self) -> None:
        """504 after half a minute."""
        self.send()
        self.clock.advance(30)
        answer = self.answered()
        self.assertEqual((answer.status, json.loads(answer.body)["code"]), (504, "TIMEOUT"))

    def test_refused(self) -> None:
        """By the network with its code; 400 for what can never be sent."""
        self.send()
        self.events.recorded.errback(RoutingFailure("TOO_LARGE", "too long"))
        answer = self.answered()
        self.assertEqual((answer.status, json.loads(answer.body)["code"]), (413, "TOO_LARGE"))
        self.events.refusal = ValueError("topic is 'error'")
        self.assertEqual(self.send().status, 400)
        for more in ({"topic": ""}, {"reference": "x"}, {"event": 1}, {"colour": 1}):
            self.assertEqual(self.send(**more).status, 400, more)

    def test_who_may(self) -> None:
        """Writers send, readers listen."""
        self.assert_needs("writing", "POST", "/events", b'{"topic": "t", "event": "E"}')
        self.assert_needs("reading", "GET", "/events")
        self.assertEqual((self.events.emitted, self.events.subscriptions), ([], []))


class Streaming(EventsCase):
    """`GET /events`"""

    def listen(self, path: str = "/events", **headers: str) -> FakeSubscription:
        """Open a stream; returns what listens for it."""
        self.ask("GET", path, None, **headers)
        return self.events.subscriptions[-1]

    def answered(self, method: str = "GET") -> Any:
        """A stream is no answer yet."""
        said = self.exchange.transport.value()
        return None if b"text/event-stream" in said else super().answered(method)

    def text(self) -> str:
        """What came since the last time, without the framing of chunks."""
        data = self.exchange.transport.value()
        self.exchange.transport.clear()
        _, _, body = (
            data.rpartition(b"\r\n\r\n") if data.startswith(b"HTTP") and b"\r\n\r\n" in data else ("", "", data)
        )
        if data.startswith(b"HTTP"):
            body = data.partition(b"\r\n\r\n")[2]
        text = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            text, body = text + body[: int(size, 16)], body[int(size, 16) + 2 :]
        return text.decode()

    def ids(self) -> list[int]:
        """Of the events that came since the last time."""
        return [UUID(line[4:]).int for line in self.text().splitlines() if line.startswith("id: ")]

    def ended(self) -> bool:
        """Whether the answer is complete."""
        return bool(self.exchange.transport.value().endswith(b"0\r\n\r\n"))

    def test_it_begins_at_once(self) -> None:
        """Headers are there before the first event."""
        subscription = self.listen()
        data = self.exchange.transport.value().decode()
        self.assertIn("HTTP/1.1 200 OK", data)
        self.assertIn("text/event-stream", data)
        self.assertIn("no-store", data)
        self.assertEqual(self.text(), "retry: 2000\n\n")
        self.assertEqual(subscription.patterns, [">"])

    def test_an_event(self) -> None:
        """Its id, and one JSON object; no type, so that it is a message to every client."""
        subscription = self.listen()
        self.text()
        subscription.receive(event(5, b"two\nlines"))
        lines = self.text().split("\n")
        self.assertEqual((lines[0], lines[2:]), (f"id: {UUID(int=5)}", ["", ""]))
        self.assertEqual(
            json.loads(lines[1].removeprefix("data: ")),
            {
                "uuid": str(UUID(int=5)),
                "topic": "vcs.push",
                "event": "PUSHED",
                "payload": "two\nlines",
                "payload_encoding": "text",
                "source": "git1",
                "target": "",
                "reference": COMMAND_TEXT,
                "timestamp": 17,
            },
        )

    def test_patterns(self) -> None:
        """Repeated and comma separated; a bad one is a 400."""
        self.assertEqual(self.listen("/events?topic=a.*,b&topic=c.%3E").patterns, ["a.*", "b", "c.>"])
        self.exchange = self.connect()
        self.events.refusal = ValueError("a pattern")
        self.assertEqual(self.ask("GET", "/events?topic=..").status, 400)
        self.assertEqual(self.api.streams, 1)

    def test_heartbeat(self) -> None:
        """A comment every 15 seconds."""
        self.listen()
        self.text()
        self.clock.pump([14.9, 0.1, 15])
        self.assertEqual(self.text(), ": alive\n\n" * 2)

    def test_the_client_leaves(self) -> None:
        """Nobody listens for it any more, and nothing of it is left."""
        subscription = self.listen()
        self.exchange.protocol.connectionLost(Failure(ConnectionError()))
        self.assertTrue(subscription.closed)
        self.assertEqual((self.api.streams, self.clock.getDelayedCalls()), (0, []))
        subscription.receive(event(1))

    def test_a_slow_client(self) -> None:
        """What it does not take yet waits, and comes in order."""
        subscription = self.listen()
        self.text()
        producer: Any = self.exchange.transport.producer
        producer.pauseProducing()
        for number in (1, 2, 3):
            subscription.receive(event(number))
        self.clock.advance(15)
        self.assertEqual(self.text(), "")
        producer.resumeProducing()
        self.assertEqual(self.ids(), [1, 2, 3])

    def test_a_client_that_is_too_slow(self) -> None:
        """It gets what was kept, is told, and the stream ends; the connection can be used again."""
        subscription = self.listen()
        self.text()
        producer: Any = self.exchange.transport.producer
        producer.pauseProducing()
        for number in (1, 2, 3, 4, 5):
            subscription.receive(event(number))
        self.assertFalse(subscription.closed)
        producer.resumeProducing()
        self.assertTrue(self.ended())
        self.assertTrue(subscription.closed)
        text = self.text()
        self.assertEqual([line for line in text.splitlines() if line.startswith("id: ")][-1], f"id: {UUID(int=3)}")
        self.assertTrue(
            text.endswith('event: overflow\ndata: {"reason":"events came faster than they were taken"}\n\n')
        )
        self.assertEqual(self.api.streams, 0)
        self.listen()
        self.assertIn("retry", self.text())

    def test_so_many_streams(self) -> None:
        """One more than is allowed is a 503; when one ends there is room again."""
        first = self.exchange
        self.listen()
        self.exchange = self.connect()
        self.listen()
        self.exchange = self.connect()
        answer = self.ask("GET", "/events")
        self.assertEqual((answer.status, json.loads(answer.body)["code"]), (503, "OVERLOADED"))
        first.protocol.connectionLost(Failure(ConnectionError()))
        self.listen()
        self.assertEqual(len(self.events.subscriptions), 3)

    def test_resume(self) -> None:
        """After the event of `Last-Event-ID`; the answer begins when that was found."""
        self.ask("GET", "/events?topic=a", Last_Event_ID=COMMAND_TEXT)
        self.assertEqual((self.events.resumed_after, self.exchange.transport.value()), (COMMAND, b""))
        self.events.found.callback(None)
        (subscription,) = self.events.subscriptions
        self.assertEqual(subscription.patterns, ["a"])
        self.text()
        subscription.receive(event(1))
        self.assertEqual(self.ids(), [1])

    def test_resume_fails(self) -> None:
        """404 for an event that is not in the trace, 400 for what is no id; nothing is left."""
        self.ask("GET", "/events", Last_Event_ID=COMMAND_TEXT)
        self.events.found.errback(NotFound("not in the trace"))
        self.assertEqual(self.answered().status, 404)
        self.assertEqual(self.ask("GET", "/events", Last_Event_ID="x").status, 400)
        self.assertEqual(self.api.streams, 0)

    def test_the_client_leaves_while_its_place_is_looked_for(self) -> None:
        """The looking ends."""
        self.ask("GET", "/events", Last_Event_ID=COMMAND_TEXT)
        self.exchange.protocol.connectionLost(Failure(ConnectionError()))
        self.assertTrue(self.events.found.called)
        self.assertEqual(self.api.streams, 0)

    def test_room(self) -> None:
        """A replay goes on when the client has taken all; whoever waits may cancel."""
        self.events.found.callback(None)
        subscription = self.listen(Last_Event_ID=COMMAND_TEXT)
        self.assertTrue(self.events.room().called)
        producer: Any = self.exchange.transport.producer
        producer.pauseProducing()
        subscription.receive(event(1))
        room, cancelled = self.events.room(), self.events.room()
        cancelled.addErrback(lambda failure: None).cancel()
        self.assertNoResult(room)
        producer.resumeProducing()
        self.successResultOf(room)

    def test_it_cannot_go_on(self) -> None:
        """The stream tells why and ends: the instance stops, or the trace cannot be read on."""
        subscription = self.listen()
        subscription.ended(RoutingFailure("DRAINING", "this instance stops"))
        self.assertTrue(self.ended())
        self.assertTrue(self.text().endswith('event: end\ndata: {"reason": "this instance stops"}\n\n'))
        self.assertTrue(subscription.closed)

    def test_an_hour(self) -> None:
        """Then it ends, since rights may have changed; the client connects again."""
        subscription = self.listen()
        self.clock.pump([15] * int(LONGEST_S / 15))
        self.assertTrue(subscription.closed)
        self.assertIn("connect again", self.text())
