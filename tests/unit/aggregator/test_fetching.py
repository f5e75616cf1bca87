"""Fetching from the repository, through real HTTP and without a socket."""

from __future__ import annotations

from typing import Any

from klein import Klein
from treq.testing import StubTreq
from twisted.internet.defer import ensureDeferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest

from gandalf.aggregator.fetching import MAX_BYTES, fetch
from gandalf.store.errors import NotFound


class Refusing:
    """A client whose connections are refused."""

    def get(self, url: str, **options: Any) -> Any:
        """See treq."""
        return fail(ConnectionRefusedError())


class FetchTests(SynchronousTestCase):
    """`fetch`"""

    def setUp(self) -> None:
        app = Klein()
        app.route("/there", endpoint="there")(lambda request: b"content")
        app.route("/long", endpoint="long")(lambda request: b"x" * (MAX_BYTES + 1))

        @app.route("/broken")
        def broken(request: IRequest) -> bytes:
            request.setResponseCode(500)
            return b"no"

        self.client: Any = StubTreq(app.resource())

    def failed(self, path: str, client: Any = None) -> str:
        """Why it cannot be had."""
        failure = self.failureResultOf(
            ensureDeferred(fetch(client or self.client, f"http://localhost{path}")), NotFound
        )
        return str(failure.value)

    def test_there(self) -> None:
        """The content."""
        self.assertEqual(
            self.successResultOf(ensureDeferred(fetch(self.client, "http://localhost/there"))), b"content"
        )

    def test_not_there(self) -> None:
        """The address and the status are told."""
        self.assertEqual(self.failed("/nothing"), "http://localhost/nothing: HTTP status 404")
        self.assertIn("500", self.failed("/broken"))

    def test_too_long(self) -> None:
        """No more than the bound is kept."""
        self.assertIn(f"more than {MAX_BYTES} bytes", self.failed("/long"))

    def test_nobody_answers(self) -> None:
        """The reason is told."""
        self.assertIn("refused", self.failed("/there", Refusing()))
