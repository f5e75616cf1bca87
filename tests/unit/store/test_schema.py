"""The tables and their migrations, as far as they can be told without a server."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.store import cluster_schema, migrate, tenant_schema
from gandalf.store.errors import InvalidName
from gandalf.store.tenants import checked_name


class SchemaTests(SynchronousTestCase):
    """What the two sets of tables promise."""

    def test_each_history_is_one_line(self) -> None:
        """Each history has one newest revision: two people's migrations were put in order."""
        for history in ("cluster", "tenant"):
            place = Path(migrate.__file__).parent / "migrations" / history
            config = Config()
            config.set_main_option("script_location", str(place))
            config.set_main_option("path_separator", "os")
            self.assertEqual(len(ScriptDirectory.from_config(config).get_heads()), 1, history)

    def test_the_two_do_not_meet(self) -> None:
        """The cluster's tables are in a schema of their own: the control database holds both."""
        self.assertEqual({table.schema for table in cluster_schema.metadata.tables.values()}, {"cluster"})
        self.assertEqual({table.schema for table in tenant_schema.metadata.tables.values()}, {None})

    def test_every_reference_is_indexed(self) -> None:
        """Each foreign key begins an index or a key, so that deleting what it refers to need not read the table."""
        for table in tenant_schema.metadata.tables.values():
            begun = {next(iter(index.columns)).name for index in table.indexes}
            begun.add(next(iter(table.primary_key)).name)
            for column in table.columns:
                if column.foreign_keys:
                    self.assertIn(column.name, begun, f"{table.name}.{column.name}")

    def test_only_fixed_sizes_of_the_trace_are_indexed(self) -> None:
        """A text of a peer's, but for the kind, is in no index: an over-long one would fail the row."""
        indexed = {column.name for index in tenant_schema.trace.indexes for column in index.columns}
        self.assertEqual(indexed, {"reference", "received_at", "uuid", "kind"})


class TenantNameTests(SynchronousTestCase):
    """`checked_name`."""

    def test_allowed(self) -> None:
        """Lower-case letters, digits, underscores and hyphens, up to 48."""
        for name in ("a", "tenant1", "a-b_c", "a" * 48):
            self.assertEqual(checked_name(name), name)

    @given(st.text(max_size=60))
    def test_anything_else_is_refused(self, name: str) -> None:
        """Whatever passes is safe as a part of an identifier; the rest is refused with what is allowed."""
        try:
            checked_name(name)
        except InvalidName as error:
            self.assertIn("lower-case", str(error))
        else:
            self.assertTrue(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-"))
            self.assertTrue(0 < len(name) <= 48 and name[0].isalpha())

    def test_refused(self) -> None:
        """What would be another name, or no name, in some place."""
        for name in ("", "A", "1a", "_a", "a b", "a\n", 'a"', "é", "a" * 49):
            self.assertRaises(InvalidName, checked_name, name)
