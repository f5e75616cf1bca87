"""When the network is ready, and what it lacks until then."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from email.message import Message
from typing import Any

from twisted.internet.task import Clock

from gandalf.local import readiness, waiting
from gandalf.local.errors import LocalError
from gandalf.local.places import write_private
from tests.unit.local.support import LocalCase

READY: dict[str, Any] = {"ready": True, "state": "ready", "trouble": ""}


def link(name: str, **more: object) -> dict[str, object]:
    """A connection as the API shows it."""
    return {"logical_name": name, "type": "c", "validated": True, **more}


class Readiness(LocalCase):
    """`missing`, `wait_until_ready`"""

    def setUp(self) -> None:
        """An API that answers what stands in `self.answers`."""
        super().setUp()
        self.answers: dict[str, object] = {
            "/readyz": READY,
            "/api/v1/login": {"token": "t"},
            "/api/v1/connections": [link("git1"), link("workflow1")],
        }
        self.asked: list[str] = []
        write_private(self.places.credentials, json.dumps({"login": ["a", "b"], "password": ["c", "d"]}))
        self.patch(urllib.request, "urlopen", self.urlopen)

    def urlopen(self, request: urllib.request.Request, timeout: float) -> io.BytesIO:
        """Stands in for urllib's."""
        self.asked.append(request.full_url)
        path = request.full_url.removeprefix("http://127.0.0.1:9203")
        if path == "/api/v1/login":
            self.assertEqual(json.loads(request.data or b""), {"login": "a", "password": "c"})  # type: ignore[arg-type]
        elif path != "/readyz":
            self.assertEqual(request.get_header("Authorization"), "Bearer t")
        answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def refuse(self, path: str, status: int, body: object) -> None:
        """Answer with an error."""
        content = io.BytesIO(json.dumps(body).encode())
        self.answers[path] = urllib.error.HTTPError(path, status, "", Message(), content)

    def missing(self) -> str:
        """What is missing."""
        plan = self.plan()
        return readiness.missing(plan, plan.connectors)

    def test_ready(self) -> None:
        """The aggregator is ready and the connectors asked for are linked."""
        self.assertEqual(self.missing(), "")
        self.answers["/api/v1/connections"] = []
        self.assertEqual(readiness.missing(self.plan(), ()), "")

    def test_nobody_answers(self) -> None:
        """The address is named."""
        for answer in (urllib.error.URLError("refused"), ConnectionResetError(), b"<html>"):
            self.answers["/readyz"] = answer
            self.assertIn("127.0.0.1:9203", self.missing())

    def test_it_starts(self) -> None:
        """The step, and its trouble."""
        self.refuse("/readyz", 503, {"ready": False, "state": "starting: secret", "trouble": "secret: no answer"})
        self.assertEqual(self.missing(), "the aggregator is starting: secret (secret: no answer)")

    def test_the_password_was_changed(self) -> None:
        """Nobody can look who is linked, and nobody waits for that."""
        self.refuse("/api/v1/login", 401, {"detail": "Invalid login credentials"})
        self.assertEqual(self.missing(), "")

    def test_there_is_no_log_in(self) -> None:
        """Another error of the log-in, or of its file, is told."""
        self.refuse("/api/v1/login", 429, {"detail": "too many"})
        self.assertRegex(self.missing(), "connections.*too many")
        self.places.credentials.unlink()
        self.assertIn("there is no log-in", self.missing())

    def test_connectors_that_are_not_there(self) -> None:
        """They are named; one that is linked but not validated, or no connector, is not there."""
        self.answers["/api/v1/connections"] = [link("git1", validated=False), link("workflow1", type="cl")]
        self.assertEqual(self.missing(), "not linked to the aggregator: git1, workflow1")

    def test_it_never_gets_ready(self) -> None:
        """After a while the error says what lacks, and where the logs are."""
        clock = Clock()
        self.patch(
            readiness,
            "until",
            lambda condition, seconds: waiting.until(condition, seconds, now=clock.seconds, sleep=clock.advance),
        )
        self.answers["/api/v1/connections"] = [link("git1")]
        error = self.assertRaises(
            LocalError, readiness.wait_until_ready, self.plan(), ("git1", "workflow1"), lambda: None
        )
        self.assertIn("workflow1", str(error))
        self.assertIn(str(self.places.log), str(error))

    def test_a_program_fails_meanwhile(self) -> None:
        """What the check raises comes out, and nobody is asked any more."""

        def check() -> None:
            raise LocalError("the program cluster failed")

        self.assertRaises(LocalError, readiness.wait_until_ready, self.plan(), ("git1", "workflow1"), check)
        self.assertEqual(self.asked, [])
