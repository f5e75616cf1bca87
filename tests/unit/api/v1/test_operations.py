"""Seeing and steering a running instance."""

from __future__ import annotations

import json
from typing import Any

from gandalf.api.v1.operations import Operations
from gandalf.store.errors import NotFound
from tests.unit.api.v1.support import OperationsCase

INSTANCE = "ab" * 16


class FakeInstance:
    """An instance that can be looked at and steered."""

    def __init__(self) -> None:
        self.drained = 0
        self.log_level = "info"
        self.links = {"s1": {"session": "s1", "logical_name": "git1"}}
        self.asked: list[Any] = []

    def status(self) -> dict[str, Any]:
        """See `Observed`."""
        return {"instance": INSTANCE, "ready": True}

    def connections(self) -> list[dict[str, Any]]:
        """See `Observed`."""
        return list(self.links.values())

    def connection(self, session: str) -> dict[str, Any]:
        """See `Observed`."""
        if session not in self.links:
            raise NotFound("no such session")
        return self.links[session]

    def disconnect(self, session: str) -> bool:
        """See `Observed`."""
        return self.links.pop(session, None) is not None

    def pending(self, limit: int = 1000) -> list[dict[str, Any]]:
        """See `Observed`."""
        self.asked.append(limit)
        return [{"uuid": "u"}]

    def errors(self, limit: int = 100, code: str = "") -> list[dict[str, Any]]:
        """See `Observed`."""
        self.asked.append((limit, code))
        return [{"code": "NO_ROUTE"}]

    def drain(self) -> None:
        """See `Controlled`."""
        self.drained += 1

    def set_log_level(self, level: str) -> None:
        """See `Controlled`."""
        if level not in ("info", "debug"):
            raise ValueError("allowed is debug or info")
        self.log_level = level

    def config(self) -> dict[str, Any]:
        """See `Controlled`."""
        return {"aggregator": {"secret": "********"}}


class OperationsTests(OperationsCase):
    """`/api/v1/status` and the like."""

    def subject(self) -> Operations:
        """See `OperationsCase`."""
        self.instance = FakeInstance()
        return Operations(self.instance, self.instance)

    def json(self, path: str) -> Any:
        """What is answered there."""
        answer = self.ask("GET", path)
        self.assertEqual(answer.status, 200, answer.body)
        return json.loads(answer.body)

    def test_what_is_seen(self) -> None:
        """As the aggregator tells it."""
        self.assertEqual(self.json("/status"), self.instance.status())
        self.assertEqual(self.json("/connections"), [{"session": "s1", "logical_name": "git1"}])
        self.assertEqual(self.json("/connections/s1"), {"session": "s1", "logical_name": "git1"})
        self.assertEqual(self.json("/config"), self.instance.config())

    def test_bounds(self) -> None:
        """Lists have a limit, which can be chosen up to a bound."""
        self.assertEqual(self.json("/pending"), [{"uuid": "u"}])
        self.json("/pending?limit=3")
        self.assertEqual(self.json("/errors?limit=5&code=NO_ROUTE"), [{"code": "NO_ROUTE"}])
        self.assertEqual(self.instance.asked, [1000, 3, (5, "NO_ROUTE")])
        for query in ("limit=0", "limit=x", "limit=1001", "other=1"):
            self.assertEqual(self.ask("GET", f"/errors?{query}").status, 400)

    def test_disconnect(self) -> None:
        """204, and 404 when there is no such connection any more."""
        self.assertEqual(self.ask("DELETE", "/connections/s1").status, 204)
        self.assertEqual(self.ask("DELETE", "/connections/s1").status, 404)
        self.assertEqual(self.ask("GET", "/connections/s1").status, 404)

    def test_drain_names_the_instance(self) -> None:
        """Another one than is meant is not drained."""
        for body, status in (({"instance": "cd" * 16}, 409), ({}, 400), ({"instance": 1}, 400)):
            self.assertEqual(self.ask("POST", "/drain", json.dumps(body).encode()).status, status)
        self.assertEqual(self.instance.drained, 0)
        answer = self.ask("POST", "/drain", json.dumps({"instance": INSTANCE.upper()}).encode())
        self.assertEqual((answer.status, self.instance.drained), (202, 1))

    def test_log_level(self) -> None:
        """Seen and changed; another word is a 400 that says what is allowed."""
        self.assertEqual(self.json("/log-level"), {"level": "info"})
        answer = self.ask("PUT", "/log-level", b'{"level": "debug"}')
        self.assertEqual((answer.status, json.loads(answer.body)), (200, {"level": "debug"}))
        answer = self.ask("PUT", "/log-level", b'{"level": "loud"}')
        self.assertEqual(answer.status, 400)
        self.assertIn("allowed is debug or info", json.loads(answer.body)["detail"])
        self.assertEqual(self.instance.log_level, "debug")

    def test_who_may(self) -> None:
        """Readers look, administrators steer and see the configuration."""
        for path in ("/status", "/connections", "/connections/s1", "/pending", "/errors"):
            self.assert_needs("reading", "GET", path)
        drain = json.dumps({"instance": INSTANCE}).encode()
        for method, path, body in (
            ("DELETE", "/connections/s1", None),
            ("POST", "/drain", drain),
            ("GET", "/log-level", None),
            ("PUT", "/log-level", b'{"level": "debug"}'),
            ("GET", "/config", None),
        ):
            self.assert_needs("administering", method, path, body)
        self.assertEqual((self.instance.drained, len(self.instance.links)), (0, 1))
