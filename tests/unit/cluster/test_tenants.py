"""Who the tenants are, and their databases: opened when used, reopened when their address changes, closed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cluster.tenants import TenantDatabase, Tenants
from gandalf.store.errors import DatabaseUnavailable, NotFound
from gandalf.store.migrate import migrate
from gandalf.store.tenants import Tenant
from gandalf.store.testing import FakeDatabase
from gandalf.store.trace import TraceRecord


def work_txn(connection: Connection, number: int) -> int:
    """What is run in a tenant's database."""
    return number


class Opened(FakeDatabase):
    """A database that was opened at ``dsn``."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.dsn = dsn
        self.closed = False
        self.migrating: Deferred[None] = succeed(None)
        self.calls: list[tuple[Any, ...]] = []

    def call(self, name: str, function: Any, *args: Any) -> Deferred[None]:
        """Migrations."""
        self.calls.append((function, *args))
        return self.migrating

    def close(self) -> Deferred[None]:
        """Note it."""
        self.closed = True
        return succeed(None)


class ControlDatabase(FakeDatabase):
    """The control database."""

    dsn = "postgresql://control/gandalf"


class TenantsCase(SynchronousTestCase):
    """Databases in memory."""

    def setUp(self) -> None:
        self.fake = ControlDatabase()
        self.control: Any = self.fake
        self.opened: list[Opened] = []
        self.migrating: Deferred[None] = succeed(None)

    def open(self, dsn: str) -> Any:
        """Open a database."""
        database = Opened(dsn)
        database.migrating = self.migrating
        self.opened.append(database)
        return database

    def address(self, dsn: str) -> None:
        """The control database names the tenant's."""
        self.fake.asked.pop(0).answer.callback(dsn)


class TenantDatabaseTest(TenantsCase):
    """One tenant's database."""

    def setUp(self) -> None:
        super().setUp()
        self.database = TenantDatabase("t", self.control, self.open)

    def test_opened_when_used(self) -> None:
        """At the first use, once for all that wait; its tables are brought up to date before."""
        self.migrating = Deferred()
        first, second = self.database.run("w", work_txn, 1), self.database.run("w", work_txn, 2)
        self.assertEqual([asked.args for asked in self.fake.asked], [("t", ControlDatabase.dsn)])
        self.address("one")
        (opened,) = self.opened
        self.assertEqual(opened.calls, [(migrate, "one", "tenant")])
        self.assertEqual(opened.asked, [])
        self.migrating.callback(None)
        self.assertEqual([asked.args for asked in opened.asked], [(1,), (2,)])
        opened.asked[0].answer.callback(11)
        self.assertEqual(self.successResultOf(first), 11)
        self.assertNoResult(second)
        self.database.run("w", work_txn, 3)
        self.assertEqual((len(opened.asked), self.fake.asked), (3, []))

    def test_cannot_be_opened(self) -> None:
        """All that wait fail; the next use tries again; a database that was half opened is closed."""
        waiting = self.database.run("w", work_txn, 1)
        self.fake.asked.pop().answer.errback(NotFound("no such tenant"))
        self.failureResultOf(waiting, NotFound)
        self.migrating = Deferred()
        waiting = self.database.run("w", work_txn, 1)
        self.address("one")
        self.migrating.errback(DatabaseUnavailable("away"))
        self.failureResultOf(waiting, DatabaseUnavailable)
        self.assertTrue(self.opened[0].closed)
        self.database.run("w", work_txn, 1)
        self.assertEqual(len(self.fake.asked), 1)

    def fail_once(self) -> None:
        """The database is opened, and then away."""
        failing = self.database.run("w", work_txn, 1)
        self.address("one")
        self.opened[0].asked.pop().answer.errback(DatabaseUnavailable("password authentication failed"))
        self.failureResultOf(failing, DatabaseUnavailable)

    def test_address_has_changed(self) -> None:
        """After it was away its address is asked for again, and used when it is another."""
        self.fail_once()
        self.database.run("w", work_txn, 2)
        self.address("two")
        self.assertEqual([(each.dsn, each.closed) for each in self.opened], [("one", True), ("two", False)])
        self.assertEqual([asked.args for asked in self.opened[1].asked], [(2,)])
        self.database.run("w", work_txn, 3)
        self.assertEqual(self.fake.asked, [])

    def test_address_is_the_same(self) -> None:
        """If it is the same, the database stays."""
        self.fail_once()
        self.database.run("w", work_txn, 2)
        self.address("one")
        self.assertEqual([(each.dsn, each.closed) for each in self.opened], [("one", False)])
        self.assertEqual([asked.args for asked in self.opened[0].asked], [(2,)])

    def test_close(self) -> None:
        """Nothing is run any more, whether it was open, being opened, or neither."""
        self.database.run("w", work_txn, 1)
        self.address("one")
        self.successResultOf(self.database.close())
        self.assertTrue(self.opened[0].closed)
        self.failureResultOf(self.database.run("w", work_txn, 2), DatabaseUnavailable)
        opening = TenantDatabase("t", self.control, self.open)
        waiting = opening.run("w", work_txn, 1)
        self.successResultOf(opening.close())
        self.failureResultOf(waiting, DatabaseUnavailable)
        self.successResultOf(TenantDatabase("t", self.control, self.open).close())


