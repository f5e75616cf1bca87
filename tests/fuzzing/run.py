"""Runs schemathesis against one face of a running aggregator's API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any, Final

import attrs

ROOT: Final = Path(__file__).resolve().parents[2]
FACES: Final = ("/api/v1", "/ditrit/Gandalf/1.0.0")
PHASES: Final = ("examples", "coverage", "fuzzing", "stateful")

ENDLESS: Final = "EventsAPI.stream"
"""The operation that is left out: its answer has no end. Tests of its own look at it."""


@attrs.frozen
class Account:
    """An administrator of a tenant, at the API of its aggregator at `url`."""

    url: str
    email: str
    password: str = attrs.field(repr=False)

    def token(self) -> str:
        """Log in."""
        answer = self._json("/login", body={"email": self.email, "password": self.password})
        token: str = answer["token"]
        return token

    def kept(self, token: str) -> list[str]:
        """Ids of what a test may not take away from itself: see `tests.fuzzing.hooks`."""
        instance = self._json("/status", token)["instance"]
        role = self._json("/roles?name=Administrator", token)["items"][0]["id"]
        administrators = self._json(f"/authorizations?role_id={role}", token)["items"]
        return [instance, role, *(each[key] for each in administrators for key in ("id", "user_id"))]

    def _json(self, path: str, token: str = "", *, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


@attrs.frozen
class Found:
    """How many cases were tried, how many failed, and what was said."""

    cases: int
    failures: int
    output: str


def fuzz(
    account: Account,
    face: str,
    *,
    examples: int,
    seed: int | None = None,
    phases: tuple[str, ...] = PHASES,
    mode: str = "all",
) -> Found:
    """All operations of a face, all checks; `examples` at most for each operation and phase. `mode` is which requests
    are made: `positive` ones, as the description has them, `negative` ones, or `all`."""
    token = account.token()
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.fuzzing.hooks",
        "GANDALF_KEPT": json.dumps(account.kept(token)),
        "PYTHONPATH": str(ROOT),
    }
    with tempfile.TemporaryDirectory(prefix="gandalf-fuzzing-") as directory:
        report = Path(directory) / "report.json"
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{account.url}{face}/openapi.json",
        ]
        command += ["-H", f"Authorization: Bearer {token}", "--checks", "all", "--continue-on-failure", "--no-color"]
        command += ["--exclude-operation-id", ENDLESS, "--request-timeout", "60", "--warnings", "off"]
        command += [
            "--mode",
            mode,
            "--max-examples",
            str(examples),
            "--phases",
            ",".join(phases),
            "--report-json-path",
            report,
        ]
        command += ["--generation-database", "none", *([] if seed is None else ["--seed", str(seed)])]
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        if not report.exists():
            return Found(0, 1, output)
        told = json.loads(report.read_text())
    counts = told["test_cases"]
    failures = counts["with_failures"] + counts["errored"] + len(told["errors"])
    if done.returncode and not failures:
        failures = 1
    return Found(counts["generated"], failures, output)
