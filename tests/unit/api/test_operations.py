"""Looking at an instance over HTTP, through real HTTP parsing and without a socket."""

from __future__ import annotations

from typing import Any

from treq.testing import StubTreq
from twisted.trial.unittest import SynchronousTestCase

from gandalf.api.operations import OperationsAPI


class FakeObserved:
    """An instance whose state a test sets."""

    ready = True

    def status(self) -> dict[str, Any]:
        return {"ready": self.ready, "state": "ready" if self.ready else "starting: secret", "version": "1"}

    def connections(self) -> list[dict[str, Any]]:
        return [{"logical_name": "git1"}]


class OperationsTests(SynchronousTestCase):
    """The four resources."""

    def setUp(self) -> None:
        self.observed = FakeObserved()
        self.client: Any = StubTreq(OperationsAPI(self.observed).resource())

    def get(self, path: str, method: str = "GET") -> tuple[int, Any]:
        """Status and body of a request."""
        response = self.successResultOf(self.client.request(method, f"http://localhost{path}"))
        if response.headers.getRawHeaders("content-type") == ["application/json"]:
            return response.code, self.successResultOf(response.json())
        return response.code, None

    def test_healthz_answers_as_long_as_the_process_does(self) -> None:
        """Liveness does not depend on readiness."""
        self.observed.ready = False
        self.assertEqual(self.get("/healthz"), (200, {"alive": True}))

    def test_readyz_says_what_it_waits_for(self) -> None:
        """503 with the state while it starts, 200 when it serves."""
        self.assertEqual(self.get("/readyz"), (200, {"ready": True, "state": "ready"}))
        self.observed.ready = False
        self.assertEqual(self.get("/readyz"), (503, {"ready": False, "state": "starting: secret"}))

    def test_status_and_connections(self) -> None:
        """Both are given as they are."""
        self.assertEqual(self.get("/api/v1/status"), (200, self.observed.status()))
        self.assertEqual(self.get("/api/v1/connections"), (200, self.observed.connections()))

    def test_other_paths_and_methods(self) -> None:
        """404 and 405."""
        self.assertEqual(self.get("/api/v1/nothing")[0], 404)
        self.assertEqual(self.get("/api/v1/status", "POST")[0], 405)

    def test_answers_are_not_cached(self) -> None:
        """The state of now is what is asked for."""
        response = self.successResultOf(self.client.request("GET", "http://localhost/api/v1/status"))
        self.assertEqual(response.headers.getRawHeaders("cache-control"), ["no-store"])
