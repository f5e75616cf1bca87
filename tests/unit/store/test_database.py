"""`Database`: transactions, second tries, errors and cancellation, without threads or a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg2
from sqlalchemy import Connection, StaticPool, create_engine, event, exc, text
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from gandalf.store.database import ATTEMPTS, Database, connect, uncancelled
from gandalf.store.errors import DatabaseUnavailable, InvalidName, QueryFailed, StoreError
from gandalf.store.testing import ThreadlessPool, ThreadlessReactor


class _Serialization(psycopg2.OperationalError):
    pgcode = "40001"


class _ReadOnly(psycopg2.InternalError):
    pgcode = "25006"


def insert_txn(connection: Connection, value: int) -> None:
    """Store a value."""
    connection.execute(text("INSERT INTO t VALUES (:value)"), {"value": value})


def values_txn(connection: Connection) -> list[int]:
    """What is stored."""
    return list(connection.execute(text("SELECT a FROM t ORDER BY a")).scalars())


class DatabaseTests(SynchronousTestCase):
    """`Database.run`, over a database in memory."""

    def setUp(self) -> None:
        reactor: Any = ThreadlessReactor()
        self.database = Database("postgresql://u:hidden@h/d", reactor=reactor)
        self.database._engine = create_engine("sqlite://", poolclass=StaticPool)
        self.run_now("create", lambda connection: connection.execute(text("CREATE TABLE t (a INTEGER)")) and None)

    def run_now(self, name: str, txn: Callable[[Connection], Any]) -> Any:
        """The result of a transaction, which is there at once."""
        return self.successResultOf(self.database.run(name, txn))

    def test_committed(self) -> None:
        """What a function did is there for the next, with its arguments passed on and its result returned."""
        self.successResultOf(self.database.run("insert", insert_txn, 3))
        self.successResultOf(self.database.run("insert", insert_txn, value=4))
        self.assertEqual(self.run_now("values", values_txn), [3, 4])

    def test_rolled_back(self) -> None:
        """A function that raises leaves nothing, and its own error comes out."""

        def fails_txn(connection: Connection) -> None:
            insert_txn(connection, 1)
            raise KeyError("own")

        self.failureResultOf(self.database.run("fails", fails_txn), KeyError)
        self.assertEqual(self.run_now("values", values_txn), [])

    def test_a_serialization_failure_is_tried_again(self) -> None:
        """After SQLSTATE 40001 the function runs again, from a clean start."""
        self.tried_again(exc.OperationalError("UPDATE", {}, _Serialization("retry")))

    def test_an_error_of_the_driver_is_tried_again_too(self) -> None:
        """What is copied to the database does not pass through SQLAlchemy, nor do its errors."""
        self.tried_again(_Serialization("retry"))

    def tried_again(self, error: Exception) -> None:
        """A function that raises this once succeeds the second time, and what it did before is undone."""
        tries = []

        def second_time_txn(connection: Connection) -> str:
            insert_txn(connection, 1)
            tries.append(1)
            if len(tries) == 1:
                raise error
            return "done"

        self.assertEqual(self.run_now("second time", second_time_txn), "done")
        self.assertEqual(self.run_now("values", values_txn), [1])

    def test_a_database_that_only_reads_is_away(self) -> None:
        """After a failover a connection may lead to who was the primary before: it is not used again."""
        let_go: list[object] = []
        event.listen(self.database._engine, "invalidate", lambda *about: let_go.append(about))

        def write_txn(connection: Connection) -> None:
            raise _ReadOnly("cannot execute COPY in a read-only transaction")

        failure = self.failureResultOf(self.database.run("write", write_txn), DatabaseUnavailable)
        self.assertIn("read-only", failure.getErrorMessage())
        self.assertEqual(len(let_go), 1)

    def test_tries_are_bounded(self) -> None:
        """One that never succeeds fails after the fifth try."""
        tries = []

        def never_txn(connection: Connection) -> None:
            tries.append(1)
            raise exc.OperationalError("UPDATE", {}, _Serialization("retry"))

        failure = self.failureResultOf(self.database.run("never", never_txn), QueryFailed)
        self.assertIn("40001", failure.getErrorMessage())
        self.assertEqual(len(tries), ATTEMPTS)

    def test_other_errors_are_not_tried_again(self) -> None:
        """A lost connection may have committed: it is reported, not repeated."""
        tries = []

        def lost_txn(connection: Connection) -> None:
            tries.append(1)
            raise exc.OperationalError("COMMIT", {}, psycopg2.OperationalError("server closed the connection"))

        self.failureResultOf(self.database.run("lost", lost_txn), DatabaseUnavailable)
        self.assertEqual(len(tries), 1)

    def test_an_error_does_not_carry_the_statement(self) -> None:
        """Neither the message nor a chained error shows the statement or its values."""
        failure = self.failureResultOf(
            self.database.run("bad", lambda connection: connection.execute(text("SELECT 'value' FROM nowhere"))),
            StoreError,
        )
        self.assertNotIn("value", failure.getErrorMessage())
        self.assertTrue(failure.value.__suppress_context__)

    def test_closed(self) -> None:
        """A closed database refuses what is asked."""
        self.successResultOf(self.database.close())
        failure = self.failureResultOf(self.database.run("late", values_txn), StoreError)
        self.assertIn("closed", failure.getErrorMessage())

    def test_repr_hides_the_password(self) -> None:
        """The representation shows the address without its password."""
        self.assertEqual(repr(self.database), "<Database postgresql://u:***@h/d>")

    def test_a_bad_address_is_refused_at_once(self) -> None:
        """An address that cannot be read fails where it is given, not at the first query."""
        reactor: Any = ThreadlessReactor()
        self.assertRaises(InvalidName, Database, "nonsense", reactor=reactor)

    def test_a_pool_of_ones_own(self) -> None:
        """The pool passed in is used instead of the reactor's."""
        used = []

        class Pool(ThreadlessPool):
            def callInThreadWithCallback(self, *args: Any, **kwargs: Any) -> None:
                used.append(1)
                super().callInThreadWithCallback(*args, **kwargs)

        reactor: Any = ThreadlessReactor()
        database = Database("postgresql://h/d", reactor=reactor, threadpool=Pool())
        self.assertEqual(self.successResultOf(database.call("add", lambda a, b: a + b, 1, b=2)), 3)
        self.assertEqual(used, [1])


