"""Definitions that every tenant can have: read from files as a whole."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gandalf.store.defaults import load_defaults
from gandalf.store.definitions import InvalidDefinition

PIVOT = "pivots: [{name: vcs, major: 1}]\n"
CONNECTOR = "productconnectors: [{name: git, major: 1, pivot: {name: vcs, major: 1}, product: {name: git}}]\n"


class LoadDefaultsTest(SynchronousTestCase):
    """What may be in the files."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def file(self, name: str, text: str) -> Path:
        """A file of definitions."""
        path = self.directory / name
        path.write_text(text)
        return path

    def refused(self, *paths: Path) -> str:
        """The text with which they are refused."""
        return str(self.assertRaises(InvalidDefinition, load_defaults, paths))

    def test_files_and_directories(self) -> None:
        """A product connector may refer to a pivot of another file, whatever their order."""
        self.file("a.yaml", CONNECTOR)
        self.file("b.yaml", PIVOT)
        self.assertEqual(len(load_defaults([self.directory])), 2)
        self.assertEqual(len(load_defaults([self.directory / "a.yaml", self.directory / "b.yaml"])), 2)
        self.assertEqual(len(load_defaults([])), 0)

    def test_twice(self) -> None:
        """The same name and version in two files: both are named."""
        first, second = self.file("a.yaml", PIVOT), self.file("b.yaml", PIVOT)
        text = self.refused(first, second)
        for part in (str(first), str(second), "pivot vcs 1 0"):
            self.assertIn(part, text)

    def test_pivot_missing(self) -> None:
        """A product connector whose pivot is nowhere."""
        self.assertIn("vcs 1.0 is not among the definitions", self.refused(self.file("a.yaml", CONNECTOR)))

    def test_component(self) -> None:
        """A logical component is one tenant's, and so does not belong here."""
        component = "{logicalname: a, type: aggregator, pivot: {name: vcs, major: 1}}"
        path = self.file("a.yaml", f"{PIVOT}logicalcomponents: [{component}]\n")
        text = self.refused(path)
        self.assertIn(f"{path}: logicalcomponents: 'a'", text)
        self.assertIn("allowed", text)
