"""When the network is ready, and what it lacks until then."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from typing import Any

from twisted.internet.task import Clock

from gandalf.local import readiness, waiting
from gandalf.local.errors import LocalError
from tests.unit.local.support import LocalCase

STATUS: dict[str, Any] = {"logical_name": "aggregator1", "ready": True, "state": "ready", "startup": []}


def link(name: str, **more: object) -> dict[str, object]:
    """A connection as the API shows it."""
    return {"logical_name": name, "type": "c", "validated": True, **more}


class Readiness(LocalCase):
    """`missing`, `wait_until_ready`"""

    def setUp(self) -> None:
        """An API that answers what stands in `self.answers`."""
        super().setUp()
        self.answers: dict[str, object] = {
            "/api/v1/status": STATUS,
            "/api/v1/connections": [link("git1"), link("workflow1")],
        }
        self.asked: list[str] = []
        self.patch(urllib.request, "urlopen", self.urlopen)

    def urlopen(self, url: str, timeout: float) -> io.BytesIO:
        """Stands in for urllib's."""
        self.asked.append(url)
        answer = self.answers[url.removeprefix("http://127.0.0.1:9203")]
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

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
            self.answers["/api/v1/status"] = answer
            self.assertIn("127.0.0.1:9203", self.missing())

    def test_it_starts(self) -> None:
        """The step, and its trouble."""
        step = {"step": "secret", "trouble": "no answer"}
        self.answers["/api/v1/status"] = {**STATUS, "ready": False, "state": "starting: secret", "startup": [step]}
        self.assertEqual(self.missing(), "the aggregator is starting: secret (secret: no answer)")

    def test_somebody_else(self) -> None:
        """An aggregator of another name is not ours."""
        self.answers["/api/v1/status"] = {**STATUS, "logical_name": "other"}
        self.assertIn("other", self.missing())

    def test_connectors_that_are_not_there(self) -> None:
        """They are named; one that is linked but not validated, or no connector, is not there."""
        self.answers["/api/v1/connections"] = [link("git1", validated=False), link("workflow1", type="cl")]
        self.assertEqual(self.missing(), "not linked to the aggregator: git1, workflow1")
        self.answers["/api/v1/connections"] = urllib.error.URLError("gone")
        self.assertIn("git1", self.missing())

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
