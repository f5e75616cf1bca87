"""The supervisord of the local network: started in the background, asked, and ended, by its socket under var/."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import xmlrpc.client
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from supervisor.xmlrpc import Faults, SupervisorTransport

from gandalf.local.errors import LocalError
from gandalf.local.places import Places
from gandalf.local.waiting import until

STARTED_WITHIN_S = 20.0
ENDED_WITHIN_S = 60.0
_SOCKET_PATH = 95  # of the 107 bytes that Linux allows; supervisord adds its process id for a moment
_LOG_TAIL = 15


@attrs.frozen
class Process:
    """A program as supervisord sees it. `state` is a word: STOPPED, STARTING, RUNNING, BACKOFF, FATAL, ..."""

    name: str
    state: str
    description: str

    @property
    def failed(self) -> bool:
        """Whether it ended by itself while starting."""
        return self.state in ("BACKOFF", "FATAL", "EXITED", "UNKNOWN")


class Supervisor:
    """The supervisord of `places`. The working directory must be `places.root` (see `_short`)."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._url = f"unix://{_short(places.socket, places)}"

    @property
    def _rpc(self) -> Any:
        # A new connection each time: one that broke once is of no use any more.
        transport = SupervisorTransport(None, None, self._url)
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def pid(self) -> int | None:
        """Its process id, None when it does not run, or is just ending."""
        try:
            return int(self._rpc.getPID())
        except (OSError, http.client.HTTPException):
            return None
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == Faults.SHUTDOWN_STATE:
                return None
            raise

    def launch(self, environment: Mapping[str, str]) -> None:
        """Start it in the background, in a session of its own; done when it answers.

        Raises `LocalError` with what it said, when it does not.
        """
        places = self._places
        places.log.mkdir(parents=True, exist_ok=True)
        said = places.log / "supervisord.out"
        configuration = _short(places.configuration / "supervisord-local.conf", places)
        with said.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", configuration],
                cwd=places.root,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def answers() -> bool:
            if process.poll() is not None:
                raise LocalError(f"supervisord could not be started:\n{_tail(said)}")
            return self.pid() is not None

        if not until(answers, STARTED_WITHIN_S):
            raise LocalError(f"supervisord did not answer within {STARTED_WITHIN_S:.0f} s:\n{_tail(said)}")

    def processes(self) -> dict[str, Process]:
        """Its programs by name."""
        answer: list[dict[str, str]] = self._rpc.getAllProcessInfo()
        return {
            each["name"]: Process(each["name"], each["statename"], each["spawnerr"] or each["description"])
            for each in answer
        }

    def start(self, program: str) -> None:
        """Start a program, unless it is; its success shows in its state."""
        with suppress(xmlrpc.client.Fault):
            self._rpc.startProcess(program, False)

    def check(self, *programs: str) -> None:
        """Raise `LocalError` with the end of its log, when one of `programs` has failed."""
        processes = self.processes()
        for name in programs:
            process = processes[name]
            if process.failed:
                log = self._places.log / f"{name}.log"
                raise LocalError(
                    f"the program {name} failed ({process.state}: {process.description});"
                    f" the end of {log}:\n{_tail(log)}"
                )

    def end(self) -> bool:
        """Stop all programs, then supervisord; returns whether it was running.

        Raises `LocalError` when it takes too long.
        """
        pid = self.pid()
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        if not until(lambda: not is_alive(pid), ENDED_WITHIN_S):
            raise LocalError(f"supervisord (process {pid}) has not ended within {ENDED_WITHIN_S:.0f} s")
        return True


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asked after does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # ended just now, or a system without /proc
        return not Path("/proc/self/stat").exists()


def _short(path: Path, places: Places) -> str:
    """`path`, in a form that leaves room for the address of a Unix socket however deep the directory lies.

    supervisord derives its socket's path from that of its configuration. Both forms mean the same file, as long
    as the working directory is `places.root`.
    """
    if len(os.fsencode(places.socket)) <= _SOCKET_PATH or not Path("/proc/self/cwd").exists():
        return str(path)
    return f"/proc/self/cwd/{path.relative_to(places.root)}"


def _tail(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        return f"  (no log: {error.strerror})"
    return "\n".join(f"  {line}" for line in lines[-_LOG_TAIL:]) or "  (empty)"
