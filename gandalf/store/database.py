"""`Database`: the one place through which SQL is run.

SQL lives in synchronous functions named `*_txn`, which take a `sqlalchemy.Connection` inside a transaction.
They must be repeatable: one that met a serialization failure or a deadlock is run again from its start.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import psycopg2
import psycopg2.extensions
from sqlalchemy import Connection, Engine, create_engine, exc, text
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from . import dsn as dsns
from .errors import READ_ONLY, RETRYABLE, StoreError, sqlstate, translate

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 5


class ThreadPool(Protocol):
    """What is used of `twisted.python.threadpool.ThreadPool`."""

    def callInThreadWithCallback(
        self,
        onResult: Callable[..., Any] | None,  # noqa: N803  (Twisted's name)
        func: Callable[..., Any],
        *args: Any,
        **kw: Any,
    ) -> object: ...


# The server keeps to the statement timeout; of one that vanished without a word, as when its cable is cut, only the
# kernel can tell, and by itself it does so after a quarter of an hour to two hours.
SILENCE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""When a connection is dead: s without a word, s between the questions then, how many; ms that what was sent may be
unacknowledged."""


def connect(dsn: str, *, connect_timeout_s: int, statement_timeout_ms: int) -> psycopg2.extensions.connection:
    """A new driver connection to `dsn`; 0 switches a timeout off."""
    parameters: dict[str, Any] = {**SILENCE, **dsns.parse(dsn)}
    options = f"{parameters.pop('options', '')} -c statement_timeout={statement_timeout_ms}".strip()
    parameters.setdefault("connect_timeout", connect_timeout_s)
    parameters.setdefault("application_name", "gandalf")
    connection: psycopg2.extensions.connection = psycopg2.connect(**parameters, options=options)
    return connection


class Database:
    """A PostgreSQL (or CockroachDB) database, used from the reactor without blocking it.

    `dsn` is a libpq URI. `reactor` brings results back from the threads; `threadpool` is the reactor's own
    unless another is given. At most `pool_size` connections are open; one that broke while idle is replaced
    without an error. `statement_timeout_ms` and `connect_timeout_s` bound what one statement and one attempt
    to connect may take, `checkout_timeout_s` how long a function waits for a free connection.
    """

    _log = Logger()

    def __init__(
        self,
        dsn: str,
        *,
        reactor: IReactorFromThreads,
        threadpool: ThreadPool | None = None,
        pool_size: int = 5,
        statement_timeout_ms: int = 30_000,
        connect_timeout_s: int = 5,
        checkout_timeout_s: float = 10.0,
    ) -> None:
        dsns.parse(dsn)
        self.dsn = dsn
        self._reactor: Any = reactor
        self._threadpool = threadpool
        self._closed = False
        self._engine: Engine = create_engine(
            "postgresql+psycopg2://",
            creator=lambda: connect(
                dsn, connect_timeout_s=connect_timeout_s, statement_timeout_ms=statement_timeout_ms
            ),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=checkout_timeout_s,
            pool_pre_ping=True,
        )

        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    def __repr__(self) -> str:
        return f"<Database {dsns.masked(self.dsn)}>"

    def run(
        self, name: str, txn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Run `txn(connection, *args)` in a transaction in a thread; `name` is for errors and logs.

        It is committed when `txn` returns and rolled back when it raises; after SQLSTATE 40001 and 40P01 it
        is run again, at most five times in all. Fails with `DatabaseUnavailable`, `DatabaseTimeout`,
        `Conflict`, `QueryFailed`, or what `txn` raised. A thread cannot be stopped: cancelling waits until
        it is done (what it did may stay), then fails with `CancelledError`.
        """
        return self._work(name, self._engine.begin, lambda connection: txn(connection, *args, **kwargs))

    def read(
        self, name: str, txn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """As `run`, for what only reads: without the two round trips that a transaction costs around it.

        Each statement sees what is committed when it begins, as it does in a transaction of the default isolation.
        """
        return self._work(name, self._reading.connect, lambda connection: txn(connection, *args, **kwargs))

    def call(self, name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run a function that opens its own connections in a thread; errors and cancellation as in `run`."""
        pool: Any = self._threadpool if self._threadpool is not None else self._reactor.getThreadPool()
        return uncancelled(
            deferToThreadPool(self._reactor, pool, _translating, name, lambda: function(*args, **kwargs))
        )

    def check(self) -> Deferred[None]:
        """Fires when the database answers; fails with `DatabaseUnavailable` when it does not."""
        return self.run("check", _check_txn)

    def close(self) -> Deferred[None]:
        """Close every connection; what runs is finished first, what is asked later fails."""
        self._closed = True
        return self.call("close", self._engine.dispose)

    def _work(
        self, name: str, connected: Callable[[], AbstractContextManager[Connection]], txn: Callable[[Connection], T]
    ) -> Deferred[T]:
        return self.call(name, self._transact, name, connected, txn)

    def _transact(
        self, name: str, connected: Callable[[], AbstractContextManager[Connection]], txn: Callable[[Connection], T]
    ) -> T:
        if self._closed:
            raise StoreError(f"{name}: the database connection was closed")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with connected() as connection:
                    return _run_txn(connection, txn)
            # What is copied does not pass through SQLAlchemy: the driver's own errors come out of that.
            except (exc.DBAPIError, psycopg2.Error) as error:
                if sqlstate(error) not in RETRYABLE or attempt == ATTEMPTS:
                    raise
                self._log.debug("{name}: once more after SQLSTATE {state}", name=name, state=sqlstate(error))
        raise AssertionError("unreachable")


def _run_txn(connection: Connection, txn: Callable[[Connection], T]) -> T:
    """Run `txn`; a connection that led to a server which only reads is not used again, but made anew."""
    try:
        return txn(connection)
    except (exc.DBAPIError, psycopg2.Error) as error:
        if sqlstate(error) == READ_ONLY:
            connection.invalidate()
        raise


def _translating(name: str, function: Callable[[], T]) -> T:
    try:
        return function()
    except (exc.SQLAlchemyError, psycopg2.Error) as error:
        # `from None`: the driver's error quotes the statement and its values.
        raise translate(error, name) from None


def uncancelled(work: Deferred[T]) -> Deferred[T]:
    """The result of `work`, but when cancelled it waits for `work` and then fails with `CancelledError`."""
    cancelled = False

    def cancel(outer: Deferred[T]) -> None:
        nonlocal cancelled
        cancelled = True
        outer.pause()
        outer.errback(CancelledError())

    def finished(result: T | Failure) -> None:
        if cancelled:
            outer.unpause()
        else:
            outer.callback(result)

    outer: Deferred[T] = Deferred(cancel)
    work.addBoth(finished)
    return outer


def _check_txn(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))
