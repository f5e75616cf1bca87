"""The order of a start and of a stop, and what is done when a step fails."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner

from gandalf.local import __main__ as program
from gandalf.local import orphans, ports, preparation, readiness
from gandalf.local import start as module
from gandalf.local.errors import LocalError
from gandalf.local.plan import Plan
from gandalf.local.start import start, stop
from tests.unit.local.support import LocalCase


class FakeSupervisor:
    """Stands in for `Supervisor`; what is done goes into `did`."""

    def __init__(self, did: list[str], running: bool) -> None:
        self.did = did
        self.running = running

    def pid(self) -> int | None:
        """See `Supervisor`."""
        return 5 if self.running else None

    def launch(self, environment: Any) -> None:
        """See `Supervisor`."""
        self.did.append("launch")
        self.running = True

    def start(self, program: str) -> None:
        """See `Supervisor`."""
        self.did.append(f"start {program}")

    def check(self, *programs: str) -> None:
        """See `Supervisor`."""

    def end(self) -> bool:
        """See `Supervisor`."""
        self.did.append("end")
        ended, self.running = self.running, False
        return ended


class StartCase(LocalCase):
    """`self.did` is what was done."""

    def setUp(self) -> None:
        """All steps are replaced."""
        super().setUp()
        self.did: list[str] = []
        self.said: list[str] = []
        self.lacking = "everything"
        self.left: list[int] = []
        self.supervisor = FakeSupervisor(self.did, running=False)
        self.addCleanup(socket.setdefaulttimeout, socket.getdefaulttimeout())
        self.addCleanup(os.chdir, os.getcwd())  # noqa: PTH109
        self.patch(module, "Supervisor", lambda places: self.supervisor)
        self.patch(ports, "check_free", lambda listeners: self.did.append("ports"))
        self.patch(orphans, "end_orphans", lambda places: self.left)
        self.patch(preparation, "wait_for_database", lambda plan, check: check())
        self.patch(preparation, "prepare", lambda plan, now: self.did.append("prepare"))
        self.patch(readiness, "missing", lambda plan, connectors: self.lacking)
        self.patch(readiness, "wait_until_ready", self.wait_until_ready)

    def wait_until_ready(self, plan: Plan, connectors: tuple[str, ...], check: Callable[[], None]) -> None:
        """See `readiness`."""
        check()
        self.did.append(f"ready {connectors}")

    def start(self) -> str:
        """Start, and return what was said."""
        start(self.places, os.environ, self.said.append)
        return "\n".join(self.said)


class Start(StartCase):
    """`start`"""

    def test_from_nothing(self) -> None:
        """Ports first, then the database, what it must hold, and the programs."""
        said = self.start()
        self.assertEqual(
            self.did,
            [
                "ports",
                "launch",
                "start postgresql",
                "prepare",
                "start cluster",
                "start aggregator",
                "ready ()",
                "start connectors",
                "ready ('git1', 'workflow1')",
            ],
        )
        for words in ("ready, after", "http://127.0.0.1:9203", "var/credentials.json", "gandalf send", "make stop"):
            self.assertIn(words, said)

    def test_it_runs_already(self) -> None:
        """Nothing is done, the addresses are told."""
        self.supervisor.running, self.lacking = True, ""
        self.assertIn("runs already", self.start())
        self.assertIn("http://127.0.0.1:9203", self.said[-1])
        self.assertEqual(self.did, [])

    def test_a_start_that_was_killed(self) -> None:
        """supervisord runs, but something is missing: the rest is done, the ports being taken by ourselves."""
        self.supervisor.running = True
        self.start()
        self.assertNotIn("ports", self.did)
        self.assertNotIn("launch", self.did)
        self.assertIn("start connectors", self.did)

    def test_what_a_killed_supervisord_left(self) -> None:
        """Is ended, and told."""
        self.left = [1, 2]
        self.assertIn("ended: 2", self.start())

    def failing(self, *arguments: object) -> None:
        """A step that fails."""
        raise LocalError("it failed")

    def test_a_failure_ends_what_was_started(self) -> None:
        """The next start begins with supervisord, and so with the variables of then."""
        self.patch(readiness, "wait_until_ready", self.failing)
        self.assertRaises(LocalError, self.start)
        self.assertEqual(self.did[-1], "end")

    def test_a_failure_leaves_what_ran_before(self) -> None:
        """Parts of it may be in use."""
        self.supervisor.running = True
        self.patch(readiness, "wait_until_ready", self.failing)
        self.assertRaises(LocalError, self.start)
        self.assertNotIn("end", self.did)

    def test_taken_ports(self) -> None:
        """Nothing is started."""
        self.patch(ports, "check_free", self.failing)
        self.assertRaises(LocalError, self.start)
        self.assertEqual(self.did, ["end"])

    def test_it_waits_for_its_turn(self) -> None:
        """Another start or stop goes first; one that takes for ever is an error."""
        turns = iter([False, False, True])
        self.patch(module, "_locked", lambda descriptor: next(turns))
        self.patch(module, "until", lambda condition, seconds: condition() or condition())
        self.assertIn("Waiting for another start", self.start())
        self.patch(module, "_locked", lambda descriptor: False)
        self.assertIn(str(self.places.lock), str(self.assertRaises(LocalError, self.start)))


class Stop(StartCase):
    """`stop`"""

    def stop(self) -> str:
        """Stop, and return what was said."""
        stop(self.places, self.said.append)
        return "\n".join(self.said)

    def test_it_runs(self) -> None:
        """It is ended; its data is not."""
        self.supervisor.running = True
        self.assertIn("has ended", self.stop())

    def test_it_does_not_run(self) -> None:
        """That is said, and is no error."""
        self.assertIn("does not run", self.stop())

    def test_only_orphans(self) -> None:
        """They are ended too."""
        self.left = [1]
        self.assertIn("ended: 1", self.stop())
        self.assertNotIn("does not run", self.said[-1])


class Program(StartCase):
    """`python -m gandalf.local`"""

    def run_program(self, *arguments: str) -> tuple[int, str]:
        """Exit status and output."""
        os.chdir(self.places.root)
        result = CliRunner().invoke(program.main, arguments)
        return result.exit_code, result.output

    def test_start_and_stop(self) -> None:
        """Status 0."""
        self.assertEqual(self.run_program("start")[0], 0)
        self.assertEqual(self.run_program("stop")[0], 0)

    def test_an_expected_error(self) -> None:
        """Status 1 and its text, no traceback."""
        (self.places.configuration / "cluster.toml").write_text("x")
        status, output = self.run_program("start")
        self.assertEqual(status, 1)
        self.assertIn("cluster.toml", output)
        self.assertNotIn("Traceback", output)

        self.places.var.touch()
        self.assertEqual(self.run_program("stop")[0], 1)
