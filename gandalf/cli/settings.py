"""The settings of the command `gandalf`: found by themselves, see conf/operator.toml."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from gandalf.cli.errors import USAGE, CommandEnd
from gandalf.config import ConfigurationError, OperatorConfig, load

FILE = Path("var") / "operator.toml"


def find(named: str | None, directory: Path, prefix: Path) -> Path:
    """The file named, else the nearest `var/operator.toml` of `directory` and those above it, else that beside
    the virtual environment `prefix`.

    Raises `CommandEnd` when there is none.
    """
    if named:
        return Path(named)
    for place in _places(directory, prefix):
        if (place / FILE).is_file():
            return place / FILE
    raise CommandEnd(
        f"no settings: there is no {FILE} in {directory} or above it. Make one with `make run`,"
        " or name another by --settings or the variable GANDALF_OPERATOR (conf/operator.toml tells its keys)",
        USAGE,
    )


def settings(named: str | None, environment: Mapping[str, str] = os.environ) -> OperatorConfig:
    """The settings in force. Raises `CommandEnd`."""
    path = find(named, Path.cwd(), Path(sys.prefix))
    try:
        return load(OperatorConfig, path, environment)
    except ConfigurationError as error:
        raise CommandEnd(str(error), USAGE) from None


def _places(directory: Path, prefix: Path) -> Iterator[Path]:
    yield directory
    yield from directory.parents
    yield prefix.parent