class TenantsTest(TenantsCase):
    """All of them."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.held: list[tuple[str, bool]] = []
        self.tenants = Tenants(
            self.control, self.clock, lambda name, hold: self.held.append((name, hold)), open_database=self.open
        )

    def found(self, *names: str, unready: str = "") -> None:
        """The control database lists these."""
        listed = [Tenant(name, name, 0, name != unready) for name in names]
        self.fake.asked.pop(0).answer.callback(listed)

    def test_known(self) -> None:
        """One that is not known is looked up for who asks again, once at a time; one that is not ready is none."""
        self.assertFalse(self.tenants.known("t"))
        self.assertFalse(self.tenants.known("u"))
        self.assertEqual(len(self.fake.asked), 1)
        self.found("t", "u", unready="u")
        self.assertTrue(self.tenants.known("t"))
        self.assertEqual(self.tenants.names, frozenset({"t"}))
        self.assertFalse(self.tenants.known("u"))
        self.assertEqual(len(self.fake.asked), 1)

    def test_exists(self) -> None:
        """One that is not known is looked up before it is said to be none; one that is known is not."""
        asking = ensureDeferred(self.tenants.exists("t"))
        self.assertNoResult(asking)
        self.found("t", "u", unready="u")
        self.assertTrue(self.successResultOf(asking))
        self.assertTrue(self.successResultOf(ensureDeferred(self.tenants.exists("t"))))
        self.assertEqual(self.fake.asked, [])
        asking = ensureDeferred(self.tenants.exists("u"))
        self.found("t", "u", unready="u")
        self.assertFalse(self.successResultOf(asking))
        asking = ensureDeferred(self.tenants.exists("v"))
        self.fake.asked.pop().answer.errback(DatabaseUnavailable("away"))
        self.failureResultOf(asking, DatabaseUnavailable)

    def test_cannot_be_looked_up(self) -> None:
        """A database that is away leaves what was known, and is asked again."""
        self.tenants.refresh()
        self.found("t")
        self.tenants.refresh()
        self.fake.asked.pop().answer.errback(DatabaseUnavailable("away"))
        self.assertTrue(self.tenants.known("t"))
        self.tenants.refresh()
        self.assertEqual(len(self.fake.asked), 1)

    def test_get(self) -> None:
        """Each has one database and one trace; getting it opens nothing."""
        self.assertIs(self.tenants.get("t"), self.tenants.get("t"))
        self.assertIsNot(self.tenants.get("t"), self.tenants.get("u"))
        self.assertEqual((self.fake.asked, [each.name for each in self.tenants]), ([], ["t", "u"]))

    def test_trace(self) -> None:
        """A record goes to the tenant's own database."""
        done: list[Exception | None] = []
        self.tenants.get("t").recorder.record(TraceRecord(uuid=b"u" * 16, kind="evt"), done.append)
        self.assertEqual(self.tenants.queued, 1)
        self.address("one")
        self.opened[0].asked.pop().answer.callback(None)
        self.assertEqual((done, self.tenants.queued), ([None], 0))

    def test_flush(self) -> None:
        """What is left is written; what is not written in time is given up, and counted."""
        done: list[Exception | None] = []
        for name in ("t", "u"):
            self.tenants.get(name).recorder.record(TraceRecord(uuid=b"u" * 16, kind="evt"), done.append)
        self.address("one")
        self.fake.asked.pop().answer.errback(DatabaseUnavailable("away"))
        flushing = ensureDeferred(self.tenants.flush(5.0))
        self.opened[0].asked.pop().answer.callback(None)
        self.assertNoResult(flushing)
        self.clock.advance(0.05)
        self.assertNoResult(flushing)
        self.clock.advance(4.95)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(flushing), 1)
        self.fake.asked.pop().answer.errback(DatabaseUnavailable("still away"))
        self.assertEqual([type(error) for error in done], [type(None), DatabaseUnavailable])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.successResultOf(ensureDeferred(self.tenants.flush(0.0))), 0)

    def test_flush_counts_what_is_left(self) -> None:
        """Not what was written while there was time."""
        for number in range(3):
            record = TraceRecord(uuid=bytes([number]) * 16, kind="evt")
            self.tenants.get("t").recorder.record(record, lambda error: None)
        self.address("one")
        flushing = ensureDeferred(self.tenants.flush(5.0))
        self.opened[0].asked.pop().answer.callback(None)
        self.opened[0].asked.pop().answer.errback(DatabaseUnavailable("away"))
        self.clock.advance(5.0)
        self.assertEqual(self.successResultOf(flushing), 2)

    def test_close(self) -> None:
        """Every database is closed."""
        self.tenants.get("t").database.run("w", work_txn, 1)
        self.tenants.get("u")
        self.address("one")
        self.successResultOf(ensureDeferred(self.tenants.close()))
        self.assertTrue(self.opened[0].closed)
