"""The tenants that there are, and for each the database and the trace (protocol.md 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import attrs
from sqlalchemy import Connection
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    TimeoutError,
    ensureDeferred,
    fail,
    gatherResults,
    succeed,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from gandalf.cluster.recorder import MAX_BYTES, MAX_RECORDS, Recorder
from gandalf.store.database import Database
from gandalf.store.errors import DatabaseUnavailable
from gandalf.store.migrate import migrate
from gandalf.store.tenants import list_txn, tenant_dsn_txn
from gandalf.store.trace_writer import TraceWriter

P = ParamSpec("P")
T = TypeVar("T")

POOL_SIZE: Final = 3
"""Connections to one tenant's database at most."""

OpenDatabase = Callable[[str], Database]
"""Makes the database of a libpq URI."""


class TenantDatabase:
    """A tenant's database, opened and brought up to date when it is first used; has the ``run`` of `Database`.

    When the database cannot be reached its address is asked for again: its password may have been changed.
    """

    log = Logger()

    def __init__(self, tenant: str, control: Database, open_database: OpenDatabase) -> None:
        self._tenant = tenant
        self._control = control
        self._open_database = open_database
        self._database: Database | None = None
        self._doubtful = False
        self._closed = False
        self._opening: Deferred[None] | None = None
        self._waiters: list[Deferred[None]] = []

    def run(
        self, name: str, txn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """As `Database.run`; fails with its errors, also when the database cannot be opened."""
        if self._closed:
            return fail(DatabaseUnavailable(f"{name}: the database of tenant {self._tenant!r} was closed"))
        if self._database is None or self._doubtful:
            return self._opened().addCallback(lambda _: self._run(name, txn, *args, **kwargs))
        return self._run(name, txn, *args, **kwargs)

    def close(self) -> Deferred[None]:
        """Close every connection; what is run later fails."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        database, self._database = self._database, None
        return database.close() if database is not None else succeed(None)

    def _run(
        self, name: str, txn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        assert self._database is not None
        return self._database.run(name, txn, *args, **kwargs).addErrback(self._doubt)

    def _doubt(self, failure: Failure) -> Failure:
        if failure.check(DatabaseUnavailable):
            self._doubtful = True
        return failure

    def _opened(self) -> Deferred[None]:
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        if self._opening is None:
            self._opening = ensureDeferred(self._open())
            self._opening.addBoth(self._tell)
        return waiter

    async def _open(self) -> None:
        dsn = await self._control.run("address of a tenant", tenant_dsn_txn, self._tenant, self._control.dsn)
        before = self._database
        if before is not None and before.dsn == dsn:
            self._doubtful = False
            return
        database = self._open_database(dsn)
        try:
            await database.call("bring the tenant's tables up to date", migrate, dsn, "tenant")
        except BaseException:
            await database.close()
            raise
        self._database, self._doubtful = database, False
        self.log.info("the database of tenant {tenant} is open", tenant=self._tenant)
        if before is not None:
            await before.close()

    def _tell(self, result: Failure | None) -> None:
        self._opening = None
        waiters, self._waiters = self._waiters, []
        if isinstance(result, Failure) and result.check(CancelledError):
            result = Failure(DatabaseUnavailable(f"the database of tenant {self._tenant!r} was closed"))
        for waiter in waiters:
            if isinstance(result, Failure):
                waiter.errback(result)
            else:
                waiter.callback(None)


@attrs.frozen
class Tenant:
    """What a member holds of a tenant that has been used."""

    name: str
    database: TenantDatabase
    recorder: Recorder
    writer: TraceWriter


class Tenants:
    """Who they are, from the control database; and their databases, opened at first use.

    :param hold: told a tenant, and True when its trace cannot keep up, False when it can again.
    :param queued_records: records of one tenant that may wait for its database.
    :param queued_bytes: the same in bytes (:class:`gandalf.cluster.recorder.Recorder`).
    """

    log = Logger()

    def __init__(
        self,
        control: Database,
        reactor: Any,
        hold: Callable[[str, bool], None],
        *,
        open_database: OpenDatabase,
        queued_records: int = MAX_RECORDS,
        queued_bytes: int = MAX_BYTES,
    ) -> None:
        self._control = control
        self._reactor = reactor
        self._hold = hold
        self._open_database = open_database
        self._queued_records = queued_records
        self._queued_bytes = queued_bytes
        self._names: frozenset[str] = frozenset()
        self._used: dict[str, Tenant] = {}
        self._looking = False

    def __iter__(self) -> Iterator[Tenant]:
        return iter(list(self._used.values()))

    @property
    def names(self) -> frozenset[str]:
        """Every tenant that is ready, as far as known."""
        return self._names

    def known(self, name: str) -> bool:
        """Whether there is such a tenant; when not, it is looked up for whoever asks again."""
        if name in self._names:
            return True
        self.refresh()
        return False

    async def exists(self, name: str) -> bool:
        """Whether there is such a tenant, looked up when it is not known; raises as `Database.run`."""
        if name not in self._names:
            await self.load()
        return name in self._names

    def refresh(self) -> None:
        """Look up who there is."""
        if not self._looking:
            self._looking = True
            ensureDeferred(self.load()).addErrback(self._not_loaded).addBoth(self._looked)

    async def load(self) -> None:
        """Look up who there is; raises as `Database.run`."""
        tenants = await self._control.run("tenants", list_txn)
        self._names = frozenset(tenant.name for tenant in tenants if tenant.ready)

    def get(self, name: str) -> Tenant:
        """The database and trace of a tenant; nothing is opened before it is used."""
        tenant = self._used.get(name)
        if tenant is None:
            database = TenantDatabase(name, self._control, self._open_database)
            writer = TraceWriter(database, self._reactor)
            recorder = Recorder(
                writer,
                lambda hold: self._hold(name, hold),
                max_records=self._queued_records,
                max_bytes=self._queued_bytes,
            )
            tenant = self._used[name] = Tenant(name, database, recorder, writer)
        return tenant

    @property
    def queued(self) -> int:
        """Records that are not committed yet."""
        return sum(tenant.writer.queued for tenant in self._used.values())

    async def flush(self, seconds: float) -> int:
        """Write what is left of every trace, for at most so many ``seconds``; how many records were given up.

        The traces take no more records.
        """
        closing = [tenant.writer.close() for tenant in self._used.values()]
        for deferred in closing:
            deferred.addTimeout(seconds, self._reactor)
        given_up = 0
        for tenant, deferred in zip(list(self._used.values()), closing, strict=True):
            try:
                await deferred
            except TimeoutError:
                given_up += tenant.writer.given_up
        return given_up

    async def close(self) -> None:
        """Close every database."""
        await gatherResults([tenant.database.close() for tenant in self._used.values()])

    def _not_loaded(self, failure: Failure) -> None:
        failure.trap(DatabaseUnavailable)
        self.log.warn("the tenants cannot be looked up: {reason}", reason=failure.getErrorMessage())

    def _looked(self, result: object) -> object:
        self._looking = False
        return result
