"""Secrets, configurations and databases: what each request asks of the database, and what it changes here."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from gandalf.cluster import configurations
from gandalf.cluster.configurations import Configurations
from gandalf.cluster.databases import Databases
from gandalf.cluster.presence import Presence
from gandalf.cluster.validation import Validation
from gandalf.routing.link import Link
from gandalf.routing.testing import TENANT
from gandalf.store.defaults import Defaults
from gandalf.store.definitions import Definitions, LogicalComponentDefinition, PivotDefinition
from gandalf.store.errors import DatabaseUnavailable, NotFound, StoreError
from gandalf.store.secrets import Created, Refused
from gandalf.store.seed import Logins
from gandalf.store.testing import FakeDatabase
from gandalf.wire import kinds
from tests.unit.cluster.support import OTHER, AnswersCase


class ValidationTest(AnswersCase):
    """Secrets."""

    kind = kinds.SECRET

    def setUp(self) -> None:
        super().setUp()
        self.link.validated = False
        self.presence = Presence(lambda: 0.0)
        self.told: list[Link] = []
        control: Any = self.database
        self.validation = Validation(control, self.presence, lambda: 2.0, self.told.append)
        self.serve(self.validation.handlers)

    def claims(self, **claims: object) -> dict[str, object]:
        """The context of the aggregator's own request."""
        return {"component_type": "aggregator", "logical_name": "aggregator1", "secret": "s", **claims}

    def test_own(self) -> None:
        """Accepted: the link is validated, and who has to know is told."""
        self.ask("VALIDATION", self.claims(bind_address="h:1", instance=b"\1" * 16))
        asked = self.asked()
        self.assertEqual(asked.args, ("aggregator", "aggregator1", TENANT, "h:1", "01" * 16, "s"))
        self.assertEqual(asked.kwargs, {"now": 2000})
        self.assertFalse(self.link.validated)
        asked.answer.callback(None)
        self.assertEqual(self.answer(), ("true", {}))
        self.assertTrue(self.link.validated)
        self.assertEqual(self.told, [self.link])
        self.assertEqual(len(self.presence), 0)

    def test_own_refused(self) -> None:
        """Refused: the reason is told; a link that was validated is so no more."""
        self.link.validated = True
        self.ask("VALIDATION", self.claims())
        self.asked().answer.callback(Refused("the secret has been revoked"))
        self.assertEqual(self.answer(), ("false", {"reason": "the secret has been revoked"}))
        self.assertFalse(self.link.validated)
        self.assertEqual((self.told, dict(self.validation.counters)), ([], {"refused": 1}))

    def test_connector(self) -> None:
        """A connector is present from then on; the link's own validation is not touched."""
        self.ask("VALIDATION", self.claims(component_type="connector", logical_name="git"), target="git")
        self.asked().answer.callback(None)
        self.assertEqual(self.answer()[0], "true")
        self.assertEqual(self.presence.behind(self.link), frozenset({"git"}))
        self.assertEqual((self.link.validated, self.told), (False, []))

    def test_claims(self) -> None:
        """Claims that do not fit who asks are refused before any secret is looked at."""
        for target, claims in (
            ("", self.claims(component_type="connector")),
            ("", self.claims(logical_name="another")),
            ("git", self.claims()),
            ("git", self.claims(component_type="connector", logical_name="hg")),
            ("git", {}),
        ):
            with self.subTest(claims):
                self.ask("VALIDATION", claims, target=target)
                payload, context = self.answer()
                self.assertEqual(payload, "false")
                self.assertIn("must be", context["reason"])
        self.assertEqual((self.database.asked, len(self.presence)), ([], 0))

    def test_nobody_can_say(self) -> None:
        """A database that is away is no refusal, and changes nothing."""
        self.link.validated = True
        self.ask("VALIDATION", self.claims())
        self.asked().answer.errback(DatabaseUnavailable("away"))
        self.assertEqual(self.failure(), "UNAVAILABLE")
        self.assertTrue(self.link.validated)

    def test_instance(self) -> None:
        """An instance may be text, or left out; anything else is malformed."""
        for instance, expected in (("abc", "abc"), ("", "")):
            self.ask("VALIDATION", self.claims(instance=instance))
            self.assertEqual(self.asked().args[4], expected)
        self.ask("VALIDATION", self.claims(instance=5))
        self.assertEqual(self.failure(), "MALFORMED")


