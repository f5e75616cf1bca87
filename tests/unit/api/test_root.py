"""Which app a path is for, and what is said of requests that reach none."""

from __future__ import annotations

import json
from email.message import Message
from typing import Any

from klein import Klein
from treq.testing import StubTreq
from twisted.trial.unittest import SynchronousTestCase

from gandalf.api.root import Root, refusal
from tests.unit.api.wire import Exchange


def app(name: str, *paths: str) -> Klein:
    """An app that answers with its name and the rule that fitted."""
    made = Klein()
    for path in paths:
        made.route(path, endpoint=path)(lambda request, path=path, **values: f"{name} {path} {values}".encode())
    return made


class RootTests(SynchronousTestCase):
    """`Root`"""

    def setUp(self) -> None:
        self.root = Root(
            app("upstream", "/", "/role", "/role/<name>", "/user/<name>"),
            app("v1", "/roles", "/"),
            app("pages", "/healthz"),
        )
        self.client: Any = StubTreq(self.root)

    def get(self, path: str) -> str:
        """What answers."""
        response = self.successResultOf(self.client.get(f"http://localhost{path}"))
        text: str = self.successResultOf(response.text())
        return text

    def test_faces(self) -> None:
        """By the beginning of the path; what is left is the app's."""
        self.assertEqual(self.get("/ditrit/Gandalf/1.0.0/role"), "upstream /role {}")
        self.assertEqual(self.get("/ditrit/Gandalf/1.0.0"), "upstream / {}")
        self.assertEqual(self.get("/api/v1/roles"), "v1 /roles {}")
        self.assertEqual(self.get("/healthz"), "pages /healthz {}")

    def test_collections_of_any_case(self) -> None:
        """In the Go system's API only, and only the collection; slashes do not matter; `users` is `user`."""
        for path in ("/Role", "/ROLE/", "//role"):
            self.assertEqual(self.get(f"/ditrit/Gandalf/1.0.0{path}"), "upstream /role {}", path)
        self.assertEqual(self.get("/ditrit/Gandalf/1.0.0/ROLE/Name"), "upstream /role/<name> {'name': 'Name'}")
        self.assertEqual(self.get("/ditrit/Gandalf/1.0.0/Users/X"), "upstream /user/<name> {'name': 'X'}")
        self.assertIn("404", self.get("/api/v1/Roles"))


class RefusalTests(SynchronousTestCase):
    """`refusal`, as the site uses it."""

    def refused(self, path: str) -> tuple[Message, dict[str, object]]:
        """Headers and body of the answer to a body that is too long."""

        exchange = Exchange(app("x", "/").resource(), max_body=4, refusal=refusal)
        answer = exchange.ask("POST", path, b"too long", Origin="y")
        self.assertEqual(answer.status, 413)
        return answer.headers, json.loads(answer.body)

    def test_each_face_tells_errors_its_way(self) -> None:
        """And pages of other origins may read it."""
        headers, body = self.refused("/api/v1/roles")
        self.assertEqual(headers["content-type"], "application/problem+json")
        self.assertEqual(headers["access-control-allow-origin"], "*")
        self.assertEqual(body["status"], 413)
        headers, body = self.refused("/ditrit/Gandalf/1.0.0/role")
        self.assertEqual(headers["content-type"], "application/json")
        self.assertIn("error", body)
