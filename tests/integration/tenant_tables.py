"""A tenant's tables for tests of what is in them: one database for all, each test in a transaction rolled back."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from uuid import UUID

import psycopg2
from sqlalchemy import Connection, NullPool, create_engine, event, text
from twisted.trial.unittest import SynchronousTestCase

from gandalf.store.model import Model, Record, Value
from gandalf.store.models import DOMAIN, MODELS, TAG
from gandalf.store.rows import create_txn

from . import postgres

T = TypeVar("T")

_numbers = itertools.count(1)
_shared = functools.cache(postgres.create_tenant_tables)


@contextlib.contextmanager
def connected(dsn: str) -> Iterator[Connection]:
    """A connection of its own; what is not committed is rolled back."""
    engine = create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(dsn), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def plant(connection: Connection, model: Model, *, now: int = 0, **values: Value) -> Record:
    """Store a row; what is not given gets a value of its own, references lead to new rows, a tree's row is a root."""
    row: dict[str, Value] = {}
    for field in model.fields:
        number = next(_numbers)
        if field.column in values or (model.tree and field.refers):
            continue
        if field.refers:
            row[field.column] = plant(connection, MODELS[field.refers], now=now)["id"]
        else:
            own: dict[str, Value] = {"text": f"{field.key}{number}", "int8": number % 128, "bool": True}
            row[field.column] = own[field.type]
    return create_txn(connection, model, {**row, **values}, now=now)


def interleaved(
    connect: Callable[[], contextlib.AbstractContextManager[Connection]],
    first: Callable[[Connection], object],
    second: Callable[[Connection], T],
) -> T:
    """What `second` returns or raises in a transaction that starts when `first`'s has done all but commit.

    `first` commits when `second` waits for a lock, or is through.
    """
    outcome: list[T | Exception] = []
    started: list[int] = []

    def work() -> None:
        with connect() as connection:
            started.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            try:
                outcome.append(second(connection))
                connection.commit()
            except Exception as error:
                outcome.append(error)

    with connect() as connection, connect() as observer:
        first(connection)
        thread = threading.Thread(target=work)
        thread.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = :pid")
        while thread.is_alive():
            if started and observer.execute(waiting, {"pid": started[0]}).scalar_one():
                break
            thread.join(0.01)
        connection.commit()
        thread.join()
    (result,) = outcome
    if isinstance(result, Exception):
        raise result
    return result


class TenantTables(SynchronousTestCase):
    """Has a connection to a tenant's tables, which hold the two roots only."""

    def setUp(self) -> None:
        opened = connected(_shared())
        self.connection = opened.__enter__()
        self.addCleanup(opened.__exit__, None, None, None)
        self.root: UUID = plant(self.connection, DOMAIN, name="root")["id"]
        self.root_tag: UUID = plant(self.connection, TAG, name="root")["id"]

    def plant(self, model: Model, **values: Any) -> Record:
        """Store a row (see above); that of a tree is below the root if no parent is given."""
        if model.tree:
            values.setdefault("parent_id", self.root if model is DOMAIN else self.root_tag)
        return plant(self.connection, model, **values)

    @contextlib.contextmanager
    def queries(self) -> Iterator[list[str]]:
        """The statements that are run meanwhile."""
        statements: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            statements.append(statement)

        event.listen(self.connection, "before_cursor_execute", note)
        try:
            yield statements
        finally:
            event.remove(self.connection, "before_cursor_execute", note)
