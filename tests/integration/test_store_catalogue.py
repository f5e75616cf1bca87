"""The catalogue on a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from twisted.trial.unittest import TestCase

from gandalf.store import catalogue
from gandalf.store import tenant_schema as tables
from gandalf.store.definitions import (
    Definitions,
    InvalidDefinition,
    LogicalComponentDefinition,
    PivotDefinition,
    ProductConnectorDefinition,
    load_definitions,
)
from gandalf.store.errors import Conflict, NotFound
from gandalf.store.times import at

from . import postgres

SHIPPED = Path(__file__).parents[2] / "conf" / "definitions"

PIVOT: dict[str, Any] = {
    "name": "vcs",
    "major": 1,
    "minor": 0,
    "keys": [
        {"name": "token", "mandatory": True},
        {"name": "url", "mandatory": True, "defaultvalue": "http://x"},
    ],
    "commandtypes": [{"name": "CREATE", "schema": '{"type": "object"}'}],
    "eventtypes": [{"name": "created"}],
    "resourcetypes": [{"name": "repository"}],
}
CONNECTOR: dict[str, Any] = {
    "name": "gitconnector",
    "major": 1,
    "minor": 0,
    "pivot": {"name": "vcs", "major": 1, "minor": 0},
    "product": {"name": "git"},
    "keys": [{"name": "directory", "type": "path", "shortname": "d"}],
}
COMPONENT: dict[str, Any] = {
    "logicalname": "git1",
    "type": "connector",
    "aggregator": "agg",
    "productconnector": {"name": "gitconnector", "major": 1, "minor": 0, "product": {"name": "git"}},
    "keyvalues": [
        {"key": {"name": "directory"}, "value": "/srv"},
        {"key": {"name": "token"}, "value": "t"},
    ],
    "resources": [{"name": "repository1"}],
}


class CatalogueTests(TestCase):
    """Saving and fetching, in a tenant's empty tables."""

    def setUp(self) -> None:
        transaction = postgres.transaction(postgres.create_tenant_tables())
        self.connection = transaction.__enter__()
        self.addCleanup(transaction.__exit__, None, None, None)

    def save_pivot(self, **changes: Any) -> PivotDefinition:
        """Save the pivot above, changed."""
        pivot = PivotDefinition.model_validate({**PIVOT, **changes})
        catalogue.save_pivot_txn(self.connection, pivot, now=1_000)
        return pivot

    def save_connector(self, **changes: Any) -> ProductConnectorDefinition:
        """Save the product connector above, changed."""
        connector = ProductConnectorDefinition.model_validate({**CONNECTOR, **changes})
        catalogue.save_product_connector_txn(self.connection, connector, now=1_000)
        return connector

    def save_component(self, **changes: Any) -> LogicalComponentDefinition:
        """Save the component above, changed."""
        component = LogicalComponentDefinition.model_validate({**COMPONENT, **changes})
        catalogue.save_logical_component_txn(self.connection, component, now=1_000)
        return component

    def fetch_component(self) -> LogicalComponentDefinition:
        """The component as stored."""
        return catalogue.fetch_logical_component_txn(self.connection, "git1")

    def test_a_pivot_comes_back(self) -> None:
        """It is fetched as it was saved, by name and version."""
        pivot = self.save_pivot()
        self.assertEqual(catalogue.fetch_pivot_txn(self.connection, "vcs", 1, 0), pivot)
        for name, major, minor in (("vcs", 1, 1), ("vcs", 2, 0), ("VCS", 1, 0)):
            error = self.assertRaises(NotFound, catalogue.fetch_pivot_txn, self.connection, name, major, minor)
            self.assertEqual(str(error), f"pivot not found: '{name}' {major}.{minor}")

    def test_saved_twice(self) -> None:
        """Saving again changes no id; what has changed is changed, what is left out is removed."""
        self.save_pivot()
        query = select(tables.pivots.c.id, tables.command_types.c.id).join_from(tables.pivots, tables.command_types)
        ids = self.connection.execute(query).all()
        self.save_pivot()
        self.assertEqual(self.connection.execute(query).all(), ids)
        changed = self.save_pivot(commandtypes=[{"name": "DELETE"}], keys=PIVOT["keys"][:1])
        self.assertEqual(catalogue.fetch_pivot_txn(self.connection, "vcs", 1, 0), changed)

    def test_versions_stand_side_by_side(self) -> None:
        """Another version of a pivot declares the same names, and is another pivot."""
        one, two = (
            self.save_pivot(),
            self.save_pivot(minor=1, eventtypes=[{"name": "created", "schema": "{}"}]),
        )
        self.assertEqual(catalogue.fetch_pivot_txn(self.connection, "vcs", 1, 0), one)
        self.assertEqual(catalogue.fetch_pivot_txn(self.connection, "vcs", 1, 1), two)

    def test_a_product_connector_comes_back(self) -> None:
        """It is found by its own name and, as the Go system's clients ask, by its pivot's."""
        self.save_pivot()
        connector = self.save_connector()
        fetch = catalogue.fetch_product_connector_txn
        for name in ("gitconnector", "vcs"):
            self.assertEqual(fetch(self.connection, name, "git", 1, 0), connector)
        for name, product, major in (("vcs", "svn", 1), ("other", "git", 1), ("vcs", "git", 2)):
            self.assertRaises(NotFound, fetch, self.connection, name, product, major, 0)

    def test_a_product_connector_without_its_pivot(self) -> None:
        """The pivot has to be there first."""
        error = self.assertRaises(NotFound, self.save_connector)
        self.assertEqual(str(error), "pivot not found: 'vcs' 1.0")

    def test_a_component_comes_back(self) -> None:
        """It is fetched as it was saved, also after having been saved twice."""
        self.save_pivot()
        self.save_connector()
        component = self.save_component()
        self.assertEqual(self.fetch_component(), component)
        self.save_component()
        self.assertEqual(self.fetch_component(), component)
        self.assertRaises(NotFound, catalogue.fetch_logical_component_txn, self.connection, "nobody")

    def test_changed_key_values(self) -> None:
        """Values are replaced, and those no longer given are removed."""
        self.save_pivot()
        self.save_connector()
        self.save_component()
        changed = self.save_component(keyvalues=[{"key": {"name": "token"}, "value": "new"}])
        self.assertEqual(self.fetch_component(), changed)

    def save_partly(self, **said: Any) -> LogicalComponentDefinition:
        """Save the component with nothing said but what it needs and `said`; returns what is stored then."""
        needed = {key: COMPONENT[key] for key in ("logicalname", "type", "productconnector")}
        component = LogicalComponentDefinition.model_validate({**needed, **said})
        catalogue.save_logical_component_txn(self.connection, component, now=2_000)
        return self.fetch_component()

    def test_what_is_not_said_is_kept(self) -> None:
        """Key values, resources and texts stay; null is not said either, but an empty list or text is."""
        self.save_pivot()
        self.save_connector()
        saved = self.save_component(shortdescription="short", description="long")
        self.assertEqual(self.save_partly(), saved)
        self.assertEqual(self.save_partly(keyvalues=None, resources=None, description=None), saved)
        changed = self.save_partly(description="", aggregator="other")
        expected = {"description": "", "aggregator": "other"}
        self.assertEqual(changed, saved.model_copy(update=expected))
        error = self.assertRaises(InvalidDefinition, self.save_partly, keyvalues=[])
        self.assertIn("'token' is missing", str(error))

    def test_mandatory_keys_of_what_is_kept(self) -> None:
        """What is stored has to hold the mandatory keys; a component that is new has nothing to keep."""
        self.save_pivot()
        self.save_connector()
        error = self.assertRaises(InvalidDefinition, self.save_partly)
        self.assertEqual(str(error), "logical component 'git1': keyvalues: the mandatory key 'token' is missing")
        self.assertRaises(NotFound, self.fetch_component)
        self.save_component()
        self.save_connector(keys=[*CONNECTOR["keys"], {"name": "new", "mandatory": True}])
        error = self.assertRaises(InvalidDefinition, self.save_partly)
        self.assertIn("the mandatory key 'new' is missing", str(error))

    def test_values_follow_their_keys_to_another_version(self) -> None:
        """Kept values are those of the new version's keys of the same name; of a key that it lacks they wait."""
        self.save_pivot()
        self.save_connector()
        saved = self.save_component()
        self.save_pivot(minor=1)
        self.save_connector(minor=1, pivot={"name": "vcs", "major": 1, "minor": 1}, keys=[])
        newer = {**COMPONENT["productconnector"], "minor": 1}
        self.assertEqual(self.save_partly(productconnector=newer).keyvalues, saved.keyvalues)
        query = select(tables.keys.c.name, tables.pivots.c.minor).select_from(tables.key_values)
        query = query.join(tables.keys).outerjoin(tables.pivots, tables.pivots.c.id == tables.keys.c.pivot_id)
        owners = {row.name: row.minor for row in self.connection.execute(query)}
        self.assertEqual(owners, {"token": 1, "directory": None})
        self.assertEqual(self.save_partly(), saved)
        said = self.save_partly(productconnector=newer, keyvalues=[{"key": {"name": "token"}, "value": "t"}])
        self.assertEqual([value.key.name for value in said.keyvalues], ["token"])

    def test_an_aggregators_start_keeps_its_values(self) -> None:
        """What it sends at its start names itself and its pivot only: its repository stays."""
        for pivot in load_definitions(SHIPPED).pivots:
            catalogue.save_pivot_txn(self.connection, pivot, now=1)
        start = {"logicalname": "agg", "type": "aggregator", "pivot": {"name": "aggregator", "major": 1, "minor": 0}}
        value = {"key": {"name": "repository_url"}, "value": "https://example.org"}
        for sent in (start, {**start, "keyvalues": [value], "description": "ours"}, start):
            component = LogicalComponentDefinition.model_validate(sent)
            catalogue.save_logical_component_txn(self.connection, component, now=1)
        stored = catalogue.fetch_logical_component_txn(self.connection, "agg")
        self.assertEqual([each.model_dump() for each in stored.keyvalues], [value])
        self.assertEqual(stored.description, "ours")

    def test_keys_of_a_component(self) -> None:
        """An unknown key, one given twice, and a mandatory one without a value or default are refused by name."""
        self.save_pivot()
        self.save_connector()
        token = {"key": {"name": "token"}, "value": "t"}
        for values, message in (
            (
                [token, {"key": {"name": "tokn"}}],
                "keyvalues.1.key.name: 'tokn' is no key; allowed: directory, token, url",
            ),
            ([token, token], "keyvalues.1.key.name: 'token' is there again"),
            ([], "keyvalues: the mandatory key 'token' is missing"),
        ):
            error = self.assertRaises(InvalidDefinition, self.save_component, keyvalues=values)
            self.assertEqual(str(error), f"logical component 'git1': {message}")
        self.assertRaises(NotFound, self.fetch_component)

    def test_a_component_without_its_language(self) -> None:
        """Its product connector, or its pivot, has to be there first."""
        error = self.assertRaises(NotFound, self.save_component)
        self.assertEqual(str(error), "product connector not found: 'gitconnector' of 'git' 1.0")
        aggregator = {"type": "aggregator", "pivot": {"name": "aggregator", "major": 1}}
        self.assertRaises(NotFound, self.save_component, **aggregator)

    def test_a_key_in_use_is_not_removed(self) -> None:
        """A pivot saved without a key that a component has a value for is a conflict."""
        self.save_pivot()
        self.save_connector()
        self.save_component()
        error = self.assertRaises(IntegrityError, self.save_pivot, keys=[])
        self.assertIn("key_values_key_id_fkey", str(error))

    def test_anothers_resource(self) -> None:
        """A resource belongs to one component."""
        self.save_pivot()
        self.save_connector()
        self.save_component()
        error = self.assertRaises(Conflict, self.save_component, logicalname="git2")
        self.assertIn("repository1", str(error))

    def test_who_speaks_a_pivot(self) -> None:
        """Connectors through their product connector, aggregators directly; hidden ones do not."""
        self.save_pivot()
        self.save_pivot(name="aggregator", keys=[])
        self.save_connector()
        for name in ("git2", "git1"):
            self.save_component(logicalname=name, resources=[])
        own = {"pivot": {"name": "aggregator", "major": 1}, "productconnector": None}
        self.save_component(logicalname="agg", type="aggregator", keyvalues=[], resources=[], **own)
        speaking = catalogue.components_speaking_txn
        self.assertEqual(speaking(self.connection, "vcs"), ["git1", "git2"])
        self.assertEqual(speaking(self.connection, "aggregator"), ["agg"])
        self.assertEqual(speaking(self.connection, "nothing"), [])
        hidden = tables.logical_components.c.logical_name == "git1"
        self.connection.execute(update(tables.logical_components).where(hidden).values(deleted_at=at(1)))
        self.assertEqual(speaking(self.connection, "vcs"), ["git2"])

    def test_the_shipped_definitions(self) -> None:
        """The project's own files can be saved, twice, and come back."""
        definitions = load_definitions(SHIPPED)
        for now in (1, 2):
            catalogue.save_definitions_txn(self.connection, definitions, now=now)
        for pivot in definitions.pivots:
            found = catalogue.fetch_pivot_txn(self.connection, pivot.name, pivot.major, pivot.minor)
            self.assertEqual({c.name for c in found.commandtypes}, {c.name for c in pivot.commandtypes})
        self.assertEqual(catalogue.fetch_product_connector_txn(self.connection, "vcs", "git", 1, 0).name, "git")

    def test_definitions_in_any_order(self) -> None:
        """A file's components may stand before what they refer to."""
        definitions = Definitions.model_validate(
            {"logicalcomponents": [COMPONENT], "productconnectors": [CONNECTOR], "pivots": [PIVOT]}
        )
        catalogue.save_definitions_txn(self.connection, definitions, now=1)
        self.assertEqual(self.fetch_component(), definitions.logicalcomponents[0])
