"""Who a user is, and what follows from authorizations, on PostgreSQL."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection
from twisted.trial.unittest import SynchronousTestCase

from gandalf.store import rows
from gandalf.store.model import Model
from gandalf.store.models import AUTHORIZATION, DOMAIN, ROLE, USER
from gandalf.store.principals import ADMINISTRATOR, Principal, principal_txn
from tests.integration import postgres


class PrincipalTests(SynchronousTestCase):
    """A user with a role on some domain, or on none."""

    def setUp(self) -> None:
        self.dsn = postgres.create_tenant_tables()
        with postgres.transaction(self.dsn) as connection:
            self.root = self.row(connection, DOMAIN, name="root", parent_id=None)
            self.below = self.row(connection, DOMAIN, name="below", parent_id=self.root)
            self.user = self.row(connection, USER, email="someone")
            self.role = self.row(connection, ROLE, name=ADMINISTRATOR)

    def row(self, connection: Connection, model: Model, **values: str | UUID | None) -> UUID:
        """A new row's id."""
        id: UUID = rows.create_txn(connection, model, values, now=0)["id"]
        return id

    def with_role_on(self, domain: UUID | None) -> Principal:
        """The user, with the role there."""
        with postgres.transaction(self.dsn) as connection:
            self.row(connection, AUTHORIZATION, user_id=self.user, role_id=self.role, domain_id=domain)
            return principal_txn(connection, self.user, [])

    def test_root(self) -> None:
        """A role on the root holds on all that is below it."""
        principal = self.with_role_on(self.root)
        self.assertEqual(principal.administering, {self.root, self.below})
        self.assertTrue(principal.is_administrator)

    def test_below(self) -> None:
        """A role on a domain does not hold above it."""
        principal = self.with_role_on(self.below)
        self.assertEqual(principal.administering, {self.below})
        self.assertFalse(principal.is_administrator)

    def test_nowhere(self) -> None:
        """A role on no domain is a right nowhere, and not on the root, whose parent is unset too."""
        principal = self.with_role_on(None)
        self.assertEqual((principal.reading, principal.writing, principal.administering), (set(), set(), set()))
        self.assertFalse(principal.is_administrator)
