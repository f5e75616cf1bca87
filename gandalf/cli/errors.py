"""How commands of `gandalf` end when they do not succeed: one text for people, one status for programs."""

from __future__ import annotations

import sys

import click

FAILED = 1
"""It was tried, and failed."""
USAGE = 2
"""The command line or the settings are wrong; nothing was tried."""
REFUSED = 3
"""It was refused, or not answered in time, or nobody can be reached."""
INTERRUPTED = 130
"""Ctrl-C."""


class CommandEnd(click.ClickException):
    """Ends the command with `message` on stderr and the given exit status."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance too

    def show(self, file: object = None) -> None:
        """Print it."""
        click.echo(click.style("gandalf: ", fg="red", bold=True) + self.message, file=sys.stderr)
