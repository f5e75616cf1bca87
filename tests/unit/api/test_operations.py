"""Looking at an instance over HTTP, through real HTTP parsing and without a socket."""

from __future__ import annotations

from typing import Any

from treq.testing import StubTreq
from twisted.trial.unittest import SynchronousTestCase

from gandalf.api.health import HealthAPI
from gandalf.api.operations import OperationsAPI


class FakeObserved:
    """An instance whose state a test sets."""

    ready = True

    def status(self) -> dict[str, Any]:
        step = {"step": "secret", "state": "running", "attempts": 2, "trouble": "no answer", "seconds": None}
        return {
            "ready": self.ready,
            "state": "ready" if self.ready else "starting: secret",
            "version": "1",
            "startup": [] if self.ready else [step],
        }

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
        """503 with the state, the steps and their trouble while it starts, 200 when it serves."""
        said = {"ready": True, "state": "ready", "trouble": "", "startup": []}
        self.assertEqual(self.get("/readyz"), (200, said))
        self.observed.ready = False
        step = {"step": "secret", "state": "running", "attempts": 2, "trouble": "no answer"}
        said = {"ready": False, "state": "starting: secret", "trouble": "secret: no answer", "startup": [step]}
        self.assertEqual(self.get("/readyz"), (503, said))

    def test_status_and_connections(self) -> None:
        """Both are given as they are."""
        self.assertEqual(self.get("/api/v1/status"), (200, self.observed.status()))
        self.assertEqual(self.get("/api/v1/connections"), (200, self.observed.connections()))

    def test_other_paths_and_methods(self) -> None:
        """404 and 405, as JSON."""
        status, body = self.get("/api/v1/nothing")
        self.assertEqual((status, body["error"]), (404, "there is nothing at this path"))
        status, body = self.get("/api/v1/status", "POST")
        self.assertEqual((status, body["error"]), (405, "method not allowed"))

    def test_an_aggregator_shows_its_health_only(self) -> None:
        """Without a log-in."""
        self.client = StubTreq(HealthAPI(self.observed).app.resource())
        self.assertEqual(self.get("/healthz"), (200, {"alive": True}))
        self.assertEqual(self.get("/readyz")[0], 200)
        self.assertEqual(self.get("/api/v1/status")[0], 404)

    def test_answers_are_not_cached(self) -> None:
        """The state of now is what is asked for."""
        response = self.successResultOf(self.client.request("GET", "http://localhost/api/v1/status"))
        self.assertEqual(response.headers.getRawHeaders("cache-control"), ["no-store"])
