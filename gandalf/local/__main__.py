"""`python -m gandalf.local start` and `stop`, which `make run` and `make stop` call."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from gandalf.config import ConfigurationError
from gandalf.local.errors import LocalError
from gandalf.local.places import Places
from gandalf.local.start import start, stop
from gandalf.store.embedded import EmbeddedError
from gandalf.store.errors import StoreError

EXPECTED = (LocalError, ConfigurationError, StoreError, EmbeddedError, OSError)
_SUPERVISOR_ANSWERS_WITHIN_S = 30.0


@click.group()
def main() -> None:
    """The local network: all programs of a checkout, in the background, with their state under var/."""
    socket.setdefaulttimeout(_SUPERVISOR_ANSWERS_WITHIN_S)


@main.command(name="start")
def start_command() -> None:
    """Start what does not run; return when all is ready."""
    try:
        start(Places(Path.cwd()), os.environ, click.echo)
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None


@main.command(name="stop")
def stop_command() -> None:
    """End it; return when all has ended."""
    try:
        stop(Places(Path.cwd()), click.echo)
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main(prog_name="python -m gandalf.local")
