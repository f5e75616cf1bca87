"""The tenant's database, as the cluster names it (protocol.md 6.4b and 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import succeed
from twisted.logger import Logger

from gandalf.store.database import Database
from gandalf.store.dsn import masked
from gandalf.store.errors import DatabaseUnavailable
from gandalf.store.revisions import tenant_is_current_txn

if TYPE_CHECKING:
    from gandalf.store.migrate import Migrated


class TenantDatabase:
    """Holds the connections in use; others take their place when the cluster names another address.

    :param connections: so many are open at most.
    :param statement_timeout: ms that one statement may take.
    """

    log = Logger()

    def __init__(self, reactor: Any, *, connections: int, statement_timeout: int) -> None:
        self._reactor = reactor
        self._connections = connections
        self._statement_timeout = statement_timeout
        self._current: Database | None = None
        self._named = ""
        """The address named last, which may not be connected yet."""
        self.dsn = ""

    @property
    def current(self) -> Database:
        """The database to be used now.

        :raises DatabaseUnavailable: none has been connected.
        """
        if self._current is None:
            raise DatabaseUnavailable("the cluster has not named the tenant's database yet")
        return self._current

    async def use(self, dsn: str) -> None:
        """Connect to ``dsn``, bring its schema up to date, then use it instead of what was used before.

        Nothing happens when it is in use already: every cluster member tells a change.

        :raises gandalf.store.errors.StoreError: that failed, or another was named meanwhile; what was used before
            stays in use.
        """
        self._named = dsn
        if self._current is not None and dsn == self.dsn:
            return
        database = Database(
            dsn,
            reactor=self._reactor,
            pool_size=self._connections,
            statement_timeout_ms=self._statement_timeout,
        )
        try:
            if not await database.run("look at the schema", tenant_is_current_txn):
                migrated = await database.call("bring the schema up to date", _migrate, dsn)
                self.log.info("schema brought from {before} to {after}", before=migrated.before, after=migrated.after)
            if self._named != dsn:
                raise DatabaseUnavailable("the cluster has named another address meanwhile")
        except Exception:
            await database.close()
            raise
        before, self._current, self.dsn = self._current, database, dsn
        self.log.info("database connected: {dsn}", dsn=masked(dsn))
        if before is not None:
            await before.close()

    async def close(self) -> None:
        """Let go of the database."""
        before, self._current = self._current, None
        await (before.close() if before is not None else succeed(None))


def _migrate(dsn: str) -> Migrated:
    # Loaded when it is needed: it takes longer to load than an aggregator to start.
    from gandalf.store.migrate import migrate

    return migrate(dsn, "tenant")
