"""The API of a real aggregator does what its description says: schemathesis finds nothing, with all its checks."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzzing.run import Account, fuzz
from tests.integration.deployment import Deployment, logs
from tests.integration.programs import Program, until


class SchemaTests(SynchronousTestCase):
    """A member of a cluster and an aggregator, as programs. `python -m tests.fuzzing` does the same for longer."""

    def setUp(self) -> None:
        self.network = Deployment(members=1, aggregators=1)
        self.programs: dict[str, Program] = {
            "member": self.network.member(0),
            "aggregator": self.network.aggregator(0),
        }
        for program in self.programs.values():
            self.addCleanup(program.end)
            program.start()
        until(lambda: self.network.ready(0), "aggregator ready", 30, logs(self.programs))
        logins = self.network.logins
        self.account = Account(f"http://127.0.0.1:{self.network.api_ports[0]}", logins.login[0], logins.password[0])

    def test_each_operation(self) -> None:
        """Values at the edges of what is allowed, of each parameter and field, and on /api/v1 beyond them, too."""
        for face, mode, least in (("/api/v1", "all", 4000), ("/ditrit/Gandalf/1.0.0", "positive", 1000)):
            found = fuzz(self.account, face, examples=1, seed=1, phases=("coverage",), mode=mode)
            self.assertEqual(found.failures, 0, f"{found.output}\n{logs(self.programs)()}")
            self.assertGreater(found.cases, least)
