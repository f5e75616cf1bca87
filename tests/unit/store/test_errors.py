"""Errors of the driver, translated into those that callers act upon."""

from __future__ import annotations

import psycopg2
import psycopg2.errors
from sqlalchemy import exc
from twisted.trial.unittest import SynchronousTestCase

from gandalf.store.errors import (
    Conflict,
    DatabaseTimeout,
    DatabaseUnavailable,
    QueryFailed,
    StoreError,
    sqlstate,
    translate,
)


class _DriverError(psycopg2.Error):
    """A driver's error with an SQLSTATE of choice."""

    def __init__(self, text: str, state: str | None) -> None:
        super().__init__(text)
        self.state = state

    @property
    def pgcode(self) -> str | None:  # type: ignore[override]
        return self.state


def wrapped(original: BaseException, *, invalidated: bool = False) -> exc.DBAPIError:
    """`original` as SQLAlchemy raises it."""
    return exc.DBAPIError("INSERT INTO t VALUES ('row')", {"a": "row"}, original, connection_invalidated=invalidated)


class TranslateTests(SynchronousTestCase):
    """`translate` by SQLSTATE."""

    def test_states(self) -> None:
        """Each class of SQLSTATE becomes the type that says what to do about it."""
        for state, kind in (
            ("08006", DatabaseUnavailable),  # connection failure
            ("57P01", DatabaseUnavailable),  # the server is shutting down
            ("57P03", DatabaseUnavailable),  # the server is starting
            ("53300", DatabaseUnavailable),  # too many connections
            ("53100", DatabaseUnavailable),  # disk full
            ("25006", DatabaseUnavailable),  # a standby, which only reads
            ("57014", DatabaseTimeout),  # statement timeout
            ("23505", Conflict),  # unique violation
            ("23503", Conflict),  # foreign key violation
            ("22P02", QueryFailed),  # data that it cannot hold
            ("42P01", QueryFailed),  # no such table
        ):
            error = translate(wrapped(_DriverError("text", state)), "test")
            self.assertIs(type(error), kind, state)

    def test_no_state(self) -> None:
        """An operational error without a state is a connection that could not be made; another error is not."""
        refused = psycopg2.OperationalError('connection to server at "h" failed: Connection refused\n\tmore')
        error = translate(wrapped(refused), "check")
        self.assertIsInstance(error, DatabaseUnavailable)
        self.assertEqual(str(error), 'check: connection to server at "h" failed: Connection refused')
        self.assertIs(type(translate(psycopg2.ProgrammingError("x"), "check")), QueryFailed)

    def test_a_connection_that_broke(self) -> None:
        """What SQLAlchemy takes for a lost connection is one, whatever the driver calls it."""
        error = translate(wrapped(psycopg2.DatabaseError("server closed"), invalidated=True), "check")
        self.assertIs(type(error), DatabaseUnavailable)

    def test_no_free_connection(self) -> None:
        """Waiting in vain for a connection of the pool is a timeout."""
        self.assertIs(type(translate(exc.TimeoutError("QueuePool limit"), "check")), DatabaseTimeout)

    def test_values_are_not_quoted(self) -> None:
        """Neither the statement nor a row's values get into the message."""
        original = _DriverError("duplicate key\nDETAIL:  Key (a)=(row) already exists.", "23505")
        self.assertNotIn("row", str(translate(wrapped(original), "test")))
        failed = translate(wrapped(_DriverError('invalid input "row"', "22P02")), "test")
        self.assertNotIn("row", str(failed))
        self.assertIn("22P02", str(failed))

    def test_all_are_store_errors(self) -> None:
        """One type catches them all, and a timeout is a kind of unavailability."""
        self.assertTrue(issubclass(Conflict, StoreError))
        self.assertTrue(issubclass(DatabaseTimeout, DatabaseUnavailable))

    def test_sqlstate(self) -> None:
        """The SQLSTATE is found in a wrapped error, in a bare one, and "" where there is none."""
        self.assertEqual(sqlstate(wrapped(_DriverError("", "40001"))), "40001")
        self.assertEqual(sqlstate(_DriverError("", "40P01")), "40P01")
        self.assertEqual(sqlstate(psycopg2.OperationalError("x")), "")
