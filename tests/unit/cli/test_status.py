"""`gandalf status`"""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from typing import Any

from tests.unit.cli.support import CommandCase

STATUS: dict[str, Any] = {
    "logical_name": "aggregator1",
    "tenant": "tenant1",
    "address": "127.0.0.1:9103",
    "state": "ready",
    "ready": True,
    "uptime": 0.5,
    "version": "1.0.0",
    "instance": "ab" * 16,
    "startup": [
        {"step": "communication", "state": "done", "seconds": 0.0123, "attempts": 1, "trouble": ""},
        {"step": "secret", "state": "running", "seconds": None, "attempts": 2, "trouble": "no answer"},
    ],
    "cluster": [{"address": "127.0.0.1:9100", "linked": True, "validated": True, "trouble": ""}],
    "recent_errors": [],
}
LINK: dict[str, Any] = {
    "logical_name": "git1",
    "type": "c",
    "peer": "127.0.0.1:5",
    "state": "established",
    "seconds_in_state": 61.0,
    "validated": True,
    "frames_in": 1,
    "frames_out": 2,
    "unacknowledged": 3,
}


class Status(CommandCase):
    """`gandalf status`"""

    def setUp(self) -> None:
        """An API that answers what stands in `self.answers`."""
        super().setUp()
        self.answers: dict[str, Any] = {"status": STATUS, "connections": [LINK]}
        self.patch(urllib.request, "urlopen", self.urlopen)

    def urlopen(self, url: str, timeout: float) -> io.BytesIO:
        """Stands in for urllib's."""
        answer = self.answers[url.removeprefix("http://127.0.0.1:9203/api/v1/")]
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def test_ready(self) -> None:
        """Steps and connections in tables; status 0."""
        result = self.run_command("status")
        self.assertEqual(result.exit_code, 0, result.output)
        lines = [" ".join(line.split()) for line in result.output.splitlines()]
        self.assertIn("aggregator aggregator1 of tenant1 at 127.0.0.1:9103: ready", lines)
        self.assertIn("communication done 12 ms 1", lines)
        self.assertIn("secret running 2 no answer", lines)
        self.assertIn("git1 connector 127.0.0.1:5 established 1 min 1 s 1 2 3", lines)

    def test_not_ready(self) -> None:
        """Status 1; what is not linked or not validated is told."""
        self.answers["status"] = {
            **STATUS,
            "ready": False,
            "state": "starting: secret",
            "cluster": [{"address": "127.0.0.1:9100", "linked": False, "validated": False, "trouble": "refused"}],
            "recent_errors": [{"at": "then", "code": "NO_ROUTE", "origin": "git1", "message": "nobody"}],
        }
        self.answers["connections"] = [{**LINK, "validated": False}]
        result = self.run_command("status")
        self.assertEqual(result.exit_code, 1)
        for words in ("starting: secret", "127.0.0.1:9100: refused", "established, not validated", "NO_ROUTE"):
            self.assertIn(words, result.output)

    def test_json(self) -> None:
        """All that the API says."""
        result = self.run_command("status", "--json")
        self.assertEqual(json.loads(result.output), {"status": STATUS, "connections": [LINK]})

    def test_durations(self) -> None:
        """In the two largest units."""
        for seconds, shown in ((0.4, "400 ms"), (5.04, "5.0 s"), (3661.0, "1 h 1 min"), (180_000.0, "2 d 2 h")):
            self.answers["status"] = {**STATUS, "uptime": seconds}
            self.assertIn(f"up for {shown},", self.run_command("status").output)

    def test_no_answer(self) -> None:
        """Status 3, with the address and the reason."""
        refused = urllib.error.URLError(ConnectionRefusedError(111, "Connection refused"))
        missing = urllib.error.HTTPError("http://x", 404, "Not Found", {}, io.BytesIO())  # type: ignore[arg-type]
        for answer, reason in (
            (refused, "Connection refused"),
            (urllib.error.URLError("no host"), "no host"),
            (missing, "404"),
            (TimeoutError("timed out"), "timed out"),
            (b"<html>", "not JSON"),
        ):
            self.answers["status"] = answer
            result = self.run_command("status")
            self.assertEqual(result.exit_code, 3)
            self.assertIn(reason, result.output)
            self.assertIn("127.0.0.1:9203", result.output)
