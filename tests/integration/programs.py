"""Starting the project's programs as an operator would, on free ports, and stopping what was started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def until(condition: Callable[[], Any], what: str, timeout: float = 20.0, log: Callable[[], str] = lambda: "") -> Any:
    """What ``condition`` gives once it is true; ``log`` tells more when it never is.

    :raises AssertionError: it never was.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {timeout} s: {what}\n{log()}")


class Program:
    """A ``twistd`` program with its configuration in a directory of its own."""

    def __init__(self, plugin: str, configuration: str, environment: dict[str, str] | None = None) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="gandalf-test-")
        self.plugin = plugin
        path = Path(self.directory.name)
        self._config = path / "config.toml"
        self._config.write_text(configuration)
        self._log = path / "log"
        self._environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Program:
        """Start it; what it says goes to its log."""
        twistd = [str(Path(sys.executable).parent / "twistd"), "--nodaemon", "--pidfile="]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*twistd, self.plugin, "--config", str(self._config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env=self._environment,
            )
        return self

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout: float = 20.0) -> int:
        """Its exit status."""
        assert self.process is not None
        return self.process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None and self.running:
            self.process.kill()
            self.process.wait()

    def end(self) -> None:
        """For ``addCleanup``: end it, and remove its directory."""
        if self.process is not None and self.running:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.directory.cleanup()


def get_json(port: int, path: str) -> Any:
    """What HTTP gives at ``path``; None while nothing answers there, or it says 503."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return json.load(response)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None