class ConfigurationsCase(AnswersCase):
    """What is stored in a tenant's database."""

    def setUp(self) -> None:
        super().setUp()
        self.tenants: list[str] = []
        self.saved: list[str] = []
        self.serve(
            Configurations(
                self.open, self.authority, Defaults(Definitions()), self.saved.append, lambda: 2.0
            ).handlers
        )

    def open(self, tenant: str) -> FakeDatabase:
        """The tenant's database."""
        self.tenants.append(tenant)
        return self.database


class ConfigurationsTest(ConfigurationsCase):
    """Pivots and product connectors."""

    kind = kinds.CONFIGURATION

    def test_pivot(self) -> None:
        """By name and version, from the tenant's database; other keys may name it."""
        for context in ({"name": "vcs"}, {"connector_type": "vcs"}, {"component_type": "vcs"}):
            self.ask("PIVOT_CONFIGURATION", {**context, "major": 2, "minor": 1})
            asked = self.asked()
            self.assertEqual(asked.args, ("vcs", 2, 1))
            asked.answer.callback(PivotDefinition(name="vcs", major=2, minor=1))
            self.assertEqual(json.loads(self.answer()[0])["minor"], 1)
        self.assertEqual((set(self.tenants), self.saved), ({TENANT}, []))

    def test_product_connector(self) -> None:
        """It takes a product as well."""
        self.ask("CONNECTOR_PRODUCT_CONFIGURATION", {"name": "git"})
        self.assertEqual(self.failure(), "MALFORMED")
        self.ask("CONNECTOR_PRODUCT_CONFIGURATION", {"name": "git", "product": "git"})
        asked = self.asked()
        self.assertEqual(asked.args, ("git", "git", 1, 0))
        asked.answer.errback(NotFound("product connector not found"))
        self.assertEqual(self.failure(), "NOT_FOUND")

    def test_save(self) -> None:
        """What was saved is told to who resolves, and answered; what fails is not."""
        self.ask("SAVE_PIVOT_CONFIGURATION", {}, '{"name": "vcs", "major": 1}')
        self.asked().answer.callback(PivotDefinition(name="vcs", major=1))
        self.assertEqual(json.loads(self.answer()[0])["name"], "vcs")
        self.assertEqual(self.saved, [TENANT])
        self.ask("SAVE_PIVOT_CONFIGURATION", {}, '{"name": "vcs", "major": 1}')
        self.asked().answer.errback(StoreError("no"))
        self.failure()
        self.ask("SAVE_PIVOT_CONFIGURATION", {}, "{}")
        self.assertEqual(self.failure(), "INVALID")
        self.assertEqual((self.saved, self.database.asked), ([TENANT], []))

    def test_for_another_tenant(self) -> None:
        """An administrator's aggregator reads and stores in the database of the tenant that it names."""
        self.link.tenant = "gandalf"
        pivot, speaker = '{"name": "vcs", "major": 1}', {"name": "git", "product": "git"}
        connector = '{"name": "g", "major": 1, "pivot": {"name": "vcs", "major": 1}, "product": {"name": "g"}}'
        for command, context, payload in (
            ("PIVOT_CONFIGURATION", {"name": "vcs"}, ""),
            ("CONNECTOR_PRODUCT_CONFIGURATION", speaker, ""),
            ("SAVE_PIVOT_CONFIGURATION", {}, pivot),
            ("SAVE_PRODUCT_CONNECTOR_CONFIGURATION", {}, connector),
        ):
            with self.subTest(command):
                self.ask(command, {**context, "tenant": OTHER}, payload)
                self.asked().answer.callback(PivotDefinition(name="vcs", major=1))
                self.assertEqual(json.loads(self.answer()[0])["name"], "vcs")
        self.assertEqual((self.tenants, self.saved), ([OTHER] * 4, [OTHER] * 2))

    def test_not_for_another_tenant(self) -> None:
        """Nobody else may, neither read nor store: no database is opened."""
        for command in (
            "PIVOT_CONFIGURATION",
            "CONNECTOR_PRODUCT_CONFIGURATION",
            "SAVE_PIVOT_CONFIGURATION",
            "SAVE_PRODUCT_CONNECTOR_CONFIGURATION",
        ):
            self.ask(command, {"tenant": OTHER, "name": "vcs", "product": "git"}, '{"name": "vcs", "major": 1}')
            self.assertEqual(self.failure(), "NOT_AUTHORISED")
        self.assertEqual((self.tenants, self.saved), ([], []))


