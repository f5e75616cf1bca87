"""Files that only their owner may read."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gandalf.local.places import Places, write_private


class WritePrivate(SynchronousTestCase):
    """`write_private`"""

    def test_only_the_owner_may_read(self) -> None:
        """The file and the directories made for it are closed to others."""
        path = Path(self.mktemp()) / "secrets" / "a"
        write_private(path, "text\n")
        self.assertEqual(path.read_text(), "text\n")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(path.parent.stat().st_mode & 0o077, 0)

    def test_what_is_there_is_replaced(self) -> None:
        """The old content goes, and nothing else stays in the directory."""
        path = Path(self.mktemp()) / "a"
        write_private(path, "old")
        write_private(path, "new")
        self.assertEqual([(each.name, each.read_text()) for each in path.parent.iterdir()], [("a", "new")])

    def test_what_a_killed_writer_left_is_no_hindrance(self) -> None:
        """Half a file of an earlier attempt is replaced, whatever may read it."""
        path = Path(self.mktemp()) / "a"
        path.parent.mkdir()
        path.with_name("a.new").write_text("ha")
        write_private(path, "whole")
        self.assertEqual((path.read_text(), path.stat().st_mode & 0o777), ("whole", 0o600))


class Secrets(SynchronousTestCase):
    """`Places.secret`"""

    def test_each_address_has_its_own(self) -> None:
        """A secret is bound to an address, so one listened on elsewhere gets another file."""
        places = Places(Path("/x"))
        self.assertEqual(places.secret("t", "git1", ""), Path("/x/var/secrets/t/git1"))
        self.assertNotEqual(places.secret("t", "a", "127.0.0.1:1"), places.secret("t", "a", "127.0.0.1:2"))
        self.assertNotEqual(places.secret("t", "a", ""), places.secret("u", "a", ""))
