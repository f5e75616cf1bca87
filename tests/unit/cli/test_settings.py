"""Finding the settings."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gandalf.cli.errors import USAGE, CommandEnd
from gandalf.cli.settings import find, settings
from tests.unit.cli.support import SETTINGS


class Settings(SynchronousTestCase):
    """`find`, `settings`"""

    def setUp(self) -> None:
        """Three directories, one in the other, and a virtual environment elsewhere."""
        self.root = Path(tempfile.mkdtemp())  # not within a checkout, which may have settings
        self.addCleanup(shutil.rmtree, self.root)
        self.middle = self.root / "a"
        self.inner = self.middle / "b"
        self.prefix = self.root / "elsewhere" / ".venv"
        for directory in (self.inner, self.prefix):
            directory.mkdir(parents=True)

    def make(self, directory: Path) -> Path:
        """Put settings there."""
        path = directory / "var" / "operator.toml"
        path.parent.mkdir()
        path.write_text(SETTINGS)
        return path

    def test_the_nearest_wins(self) -> None:
        """The working directory, then those above it, then the place of the virtual environment."""
        self.assertRaises(CommandEnd, find, None, self.inner, self.prefix)
        for directory in (self.prefix.parent, self.root, self.middle, self.inner):
            path = self.make(directory)
            self.assertEqual(find(None, self.inner, self.prefix), path)

    def test_the_named_one(self) -> None:
        """A name is taken as it is."""
        self.make(self.inner)
        self.assertEqual(find("x.toml", self.inner, self.prefix), Path("x.toml"))

    def test_none(self) -> None:
        """The error says how to come by some."""
        end = self.assertRaises(CommandEnd, find, None, self.inner, self.prefix)
        self.assertEqual(end.exit_code, USAGE)
        for words in (str(self.inner), "make run", "--settings", "GANDALF_OPERATOR"):
            self.assertIn(words, end.message)

    def test_they_are_checked(self) -> None:
        """With the environment's overrides; errors name the key."""
        path = str(self.make(self.inner))
        config = settings(path, {"GANDALF_OPERATOR__OPERATOR__API": "127.0.0.1:1"})
        self.assertEqual((config.operator.tenant, str(config.operator.api)), ("tenant1", "127.0.0.1:1"))
        end = self.assertRaises(CommandEnd, settings, path, {"GANDALF_OPERATOR__OPERATOR__API": "x"})
        self.assertEqual(end.exit_code, USAGE)
        self.assertIn("operator.api", end.message)
