"""What a connection and a request may take, and what every answer carries: through real HTTP parsing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from gandalf.api import site
from gandalf.api.site import IDLE, LINGER, MAX_BODY, SLOWEST, START, UNSENT_PERIODS, SilentSite

from .wire import Exchange

LIMIT = 100


class Seen(Resource):
    """Answers every request with what it was, and keeps the bodies."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []
        self.answer: Callable[[Request], bytes | int] = self.describe

    def render(self, request: Request) -> bytes | int:
        assert request.content is not None
        self.bodies.append(request.content.read())
        return self.answer(request)

    @staticmethod
    def describe(request: Request) -> bytes:
        uri, path, args = (repr(part) for part in (request.uri, request.path, request.args))
        return json.dumps([uri, path, args, repr(request)]).encode()


class SiteTestCase(SynchronousTestCase):
    """A site whose bodies are of 100 bytes at most."""

    def setUp(self) -> None:
        self.seen = Seen()
        self.exchange = Exchange(self.seen, max_body=LIMIT)

    def logged(self) -> list[LogEvent]:
        """What is logged from now on."""
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return events

    def chunked(self, *pieces: bytes) -> bytes:
        """A request whose length is not announced."""
        head = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


class BodyTests(SiteTestCase):
    """The bound on bodies."""

    def assertTooLong(self) -> None:
        """The client is told so, in JSON, and that the connection closes; no handler saw the request."""
        answer = self.exchange.answer("POST")
        self.assertEqual(answer.status, 413)
        self.assertEqual(answer.headers["content-type"], "application/json")
        told = json.loads(answer.body)
        self.assertEqual(told["error"], told["message"])
        self.assertIn(f"at most {LIMIT} bytes", told["error"])
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(answer.rest, b"")
        self.assertEqual(self.seen.bodies, [])

    def test_just_as_long_as_allowed(self) -> None:
        """A body of the greatest length arrives, announced or chunked."""
        self.assertEqual(self.exchange.ask("POST", "/a", b"x" * LIMIT).status, 200)
        self.exchange.send(self.chunked(b"y" * 60, b"y" * 40, b""))
        self.assertEqual(self.seen.bodies, [b"x" * LIMIT, b"y" * LIMIT])
        self.assertFalse(self.exchange.closed)

    def test_announced(self) -> None:
        """It is refused by its Content-Length, before a byte of it arrives."""
        self.exchange.send(b"POST /a?token=t HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n")
        self.assertTooLong()
        self.assertFalse(self.exchange.closed, "the client may be sending still, and would not read the answer")

    def test_announced_length_beyond_all_reason(self) -> None:
        """A length of many digits is a length that is too long."""
        self.exchange.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 400 + b"\r\n\r\n")
        self.assertTooLong()

    def test_chunked(self) -> None:
        """It is refused by the byte that is too much, without waiting for the end."""
        self.exchange.send(self.chunked(b"x" * 60, b"x" * 40))
        self.assertEqual(self.exchange.transport.value(), b"")
        self.exchange.send(b"1\r\nx")
        self.assertTooLong()

    def test_what_follows_is_dropped_for_a_while(self) -> None:
        """The rest is read and thrown away; after `LINGER` seconds the connection is closed."""
        self.exchange.send(self.chunked(b"x" * 101))
        for _ in range(4):
            self.exchange.clock.advance(LINGER / 4 - 0.01)
            self.exchange.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        self.assertTooLong()
        self.assertFalse(self.exchange.closed)
        self.exchange.clock.advance(0.05)
        self.assertTrue(self.exchange.closed)
        self.assertTooLong()

    def test_sent_to_the_end_with_the_headers(self) -> None:
        """A request that is there as a whole is answered, closed, and no pipelined request after it is heard."""
        request = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n" + b"x" * 101
        self.exchange.send(request + b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTooLong()
        self.assertTrue(self.exchange.closed)

    def test_a_client_that_asks_first_is_not_told_to_go_on(self) -> None:
        """Expect: 100-continue is answered 413 alone, or 100 when the length is allowed."""
        head = b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        self.exchange.send(head % 101)
        self.assertTooLong()
        allowed = Exchange(self.seen, max_body=LIMIT)
        allowed.send(head % 100)
        self.assertEqual(allowed.transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")

    def test_after_requests_that_were_answered(self) -> None:
        """The bound is each request's own."""
        for _ in range(3):
            self.exchange.send(self.chunked(b"x" * 60, b""))
        self.assertEqual(len(self.seen.bodies), 3)

    def test_the_client_leaves(self) -> None:
        """Nothing is left over when the connection breaks after the refusal."""
        self.exchange.send(self.chunked(b"x" * 101))
        self.exchange.protocol.connectionLost(None)
        self.assertEqual(self.exchange.clock.getDelayedCalls(), [])

    def test_default(self) -> None:
        """16 MiB, unless a site is told otherwise."""
        self.assertEqual(Exchange(self.seen).site.max_body, 16 * 1024 * 1024)
        self.assertEqual(MAX_BODY, 16 * 1024 * 1024)

    @given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 50))
    def test_any_chunking(self, pieces: list[bytes], step: int) -> None:
        """However a body is cut into chunks and segments: it arrives whole, or is refused."""
        seen = Seen()
        exchange = Exchange(seen, max_body=LIMIT)
        data = self.chunked(*pieces, b"")
        for start in range(0, len(data), step):
            exchange.send(data[start : start + step])
        body = b"".join(pieces)
        self.assertEqual(exchange.answer("POST").status, 200 if len(body) <= LIMIT else 413)
        self.assertEqual(seen.bodies, [body] if len(body) <= LIMIT else [])

    def test_forms_are_left_to_the_handlers(self) -> None:
        """Twisted neither takes forms apart, nor answers those that are malformed."""
        for kind in ("multipart/form-data; boundary=b", "multipart/form-data", "application/x-www-form-urlencoded"):
            answer = self.exchange.ask("POST", "/a", b"a=b", Content_Type=kind)
            self.assertEqual((answer.status, json.loads(answer.body)[2]), (200, "{}"))
        self.assertEqual(self.seen.bodies, [b"a=b"] * 3)


