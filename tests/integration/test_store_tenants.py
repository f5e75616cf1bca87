"""Tenants on a real server: made, kept apart, resumed, rotated."""

from __future__ import annotations

import threading
from typing import Any
from unittest import mock

import psycopg2
from argon2 import PasswordHasher
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError
from twisted.trial.unittest import TestCase

from gandalf.store import dsn as dsns
from gandalf.store import tenant_schema as tables
from gandalf.store import tenants
from gandalf.store.errors import Conflict, InvalidName, NotFound
from gandalf.store.seed import Logins, seed_txn

from . import postgres


def tenant_dsn(name: str) -> str:
    """The URI with which a tenant's own role opens its database."""
    control = postgres.control_dsn()
    with postgres.transaction(control) as connection:
        return tenants.tenant_dsn_txn(connection, name, control)


class TenantTests(TestCase):
    """Creating tenants, and what they may see."""

    def create(self, name: str) -> Logins:
        """Create a tenant in this run's control database."""
        return tenants.create_tenant(postgres.control_dsn(), name, now=1_000)

    def refused(self, dsn: str) -> str:
        """The text with which the server refuses a connection."""
        return str(self.assertRaises(psycopg2.OperationalError, psycopg2.connect, dsn))

    def test_what_a_new_tenant_holds(self) -> None:
        """State, a root domain and tag, its own row, and two administrators whose passwords are those returned."""
        logins = self.create("seeded")
        self.assertEqual(logins.login, ("Administrator1", "Administrator2"))
        with postgres.transaction(tenant_dsn("seeded")) as connection:
            self.assertEqual([tuple(row) for row in connection.execute(select(tables.state))], [(1, True)])
            domain = connection.execute(select(tables.domains)).one()
            self.assertEqual((domain.name, domain.parent_id), ("root", None))
            self.assertEqual((domain.short_description, domain.description), ("root", "Domain root"))
            self.assertEqual(connection.execute(select(tables.tags.c.name)).scalar_one(), "root")
            self.assertEqual(connection.execute(select(tables.tenants.c.name)).scalar_one(), "seeded")
            role = connection.execute(select(tables.roles)).one()
            self.assertEqual(role.name, "Administrator")
            for name, password in zip(logins.login, logins.password, strict=True):
                user = connection.execute(select(tables.users).where(tables.users.c.email == name)).one()
                self.assertTrue(PasswordHasher().verify(user.password_hash, password))
                self.assertTrue(user.password_hash.startswith("$argon2id$"))
                given = connection.execute(
                    select(tables.authorizations).where(tables.authorizations.c.user_id == user.id)
                ).one()
                self.assertEqual((given.role_id, given.domain_id), (role.id, domain.id))

    def test_passwords_are_not_shown(self) -> None:
        """The representation of the logins, which might be logged, leaves the passwords out."""
        logins = Logins(("a",), ("hidden",))
        self.assertNotIn("hidden", repr(logins))

    def test_the_control_database(self) -> None:
        """It is the database of the tenant `gandalf`, whose Tenant row it holds; a second start changes nothing."""
        control = postgres.control_dsn()
        self.assertIsNone(tenants.bootstrap(postgres.admin_dsn(), now=2))
        with postgres.transaction(tenant_dsn("gandalf")) as connection:
            self.assertEqual(connection.execute(text("SELECT current_database()")).scalar_one(), "gandalf")
            self.assertEqual(connection.execute(select(tables.tenants.c.name)).scalar_one(), "gandalf")
        with postgres.transaction(control) as connection:
            (own,) = [tenant for tenant in tenants.list_txn(connection) if tenant.name == "gandalf"]
        self.assertEqual((own.database, own.ready), ("gandalf", True))

    def test_tenants_cannot_look_into_each_other(self) -> None:
        """No tenant's role can connect to another's database, nor the tenant `gandalf` read the cluster's tables."""
        self.create("left")
        self.create("right")
        left = tenant_dsn("left")
        for other in ("gandalf_right", "gandalf"):
            self.assertIn("permission denied", self.refused(dsns.replaced(left, dbname=other)))
        own = tenant_dsn("gandalf")
        self.assertIn("permission denied", self.refused(dsns.replaced(own, dbname="gandalf_left")))
        with postgres.transaction(own) as connection:
            error = self.assertRaises(ProgrammingError, connection.execute, text("SELECT * FROM cluster.tenants"))
        self.assertIn("permission denied for schema cluster", str(error))

    def test_existing(self) -> None:
        """A tenant that exists is a conflict, and stays as it is."""
        self.create("twice")
        before = tenant_dsn("twice")
        self.assertRaises(Conflict, self.create, "twice")
        self.assertEqual(tenant_dsn("twice"), before)

    def test_someone_elses_database_or_role(self) -> None:
        """One that is not recorded as ours is never taken over, and nothing is left of the attempt."""
        postgres.execute(postgres.admin_dsn(), "CREATE DATABASE gandalf_foreign1")
        postgres.execute(postgres.admin_dsn(), "CREATE ROLE gandalf_foreign2")
        for name in ("foreign1", "foreign2"):
            self.assertIn(name, str(self.assertRaises(Conflict, self.create, name)))
            self.assertRaises(NotFound, tenant_dsn, name)

    def test_bad_names(self) -> None:
        """A name that would need care in SQL never gets there."""
        for name in ('x"; DROP ROLE postgres; --', "Upper", ""):
            self.assertRaises(InvalidName, self.create, name)

    def test_names_with_hyphens(self) -> None:
        """A name that has to be quoted works."""
        self.create("with-hyphen_1")
        psycopg2.connect(tenant_dsn("with-hyphen_1")).close()

    def test_died_half_way(self) -> None:
        """Wherever the creation died, asking again completes it, with passwords that hold."""
        for number, step in enumerate(("_create_database", "migrate", "seed_txn")):
            name = f"dying{number}"
            with mock.patch.object(tenants, step, side_effect=KeyError("died")):
                self.assertRaises(KeyError, self.create, name)
            self.assertRaises(NotFound, tenant_dsn, name)
            self.check_logins(name, self.create(name))

    def test_died_after_the_seed(self) -> None:
        """Passwords that nobody was told are replaced when the creation is asked for again."""
        seed = seed_txn

        def dies(*args: Any, **kwargs: Any) -> Logins:
            seed(*args, **kwargs)
            args[0].commit()
            raise KeyError("died")

        with mock.patch.object(tenants, "seed_txn", dies):
            self.assertRaises(KeyError, self.create, "dying3")
        self.check_logins("dying3", self.create("dying3"))

    def check_logins(self, name: str, logins: Logins) -> None:
        """The passwords returned are those of the two users there are."""
        with postgres.transaction(tenant_dsn(name)) as connection:
            rows = connection.execute(select(tables.users.c.email, tables.users.c.password_hash))
            hashes = {row.email: row.password_hash for row in rows}
            self.assertEqual(connection.execute(select(tables.tenants.c.name)).scalars().all(), [name])
        self.assertEqual(set(hashes), set(logins.login))
        for login, password in zip(logins.login, logins.password, strict=True):
            self.assertTrue(PasswordHasher().verify(hashes[login], password))

    def test_two_at_once(self) -> None:
        """Of two that create the same tenant at once one succeeds, and the other gets a conflict."""
        outcomes: list[str] = []
        postgres.control_dsn()

        def work() -> None:
            try:
                self.create("raced")
                outcomes.append("created")
            except Conflict:
                outcomes.append("conflict")

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(outcomes), ["conflict", "conflict", "created"])

    def test_rotated(self) -> None:
        """After a rotation the new address works and the old one does not."""
        self.create("rotated")
        before = tenant_dsn("rotated")
        with postgres.transaction(postgres.control_dsn()) as connection:
            tenants.rotate_password_txn(connection, "rotated")
        self.assertIn("password authentication failed", self.refused(before))
        psycopg2.connect(tenant_dsn("rotated")).close()

    def test_unknown(self) -> None:
        """An unknown tenant has no address and no password to rotate."""
        self.assertRaises(NotFound, tenant_dsn, "unknown")
        with postgres.transaction(postgres.control_dsn()) as connection:
            self.assertRaises(NotFound, tenants.rotate_password_txn, connection, "unknown")

    def test_the_address_is_that_of_the_place_not_of_the_login(self) -> None:
        """Host, port and transport are taken over; what belongs to another's login is not."""
        self.create("placed")
        with postgres.transaction(postgres.control_dsn()) as connection:
            address = "postgresql://admin:hidden@db:5/x?sslmode=require&sslkey=mine&options=-csearch_path%3Dx"
            found = dsns.parse(tenants.tenant_dsn_txn(connection, "placed", address))
        del found["password"]
        self.assertEqual(
            found,
            {
                "user": "gandalf_placed",
                "dbname": "gandalf_placed",
                "host": "db",
                "port": "5",
                "sslmode": "require",
            },
        )

    def test_an_administrator_who_is_no_superuser(self) -> None:
        """A login that may create databases and roles is enough."""
        postgres.control_dsn()
        admin = "CREATE ROLE modest LOGIN CREATEDB CREATEROLE PASSWORD 'modest-password'"
        postgres.execute(postgres.admin_dsn(), admin)
        # The control database was made by another login here; as its own it would have these rights.
        for statement in (
            "GRANT CONNECT ON DATABASE gandalf TO modest",
            "GRANT USAGE ON SCHEMA cluster TO modest",
            "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA cluster TO modest",
        ):
            postgres.execute(postgres.control_dsn(), statement)
        control = dsns.replaced(postgres.control_dsn(), user="modest", password="modest-password")
        self.check_logins("modest1", tenants.create_tenant(control, "modest1", now=1))