class UncancelledTests(SynchronousTestCase):
    """`uncancelled`: work that cannot be stopped."""

    def test_cancelling_waits_for_the_work(self) -> None:
        """The Deferred fails when the work is over, not before."""
        work: Deferred[int] = Deferred()
        result = uncancelled(work)
        result.cancel()
        self.assertNoResult(result)
        work.callback(1)
        self.failureResultOf(result, CancelledError)

    def test_the_works_own_failure_is_not_left_over(self) -> None:
        """Work that fails after being cancelled is reported as cancelled, and logs nothing."""
        work: Deferred[int] = Deferred()
        result = uncancelled(work)
        result.cancel()
        work.errback(ValueError("late"))
        self.failureResultOf(result, CancelledError)

    def test_results_pass(self) -> None:
        """Without cancelling, results and failures are those of the work."""
        work: Deferred[int] = Deferred()
        result = uncancelled(work)
        work.callback(5)
        self.assertEqual(self.successResultOf(result), 5)
        failing: Deferred[int] = Deferred()
        failed = uncancelled(failing)
        failing.errback(ValueError("x"))
        self.failureResultOf(failed, ValueError)


class ConnectTests(SynchronousTestCase):
    """`connect`: how the driver is asked."""

    def setUp(self) -> None:
        self.asked: dict[str, Any] = {}
        self.patch(psycopg2, "connect", lambda **parameters: self.asked.update(parameters))

    def test_a_server_that_vanishes(self) -> None:
        """Without a word, as when its cable is cut: only the kernel can tell, and by itself it takes hours."""
        connect("postgresql://u:p@h/d", connect_timeout_s=5, statement_timeout_ms=30_000)
        silence = self.asked["keepalives_idle"] + self.asked["keepalives_interval"] * self.asked["keepalives_count"]
        self.assertLessEqual(silence, 30)
        self.assertLessEqual(self.asked["tcp_user_timeout"], 30_000)
        self.assertEqual((self.asked["connect_timeout"], self.asked["options"]), (5, "-c statement_timeout=30000"))

    def test_what_the_address_says_counts(self) -> None:
        """Each of these can be set in the address."""
        connect(
            "postgresql://u:p@h/d?keepalives_idle=60&tcp_user_timeout=90000&connect_timeout=2&options=-c%20a%3Db",
            connect_timeout_s=5,
            statement_timeout_ms=0,
        )
        told = [self.asked[key] for key in ("keepalives_idle", "tcp_user_timeout", "connect_timeout", "options")]
        self.assertEqual(told, ["60", "90000", "2", "-c a=b -c statement_timeout=0"])
