"""The spool's file."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gandalf.store.spool import FILE, ROW_COST, Content, Row, SpoolError, SpoolStore, SpoolUnusable

OWNER = ("acme", "aggregator1")


def rows(first: int, last: int, size: int = 10) -> list[Row]:
    """With these ids."""
    return [Row(id, "git", 1000 + id, bytes([id % 256]) * size) for id in range(first, last + 1)]


class StoreTests(SynchronousTestCase):
    """One file, opened again and again."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gandalf-spool-")) / "new" / "one"
        self.addCleanup(shutil.rmtree, self.directory.parent.parent)
        self.store = self.opened()

    def opened(self, owner: tuple[str, str] = OWNER, *, synced: bool = True) -> SpoolStore:
        """A store that is open; its content in :attr:`content`."""
        store = SpoolStore(self.directory, owner, synced=synced)
        self.content = store.open()
        self.addCleanup(store.close)
        return store

    def pragma(self, name: str) -> object:
        """What the connection says."""
        assert self.store._connection is not None
        return self.store._connection.execute(f"PRAGMA {name}").fetchone()[0]

    def test_a_new_one(self) -> None:
        """Empty, made with its directory, for nobody else to read."""
        self.assertEqual(self.content, Content())
        self.assertEqual(self.directory.stat().st_mode & 0o777, 0o700)
        self.assertEqual((self.directory / FILE).stat().st_mode & 0o777, 0o600)

    def test_first_in_first_out(self) -> None:
        """Rows come back as they went in, in order, from anywhere, in pages."""
        all_rows = rows(1, 20)
        self.assertEqual(self.store.change(all_rows, []), 1001)
        self.assertEqual(self.store.read(0, 100, 10**6), all_rows)
        self.assertEqual(self.store.read(5, 3, 10**6), all_rows[5:8])
        self.assertEqual(self.store.read(5, 100, 25), all_rows[5:8])
        self.assertEqual(self.store.read(20, 100, 10**6), [])

    def test_removed(self) -> None:
        """Whatever the order and the gaps; what is oldest then is told."""
        self.store.change(rows(1, 10), [])
        self.assertEqual(self.store.change([], [3, 1, 2, 7]), 1004)
        self.assertEqual([row.id for row in self.store.read(0, 100, 10**6)], [4, 5, 6, 8, 9, 10])
        self.assertIsNone(self.store.change([], range(1, 11)))

    def test_left_by_a_process_that_was_killed(self) -> None:
        """All that was changed is there: how much, since when, and up to which id."""
        self.store.change(rows(1, 10), [])
        self.store.change(rows(11, 12), [1, 2])
        copy = self.directory.parent / "copy"
        shutil.copytree(self.directory, copy)
        self.directory = copy
        self.store = self.opened()
        self.assertEqual(self.content, Content(10, 10 * (10 + ROW_COST), 1003, 12))

    def test_synced(self) -> None:
        """A commit syncs the log before it returns; or nothing is synced."""
        self.assertEqual((self.pragma("journal_mode"), self.pragma("synchronous")), ("wal", 2))
        self.store.close()
        self.store = self.opened(synced=False)
        self.assertEqual((self.pragma("journal_mode"), self.pragma("synchronous")), ("wal", 0))

    def test_no_room(self) -> None:
        """Nothing is changed, not even in part, and it can be tried again."""
        self.store.change(rows(1, 3), [])
        self.pragma("max_page_count = 20")
        with self.assertRaises(SpoolError) as raised:
            self.store.change(rows(4, 60, 4000), [1])
        self.assertNotIsInstance(raised.exception, SpoolUnusable)
        self.assertIn("full", str(raised.exception))
        self.assertEqual(len(self.store.read(0, 100, 10**6)), 3)
        self.pragma("max_page_count = 100000")
        self.store.change(rows(4, 60, 4000), [1])
        self.assertEqual(len(self.store.read(0, 100, 10**6)), 59)

    def test_in_use(self) -> None:
        """By another process, or by another store of ours."""
        with self.assertRaisesRegex(SpoolUnusable, "in use by another process"):
            self.opened()

    def test_of_somebody_else(self) -> None:
        """Another aggregator's spool, or another program's file, is left alone."""
        self.store.close()
        with self.assertRaisesRegex(SpoolUnusable, "is the spool of 'aggregator1' of tenant 'acme', not of 'b'"):
            self.opened(("acme", "b"))
        path = self.directory / FILE
        path.unlink()
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE other (x)")
        connection.commit()
        connection.close()
        with self.assertRaisesRegex(SpoolUnusable, "no spool of this program"):
            self.opened()

    def test_damaged(self) -> None:
        """In its head or in its middle: it is told when it is opened."""
        self.store.change(rows(1, 500, 1000), [])
        self.store.close()
        path = self.directory / FILE
        whole = path.read_bytes()
        for place in (0, 4096 * 20):
            path.write_bytes(whole[:place] + b"\xff" * 4096 + whole[place + 4096 :])
            with self.assertRaisesRegex(SpoolUnusable, "damaged"):
                self.opened()
        path.write_bytes(whole)
        self.store = self.opened()
        self.assertEqual(self.content.frames, 500)

    def test_cannot_be_made(self) -> None:
        """Where a file stands in the way."""
        (self.directory.parent / "file").write_text("")
        with self.assertRaisesRegex(SpoolError, "file"):
            SpoolStore(self.directory.parent / "file" / "x", OWNER, synced=True).open()

    def test_closed(self) -> None:
        """It says so."""
        self.store.close()
        with self.assertRaisesRegex(SpoolError, "closed"):
            self.store.change([], [])

    def test_shrunk(self) -> None:
        """An empty spool takes next to nothing."""
        self.store.change(rows(1, 1000, 5000), [])
        self.store.change([], range(1, 1001))
        self.store.shrink()
        sizes = [path.stat().st_size for path in self.directory.iterdir()]
        self.assertLess(sum(sizes), 100_000)
