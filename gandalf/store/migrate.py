"""Bringing a database's tables up to date: two Alembic histories, `cluster` and `tenant`, run from the
program.

Processes that start at once take turns: a row of the table `migration_lock` is held FOR UPDATE during the
upgrade (advisory locks would not do: CockroachDB has none).
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Literal

import attrs
from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, NullPool, create_engine, exc, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.schema import CreateTable

from . import cluster_schema, tenant_schema
from .database import connect
from .errors import Conflict, StoreError, translate

History = Literal["cluster", "tenant"]

TIMEOUT_MS = 600_000  # a migration may take long, and waits for another process's
_METADATA: dict[History, MetaData] = {"cluster": cluster_schema.metadata, "tenant": tenant_schema.metadata}
# Alembic keeps the environment of the migration that runs in module globals.
_one_at_a_time = threading.Lock()


@attrs.frozen
class Migrated:
    """What a migration did: from one revision (None: an empty database) to another, or the same."""

    before: str | None
    after: str | None


def migrate(dsn: str, history: History) -> Migrated:
    """Bring the tables of `history` in the database `dsn` to the newest revision; nothing happens if they
    are.

    Blocking: from the reactor use `Database.call`. Raises `DatabaseUnavailable` and the other errors of
    `errors`; `StoreError` when the tables are of a newer version of this program.
    """
    engine = create_engine(
        "postgresql+psycopg2://",
        creator=lambda: connect(dsn, connect_timeout_s=10, statement_timeout_ms=TIMEOUT_MS),
        poolclass=NullPool,
    )
    try:
        _prepare(engine.begin, history)
        with _one_at_a_time, engine.begin() as connection:
            lock = _METADATA[history].tables[_qualified("migration_lock", history)]
            connection.execute(select(lock).with_for_update())
            before = revision_txn(connection, history)
            try:
                command.upgrade(_config(connection, history), "head")
            except CommandError as error:
                raise StoreError(
                    f"migration of {history}: {error}: the tables are at revision {before!r}; a program that does not"
                    " know it is older than the one that made them"
                ) from None
            return Migrated(before, revision_txn(connection, history))
    except exc.SQLAlchemyError as error:
        raise translate(error, f"migration of {history}") from None


def revision_txn(connection: Connection, history: History) -> str | None:
    """The revision that the tables of `history` are at; None in an empty database."""
    options = {"version_table_schema": _METADATA[history].schema}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def differences_txn(connection: Connection, history: History) -> list[Any]:
    """
    What Alembic's comparison finds between the database and the tables declared here; [] when they agree.
    """
    from alembic.autogenerate import compare_metadata

    migrations = MigrationContext.configure(connection, opts=_options(history))
    return list(compare_metadata(migrations, _METADATA[history]))


def run_history() -> None:
    """Run the migrations of Alembic's current command (called by the histories' `env.py`)."""
    attributes = context.config.attributes
    context.configure(connection=attributes["connection"], **_options(attributes["history"]))
    context.run_migrations()


def _prepare(begin: Any, history: History) -> None:
    """
    Make what the lock needs. CREATE ... IF NOT EXISTS of two at once fails for one of them, so it tries
    again.
    """
    metadata = _METADATA[history]
    lock = metadata.tables[_qualified("migration_lock", history)]
    for attempt in range(1, 6):
        try:
            with begin() as connection:
                if metadata.schema:
                    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {metadata.schema}"))
                connection.execute(CreateTable(lock, if_not_exists=True))
                connection.execute(insert(lock).values(id=1).on_conflict_do_nothing())
            return
        except exc.SQLAlchemyError as error:
            if attempt == 5 or not isinstance(translate(error, history), Conflict):
                raise


def _options(history: History) -> dict[str, Any]:
    metadata = _METADATA[history]

    def include(name: str | None, kind: str, parents: Any) -> bool:
        # The control database holds both histories: each sees its own schema only.
        return name == metadata.schema if kind == "schema" else True

    return {
        "target_metadata": metadata,
        "version_table_schema": metadata.schema,
        "include_schemas": metadata.schema is not None,
        "include_name": include,
    }


def _config(connection: Connection, history: History) -> Config:
    config = Config(attributes={"connection": connection, "history": history})
    place = Path(__file__).parent / "migrations" / history
    config.set_main_option("script_location", str(place).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _qualified(table: str, history: History) -> str:
    schema = _METADATA[history].schema
    return f"{schema}.{table}" if schema else table
