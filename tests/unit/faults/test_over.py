"""A run is over: nothing is started any more, whoever is about to."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.faults.database import DatabaseServer
from tests.faults.process import Process


class OverTests(SynchronousTestCase):
    """Faults and threads go on for a moment after somebody has had enough of a run."""

    def setUp(self) -> None:
        """A directory that is not there: nothing could be started in it."""
        self.directory = Path(self.mktemp())

    def test_a_process(self) -> None:
        """It has no other life."""
        process = Process("m1", ["nothing"], self.directory / "m1.log")
        process.end()
        process.start()
        self.assertEqual((process.running, process.lives), (False, []))

    def test_the_database(self) -> None:
        """Whoever starts it is told."""
        database = DatabaseServer(self.directory)
        database.end()
        self.assertIn("over", str(self.assertRaises(RuntimeError, database.start)))
