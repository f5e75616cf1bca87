"""The control database, for those who look after the cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from gandalf.cli.errors import FAILED, REFUSED, USAGE, CommandEnd

F = TypeVar("F", bound=Callable[..., Any])


def database_option(function: F) -> F:
    """The option `--database`."""
    return click.option(
        "--database",
        metavar="URI",
        envvar="GANDALF_DATABASE",
        help="The control database, as libpq URI. Default: database_file of the settings."
        " [variable GANDALF_DATABASE, where others cannot read the password]",
    )(function)


def control_database(database: str | None, named: str | None) -> str:
    """The URI given, else that of the settings' `database_file`. Raises `CommandEnd`."""
    if database:
        return database
    from gandalf.cli.settings import settings

    path = settings(named).operator.database_file
    if path is None:
        raise CommandEnd(
            "no control database: give --database, the variable GANDALF_DATABASE, or database_file in the settings",
            USAGE,
        )
    return path.read_text("utf-8").strip()


@contextmanager
def told() -> Iterator[None]:
    """Errors of the store as they are told to people."""
    from gandalf.store.errors import DatabaseUnavailable, InvalidName, StoreError

    try:
        yield
    except InvalidName as error:
        raise CommandEnd(str(error), USAGE) from None
    except DatabaseUnavailable as error:
        raise CommandEnd(f"the control database cannot be reached: {error}", REFUSED) from None
    except StoreError as error:
        raise CommandEnd(str(error), FAILED) from None
