"""Frames on disk, first in first out: an SQLite file in WAL mode. Blocks; to be called in one thread at a time."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

FILE: Final = "spool.sqlite3"
"""The file in the spool's directory; beside it SQLite keeps ``spool.sqlite3-wal``."""

APPLICATION: Final = 0x47_53_50_31
"""What marks the file as ours."""

ROW_COST: Final = 64
"""Bytes that a row takes on disk beside its frame, about."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS owner (tenant TEXT NOT NULL, logical_name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS frame (
    id INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    arrived INTEGER NOT NULL,
    raw BLOB NOT NULL
);
"""


class SpoolError(Exception):
    """The disk does not take or give what it should at the moment; the text says why. Worth trying again."""


class SpoolUnusable(SpoolError):
    """The file is damaged, somebody else's, or in use; nothing that is in it is lost by leaving it alone."""


@attrs.frozen
class Row:
    """A frame in the spool: its place, the connector it came from, ms since the epoch, its bytes."""

    id: int
    origin: str
    arrived: int
    raw: bytes

    @property
    def size(self) -> int:
        """Bytes that count towards the bound."""
        return len(self.raw) + ROW_COST


@attrs.frozen
class Content:
    """How much is in the spool. ``oldest``: ms since the epoch, None when it is empty."""

    frames: int = 0
    bytes: int = 0
    oldest: int | None = None
    last: int = 0
    """The highest id; 0: none."""


class SpoolStore:
    """The spool's file.

    :param directory: made when it is not there, for nobody else to read.
    :param owner: tenant and logical name; the file serves no other.
    :param synced: whether what was added is on the disk itself when :meth:`change` returns (``synchronous=FULL``:
        SQLite syncs the write-ahead log before a commit is done), or with the operating system only, which keeps it
        when this process is killed, but not when the machine is.
    """

    def __init__(self, directory: Path, owner: tuple[str, str], *, synced: bool) -> None:
        self.path = directory / FILE
        self._owner = owner
        self._synced = synced
        self._connection: sqlite3.Connection | None = None

    def open(self) -> Content:
        """What former processes left.

        :raises SpoolUnusable: the file cannot be used.
        :raises SpoolError: it cannot be opened now.
        """
        try:
            return self._open()
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise self._translated(error) from error
            if isinstance(error, OSError):
                raise SpoolError(f"{error.filename or self.path}: {error.strerror}") from error
            raise

    def _open(self) -> Content:
        self._prepare()
        connection = self._connection = sqlite3.connect(
            self.path, timeout=0.0, isolation_level=None, check_same_thread=False
        )
        # Before the first access: nobody else may use the file, and no shared memory is needed.
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise SpoolUnusable(f"{self.path}: this file system does not let SQLite keep a write-ahead log")
        connection.execute(f"PRAGMA synchronous={'FULL' if self._synced else 'OFF'}")
        self._claim(connection)
        damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise SpoolUnusable(f"{self.path} is damaged: {damage}")
        return self._content(connection)

    def change(self, add: Sequence[Row], remove: Iterable[int]) -> int | None:
        """Add and remove rows, all or none; returns when the oldest that is left arrived, in ms since the epoch.

        :raises SpoolError: nothing was changed.
        """
        connection = self._connected
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM frame WHERE id BETWEEN ? AND ?", _ranges(remove))
            connection.executemany(
                "INSERT INTO frame (id, origin, arrived, raw) VALUES (?, ?, ?, ?)",
                ((row.id, row.origin, row.arrived, row.raw) for row in add),
            )
            oldest = connection.execute("SELECT arrived FROM frame ORDER BY id LIMIT 1").fetchone()
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raise self._translated(error) from error
        return None if oldest is None else int(oldest[0])

    def read(self, after: int, frames: int, size: int) -> list[Row]:
        """The rows that follow ``after``, in order: so many frames, and about so many bytes, at the most.

        :raises SpoolError: they cannot be read.
        """
        rows: list[Row] = []
        left = size
        try:
            found = self._connected.execute(
                "SELECT id, origin, arrived, raw FROM frame WHERE id > ? ORDER BY id LIMIT ?", (after, frames)
            )
            for values in found:
                rows.append(Row(*values))
                left -= len(rows[-1].raw)
                if left <= 0:
                    break
            found.close()
        except sqlite3.Error as error:
            raise self._translated(error) from error
        return rows

    def shrink(self) -> None:
        """Give the disk back what an empty spool does not need.

        :raises SpoolError: it could not be done.
        """
        try:
            self._connected.execute("VACUUM")
            self._connected.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def close(self) -> None:
        """Let go of the file; it is whole whether this is called or not."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    @property
    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            raise SpoolError(f"{self.path} is closed")
        return self._connection

    def _prepare(self) -> None:
        directory = self.path.parent
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            # SQLite syncs the directory for its log, but not for the file itself.
            handle = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def _claim(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if application != APPLICATION and not (empty and application == 0):
            raise SpoolUnusable(f"{self.path} is no spool of this program")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id={APPLICATION}")
        for statement in _TABLES.split(";")[:-1]:
            connection.execute(statement)
        owner = connection.execute("SELECT tenant, logical_name FROM owner").fetchone()
        if owner is None:
            connection.execute("INSERT INTO owner VALUES (?, ?)", self._owner)
        connection.execute("COMMIT")
        if owner is not None and owner != self._owner:
            raise SpoolUnusable(
                f"{self.path} is the spool of {owner[1]!r} of tenant {owner[0]!r},"
                f" not of {self._owner[1]!r} of tenant {self._owner[0]!r}"
            )

    def _content(self, connection: sqlite3.Connection) -> Content:
        frames, size, last = connection.execute(
            "SELECT count(*), coalesce(sum(length(raw)), 0), coalesce(max(id), 0) FROM frame"
        ).fetchone()
        oldest = connection.execute("SELECT arrived FROM frame ORDER BY id LIMIT 1").fetchone()
        return Content(frames, size + frames * ROW_COST, None if oldest is None else oldest[0], last)

    def _translated(self, error: sqlite3.Error) -> SpoolError:
        code = getattr(error, "sqlite_errorcode", None)
        primary = code & 0xFF if isinstance(code, int) else None
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return SpoolUnusable(f"{self.path} is damaged: {error}")
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return SpoolUnusable(f"{self.path} is in use by another process")
        return SpoolError(f"{self.path}: {error}")


def _ranges(ids: Iterable[int]) -> list[tuple[int, int]]:
    """``ids`` as ranges from first to last, both included."""
    ranges: list[tuple[int, int]] = []
    for id in sorted(ids):
        if ranges and ranges[-1][1] == id - 1:
            ranges[-1] = (ranges[-1][0], id)
        else:
            ranges.append((id, id))
    return ranges