class ConnectionTests(SiteTestCase):
    """How many clients there may be."""

    def test_one_too_many(self) -> None:
        """It is cut off; when another has left there is room again."""
        self.patch(site, "MAX_CONNECTIONS", 2)
        transports = []
        for number in range(4):
            transport = StringTransport()
            protocol = self.exchange.site.buildProtocol(IPv4Address("TCP", "192.0.2.1", number))
            assert protocol is not None
            protocol.makeConnection(transport)
            transports.append(transport)
            if number == 1:
                # With the one of the exchange it is too many.
                self.assertEqual([False, True], [each.disconnected for each in transports])
                protocol.connectionLost(Failure(ConnectionDone()))
                self.exchange.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([False, True, False, True], [each.disconnected for each in transports])


class TimeTests(SiteTestCase):
    """How long clients may take."""

    def drip(self, data: bytes, seconds: float, per_step: int = 1) -> None:
        """Send `data` in steps, until the connection is closed."""
        for start in range(0, len(data), per_step):
            if self.exchange.closed:
                return
            self.exchange.send(data[start : start + per_step])
            self.exchange.clock.advance(seconds)

    def test_idle(self) -> None:
        """A connection on which nothing comes is closed after a minute, before a request and after one."""
        self.exchange.clock.advance(IDLE - 1)
        self.exchange.ask("GET", "/a")
        self.exchange.clock.advance(IDLE - 1)
        self.assertFalse(self.exchange.closed)
        self.exchange.clock.advance(1)
        self.assertTrue(self.exchange.transport.disconnecting)
        self.assertEqual(IDLE, 60)

    def test_a_byte_a_second(self) -> None:
        """A request that drips in is cut off, in its headers or in its body."""
        head = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        for data in (b"X-Long: " + b"x" * 1000, b"\r\n" + b"x" * 100):
            self.exchange = Exchange(self.seen, max_body=LIMIT)
            self.exchange.send(head)
            self.drip(data, 1)
            self.assertTrue(self.exchange.transport.aborted)
            self.assertLess(self.exchange.clock.seconds(), START + 3)
        self.assertEqual(self.seen.bodies, [])

    def test_a_long_body_over_a_slow_line(self) -> None:
        """What arrives at a fair rate may take as long as it needs."""
        self.exchange = Exchange(self.seen)
        size = 1024 * 1024
        self.exchange.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        self.drip(b"x" * size, 1, SLOWEST)
        self.assertGreater(self.exchange.clock.seconds(), 250)
        self.assertEqual([len(body) for body in self.seen.bodies], [size])

    def test_each_request_has_its_own_time(self) -> None:
        """Requests on one connection do not add up, nor does the time between them."""
        for _ in range(5):
            self.drip(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", 1)
        self.assertEqual(len(self.seen.bodies), 5)
        self.assertFalse(self.exchange.closed)

    def test_a_long_answer_is_waited_for(self) -> None:
        """While an answer is worked at the connection stays, though the client sends a bit of its next request."""
        requests: list[Request] = []

        def later(request: Request) -> int:
            requests.append(request)
            return NOT_DONE_YET

        self.seen.answer = later
        self.exchange.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET")
        self.exchange.clock.advance(IDLE * 100)
        self.exchange.send(b" /b HTTP/1.1\r\n")
        self.exchange.clock.advance(IDLE * 100)
        self.exchange.send(b"Host: x\r\n\r\n")
        self.assertFalse(self.exchange.closed)
        requests[0].finish()
        self.assertEqual([request.path for request in requests], [b"/a", b"/b"])

    def test_a_slow_reader(self) -> None:
        """A client that takes long over a long answer is given ten minutes more, unless it took all of it."""
        self.exchange.ask("GET", "/a")
        self.exchange.protocol.pauseProducing()
        self.exchange.clock.pump([IDLE] * UNSENT_PERIODS)
        self.assertFalse(self.exchange.closed)
        self.exchange.clock.advance(IDLE)
        self.assertTrue(self.exchange.closed)

    def test_a_reader_that_was_slow(self) -> None:
        """It is idle from when it took the last of it."""
        self.exchange.ask("GET", "/a")
        self.exchange.protocol.pauseProducing()
        self.exchange.clock.advance(IDLE - 1)
        self.exchange.protocol.resumeProducing()
        self.exchange.clock.advance(IDLE - 1)
        self.assertFalse(self.exchange.closed)
        self.exchange.clock.advance(1)
        self.assertTrue(self.exchange.closed)

    def test_closing_idle_connections_is_no_news(self) -> None:
        """Nothing is logged of it."""
        events = self.logged()
        self.exchange.clock.advance(IDLE)
        self.assertTrue(self.exchange.closed)
        self.assertEqual(events, [])


class AnswerTests(SiteTestCase):
    """What every answer carries, and what is answered before any handler."""

    def test_headers(self) -> None:
        """No version of anything, no guessing of types, no type that a browser would run."""
        for path in ("/a", "/%ff"):
            answer = self.exchange.ask("GET", path)
            self.assertEqual(answer.headers.get_all("server"), ["gandalf"])
            self.assertEqual(answer.headers.get_all("x-content-type-options"), ["nosniff"])
            self.assertEqual(len(answer.headers.get_all("date", [])), 1)
            self.assertNotIn("html", answer.headers["content-type"])
            self.assertNotIn("wisted", str(answer.headers))

    def test_query_strings_are_kept_from_logs(self) -> None:
        """Neither the uri nor the representation of a request has them; the arguments do."""
        answer = self.exchange.ask("GET", "/a?Authorization=Bearer+t0ken&empty=")
        uri, path, args, shown = json.loads(answer.body)
        self.assertEqual((uri, path), ("b'/a'", "b'/a'"))
        self.assertEqual(args, "{b'Authorization': [b'Bearer t0ken'], b'empty': [b'']}")
        self.assertNotIn("t0ken", shown)

    def test_nothing_is_logged_of_a_request(self) -> None:
        """There is no access log."""
        events = self.logged()
        self.exchange.site.doStart()
        self.addCleanup(self.exchange.site.doStop)
        self.exchange.ask("GET", "/a?Authorization=Bearer+t0ken")
        self.assertEqual(events, [])
        self.assertEqual(len(self.exchange.clock.getDelayedCalls()), 1, "the timeout of the connection, and no clock")

    def test_a_defect(self) -> None:
        """An exception that nobody handles is logged without the query, and answered in JSON."""

        def broken(request: Request) -> bytes:
            raise ZeroDivisionError("a defect")

        self.seen.answer = broken
        answer = self.exchange.ask("GET", "/a?token=t0ken")
        self.assertEqual(answer.status, 500)
        self.assertIn("internal error", json.loads(answer.body)["error"])
        self.assertNotIn(b"defect", answer.body)
        (failure,) = self.flushLoggedErrors(ZeroDivisionError)
        self.assertNotIn("t0ken", failure.getTraceback())
        self.assertFalse(self.exchange.closed)

    def test_a_defect_in_the_middle_of_an_answer(self) -> None:
        """The client does not take what it has for the whole."""

        def broken(request: Request) -> bytes:
            request.write(b"half")
            raise ZeroDivisionError

        self.seen.answer = broken
        self.exchange.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.exchange.transport.aborted)
        self.assertFalse(self.exchange.transport.value().endswith(b"0\r\n\r\n"))

    def test_paths_that_nothing_can_have(self) -> None:
        """404 for what is not UTF-8, or has NUL, which no database can hold."""
        for path in ("/%ff", "/%c3", "/a/%00", "/a%00?b"):
            answer = self.exchange.ask("GET", path)
            self.assertEqual((answer.status, self.seen.bodies), (404, []))
            self.assertIn("UTF-8", json.loads(answer.body)["error"])
        self.assertEqual(self.exchange.ask("GET", "/%c3%a9?%ff=%00").status, 200)

    def test_hosts(self) -> None:
        """400 for a Host that is none."""
        right = ("localhost", "localhost:9203", "[::1]", "[::1]:80", "127.0.0.1", "a.example.", "", "a_b", "A-1.x:")
        wrong = ("a..b", ".a", "é", "a b", "a/b", "x" * 64, "a:b", "a:123456", "[a", "a@b", "%00")
        for host in right:
            self.assertEqual(self.exchange.ask("GET", "/a", Host=host).status, 200, host)
        for host in wrong:
            self.assertEqual(self.exchange.ask("GET", "/a", Host=host).status, 400, host)

    def test_head_of_an_error(self) -> None:
        """HEAD has headers only."""
        answer = self.exchange.ask("HEAD", "/%ff")
        self.assertEqual((answer.status, answer.body), (404, b""))
        self.assertTrue(self.exchange.transport.value().endswith(b"\r\n\r\n"))

    def test_errors_of_another_form(self) -> None:
        """The API says how its errors look, by path too, and adds headers."""

        def refusal(request: IRequest, status: int, message: str) -> bytes:
            request.setHeader(b"content-type", b"application/problem+json")
            return b"%d %b %b" % (status, request.method, request.path)

        exchange = Exchange(self.seen, max_body=LIMIT, refusal=refusal)
        answer = exchange.ask("GET", "/a%ff?token=t")
        self.assertEqual(answer.body, b"404 GET /a%ff")
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        exchange.transport.clear()
        exchange.send(b"PUT /b?token=t HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n")
        self.assertEqual(exchange.answer("PUT").body, b"413 PUT /b")

    def test_protocols(self) -> None:
        """HTTP/1.1 alone is offered, whatever is installed: the bounds are made for it."""
        site: SilentSite = self.exchange.site
        self.assertEqual(site.acceptableProtocols(), [b"http/1.1"])
