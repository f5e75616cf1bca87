"""How `/api/v1` reads bodies and tells errors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from treq.testing import StubTreq
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.test.requesthelper import DummyRequest

from gandalf.api.attempts import TooManyAttempts
from gandalf.api.edge import Edge
from gandalf.api.errors import TABLE, PreconditionFailed, Trouble, trouble_of
from gandalf.api.operation import Access, Call, Operation, Reply, Route
from gandalf.api.v1.face import V1Face
from gandalf.api.v1.tags import matches, tags_in


class Body(BaseModel):
    """Any."""

    name: str


class Faces(SynchronousTestCase):
    """`V1Face` behind an edge."""

    def answer(self, outcome: Exception | Reply, data: bytes = b'{"name": "x"}') -> tuple[int, Headers, Any]:
        """What a client gets when an operation ends like this."""

        async def handler(call: Call) -> Reply:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        guard: Any = None
        told = Operation("x", "POST", "/x", Access.OPEN, "X.", "x", Body)
        app = Edge(guard, V1Face(), lambda: None).app([Route(told, handler)])
        client: Any = StubTreq(app.resource())
        response = self.successResultOf(client.post("http://here/x", data=data))
        content = self.successResultOf(response.content())
        return response.code, response.headers, self.successResultOf(response.json()) if content else None

    def test_every_error_of_the_table(self) -> None:
        """It is told with its title and status; who is not known gets 401 instead of 403."""
        for kind, status, title in TABLE:
            code, content_type, body = V1Face().error(Trouble(status, title, "detail"))
            self.assertEqual(code, 401 if title == "not signed in" else status, kind)
            self.assertEqual(content_type, "application/problem+json")
            self.assertEqual(body, {"type": "about:blank", "title": title, "status": code, "detail": "detail"})

    def test_more(self) -> None:
        """Further members of a trouble are told beside the others."""
        _, _, body = V1Face().error(Trouble(502, "t", "d", more={"code": "NO_ROUTE"}))
        self.assertEqual(body["code"], "NO_ROUTE")

    def test_a_precondition(self) -> None:
        """It is 412."""
        status, headers, body = self.answer(PreconditionFailed("changed"))
        self.assertEqual((status, body["status"], body["detail"]), (412, 412, "changed"))
        self.assertEqual(headers.getRawHeaders("content-type"), ["application/problem+json"])

    def test_too_many(self) -> None:
        """It says for how long to wait."""
        trouble = trouble_of(TooManyAttempts(7))
        assert trouble is not None
        self.assertEqual((trouble.status, trouble.headers), (429, {"Retry-After": "7"}))

    def test_a_defect(self) -> None:
        """Nothing of it is told but an id under which the log has it."""
        status, _, body = self.answer(RuntimeError("secret"))
        (logged,) = self.flushLoggedErrors(RuntimeError)
        self.assertEqual((status, body["title"]), (500, "internal error"))
        self.assertNotIn("secret", body["detail"])
        self.assertEqual(str(logged.value), "secret")

    def test_strict_bodies(self) -> None:
        """Exactly one JSON value has to be there, and it is refused in no other words than what is wrong."""
        self.assertEqual(self.answer(Reply({}))[0], 200)
        for data in (b'{"name": "x"} 1', b"", b"{", b'{"name": 1}'):
            self.assertEqual(self.answer(Reply({}), data)[0], 400, data)
        self.assertTrue(self.answer(Reply({}), b"{}")[2]["detail"].startswith("name: "))


class Tags(SynchronousTestCase):
    """Entity tags in headers."""

    def tags(self, *values: str) -> Any:
        """What is read of a header that is sent so many times."""
        request: Any = DummyRequest([b""])
        for value in values:
            request.requestHeaders.addRawHeader(b"if-match", value.encode("latin-1"))
        return tags_in(request, "If-Match")

    def test_reading(self) -> None:
        """One, several, in one header or more, weak or not; None without the header."""
        self.assertIsNone(self.tags())
        for values, tags in (
            (['"a"'], {'"a"'}),
            (['W/"a"'], {'"a"'}),
            (['"a","b" , W/"c"'], {'"a"', '"b"', '"c"'}),
            (['"a"', '"b"'], {'"a"', '"b"'}),
            (['"a,b"'], {'"a,b"'}),
            (['""'], {'""'}),
            ([" * "], {"*"}),
            (["a"], set()),
            ([""], set()),
            (['"*"'], {'"*"'}),
        ):
            self.assertEqual(self.tags(*values), tags, values)

    def test_matching(self) -> None:
        """`*` fits any, a tag itself, and no header nothing."""
        self.assertTrue(matches('"a"', {"*"}))
        self.assertTrue(matches('"a"', {'"b"', '"a"'}))
        self.assertFalse(matches('"a"', {'"*"'}))
        self.assertFalse(matches('"a"', set()))
        self.assertFalse(matches('"a"', None))
