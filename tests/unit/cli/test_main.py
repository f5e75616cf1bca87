"""The list of commands."""

from __future__ import annotations

import subprocess
import sys

import click

from gandalf.cli.main import COMMANDS, main
from tests.unit.cli.support import CommandCase


class Commands(CommandCase):
    """`gandalf`"""

    def test_every_command_is_there(self) -> None:
        """Each name of the list has its module, and help of its own."""
        for name in COMMANDS:
            result = self.run_command(name, "--help")
            self.assertEqual(result.exit_code, 0, result.output)
            self.assertIn(f"{name} [OPTIONS]", result.output)

    def test_help_tells_them_all(self) -> None:
        """And the exit statuses."""
        result = self.run_command("--help")
        for name, (_, text) in COMMANDS.items():
            self.assertIn(name, result.output)
            self.assertIn(text, result.output)
        self.assertIn("Exit status", result.output)

    def test_an_unknown_one(self) -> None:
        """Is refused."""
        self.assert_usage(self.run_command("sned"), "sned")

    def test_a_quick_start(self) -> None:
        """Neither help nor a wrong command line costs the import of the network or the database."""
        script = (
            "import sys; from gandalf.cli.main import main\n"
            "try: main(sys.argv[1:])\n"
            "except SystemExit: pass\n"
            "print([name for name in ('twisted', 'pydantic', 'sqlalchemy', 'rich') if name in sys.modules])"
        )
        for arguments in (["--help"], ["send", "--help"], ["send", "x"], ["trace", "--since", "x"]):
            done = subprocess.run(
                [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
            )
            self.assertEqual(done.stdout.splitlines()[-1], "[]", arguments)

    def test_commands_are_listed_in_order(self) -> None:
        """For completion in shells."""

        self.assertEqual(main.list_commands(click.Context(main)), list(COMMANDS))
