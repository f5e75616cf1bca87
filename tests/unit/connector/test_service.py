"""The connectors of one process: what their configuration makes, and how they end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.usage import UsageError

from gandalf.config import ConfigurationError, ConnectorsConfig, checked
from gandalf.connector import Connector, Job
from gandalf.connector.service import ConnectorsService, load_all
from gandalf.connector.tap import Options
from gandalf.wire import kinds
from tests.unit.connector.support import Greet, RuntimeCase, greeter

GREETER = greeter()


def config(*connectors: dict[str, Any], **limits: Any) -> ConnectorsConfig:
    """A configuration with these [[connectors]]."""
    tables = [{"logical_name": f"c{number}", "secret": "s", **table} for number, table in enumerate(connectors)]
    common = {"tenant": "acme", "aggregators": ["127.0.0.1:1", "[::1]:2"]}
    data = {"connector": common, "connectors": tables, "limits": limits}
    return checked(ConnectorsConfig, data, Path(), source="a test", environment={})


class LoadTests(RuntimeCase):
    """From [[connectors]] to what is run."""

    def test_what_a_table_becomes(self) -> None:
        """Each key has its place; times become seconds."""
        table = {"use": "tests.unit.connector.test_service:GREETER", "bind": "127.0.0.1:7"}
        ((program, account),) = load_all(config(table, heartbeat=2000), None)
        self.assertIs(program.connector, GREETER)
        self.assertEqual((account.logical_name, account.tenant, account.secret), ("c0", "acme", "s"))
        self.assertEqual(account.aggregators, ("127.0.0.1:1", "[::1]:2"))
        self.assertEqual((account.bind_address, account.limits.heartbeat), ("127.0.0.1:7", 2.0))

    def test_all_errors_at_once(self) -> None:
        """Each names its table and connector, the value, and what is allowed."""
        wrong = config(
            {"use": "nowhere.to.be:found"},
            {"use": "tests.unit.connector.test_service:GREETER"},
            {"use": "gandalf.connector.workflow:program", "options": {"directroy": "."}},
        )
        text = str(self.assertRaises(ConfigurationError, load_all, wrong, None))
        self.assertIn("connectors[0]: use is 'nowhere.to.be:found': cannot be imported", text)
        self.assertIn("connectors[2]: options.", text)
        self.assertIn("(from connector c2)", text)
        self.assertNotIn("connectors[1]", text)


class OptionsTests(RuntimeCase):
    """The command line."""

    def test_a_configuration_is_required(self) -> None:
        """Without --config the program says so."""
        error = self.assertRaises(UsageError, Options().parseOptions, [])
        self.assertEqual(str(error), "--config FILE is required")
        options = Options()
        options.parseOptions(["--config", "x.toml"])
        self.assertEqual(options["config"], "x.toml")


class ServiceTests(RuntimeCase):
    """Several connectors in one process."""

    def setUp(self) -> None:
        super().setUp()
        self.work: Deferred[str] = Deferred()
        connector = Connector(type="t", product="p", versions=[(1, 0)])

        @connector.command("WAIT", Greet)
        async def wait(request: Greet, job: Job) -> str:
            return await self.work

        self.service = ConnectorsService([self.runtime(connector)])

    def run_until_ready(self) -> None:
        """Start, and link."""
        self.successResultOf(ensureDeferred(self.service.start()))
        self.network.settle()
        self.assertEqual(len(self.first.heard(kinds.HEARTBEAT)), 1)

    def test_drain(self) -> None:
        """Done when what is at work has ended."""
        self.run_until_ready()
        self.first.command("WAIT", {"name": "x"})
        drained = ensureDeferred(self.service.drain())
        self.network.advance(1)
        self.assertNoResult(drained)
        self.work.callback("done")
        self.network.advance(1)
        self.successResultOf(drained)
        self.assertEqual(self.first.events()[-1], ("WAIT", "SUCCESS"))

    def test_hurried(self) -> None:
        """Asked a second time, what is at work is cancelled at once."""
        self.run_until_ready()
        self.first.command("WAIT", {"name": "x"})
        drained = ensureDeferred(self.service.drain())
        drained.addErrback(lambda failure: None)
        self.network.advance(1)
        drained.cancel()
        stopped = ensureDeferred(self.service.stop())
        self.network.advance(0.5)
        self.successResultOf(stopped)
        self.assertEqual(self.first.events()[-1], ("WAIT", "FAILURE"))
