"""Migrations on a real server."""

from __future__ import annotations

import threading

from sqlalchemy import text
from twisted.trial.unittest import TestCase

from gandalf.store.errors import DatabaseUnavailable, StoreError
from gandalf.store.migrate import History, Migrated, differences_txn, migrate
from tests.integration.ports import free_port

from . import postgres

HISTORIES: tuple[History, ...] = ("cluster", "tenant")


class MigrateTests(TestCase):
    """`migrate` on each of the histories."""

    def test_migrations_and_tables_agree(self) -> None:
        """After all migrations the database is what the tables say: Alembic finds nothing to add."""
        for history in HISTORIES:
            dsn = postgres.create_database()
            migrate(dsn, history)
            with postgres.transaction(dsn) as connection:
                self.assertEqual(differences_txn(connection, history), [], history)

    def test_a_difference_would_be_found(self) -> None:
        """The comparison above does compare: a table dropped is told."""
        dsn = postgres.create_tenant_tables()
        with postgres.transaction(dsn) as connection:
            connection.execute(text("DROP TABLE trace"))
            self.assertTrue(differences_txn(connection, "tenant"))

    def test_from_and_to(self) -> None:
        """It tells the revisions before and after; the second time nothing happens."""
        for history in HISTORIES:
            dsn = postgres.create_database()
            first = migrate(dsn, history)
            self.assertIsNone(first.before)
            self.assertEqual(migrate(dsn, history), Migrated(first.after, first.after))

    def test_both_in_one_database(self) -> None:
        """The histories do not see each other's tables or revisions."""
        dsn = postgres.create_database()
        for history in HISTORIES:
            migrate(dsn, history)
        for history in HISTORIES:
            with postgres.transaction(dsn) as connection:
                self.assertEqual(differences_txn(connection, history), [], history)

    def test_several_at_once(self) -> None:
        """Of several that start at once in an empty database one does the work, and all succeed."""
        dsn = postgres.create_database()
        results: list[Migrated | BaseException] = []

        def work() -> None:
            try:
                results.append(migrate(dsn, "cluster"))
            except BaseException as error:
                results.append(error)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        newest = migrate(dsn, "cluster").after
        self.assertEqual(
            sorted(map(repr, results)),
            sorted([repr(Migrated(None, newest)), *[repr(Migrated(newest, newest))] * 5]),
        )

    def test_tables_of_a_newer_version(self) -> None:
        """A program older than the tables says so, and leaves them as they are."""
        for history, table in (("cluster", "cluster.alembic_version"), ("tenant", "alembic_version")):
            dsn = postgres.create_database()
            migrate(dsn, history)  # type: ignore[arg-type]  # one of two
            with postgres.transaction(dsn) as connection:
                connection.execute(text(f"UPDATE {table} SET version_num = 'later'"))
            error = self.assertRaises(StoreError, migrate, dsn, history)
            self.assertNotIsInstance(error, DatabaseUnavailable)
            self.assertIn("'later'", str(error))

    def test_nobody_listens(self) -> None:
        """A database that is not there is `DatabaseUnavailable`."""
        dsn = f"postgresql://u:p@127.0.0.1:{free_port()}/d"
        self.assertRaises(DatabaseUnavailable, migrate, dsn, "tenant")
