"""What the preparation writes without a database."""

from __future__ import annotations

import json

from gandalf.config import OperatorConfig, load
from gandalf.local.places import write_private
from gandalf.local.preparation import credentials_kept, operator_settings
from tests.unit.local.support import LocalCase


class Settings(LocalCase):
    """`operator_settings`"""

    def test_the_command_can_use_them(self) -> None:
        """They load as operator.toml, with the addresses of the plan."""
        plan = self.plan(GANDALF_AGGREGATOR__API__LISTEN="127.0.0.1:1203")
        write_private(plan.components[-1].secret_file, "the secret of the operator\n")
        write_private(self.places.database, "postgresql://u:p@127.0.0.1/gandalf\n")
        write_private(self.places.credentials, "{}\n")
        write_private(self.places.operator, operator_settings(plan))
        own = load(OperatorConfig, self.places.operator, {}).operator
        self.assertEqual(own.secret.get_secret_value(), "the secret of the operator")
        self.assertEqual(str(own.api), "127.0.0.1:1203")
        self.assertEqual([str(each) for each in own.aggregators], ["127.0.0.1:9103"])
        self.assertEqual(own.database_file, self.places.database)
        self.assertEqual(own.credentials_file, self.places.credentials)

    def test_with_tls(self) -> None:
        """The files of [tls] are named wherever the settings lie."""
        for name in ("ca", "cert", "key"):
            (self.places.configuration / f"{name}.pem").touch()
        table = '[tls]\nca = "ca.pem"\ncertificate = "cert.pem"\nkey = "key.pem"\n'
        path = self.places.configuration / "connectors.toml"
        path.write_text(path.read_text() + table)
        text = operator_settings(self.plan())
        self.assertIn(f'ca = "{self.places.configuration / "ca.pem"}"', text)


class Credentials(LocalCase):
    """`credentials_kept`"""

    def test_none(self) -> None:
        """No file, a broken one, one of another tenant: the log-in is lost."""
        plan = self.plan()
        self.assertFalse(credentials_kept(plan))
        for text in ("{", "[]", json.dumps({"tenant": "other"})):
            write_private(self.places.credentials, text)
            self.assertFalse(credentials_kept(plan), text)

    def test_kept(self) -> None:
        """A log-in stays as it is; the address of the API is that of now."""
        content = {"api": "http://127.0.0.1:1", "tenant": "tenant1", "login": ["A"], "password": ["p"]}
        write_private(self.places.credentials, json.dumps(content))
        self.assertTrue(credentials_kept(self.plan()))
        expected = {**content, "api": "http://127.0.0.1:9203"}
        self.assertEqual(json.loads(self.places.credentials.read_text()), expected)
        written = self.places.credentials.stat().st_mtime_ns
        self.assertTrue(credentials_kept(self.plan()))
        self.assertEqual(self.places.credentials.stat().st_mtime_ns, written)
