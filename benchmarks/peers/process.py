"""The programs of others: started on loopback in a directory of their own, and ended."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil


class Absent(Exception):
    """The program is not installed; the message says where it was looked for."""


def find(program: str) -> str:
    """The path of an installed program.

    :raises Absent: it is on no directory of PATH, nor where Debian puts servers.
    """
    path = shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
    if path is None:
        raise Absent(f"{program} is not installed")
    return path


class Server:
    """A process that listens; what it says goes to a file."""

    def __init__(
        self, command: Sequence[str | Path], directory: Path, name: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = directory / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env={**os.environ, **(environment or {})},
            )

    def listening(self, port: int, timeout: float = 60.0) -> None:
        """Wait until it accepts connections.

        :raises RuntimeError: it does not, with what it said.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"nothing listens on port {port}: {self.log.read_text(errors='replace')[-2000:]}")

    def end(self) -> None:
        """End it, and what it started."""
        if self.process.poll() is None:
            children = psutil.Process(self.process.pid).children(recursive=True)
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            for child in psutil.wait_procs(children, 5)[1]:
                child.kill()


class Servers:
    """Servers that end together, and their directory."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="gandalf-bench-")
        self.directory = Path(self._temporary.name)
        self.all: list[Server] = []

    def start(
        self, command: Sequence[str | Path], name: str, port: int, environment: Mapping[str, str] | None = None
    ) -> Server:
        """Start one and wait until it listens."""
        server = Server(command, self.directory, name, environment)
        self.all.append(server)
        server.listening(port)
        return server

    def pids(self) -> list[int]:
        """Of their processes."""
        return [server.process.pid for server in self.all]

    def tree(self) -> list[int]:
        """Of their processes and of all that those started."""
        found = []
        for server in self.all:
            process = psutil.Process(server.process.pid)
            found += [process.pid, *(child.pid for child in process.children(recursive=True))]
        return found

    def close(self) -> None:
        """End them all."""
        for server in reversed(self.all):
            server.end()
        self._temporary.cleanup()
