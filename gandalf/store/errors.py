"""What can go wrong between Gandalf and its database, as types that callers act upon.

No message here holds a password or a value of a row.
"""

from __future__ import annotations

import psycopg2
from sqlalchemy import exc

RETRYABLE = frozenset({"40001", "40P01"})  # serialization failure, deadlock: the server asks for another try
_UNAVAILABLE_CLASSES = frozenset({"08", "53"})  # connection exceptions; out of connections, memory, disk
READ_ONLY = "25006"  # the server is a standby, or stands in for a primary that moved
_UNAVAILABLE = frozenset({"57P01", "57P02", "57P03", "57P05", READ_ONLY})  # shutting down, crashed, starting, idle
_DATA_CLASS = "22"
_INTEGRITY_CLASS = "23"
_STATEMENT_TIMEOUT = "57014"
_TOO_LONG = "54000"  # a text that an index cannot hold


class StoreError(Exception):
    """Anything this floor raises on purpose."""


class DatabaseUnavailable(StoreError):
    """The database cannot be reached, or broke off: worth trying again later."""


class DatabaseTimeout(DatabaseUnavailable):
    """The database took longer than the statement timeout, or no connection became free in time."""


class Conflict(StoreError):
    """The database refused a row because of a rule between rows (unique, foreign key, check, not null).

    `constraint` is the name of the broken rule, "" when the conflict was found otherwise.
    """

    def __init__(self, message: str, constraint: str = "") -> None:
        super().__init__(message)
        self.constraint = constraint


class NotFound(StoreError):
    """What was named does not exist."""


class InvalidName(StoreError, ValueError):
    """A name that cannot be used; the message says what is allowed."""


class QueryFailed(StoreError):
    """The database refused a statement; `sqlstate` says why (a defect here, or data it cannot hold)."""

    def __init__(self, message: str, sqlstate: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate

    @property
    def by_data(self) -> bool:
        """Whether it cannot hold the data, now or ever."""
        return self.sqlstate[:2] == _DATA_CLASS


def sqlstate(error: BaseException) -> str:
    """The five-character SQLSTATE of a driver's or SQLAlchemy's error, "" when it has none."""
    original = getattr(error, "orig", None) or error
    return getattr(original, "pgcode", None) or ""


def translate(error: exc.SQLAlchemyError | psycopg2.Error, name: str) -> StoreError:
    """The error of this module that `error`, raised while `name` ran, amounts to."""
    if isinstance(error, exc.TimeoutError):
        return DatabaseTimeout(f"{name}: no database connection became free in time")
    state = sqlstate(error)
    original = getattr(error, "orig", None) or error
    if state == _STATEMENT_TIMEOUT:
        return DatabaseTimeout(f"{name}: the database did not answer within the statement timeout")
    if _is_lost(error, original, state):
        return DatabaseUnavailable(f"{name}: {_first_line(original)}")
    if state[:2] == _INTEGRITY_CLASS:
        constraint = getattr(getattr(original, "diag", None), "constraint_name", None) or ""
        return Conflict(f"{name}: {_first_line(original)}", constraint)
    if state == _TOO_LONG:
        return InvalidName(f"{name}: a text by which something is found is too long; about 2,600 bytes are allowed")
    # The text of other errors may quote values; the state and the statement's name are enough to find it.
    return QueryFailed(f"{name}: {type(original).__name__} (SQLSTATE {state or 'none'})", state)


def _is_lost(error: BaseException, original: BaseException, state: str) -> bool:
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    if state:
        return state[:2] in _UNAVAILABLE_CLASSES or state in _UNAVAILABLE
    return isinstance(original, psycopg2.OperationalError | psycopg2.InterfaceError)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
