"""Telling how new a tenant's tables are, on a real PostgreSQL."""

from __future__ import annotations

from alembic.script import ScriptDirectory
from twisted.trial.unittest import SynchronousTestCase

from gandalf.store import migrate
from gandalf.store.revisions import TENANT_HEAD, tenant_is_current_txn
from tests.integration import postgres


class RevisionTests(SynchronousTestCase):
    """`tenant_is_current_txn`."""

    def is_current(self, dsn: str) -> bool:
        """The answer for a database."""
        with postgres.transaction(dsn) as connection:
            return tenant_is_current_txn(connection)

    def test_an_empty_database_is_not_current(self) -> None:
        """There is not even a version."""
        self.assertFalse(self.is_current(postgres.create_database()))

    def test_a_migrated_database_is_current(self) -> None:
        """And one at another revision is not."""
        dsn = postgres.create_tenant_tables()
        self.assertTrue(self.is_current(dsn))
        postgres.execute(dsn, "UPDATE alembic_version SET version_num = '0001'")
        self.assertFalse(self.is_current(dsn))

    def test_the_newest_revision_is_that_of_the_history(self) -> None:
        """The constant is what Alembic finds in the history."""
        with postgres.transaction(postgres.create_database()) as connection:
            config = migrate._config(connection, "tenant")
        self.assertEqual(ScriptDirectory.from_config(config).get_current_head(), TENANT_HEAD)
