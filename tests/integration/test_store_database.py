"""`Database` on a real server and in real threads."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import Connection, text
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import CancelledError, gatherResults
from twisted.trial.unittest import TestCase

from gandalf.store import dsn as dsns
from gandalf.store.database import Database
from gandalf.store.errors import Conflict, DatabaseTimeout, DatabaseUnavailable
from tests.integration.ports import free_port

from . import postgres

reactor: Any = global_reactor


def one_txn(connection: Connection) -> int:
    """The number 1, from the server."""
    return int(connection.execute(text("SELECT 1")).scalar_one())


def backend_txn(connection: Connection) -> int:
    """The process id of this connection's server process."""
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


class DatabaseTests(TestCase):
    """What `Database` promises of connections, errors and cancellation."""

    def database(self, dsn: str | None = None, **settings: Any) -> Database:
        """A database that is closed at the test's end."""
        database = Database(dsn or postgres.admin_dsn(), reactor=reactor, **settings)
        self.addCleanup(database.close)
        return database

    async def test_it_runs_outside_the_reactors_thread(self) -> None:
        """The function runs in another thread, and its result arrives in the reactor's."""
        database = self.database()
        await database.check()
        thread = await database.run("thread", lambda connection: threading.get_ident())
        self.assertNotEqual(thread, threading.get_ident())

    async def test_connections_are_bounded(self) -> None:
        """More work than `pool_size` shares the connections there are."""
        database = self.database(pool_size=2)
        backends = await gatherResults([database.run("backend", backend_txn) for _ in range(20)])
        self.assertLessEqual(len(set(backends)), 2)

    async def test_what_only_reads_has_no_transaction(self) -> None:
        """Each statement stands for itself; and the connection is as it was afterwards."""

        def same_time_txn(connection: Connection) -> bool:
            first, second = (connection.execute(text("SELECT now()")).scalar_one() for _ in range(2))
            return bool(first == second)

        database = self.database(pool_size=1)
        self.assertTrue(await database.run("a transaction", same_time_txn))
        self.assertFalse(await database.read("none", same_time_txn))
        self.assertTrue(await database.run("a transaction again", same_time_txn))

    async def test_a_broken_connection_is_replaced(self) -> None:
        """A connection that the server ended while it was idle is not noticed by the next function."""
        database = self.database(pool_size=1)
        backend = await database.run("backend", backend_txn)
        postgres.execute(postgres.admin_dsn(), f"SELECT pg_terminate_backend({backend})")
        self.assertEqual(await database.run("one", one_txn), 1)

    async def test_a_connection_broken_in_the_midst(self) -> None:
        """A function that loses its connection fails with `DatabaseUnavailable`; the next works."""
        database = self.database(pool_size=1)

        def suicide_txn(connection: Connection) -> None:
            backend = backend_txn(connection)
            postgres.execute(postgres.admin_dsn(), f"SELECT pg_terminate_backend({backend})")
            one_txn(connection)

        with self.assertRaises(DatabaseUnavailable):
            await database.run("suicide", suicide_txn)
        self.assertEqual(await database.run("one", one_txn), 1)

    async def test_nobody_listens(self) -> None:
        """A refused connection is `DatabaseUnavailable`, without the password in its text."""
        database = self.database(f"postgresql://u:hidden@127.0.0.1:{free_port()}/d")
        with self.assertRaises(DatabaseUnavailable) as caught:
            await database.check()
        error = caught.exception
        self.assertIn("refused", str(error))
        self.assertNotIn("hidden", str(error))

    async def test_a_wrong_password(self) -> None:
        """It is told as such, without either password."""
        database = self.database(dsns.replaced(postgres.admin_dsn(), password="hidden"))
        with self.assertRaises(DatabaseUnavailable) as caught:
            await database.check()
        error = caught.exception
        self.assertIn("password authentication failed", str(error))
        self.assertNotIn("hidden", str(error))

    async def test_the_statement_timeout(self) -> None:
        """A statement that takes too long is ended by the server."""
        database = self.database(statement_timeout_ms=50)
        sleep = database.run("sleep", lambda connection: connection.execute(text("SELECT pg_sleep(10)")))
        with self.assertRaises(DatabaseTimeout):
            await sleep

    async def test_no_connection_becomes_free(self) -> None:
        """Waiting for a connection is bounded."""
        database = self.database(pool_size=1, checkout_timeout_s=0.05)
        held, release = threading.Event(), threading.Event()

        def hold_txn(connection: Connection) -> None:
            held.set()
            release.wait(10)

        holding = database.run("hold", hold_txn)
        await database.call("until it is held", held.wait, 10)
        with self.assertRaises(DatabaseTimeout):
            await database.run("one", one_txn)
        release.set()
        await holding

    async def test_a_conflict_names_its_constraint(self) -> None:
        """A broken unique constraint is told by name, and the row's values are not."""
        database = self.database(postgres.create_database())

        def twice_txn(connection: Connection) -> None:
            connection.execute(text("CREATE TABLE t (a TEXT CONSTRAINT only_once UNIQUE)"))
            connection.execute(text("INSERT INTO t VALUES ('value'), ('value')"))

        with self.assertRaises(Conflict) as caught:
            await database.run("twice", twice_txn)
        error = caught.exception
        self.assertEqual(error.constraint, "only_once")
        self.assertNotIn("value)", str(error))

    async def test_deadlocks_are_tried_again(self) -> None:
        """Of two functions that deadlock, the server ends one; it runs again, and both get done."""
        database = self.database(postgres.create_database())
        both = threading.Barrier(2)
        tries: list[int] = []

        def make_txn(connection: Connection) -> None:
            connection.execute(text("CREATE TABLE t (a INTEGER, n INTEGER)"))
            connection.execute(text("INSERT INTO t VALUES (1, 0), (2, 0)"))

        def add_txn(connection: Connection, first: int, second: int) -> None:
            tries.append(first)
            connection.execute(text("UPDATE t SET n = n + 1 WHERE a = :a"), {"a": first})
            if len(tries) <= 2:
                both.wait(10)
            connection.execute(text("UPDATE t SET n = n + 1 WHERE a = :a"), {"a": second})

        await database.run("make", make_txn)
        await gatherResults([database.run("up", add_txn, 1, 2), database.run("down", add_txn, 2, 1)])
        self.assertEqual(len(tries), 3)

    async def test_cancelling_waits_for_the_thread(self) -> None:
        """A cancelled function is waited for: its Deferred fails when the thread is free again."""
        database = self.database()
        started, release, finished = threading.Event(), threading.Event(), threading.Event()

        def slow_txn(connection: Connection) -> None:
            started.set()
            release.wait(10)
            finished.set()

        running = database.run("slow", slow_txn)
        await database.call("until it started", started.wait, 10)
        running.cancel()
        self.assertFalse(running.called and not running.paused)
        release.set()
        with self.assertRaises(CancelledError):
            await running
        self.assertTrue(finished.is_set())
