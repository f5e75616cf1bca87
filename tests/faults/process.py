"""A program of the laboratory's network: started again and again, its lives and memory noted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from tests.integration.programs import ROOT

PAGE = os.sysconf("SC_PAGE_SIZE")


@attrs.define
class Life:
    """From when to when a process ran, in seconds of the monotonic clock, and how it ended.

    `asked`: the laboratory had it end. `rss`: (seconds, bytes) as sampled.
    """

    number: int
    began: float
    pid: int
    ended: float = float("inf")
    status: int | None = None
    asked: str = ""
    rss: list[tuple[float, int]] = attrs.field(factory=list)


class Process:
    """One program; `FAULTS_LIFE` tells it how often it was started."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self.lives: list[Life] = []
        self.stopped = False
        """By SIGSTOP."""
        self._command = list(command)
        self._popen: subprocess.Popen[bytes] | None = None
        self._over = False

    @property
    def life(self) -> Life:
        """The present one, or the latest."""
        return self.lives[-1]

    def start(self) -> None:
        """Begin another life, unless the run is over."""
        if self._over:
            return
        assert not self.running
        number = len(self.lives) + 1
        with self.log.open("ab") as log:
            log.write(f"=== life {number} at {time.monotonic():.3f}\n".encode())
            log.flush()
            self._popen = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "FAULTS_LIFE": str(number)},
            )
        self.stopped = False
        self.lives.append(Life(number, time.monotonic(), self._popen.pid))

    @property
    def running(self) -> bool:
        """Whether it is there; its end is noted when this is asked."""
        if self._popen is None:
            return False
        status = self._popen.poll()
        if status is None:
            return True
        if self.life.status is None:
            self.life.status, self.life.ended = status, min(time.monotonic(), self.life.ended)
        return False

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        if self.running and self._popen is not None:
            self.stopped = number == signal.SIGSTOP or (self.stopped and number != signal.SIGCONT)
            self._popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.ask("SIGKILL", signal.SIGKILL)
        if self._popen is not None:
            self._popen.wait()
        assert not self.running

    def end(self) -> None:
        """SIGKILL, and no other life."""
        self._over = True
        self.kill()

    def ask(self, why: str, number: signal.Signals) -> None:
        """Have it end."""
        self.asked(why)
        self.send(number)

    def asked(self, why: str) -> None:
        """It is about to be told to end."""
        if self.running and not self.life.asked:
            self.life.asked, self.life.ended = why, time.monotonic()

    def sample(self) -> None:
        """Note its memory."""
        if self.running:
            try:
                pages = int(Path(f"/proc/{self.life.pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                return
            self.life.rss.append((time.monotonic(), pages * PAGE))