class LogicalConfigurationTest(ConfigurationsCase):
    """What a component may ask and save."""

    kind = kinds.LOGICAL_CONFIGURATION
    component = LogicalComponentDefinition.model_validate(
        {
            "logicalname": "git",
            "type": "connector",
            "productconnector": {"name": "g", "major": 1, "product": {"name": "g"}},
        }
    )

    def test_fetch(self) -> None:
        """By the context's name, or the target's; looking changes nothing."""
        for context, target in (({"logical_name": "git"}, ""), ({}, "git"), ({"logical_name": "git"}, "git")):
            self.ask("LOGICAL_CONFIGURATION", context, target=target)
            self.asked().answer.callback(self.component)
            self.assertEqual(json.loads(self.answer()[0])["logicalname"], "git")
        self.assertEqual(self.saved, [])
        self.ask("LOGICAL_CONFIGURATION", {})
        self.assertEqual(self.failure(), "MALFORMED")

    def test_for_another_tenant(self) -> None:
        """An administrator's aggregator stores there, without putting its own name in the place of another's."""
        self.link.tenant = "gandalf"
        saved: list[LogicalComponentDefinition] = []
        self.patch(
            configurations, "save_logical_component_txn", lambda connection, component, now: saved.append(component)
        )
        self.patch(configurations, "fetch_logical_component_txn", lambda connection, name: self.component)
        self.patch(Defaults, "prepare_txn", lambda *args, **kwargs: None)
        for tenant, aggregator in ((OTHER, ""), ("gandalf", "aggregator1")):
            self.ask("LOGICAL_CONFIGURATION", {"tenant": tenant}, self.component.model_dump_json())
            asked = self.asked()
            asked.answer.callback(asked.txn(None))
            self.assertEqual(json.loads(self.answer()[0])["logicalname"], "git")
            self.assertEqual(saved.pop().aggregator, aggregator)
        self.assertEqual((self.tenants, self.saved), ([OTHER, "gandalf"], [OTHER, "gandalf"]))

    def test_save_component(self) -> None:
        """Saved components are told to who resolves."""
        self.ask("LOGICAL_CONFIGURATION", {}, self.component.model_dump_json(), target="git")
        self.asked().answer.callback(self.component)
        self.answer()
        self.assertEqual(self.saved, [TENANT])

    def test_somebody_else(self) -> None:
        """A connector may neither see nor change another component, nor become one of another type."""
        aggregator = {"logicalname": "git", "type": "aggregator", "pivot": {"name": "aggregator", "major": 1}}
        for context, payload, target in (
            ({"logical_name": "git"}, "", "hg"),
            ({}, self.component.model_dump_json(), "hg"),
            ({}, json.dumps(aggregator), "git"),
        ):
            self.ask("LOGICAL_CONFIGURATION", context, payload, target)
            self.assertEqual(self.failure(), "NOT_AUTHORISED")
        self.assertEqual((self.database.asked, self.saved), ([], []))


