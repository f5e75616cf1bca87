"""Which database is the control database, and how its errors are told."""

from __future__ import annotations

from tests.integration.ports import free_port
from tests.unit.cli.support import SETTINGS, CommandCase


class ControlDatabase(CommandCase):
    """`--database`, the variable, and the settings' file."""

    def setUp(self) -> None:
        """An address where nobody listens."""
        super().setUp()
        self.port = free_port()
        self.uri = f"postgresql://someone:hidden-word@127.0.0.1:{self.port}/gandalf"

    def test_where_it_is_told(self) -> None:
        """Each of the three is used; status 3 when nobody answers there, and the password is not shown."""
        (self.directory / "database").write_text(self.uri + "\n")
        for arguments, environment, settings in (
            (["--database", self.uri], {}, SETTINGS),
            ([], {"GANDALF_DATABASE": self.uri}, SETTINGS),
            ([], {}, SETTINGS + 'database_file = "database"\n'),
        ):
            self.settings.write_text(settings)
            for command in (["tenant", "list"], ["secret", "list"], ["trace"]):
                result = self.run_command(*command, *arguments, environment=environment)
                self.assertEqual(result.exit_code, 3, result.output)
                self.assertIn(str(self.port), result.output)
                self.assertNotIn("hidden-word", result.output)

    def test_it_is_told_nowhere(self) -> None:
        """Status 2, with the three ways."""
        result = self.run_command("tenant", "list")
        self.assert_usage(result, "--database", "GANDALF_DATABASE", "database_file")

    def test_no_uri(self) -> None:
        """Status 2; a text that may hold a password is not shown."""
        result = self.run_command("tenant", "list", "--database", "hidden-word")
        self.assert_usage(result, "libpq URI")
        self.assertNotIn("hidden-word", result.output)
