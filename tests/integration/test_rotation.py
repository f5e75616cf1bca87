"""A tenant's database gets another password while its aggregator runs (protocol.md 6.4b)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gandalf.store import tenants
from tests.integration import postgres
from tests.integration.deployment import Deployment, logs
from tests.integration.programs import until


class RotationTests(SynchronousTestCase):
    """A real member and a real aggregator."""

    def test_a_new_password(self) -> None:
        """The member notices and tells; the aggregator connects anew, and no password is in a log."""
        network = Deployment(members=1, aggregators=1)
        programs = {"member": network.member(0), "aggregator": network.aggregator(0)}
        for program in programs.values():
            self.addCleanup(program.end)
            program.start()
        until(lambda: network.ready(0), "ready", log=logs(programs))
        before = network.tenant_dsn()
        with postgres.transaction(network.control) as connection:
            tenants.rotate_password_txn(connection, network.tenant)
        aggregator = programs["aggregator"]
        until(lambda: aggregator.log.count("database connected") > 1, "connected anew", log=logs(programs))
        for dsn in (before, network.tenant_dsn()):
            password = dsn.partition(":")[2].partition(":")[2].partition("@")[0]
            self.assertGreater(len(password), 20)
            for program in programs.values():
                self.assertNotIn(password, program.log)
