"""Pages of other origins, through real HTTP parsing."""

from __future__ import annotations

from klein import Klein
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.static import Data

from gandalf.api.cors import CORS

from .wire import Answer, Exchange

PAGE = {"Origin": "https://leto.example"}
EXPOSED = {"ETag", "Location", "Link", "Retry-After"}


class Application:
    """An app like those of the API, which refuses everybody."""

    app = Klein()

    @app.route("/thing/<name>", methods=["GET", "PUT"])
    def thing(self, request: IRequest, name: str) -> bytes:
        request.setResponseCode(403)
        return f"{name} is not for you".encode()


class CORSTests(SynchronousTestCase):
    """What is let through, and what is answered without asking anybody."""

    def ask(self, method: str, path: str = "/thing/a", **headers: str) -> Answer:
        """A request to the app."""
        return Exchange(CORS(Application().app.resource())).ask(method, path, None, **headers)

    def test_a_page_of_another_origin(self) -> None:
        """It may read the answer, and the headers that clients need."""
        answer = self.ask("GET", **PAGE)
        self.assertEqual((answer.status, answer.body), (403, b"a is not for you"))
        self.assertEqual(answer.headers.get_all("access-control-allow-origin"), ["*"])
        self.assertEqual(set(answer.headers["access-control-expose-headers"].split(", ")), EXPOSED)
        self.assertEqual(answer.headers.get_all("vary"), ["Origin"])
        self.assertIsNone(answer.headers["access-control-allow-credentials"])

    def test_no_page(self) -> None:
        """Other clients get nothing of it, but caches are told that it could be otherwise."""
        answer = self.ask("GET")
        self.assertEqual(answer.body, b"a is not for you")
        self.assertEqual([name for name in answer.headers if name.lower().startswith("access-control")], [])
        self.assertEqual(answer.headers.get_all("vary"), ["Origin"])

    def test_unknown_paths_too(self) -> None:
        """The page sees that it asked for what is not there."""
        answer = self.ask("GET", "/nothing", **PAGE)
        self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (404, "*"))

    def test_preflight(self) -> None:
        """It is answered before anybody asks who it is, for any path."""
        wanted = {"Access_Control_Request_Method": "PUT", "Access_Control_Request_Headers": "authorization"}
        for path in ("/thing/a", "/nothing"):
            answer = self.ask("OPTIONS", path, **PAGE, **wanted)
            self.assertEqual((answer.status, answer.body), (200, b""))
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")
            self.assertEqual(answer.headers.get_all("vary"), ["Origin"])
            methods = answer.headers["access-control-allow-methods"].split(", ")
            self.assertEqual(methods, ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
            allowed = {name.lower() for name in answer.headers["access-control-allow-headers"].split(", ")}
            needed = {"accept", "content-type", "authorization", "x-csrf-token", "cache-control", "x-header"}
            self.assertLessEqual(needed | {"if-match", "if-none-match", "last-event-id"}, allowed)
            self.assertEqual(answer.headers["access-control-max-age"], "600")

    def test_options_that_are_no_preflight(self) -> None:
        """405, with what the path really takes."""
        for headers in ({}, PAGE, {"Access_Control_Request_Method": "PUT"}):
            answer = self.ask("OPTIONS", **headers)
            self.assertEqual(answer.status, 405)
            self.assertEqual(set(answer.headers["allow"].split(", ")), {"GET", "HEAD", "PUT"})

    def test_a_preflight_is_an_options(self) -> None:
        """Its headers alone do not get past the application."""
        self.assertEqual(self.ask("GET", **PAGE, Access_Control_Request_Method="PUT").status, 403)

    def test_any_tree_of_resources(self) -> None:
        """What is wrapped need not be one application."""
        root = Resource()
        root.putChild(b"a", Data(b"data", "text/plain"))
        wrapped: IResource = CORS(root)
        self.assertEqual(Exchange(wrapped).ask("GET", "/a").body, b"data")
        self.assertEqual(Exchange(wrapped).ask("HEAD", "/a").headers["content-length"], "4")
        self.assertEqual(Exchange(wrapped).ask("GET", "/b").status, 404)
        self.assertEqual(Exchange(wrapped).ask("POST", "/a").status, 405)
