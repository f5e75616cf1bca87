"""The edge: nobody comes in unseen, and whatever goes wrong is told."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from klein import Klein
from pydantic import BaseModel
from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gandalf.aggregator.serving import Running, Tenancy, upstream_app, v1_app
from gandalf.api.accounts import Accounts
from gandalf.api.attempts import Attempts
from gandalf.api.edge import Edge
from gandalf.api.errors import NotReady
from gandalf.api.guard import Guard
from gandalf.api.operation import Access, Call, Reply, operation, routes_of
from gandalf.api.resources import Resources
from gandalf.api.tokens import Signer
from gandalf.api.upstream.face import UpstreamFace
from gandalf.store.database import Database
from gandalf.store.errors import DatabaseUnavailable
from gandalf.store.testing import FakeDatabase
from tests.unit.api.wire import Exchange

OPEN = {
    "UpstreamAccounts.hello",
    "UpstreamAccounts.login",
    "UpstreamAccounts.logout",
    "V1Accounts.login",
    "Documentation.description",
    "Documentation.page",
    "Documentation.script",
    "Documentation.style",
}
"""What anybody may do; /healthz and /readyz are beside these apps."""

KEY = b"k" * 32


class Body(BaseModel):
    """A body."""

    number: int


class Subject:
    """Operations that end in every way."""

    def __init__(self) -> None:
        self.work: Deferred[Reply] = Deferred()

    @operation("GET", "/open", Access.OPEN, "Open.")
    async def open(self, call: Call) -> Reply:
        """Anybody may."""
        return Reply({"user": call.user})

    @operation("GET", "/user", Access.ROWS, "Who asks.")
    async def user(self, call: Call) -> Reply:
        """The user is known."""
        return Reply({"user": str(call.user)})

    @operation("POST", "/body", Access.OPEN, "A body.", body=Body)
    async def body(self, call: Call) -> Reply:
        """What came in."""
        return Reply({"number": call.body.number}, 201, {"Location": "/x"})

    @operation("GET", "/broken", Access.OPEN, "Broken.")
    async def broken(self, call: Call) -> Reply:
        """A defect."""
        raise RuntimeError("the password is 12345")

    @operation("GET", "/long", Access.OPEN, "Long.")
    async def long(self, call: Call) -> Reply:
        """Takes until `work` fires."""
        return await self.work


class EdgeTests(SynchronousTestCase):
    """`Edge`, with one subject."""

    def setUp(self) -> None:
        self.database: Any = FakeDatabase()
        self.subject = Subject()
        self.trouble: Exception | None = None
        guard = Guard(self.current, "acme", (), lambda: 1000.0)
        self.app = Edge(guard, UpstreamFace(), self.ready).app(routes_of(self.subject))
        self.client: Any = StubTreq(self.app.resource())
        self.token = Signer([KEY], "acme", lambda: 1000.0).issue(uuid.UUID(int=7), "a")

    def current(self) -> Database:
        """The database."""
        if isinstance(self.database, Exception):
            raise self.database
        database: Database = self.database
        return database

    def ready(self) -> None:
        """Raises what the test says."""
        if self.trouble is not None:
            raise self.trouble

    def ask(self, method: str, path: str, **more: Any) -> Deferred[Any]:
        """Send a request."""
        sent: Deferred[Any] = self.client.request(method, f"http://localhost{path}", **more)
        return sent

    def told(self, answer: Deferred[Any]) -> tuple[int, Any, Any]:
        """Status, JSON and headers of an answer."""
        response = self.successResultOf(answer)
        return response.code, self.successResultOf(response.json()), response.headers

    def bearer(self) -> dict[str, str]:
        """The header that a user sends."""
        return {"Authorization": f"Bearer {self.token}"}

    def test_open(self) -> None:
        """Without a token, and while nothing is ready."""
        self.trouble = NotReady("starting: database")
        self.assertEqual(self.told(self.ask("GET", "/open"))[:2], (200, {"user": None}))

    def test_a_user(self) -> None:
        """The token says who it is; the keys are looked up once."""
        answer = self.ask("GET", "/user", headers=self.bearer())
        (asked,) = self.database.asked
        asked.answer.callback([KEY])
        self.client.flush()
        self.assertEqual(self.told(answer)[:2], (200, {"user": str(uuid.UUID(int=7))}))
        self.assertEqual(self.told(self.ask("GET", "/user", headers=self.bearer()))[0], 200)
        self.assertEqual(len(self.database.asked), 1)

    def test_nobody(self) -> None:
        """Without a token the database is not even asked."""
        self.assertEqual(self.told(self.ask("GET", "/user"))[:2][1]["message"], "Missing auth token")
        self.assertEqual(self.database.asked, [])

    def test_not_ready(self) -> None:
        """503 with what is waited for, and when to come again."""
        self.trouble = NotReady("this aggregator is starting: database")
        status, body, headers = self.told(self.ask("GET", "/user", headers=self.bearer()))
        self.assertEqual((status, body["error"]), (503, "this aggregator is starting: database"))
        self.assertEqual(headers.getRawHeaders("Retry-After"), ["2"])

    def test_the_database_is_away(self) -> None:
        """503 with the reason."""
        self.database = DatabaseUnavailable("the server closed the connection")
        status, body, _ = self.told(self.ask("GET", "/user", headers=self.bearer()))
        self.assertEqual((status, body["error"]), (503, "the server closed the connection"))

    def test_bodies(self) -> None:
        """Read and checked before the operation; what is wrong is told by its place, never by its value."""
        status, body, headers = self.told(self.ask("POST", "/body", data=b'{"number": 5}'))
        self.assertEqual((status, body), (201, {"number": 5}))
        self.assertEqual(headers.getRawHeaders("Location"), ["/x"])
        status, body, _ = self.told(self.ask("POST", "/body", data=b'{"number": "secret"}'))
        self.assertEqual(status, 400)
        self.assertIn("number: ", body["error"])
        self.assertNotIn("secret", body["error"])
        self.assertEqual(self.told(self.ask("POST", "/body", data=b"x" * (1024 * 1024 + 1)))[0], 413)

    def test_a_defect(self) -> None:
        """500 with an id by which the log tells more, and nothing of what went wrong."""
        status, body, _ = self.told(self.ask("GET", "/broken"))
        self.assertEqual(status, 500)
        self.assertNotIn("12345", body["error"])
        self.assertRegex(body["error"], "incident [0-9a-f]{12}")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_the_client_leaves(self) -> None:
        """What it waited for is cancelled, and nothing is logged."""
        cancelled: list[object] = []
        self.subject.work = Deferred(cancelled.append)
        exchange = Exchange(self.app.resource())
        exchange.send(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(cancelled, [])
        exchange.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(cancelled, [self.subject.work])

    def test_no_such_path(self) -> None:
        """404 and 405 are errors of the face; 405 says what is allowed."""
        self.assertIn("error", self.told(self.ask("GET", "/nothing"))[1])
        status, body, headers = self.told(self.ask("DELETE", "/body"))
        self.assertEqual((status, headers.getRawHeaders("Allow")), (405, ["POST"]))
        self.assertIn("POST", body["error"])


class RouteMapTests(SynchronousTestCase):
    """Every route of the API as it is served."""

    def apps(self) -> list[tuple[Klein, str]]:
        """Both faces, of parts that must not be reached."""

        def unreachable(*_: object) -> Any:
            raise AssertionError("somebody came in without a token")

        guard = Guard(unreachable, "acme", (), lambda: 0.0)
        nothing: Any = None
        accounts = Accounts(guard, unreachable, Attempts(Clock()), unreachable)
        tenancy = Tenancy("acme", guard, accounts, Resources(guard, two_administrators=True), nothing)
        running = Running(nothing, nothing, nothing, nothing, nothing, unreachable, nothing)
        ready: Callable[[], None] = lambda: None  # noqa: E731
        return [(upstream_app(tenancy, ready), "403"), (v1_app(tenancy, running, ready), "401")]

    def test_nobody_comes_in_without_a_token(self) -> None:
        """But where it is listed as open."""
        seen: set[str] = set()
        for app, refused in self.apps():
            client: Any = StubTreq(app.resource())
            for rule in app.url_map.iter_rules():
                seen.add(rule.endpoint)
                if rule.endpoint in OPEN:
                    continue
                values = {name: uuid.UUID(int=1) for name in rule.arguments}
                path = app.url_map.bind("localhost").build(rule.endpoint, values, force_external=False)
                for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                    response = self.successResultOf(client.request(method, f"http://localhost{path}", data=b"{}"))
                    self.assertEqual(str(response.code), refused, f"{method} {path}")
        self.assertLessEqual(OPEN, seen)
        self.assertGreater(len(seen), 200)
