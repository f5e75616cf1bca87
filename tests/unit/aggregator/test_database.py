"""The tenant's database as the cluster names it: which address is in use when several are named."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from gandalf.aggregator import database
from gandalf.store.errors import DatabaseUnavailable


class FakeConnections:
    """Stands for a database: connected, or not, when the test says so."""

    made: list[FakeConnections]

    def __init__(self, dsn: str, **settings: object) -> None:
        self.dsn = dsn
        self.closed = False
        self.looked_at: Deferred[bool] = Deferred()
        self.made.append(self)

    def run(self, name: str, txn: Any) -> Deferred[bool]:
        """The schema is looked at."""
        return self.looked_at

    def close(self) -> Deferred[None]:
        """Remembered."""
        self.closed = True
        return succeed(None)


class TenantDatabaseTests(SynchronousTestCase):
    """Addresses named one after the other."""

    def setUp(self) -> None:
        """Nothing is connected."""
        FakeConnections.made = []
        self.patch(database, "Database", FakeConnections)
        self.database = database.TenantDatabase(None, connections=1, statement_timeout=1000)

    def use(self, dsn: str) -> tuple[Deferred[None], FakeConnections]:
        """An address that is not connected yet."""
        using = ensureDeferred(self.database.use(dsn))
        return using, FakeConnections.made[-1]

    def test_the_latest_is_used(self) -> None:
        """One that takes longer to connect than the one named after it does not take its place."""
        using_old, old = self.use("postgresql://old")
        using_new, new = self.use("postgresql://new")
        new.looked_at.callback(True)
        self.successResultOf(using_new)
        old.looked_at.callback(True)
        self.failureResultOf(using_old, DatabaseUnavailable)
        self.assertIs(self.database.current, new)
        self.assertEqual((self.database.dsn, old.closed, new.closed), ("postgresql://new", True, False))

    def test_the_one_in_use_is_named_again(self) -> None:
        """It stays in use, whatever was named in between."""
        using, first = self.use("postgresql://first")
        first.looked_at.callback(True)
        self.successResultOf(using)
        using, other = self.use("postgresql://other")
        self.successResultOf(self.use("postgresql://first")[0])
        other.looked_at.callback(True)
        self.failureResultOf(using, DatabaseUnavailable)
        self.assertIs(self.database.current, first)
        self.assertFalse(first.closed)
