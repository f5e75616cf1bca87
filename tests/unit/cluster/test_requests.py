"""Requests that a member answers by itself: reading them, answering them, and what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cluster import requests
from gandalf.cluster.requests import Answer, Request, RequestFailed, Requests, merged
from gandalf.routing.failures import RoutingFailure
from gandalf.routing.fallthrough import length_of
from gandalf.routing.link import AGGREGATOR, Link
from gandalf.routing.testing import TENANT, FakeLink, FrameMaker
from gandalf.store.definitions import InvalidDefinition, PivotDefinition
from gandalf.store.errors import (
    Conflict,
    DatabaseTimeout,
    DatabaseUnavailable,
    InvalidName,
    NotFound,
    QueryFailed,
    StoreError,
)
from gandalf.wire import kinds
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame
from gandalf.wire.errors import Malformed


class RequestsCase(SynchronousTestCase):
    """One handler, which does what the test says."""

    def setUp(self) -> None:
        self.link = FakeLink(AGGREGATOR, "aggregator1")
        self.make = FrameMaker()
        self.asked: list[Request] = []
        self.handle: Callable[[Request], Any] = lambda request: Answer("{}")
        self.replies: list[tuple[Link, Frame]] = []
        self.requests = Requests(
            {kinds.CONFIGURATION: {"GET": self.get, "PUT": self.get}},
            FrameMaker("cluster1", "gandalf", first=1),
            lambda link, frame: self.replies.append((link, frame)),
        )

    async def get(self, request: Request) -> Answer:
        """The handler."""
        self.asked.append(request)
        answer = self.handle(request)
        given: Answer = await answer if isinstance(answer, Deferred) else answer
        return given

    def ask(self, body: dict[str, object], kind: str = kinds.CONFIGURATION, **envelope: Any) -> Frame:
        """Send such a request."""
        frame = self.make(kind, body, **envelope)
        self.requests.received(frame, self.link)
        return frame

    def answer(self) -> dict[str, Any]:
        """The body of the only reply."""
        ((_, frame),) = self.replies
        self.replies.clear()
        return unpack_body(frame.body)

    def failure(self) -> tuple[str, str]:
        """The code and message of the only reply."""
        body = self.answer()
        self.assertNotIn("payload", body)
        error = body["context"]["error"]
        return error["code"], error["message"]


class AnswerTest(RequestsCase):
    """From a frame to a reply."""

    def test_reply(self) -> None:
        """Of the same kind, named after the request, its uuid as reference, its target, and the link's tenant."""
        self.handle = lambda request: Answer('{"a": 1}', {"reason": "because"})
        frame = self.ask({"command": "GET"}, target="git")
        ((link, reply),) = self.replies
        self.assertIs(link, self.link)
        self.assertEqual((reply.kind, reply.reference, reply.target), (frame.kind, frame.uuid, "git"))
        self.assertEqual(reply.tenant, TENANT)
        body = self.answer()
        self.assertEqual((body["command"], body["payload"]), ("GET_REPLY", '{"a": 1}'))
        self.assertEqual((body["context"], body["source"]), ({"reason": "because"}, "cluster1"))

    def test_request(self) -> None:
        """What a handler is given; a payload of bytes is text too."""
        self.ask(
            {"command": "PUT", "context": {"k": 1}, "payload": b"\xc3\xbc", "major": 2, "minor": 3}, target="git"
        )
        (request,) = self.asked
        self.assertEqual((request.kind, request.command), (kinds.CONFIGURATION, "PUT"))
        self.assertEqual((request.tenant, request.target, request.link), (TENANT, "git", self.link))
        self.assertEqual((request.context, request.payload, request.version()), ({"k": 1}, "ü", (2, 3)))

    def test_nothing_secret_is_shown(self) -> None:
        """Neither context nor payload shows where a request or an answer is printed."""
        self.ask({"command": "PUT", "context": {"secret": "s3cr3t"}, "payload": "s3cr3t"})
        self.assertNotIn("s3cr3t", repr(self.asked[0]))
        self.assertNotIn("s3cr3t", repr(Answer("s3cr3t")))

    def test_malformed(self) -> None:
        """A body that does not say what is asked is the router's to answer."""
        for body in ({"command": 1}, {"command": "GET", "context": []}, {"command": "GET", "payload": 1}):
            with self.subTest(body):
                self.assertRaises(Malformed, self.ask, body)
        self.assertEqual((self.asked, self.replies), ([], []))

    def test_unknown_command(self) -> None:
        """The error names those that there are; for a kind without any as well."""
        self.ask({"command": "MAKE_COFFEE"})
        self.assertEqual(
            self.failure(), ("UNKNOWN_COMMAND", "configuration 'MAKE_COFFEE' is not known; allowed: GET, PUT")
        )
        self.ask({"command": "GET"}, kinds.SECRET)
        self.assertEqual(self.failure()[0], "UNKNOWN_COMMAND")

    def test_merged(self) -> None:
        """Handlers of several parts, also of the same kind, are all there."""
        a, b, c = ({kind: {name: self.get}} for kind, name in (("k", "A"), ("k", "B"), ("l", "C")))
        self.assertEqual(merged(a, b, c), {"k": {"A": self.get, "B": self.get}, "l": {"C": self.get}})
        self.assertEqual(a, {"k": {"A": self.get}})

    def test_several_at_a_time(self) -> None:
        """One that takes long does not hold up another; ending gives up what is under way, without a reply."""
        slow: Deferred[Answer] = Deferred()
        self.handle = lambda request: slow
        self.ask({"command": "GET"})
        self.handle = lambda request: Answer("2")
        self.ask({"command": "GET"})
        self.assertEqual(self.answer()["payload"], "2")
        self.assertEqual(len(self.requests), 1)
        self.requests.stop()
        self.assertEqual((len(self.requests), self.replies), (0, []))

    def test_errors(self) -> None:
        """What each error is told as; the database's own words stay in the log."""
        cases: list[tuple[Exception, str, str]] = [
            (RequestFailed("NOT_AUTHORISED", "not you"), "NOT_AUTHORISED", "not you"),
            (NotFound("pivot not found: 'x' 1.0"), "NOT_FOUND", "pivot not found: 'x' 1.0"),
            (Conflict("it exists"), "CONFLICT", "it exists"),
            (InvalidName("allowed are letters"), "INVALID", "allowed are letters"),
            (InvalidDefinition("key 'k' is missing"), "INVALID", "key 'k' is missing"),
            (DatabaseUnavailable("host 10.0.0.1 is down"), "UNAVAILABLE", ""),
            (DatabaseTimeout("too slow"), "UNAVAILABLE", ""),
            (QueryFailed("SQLSTATE 42P01", "42P01"), "INTERNAL", ""),
            (StoreError("closed"), "INTERNAL", ""),
        ]
        for error, code, message in cases:
            with self.subTest(error):

                def fail(request: Request, error: Exception = error) -> Answer:
                    raise error

                self.handle = fail
                self.ask({"command": "GET"})
                told = self.failure()
                self.assertEqual(told[0], code)
                if message:
                    self.assertEqual(told[1], message)
                else:
                    self.assertNotIn(str(error), told[1])

    def test_too_long(self) -> None:
        """An answer longer than the peer accepts would break each connection that it is sent over: it is told."""
        self.link.max_frame = 4000
        unknown = "X" * 3990

        def refuse(request: Request) -> Answer:
            raise NotFound("pivot not found: " + repr("\0" * 3000))

        for command, handle in (
            ("GET", lambda request: Answer("x" * 4000)),
            ("GET", refuse),
            (unknown, lambda request: Answer("{}")),
        ):
            self.handle = handle
            self.ask({"command": command})
            self.assertLessEqual(length_of(self.replies[0][1]), 4000)
            code, message = self.failure()
            self.assertEqual(code, "TOO_LARGE")
            self.assertIn("4000", message)
        self.handle = lambda request: Answer("x" * 3700)
        self.ask({"command": "GET"})
        self.assertEqual(len(self.answer()["payload"]), 3700)

    def test_defect(self) -> None:
        """An error that nobody expected is logged, and told as such."""

        def fail(request: Request) -> Answer:
            raise ZeroDivisionError("s3cr3t")

        self.handle = fail
        self.ask({"command": "GET"})
        code, message = self.failure()
        self.assertEqual(code, "INTERNAL")
        self.assertNotIn("s3cr3t", message)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_bad_payload_is_not_logged(self) -> None:
        """What is told of a payload quotes it; the log does not."""
        events: list[dict[str, Any]] = []
        observer: Any = events.append
        self.patch(self.requests, "log", Logger(observer=observer))

        def fail(request: Request) -> Answer:
            raise RequestFailed("INVALID", "payload: keyvalues.0.value: must be text; it is {'s3cr3t'}")

        self.handle = fail
        self.ask({"command": "PUT"})
        self.assertIn("s3cr3t", self.failure()[1])
        self.assertNotIn("s3cr3t", repr(events))
        self.assertEqual(len(events), 1)