class ControlDatabase(FakeDatabase):
    """A control database that creates tenants at once."""

    dsn = "postgresql://u:p@h/gandalf"
    logins = Logins(("A1", "A2"), ("p1", "p2"))

    def call(self, name: str, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Note it as what is run."""
        return self.run(name, function, *args, **kwargs)


class DatabasesTest(AnswersCase):
    """Databases of tenants."""

    kind = kinds.CONFIGURATION_DATABASE

    def setUp(self) -> None:
        super().setUp()
        self.database = ControlDatabase()
        self.created: list[str] = []
        control: Any = self.database
        self.handed_out: list[tuple[Link, str]] = []
        databases = Databases(
            control,
            self.authority,
            lambda: 2.0,
            self.created.append,
            lambda link, dsn: self.handed_out.append((link, dsn)),
        )
        self.serve(databases.handlers)

    def test_database(self) -> None:
        """That of the link's tenant, whatever the request says."""
        self.ask("CONFIGURATION_DATABASE", {"logical_name": "x", "tenant": "y"}, "z")
        asked = self.asked()
        self.assertEqual(asked.args, (TENANT, ControlDatabase.dsn))
        asked.answer.callback("postgresql://t:p@h/t")
        self.assertEqual(json.loads(self.answer()[0]), {"tenant": TENANT, "dsn": "postgresql://t:p@h/t"})
        self.assertEqual(self.handed_out, [(self.link, "postgresql://t:p@h/t")])

    def test_connectors_get_nothing(self) -> None:
        """A connector gets no database, nor may it make one."""
        self.link.tenant = "gandalf"
        for command in ("CONFIGURATION_DATABASE", "CREATE_DATABASE"):
            self.ask(command, {}, "new", target="git")
            self.assertEqual(self.failure(), "NOT_AUTHORISED")
        self.assertEqual(self.database.asked, [])

    def test_create(self) -> None:
        """The tenant, and a secret for the aggregator that is called like it, or as the request says."""
        self.link.tenant = "gandalf"
        for context, aggregator in (({}, "new"), ({"logical_name": "aggregator1"}, "aggregator1")):
            self.ask("CREATE_DATABASE", context, "new")
            asked = self.asked()
            self.assertEqual(asked.args, (ControlDatabase.dsn, "new"))
            asked.answer.callback(ControlDatabase.logins)
            asked = self.asked()
            self.assertEqual(asked.args, ("aggregator", aggregator, "new"))
            asked.answer.callback(Created(UUID(int=1), "s3cr3t"))
            told = {"Login": ["A1", "A2"], "Password": ["p1", "p2"], "Secret": "s3cr3t"}
            self.assertEqual(json.loads(self.answer()[0]), told)
        self.assertEqual(self.created, ["new", "new"])

    def test_create_without_secret(self) -> None:
        """The logins are told even when no secret could be made: they cannot be had again."""
        self.link.tenant = "gandalf"
        self.ask("CREATE_DATABASE", {}, "new")
        self.asked().answer.callback(ControlDatabase.logins)
        self.asked().answer.errback(DatabaseUnavailable("away"))
        self.assertEqual(json.loads(self.answer()[0]), {"Login": ["A1", "A2"], "Password": ["p1", "p2"]})
        self.assertEqual(self.created, ["new"])

    def test_administrators_create(self) -> None:
        """Whatever their tenant is called."""
        self.link.tenant = "ops"
        self.ask("CREATE_DATABASE", {}, "new")
        self.assertEqual(self.asked().args, (ControlDatabase.dsn, "new"))

    def test_create_refused(self) -> None:
        """Of a tenant that is no administrator, or without a name: nothing is made, and it is said who may."""
        self.ask("CREATE_DATABASE", {}, "new")
        code, message = self.refusal()
        self.assertEqual(code, "NOT_AUTHORISED")
        self.assertIn("'tenant1' may not create tenants; one of the administrators may: 'gandalf', 'ops'", message)
        self.link.tenant = "gandalf"
        self.ask("CREATE_DATABASE", {})
        self.assertEqual(self.failure(), "INVALID")
        self.assertEqual((self.database.asked, self.created), ([], []))
