"""Running `*_txn` functions from programs that have no reactor: commands that do one thing and end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg2
from sqlalchemy import Connection, NullPool, create_engine, exc

from .database import connect
from .errors import translate

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 30_000


@contextlib.contextmanager
def transaction(dsn: str, name: str) -> Iterator[Connection]:
    """A transaction in the database `dsn` (a libpq URI), committed when the block ends without an error.

    It blocks. `name` is for errors, which are those of `errors`. Nothing is tried again.
    """
    engine = create_engine(
        "postgresql+psycopg2://",
        creator=lambda: connect(dsn, connect_timeout_s=CONNECT_TIMEOUT_S, statement_timeout_ms=STATEMENT_TIMEOUT_MS),
        poolclass=NullPool,
    )
    try:
        with engine.begin() as connection:
            yield connection
    except (exc.SQLAlchemyError, psycopg2.Error) as error:
        raise translate(error, name) from None
