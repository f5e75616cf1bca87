"""`gandalf secret` with open secrets, on a real control database."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

from click.testing import CliRunner
from twisted.trial.unittest import TestCase

from gandalf.cli.main import main
from gandalf.store import secrets

from . import postgres


class OpenSecrets(TestCase):
    """Those of the tenant `gandalf`."""

    def gandalf(self, *arguments: str) -> str:
        """What `gandalf secret ARGUMENTS` prints."""
        result = CliRunner().invoke(main, ["secret", *arguments, "--database", postgres.control_dsn()])
        self.assertEqual(result.exit_code, 0, result.output)
        return result.output

    def line(self, id: str) -> str:
        """What the list has of a secret, in single spaces."""
        (line,) = [line for line in self.gandalf("list").splitlines() if line.startswith(id)]
        return " ".join(line.split())

    def test_life(self) -> None:
        """Made into a file, listed as open, used by a component, whose it is then."""
        path = Path(self.mktemp())
        self.gandalf("create", "--open", "--tenant", "gandalf", "--file", str(path))
        secret = path.read_text().strip()
        self.assertEqual(str(UUID(secret)), secret)
        listed = [json.loads(line) for line in self.gandalf("list", "--tenant", "gandalf", "--json").splitlines()]
        id = next(info["id"] for info in reversed(listed) if info["component_type"] is None)
        self.assertIn(f"{id} gandalf open whoever uses it first", self.line(id))
        with postgres.transaction(postgres.control_dsn()) as connection:
            use = secrets.validate_txn(connection, "connector", "user1", "gandalf", "", "", secret, now=1)
        self.assertIsInstance(use, secrets.Accepted)
        self.assertIn(f"{id} gandalf connector user1", self.line(id))
        self.gandalf("revoke", id)

    def test_component(self) -> None:
        """A component's own is made as ever."""
        self.assertTrue(self.gandalf("create", "connector", "owner1", "--tenant", "gandalf").strip())
        self.assertIn("gandalf connector owner1", " ".join(self.gandalf("list").split()))
