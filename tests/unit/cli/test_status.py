"""`gandalf status`"""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from typing import Any

from tests.unit.cli.support import SETTINGS, CommandCase

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
READY: dict[str, Any] = {"ready": True, "state": "ready", "trouble": "", "startup": []}
STARTING: dict[str, Any] = {
    "ready": False,
    "state": "starting: secret",
    "trouble": "secret: no answer",
    "startup": [{"step": "secret", "state": "running", "attempts": 2, "trouble": "no answer"}],
}


def refusal(status: int, body: object) -> urllib.error.HTTPError:
    """An answer that urllib takes for an error."""
    content = io.BytesIO(json.dumps(body).encode())
    return urllib.error.HTTPError("http://x", status, "no", {}, content)  # type: ignore[arg-type]


class Status(CommandCase):
    """`gandalf status`"""

    def setUp(self) -> None:
        """An API that answers what stands in `self.answers` to whoever has logged in."""
        super().setUp()
        self.answers: dict[str, Any] = {
            "/readyz": READY,
            "/api/v1/login": {"token": "t"},
            "/api/v1/status": STATUS,
            "/api/v1/connections": [LINK],
        }
        self.asked: list[urllib.request.Request] = []
        self.credentials = self.directory / "credentials.json"
        self.credentials.write_text(json.dumps({"login": ["a@b", "c@d"], "password": ["p", "q"]}))
        self.settings.write_text(f'{SETTINGS}credentials_file = "credentials.json"\n')
        self.patch(urllib.request, "urlopen", self.urlopen)

    def urlopen(self, request: urllib.request.Request, timeout: float) -> io.BytesIO:
        """Stands in for urllib's."""
        self.asked.append(request)
        answer = self.answers[request.full_url.removeprefix("http://127.0.0.1:9203")]
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def test_logging_in(self) -> None:
        """The first log-in of the file; its token goes along with what is asked then."""
        self.run_command("status")
        login, *others = self.asked
        assert isinstance(login.data, bytes)
        self.assertEqual(json.loads(login.data), {"login": "a@b", "password": "p"})
        self.assertEqual([each.get_header("Authorization") for each in others], ["Bearer t", "Bearer t"])

    def test_not_serving_yet(self) -> None:
        """While it starts nobody can log in: status 1, with the step it is at and its trouble."""
        self.answers["/readyz"] = refusal(503, STARTING)
        for path in ("/api/v1/login", "/api/v1/status"):
            self.answers[path] = refusal(503, {"detail": "not ready"})
            result = self.run_command("status")
            self.assertEqual(result.exit_code, 1, result.output)
            lines = [" ".join(line.split()) for line in result.output.splitlines()]
            self.assertIn("the aggregator: starting: secret", lines)
            self.assertIn("secret running 2 no answer", lines)
            self.answers[path] = {"token": "t"}
            self.answers["/readyz"] = refusal(503, STARTING)

    def test_not_serving_yet_as_json(self) -> None:
        """What anybody may see, as it is."""
        self.answers["/api/v1/login"] = refusal(503, {})
        self.answers["/readyz"] = refusal(503, STARTING)
        result = self.run_command("status", "--json")
        self.assertEqual((result.exit_code, json.loads(result.output)), (1, {"readiness": STARTING}))

    def test_without_a_log_in(self) -> None:
        """What anybody may see, and how to see more."""
        self.settings.write_text(SETTINGS)
        result = self.run_command("status")
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertIn("the aggregator: ready", result.output)
        self.assertIn("credentials_file", result.output)
        self.assertEqual(len(self.asked), 1)

    def test_a_log_in_that_is_refused(self) -> None:
        """Status 3, with what the aggregator says."""
        self.answers["/api/v1/login"] = refusal(401, {"detail": "Invalid login credentials"})
        result = self.run_command("status")
        self.assertEqual(result.exit_code, 3)
        self.assertIn("Invalid login credentials", result.output)

    def test_a_file_without_log_in(self) -> None:
        """Status 2, with the file and what is allowed."""
        for content in ("{", "[]", "{}", '{"login": [], "password": []}', '{"login": 1, "password": 2}'):
            self.credentials.write_text(content)
            result = self.run_command("status")
            self.assertEqual(result.exit_code, 2, content)
            self.assertIn("credentials.json", result.output)

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
        self.answers["/api/v1/status"] = {
            **STATUS,
            "ready": False,
            "state": "starting: secret",
            "cluster": [{"address": "127.0.0.1:9100", "linked": False, "validated": False, "trouble": "refused"}],
            "recent_errors": [{"at": "then", "code": "NO_ROUTE", "origin": "git1", "message": "nobody"}],
        }
        self.answers["/api/v1/connections"] = [{**LINK, "validated": False}]
        result = self.run_command("status")
        self.assertEqual(result.exit_code, 1)
        for words in ("starting: secret", "127.0.0.1:9100: refused", "established, not validated", "NO_ROUTE"):
            self.assertIn(words, result.output)

    def test_limits_and_spool(self) -> None:
        """Where they are switched on."""
        plain = self.run_command("status").output
        self.assertNotIn("limits", plain)
        self.assertNotIn("spool", plain)
        spool = {"state": "usable", "frames": 3, "bytes": 900, "max_bytes": 1000, "oldest": 61.0, "trouble": "full"}
        self.answers["/api/v1/status"] = {**STATUS, "limits": {"refused": 2, "pauses": 1}, "spool": spool}
        lines = self.run_command("status").output.splitlines()
        self.assertIn("over the limits: 2 refused, 1 pauses", lines)
        self.assertIn("spool usable, on disk 3 events, 900 of 1000 bytes, the oldest for 1 min 1 s: full", lines)
        self.answers["/api/v1/status"] = {**STATUS, "spool": {**spool, "oldest": None, "trouble": ""}}
        self.assertIn("spool usable, on disk 3 events, 900 of 1000 bytes", self.run_command("status").output)

    def test_json(self) -> None:
        """All that the API says."""
        result = self.run_command("status", "--json")
        self.assertEqual(json.loads(result.output), {"status": STATUS, "connections": [LINK]})

    def test_durations(self) -> None:
        """In the two largest units."""
        for seconds, shown in ((0.4, "400 ms"), (5.04, "5.0 s"), (3661.0, "1 h 1 min"), (180_000.0, "2 d 2 h")):
            self.answers["/api/v1/status"] = {**STATUS, "uptime": seconds}
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
            self.answers["/api/v1/status"] = answer
            result = self.run_command("status")
            self.assertEqual(result.exit_code, 3)
            self.assertIn(reason, result.output)
            self.assertIn("127.0.0.1:9203", result.output)
