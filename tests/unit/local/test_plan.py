"""What is to run, from conf/ and the environment."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from gandalf.config import AggregatorConfig, ClusterConfig, ConfigurationError, ConnectorsConfig, load
from gandalf.local.errors import LocalError
from gandalf.local.places import write_private
from gandalf.local.plan import Plan
from tests.unit.local.support import LocalCase

AGGREGATOR = "GANDALF_AGGREGATOR__AGGREGATOR__"


class Plans(LocalCase):
    """`make_plan`"""

    def test_conf_as_it_is(self) -> None:
        """The files in conf/ make a network, of those whom they name and of the operator."""
        plan = self.plan()
        self.assertEqual(plan.tenant, "tenant1")
        self.assertEqual(
            [(each.type, each.logical_name, each.address) for each in plan.components],
            [
                ("aggregator", "aggregator1", "127.0.0.1:9103"),
                ("connector", "git1", ""),
                ("connector", "workflow1", ""),
                ("connector", "operator", ""),
            ],
        )
        self.assertEqual(plan.connectors, ("git1", "workflow1"))
        self.assertEqual([each.address.port for each in plan.listeners], [9432, 9100, 9103, 9203])

    def test_programs_find_their_files_under_var(self) -> None:
        """With the plan's environment the configuration that is run loads, once the secrets are made."""
        plan = self.plan()
        for component in plan.components:
            write_private(component.secret_file, f"the secret of {component.logical_name}\n")
        directory = self.places.configuration
        aggregator = load(AggregatorConfig, directory / "aggregator.toml", plan.environment)
        self.assertEqual(aggregator.aggregator.secret.get_secret_value(), "the secret of aggregator1")
        connectors = load(ConnectorsConfig, directory / "connectors.toml", plan.environment)
        self.assertEqual(
            [each.secret.get_secret_value() for each in connectors.connectors],
            ["the secret of git1", "the secret of workflow1"],
        )
        self.assertEqual(plan.environment["GANDALF_CLUSTER__CLUSTER__DATABASE_FILE"], str(self.places.database))

    def test_nobody_is_told_what_the_files_say_already(self) -> None:
        """Addresses that agree are left to the files."""
        self.assertNotIn(f"{AGGREGATOR}CLUSTER", self.plan().environment)
        self.assertNotIn("GANDALF_CONNECTOR__CONNECTOR__AGGREGATORS", self.plan().environment)

    def test_one_variable_moves_a_listener(self) -> None:
        """Who dials an address that was moved by a variable is told the new one."""
        plan = self.plan(
            GANDALF_CLUSTER__CLUSTER__LISTEN="127.0.0.1:1100",
            GANDALF_AGGREGATOR__AGGREGATOR__LISTEN="127.0.0.1:1103",
        )
        self.assertEqual(plan.environment[f"{AGGREGATOR}CLUSTER"], "127.0.0.1:1100")
        self.assertEqual(plan.environment["GANDALF_CONNECTOR__CONNECTOR__AGGREGATORS"], "127.0.0.1:1103")
        self.assertEqual([each.address.port for each in plan.listeners], [9432, 1100, 1103, 9203])

    def test_one_key_moves_a_listener(self) -> None:
        """The same when it was moved in a file."""
        self.edit("cluster.toml", 'listen = "127.0.0.1:9100"', 'listen = "127.0.0.1:1100"')
        self.assertEqual(self.plan().environment[f"{AGGREGATOR}CLUSTER"], "127.0.0.1:1100")

    def administrators(self, plan: Plan) -> tuple[str, ...]:
        """Those whom the cluster member that is run has."""
        write_private(self.places.database, "postgresql://u:p@127.0.0.1/gandalf\n")
        configuration = load(ClusterConfig, self.places.configuration / "cluster.toml", plan.environment)
        return configuration.cluster.administrators

    def test_the_local_tenant_is_an_administrator(self) -> None:
        """Whoever tries things has a log-in of the local tenant, and may do all with it."""
        self.assertEqual(self.administrators(self.plan()), ("gandalf", "tenant1"))

    def test_administrators_that_were_chosen(self) -> None:
        """They stay as the variable or the file has them, also when the variable says what is the default."""
        for text, names in (("gandalf", ("gandalf",)), ("", ()), ("acme,tenant1", ("acme", "tenant1"))):
            plan = self.plan(GANDALF_CLUSTER__CLUSTER__ADMINISTRATORS=text)
            self.assertEqual(self.administrators(plan), names)
        self.edit("cluster.toml", 'administrators = ["gandalf"]', 'administrators = ["acme"]')
        self.assertEqual(self.administrators(self.plan()), ("acme",))

    def test_a_moved_aggregator_has_another_secret(self) -> None:
        """Its first secret stays bound to the address that it was used at."""
        moved = self.plan(GANDALF_AGGREGATOR__AGGREGATOR__LISTEN="127.0.0.1:1103")
        self.assertNotEqual(moved.components[0].secret_file, self.plan().components[0].secret_file)
        self.assertEqual(moved.components[1], self.plan().components[1])

    def test_the_status_of_the_member_is_a_listener(self) -> None:
        """It is checked like the others when there is one."""
        plan = self.plan(GANDALF_CLUSTER__STATUS__LISTEN="127.0.0.1:1101")
        self.assertIn(1101, [each.address.port for each in plan.listeners])

    def test_programs_are_those_of_this_python(self) -> None:
        """`twistd` is found beside the Python that runs this, whatever else is on the PATH."""
        path = self.plan().environment["PATH"].split(":")
        self.assertEqual(path, [str(Path(sys.executable).parent), "/usr/bin"])

    def test_the_port_of_postgresql(self) -> None:
        """A variable changes it; anything but a port is refused, naming the variable."""
        self.assertEqual(self.plan(GANDALF_POSTGRES_PORT="5555").postgres_port, 5555)
        for text in ("", "0", "65536", "x", "-1", "1" * 5000, "\u0661"):
            error = self.assertRaises(LocalError, self.plan, GANDALF_POSTGRES_PORT=text)
            self.assertIn("GANDALF_POSTGRES_PORT", str(error))

    def test_errors_of_the_files(self) -> None:
        """A file that is not in order is told as its program would tell it."""
        self.edit("connectors.toml", "[[connectors]]", "[[connectors")
        error = self.assertRaises(ConfigurationError, self.plan)
        self.assertIn("connectors.toml", str(error))

    def test_a_missing_file(self) -> None:
        """So is one that is not there."""
        (self.places.configuration / "connectors.toml").unlink()
        self.assertIn("cannot be read", str(self.assertRaises(ConfigurationError, self.plan)))

    def test_connectors_that_are_no_tables(self) -> None:
        """So are connectors of another kind."""
        path = self.places.configuration / "connectors.toml"
        path.write_text('connectors = 5\n[connector]\ntenant = "t"\naggregators = ["127.0.0.1:1"]\n')
        self.assertIn("connectors", str(self.assertRaises(ConfigurationError, self.plan)))

    def test_two_tenants(self) -> None:
        """Connectors of another tenant than the aggregator's could never link to it."""
        error = self.assertRaises(LocalError, self.plan, GANDALF_CONNECTOR__CONNECTOR__TENANT="other")
        self.assertIn("'other'", str(error))
        self.assertIn("'tenant1'", str(error))

    def test_no_checkout(self) -> None:
        """A directory without conf/ is no place to start from."""
        shutil.rmtree(self.places.configuration)
        self.assertIn("conf/supervisord-local.conf", str(self.assertRaises(LocalError, self.plan)))
