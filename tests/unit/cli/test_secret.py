"""`gandalf secret`, as far as it needs no database."""

from __future__ import annotations

from tests.unit.cli.support import CommandCase


class SecretCreate(CommandCase):
    """`gandalf secret create`"""

    def test_whose(self) -> None:
        """A component or an open one: not both, not neither, not half."""
        for arguments in ((), ("connector",), ("connector", "git1", "--open"), ("connector", "--open")):
            with self.subTest(arguments):
                self.assert_usage(self.run_command("secret", "create", *arguments), "either TYPE and NAME, or --open")

    def test_type(self) -> None:
        """Only an aggregator or a connector has a secret."""
        self.assert_usage(self.run_command("secret", "create", "cluster", "c"), "aggregator", "connector")
