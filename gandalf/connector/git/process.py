"""Runs the git program, out of reach of anybody's configuration. Blocks: for worker threads only."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from gandalf.connector.network import CommandFailed

OLDEST: Final = (2, 30)
_MAX_MESSAGE: Final = 500
"""Characters of git's own words that an error repeats."""


def clean_environment(home: Path, search_path: str) -> dict[str, str]:
    """The whole environment of git: no system or user configuration but `home`'s, no prompts, English,
    UTC."""
    return {
        "PATH": search_path,
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_AUTHOR_NAME": "Gandalf",
        "GIT_AUTHOR_EMAIL": "gandalf@localhost",
        "GIT_COMMITTER_NAME": "Gandalf",
        "GIT_COMMITTER_EMAIL": "gandalf@localhost",
        "LC_ALL": "C",
        "TZ": "UTC",
    }


@attrs.frozen
class Git:
    """The git program, with the environment it is given and the seconds that one run of it may take."""

    program: str
    environment: Mapping[str, str]
    timeout: float

    def run(self, *arguments: str, stdin: str = "") -> str:
        """What git prints. Raises `CommandFailed`: `GIT_FAILED` with git's words, or `GIT_TIMEOUT`."""
        with subprocess.Popen(
            [self.program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.environment["HOME"],
            env=dict(self.environment),
            start_new_session=True,  # its own process group: what it started dies with it
        ) as process:
            try:
                output, errors = process.communicate(stdin.encode(), timeout=self.timeout)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise CommandFailed(
                        "GIT_TIMEOUT", f"git took longer than {self.timeout:g} s and was ended"
                    ) from None
                raise
        if process.returncode:
            said = errors.decode("utf-8", "replace").strip()[-_MAX_MESSAGE:]
            raise CommandFailed("GIT_FAILED", said or f"git ended with status {process.returncode}")
        return output.decode("utf-8", "replace")

    def check_version(self) -> None:
        """ValueError when there is no such program, or one older than `OLDEST`."""
        try:
            said = self.run("--version")
        except OSError as error:
            raise ValueError(f"options.git is {self.program!r}: cannot be run ({error.strerror})") from error
        version = re.search(r"(\d+)\.(\d+)", said)
        if version is None or (int(version[1]), int(version[2])) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise ValueError(f"options.git is {self.program!r}, {said.strip()!r}: must be git {oldest} or newer")