class BoundTest(RequestsCase):
    """Requests that wait for the database are kept."""

    def test_too_many(self) -> None:
        """The next is answered with ``OVERLOADED``, until one has ended."""
        self.patch(requests, "MAX_UNDER_WAY", 2)
        self.refuse_one_of(0)

    def test_too_much(self) -> None:
        """Likewise when they are long."""
        self.patch(requests, "MAX_BYTES", 20_000)
        self.refuse_one_of(10_000)

    def refuse_one_of(self, size: int) -> None:
        """Two fill it."""
        answers: list[Deferred[Answer]] = [Deferred(), Deferred(), Deferred()]
        self.handle = lambda request: answers[len(self.asked) - 1]
        body: dict[str, object] = {"command": "GET", "payload": "x" * size}
        self.ask(body)
        self.ask(body)
        self.assertEqual("OVERLOADED", self.assertRaises(RoutingFailure, self.ask, body).code)
        answers[0].callback(Answer("{}"))
        self.ask(body)
        for answer in answers[1:]:
            answer.callback(Answer("{}"))
        self.assertEqual((0, 0, 3), (self.requests.bytes, len(self.requests), len(self.replies)))


class ReadingTest(RequestsCase):
    """What handlers take out of a request."""

    def request(self, context: dict[str, object] | None = None, payload: str = "") -> Request:
        """A request that was read."""
        self.ask({"command": "GET", "context": context or {}, "payload": payload, "major": 1, "minor": 4})
        return self.asked[-1]

    def refused(self, work: Callable[..., Any], *arguments: Any, **more: Any) -> str:
        """The text with which it is refused."""
        return str(self.assertRaises(RequestFailed, work, *arguments, **more))

    def test_text(self) -> None:
        """The first key that is there; a default; or an error that names the keys."""
        request = self.request({"a": "", "b": "B", "c": 1, "d": "x\0"})
        self.assertEqual(request.text("a", "b", "c"), "B")
        self.assertEqual(request.text("a", default="D"), "D")
        self.assertEqual(self.refused(request.text, "a", "z"), "GET needs context.a or context.z")
        self.assertEqual(self.refused(request.text, "c", default=""), "context.c must be str, not int")
        self.assertIn("NUL", self.refused(request.text, "d"))

    def test_version(self) -> None:
        """The context's when it has one, else the body's."""
        self.assertEqual(self.request().version(), (1, 4))
        self.assertEqual(self.request({"major": 2}).version(), (2, 0))
        self.assertEqual(self.request({"major": 2, "minor": 7}).version(), (2, 7))
        self.assertEqual(self.refused(self.request({"major": "2"}).version), "context.major must be uint, not str")
        self.assertIn("context.minor", self.refused(self.request({"major": 2, "minor": -1}).version))

    def test_parsed(self) -> None:
        """The payload as a definition, or an error that names place, value and what is allowed."""
        pivot = self.request(payload=json.dumps({"name": "vcs", "major": 1})).parsed(PivotDefinition)
        self.assertEqual(pivot.name, "vcs")
        for payload, text in (
            ("", "payload: must be JSON text"),
            ("{", "payload: must be JSON text"),
            ("[" * 100_000, "payload: must be JSON text"),
            ("[]", "payload: the whole: "),
            ('{"name": "vcs"}', "payload: major: Field required"),
            ('{"name": 5, "major": 1}', "payload: name: Input should be a valid string; it is 5"),
            ('{"name": "vcs", "major": 1000}', "payload: major: Input should be less than or equal to 127; it is"),
        ):
            with self.subTest(payload[:40]):
                self.assertIn(text, self.refused(self.request(payload=payload).parsed, PivotDefinition))
