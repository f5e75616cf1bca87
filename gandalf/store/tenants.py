"""Tenants: each has a database and a role of its own, made and handed out by the cluster.

The control database, `gandalf`, holds the cluster's tables and is also the database of the tenant
`gandalf`. A role's password has to be handed out to aggregators (CONFIGURATION_DATABASE), so it cannot be
hashed: it is stored readable, in the control database's schema `cluster` and nowhere else, and no tenant's
role may read that schema.

A tenant's database and role are called `gandalf_<name>`: a tenant may then be called `postgres` too.
Functions not named `_txn` open connections of their own and block: run them with `Database.call`.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator
from typing import Any

import attrs
from psycopg2 import errorcodes, sql
from psycopg2.extensions import encrypt_password
from sqlalchemy import Connection, Engine, NullPool, Row, create_engine, exc, select, text, update
from sqlalchemy.dialects.postgresql import insert

from . import dsn as dsns
from .cluster_schema import tenants
from .database import connect
from .errors import Conflict, InvalidName, NotFound, sqlstate, translate
from .migrate import TIMEOUT_MS, migrate
from .seed import CONTROL_TENANT, Logins, seed_txn

CONTROL_DATABASE = "gandalf"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,47}")
# What belongs to the login that an address was written for, not to the address.
_PERSONAL = ("user", "password", "passfile", "service", "options", "sslcert", "sslkey", "sslpassword")
# Of two that make a database at once, the loser is told either, depending on when it looked.
_MADE_MEANWHILE = (errorcodes.DUPLICATE_DATABASE, errorcodes.UNIQUE_VIOLATION)


@attrs.frozen
class Tenant:
    """A tenant as listed; `created_at` is in ms since the epoch, `ready` is false until creation is done."""

    name: str
    database: str
    created_at: int
    ready: bool


def checked_name(name: str) -> str:
    """`name`, if it is one that a tenant can have; raises `InvalidName` saying what is allowed."""
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"tenant name {name[:80]!r}: it must begin with a lower-case letter, followed by at most 47"
            " lower-case letters, digits, '_' and '-'"
        )
    return name


def control_dsn(admin_dsn: str) -> str:
    """The URI of the control database, for the login and server of `admin_dsn`."""
    return dsns.replaced(admin_dsn, dbname=CONTROL_DATABASE)


def bootstrap(admin_dsn: str, *, now: int) -> Logins | None:
    """Make the control database and the tenant `gandalf`, or bring them up to date.

    `admin_dsn` is the URI of a login that may create databases and roles, on any database of the server.
    Returns the administrators of the tenant `gandalf` when it was made now, else None. Several processes
    may do this at once.
    """
    maintenance = dsns.parse(admin_dsn).get("dbname", CONTROL_DATABASE)
    if maintenance == CONTROL_DATABASE:
        maintenance = "postgres"
    _create_database(dsns.replaced(admin_dsn, dbname=maintenance), CONTROL_DATABASE, None)
    control = control_dsn(admin_dsn)
    migrate(control, "cluster")
    try:
        return create_tenant(control, CONTROL_TENANT, now=now)
    except Conflict:
        with _connected(control) as engine, engine.begin() as connection:
            own = tenant_dsn_txn(connection, CONTROL_TENANT, control)
        migrate(own, "tenant")
        return None


def create_tenant(control: str, name: str, *, now: int) -> Logins:
    """Make the role, database, tables and first rows of a tenant. `control` is the control database's URI.

    What a creation that died half-way has left is completed. Raises `Conflict` when the tenant exists, or
    something else of that database or role name; `InvalidName`; `DatabaseUnavailable`.
    """
    checked_name(name)
    with _connected(control) as engine:
        with engine.begin() as connection:
            _claim_txn(connection, name, now)
        with engine.begin() as connection:
            # The row is locked until all is done: who creates the same tenant meanwhile waits, then fails.
            tenant = _row_txn(connection, name, lock=True)
            if tenant.ready_at is not None:
                raise Conflict(f"the tenant {name!r} exists already")
            _create_database(control, tenant.database, tenant.role)
            own = _dsn(tenant, control)
            migrate(own, "tenant")
            with _connected(own) as own_engine, own_engine.begin() as own_connection:
                logins = seed_txn(own_connection, tenant=name, now=now)
            connection.execute(update(tenants).where(tenants.c.name == name).values(ready_at=now))
            return logins


def list_txn(connection: Connection) -> list[Tenant]:
    """All tenants, by name."""
    rows = connection.execute(select(tenants).order_by(tenants.c.name))
    return [Tenant(row.name, row.database, row.created_at, row.ready_at is not None) for row in rows]


def tenant_dsn_txn(connection: Connection, name: str, address: str) -> str:
    """The libpq URI with which the tenant's own role opens its database; it holds a password.

    Host, port and the like are those of `address`, for example the control database's URI. Raises
    `NotFound`, also for a tenant whose creation is not done.
    """
    tenant = _row_txn(connection, name)
    if tenant.ready_at is None:
        raise NotFound(f"the tenant {name!r} has not been created to the end")
    return _dsn(tenant, address)


def rotate_password_txn(connection: Connection, name: str) -> None:
    """Give the tenant's role a new password; connections that are open stay. Raises `NotFound`.

    Tell the tenant's aggregators the new URI (`tenant_dsn_txn`) after the commit.
    """
    tenant = _row_txn(connection, name, lock=True)
    password = _new_password()
    connection.execute(update(tenants).where(tenants.c.name == name).values(password=password))
    _execute(connection, "ALTER ROLE {role} PASSWORD {verifier}", role=tenant.role, password=password)


def _claim_txn(connection: Connection, name: str, now: int) -> None:
    """Record the tenant, and make its role in the same transaction: the one exists if the other does."""
    role = f"gandalf_{name}"
    database = CONTROL_DATABASE if name == CONTROL_TENANT else role
    password = _new_password()
    row = {"name": name, "database": database, "role": role, "password": password, "created_at": now}
    recorded = insert(tenants).values(row).on_conflict_do_nothing().returning(tenants.c.name)
    if connection.execute(recorded).first() is None:
        return
    if _exists_txn(connection, "pg_roles", "rolname", role):
        raise Conflict(f"the tenant {name!r} cannot be created: there is a role {role!r} of someone else's")
    if name != CONTROL_TENANT and _exists_txn(connection, "pg_database", "datname", database):
        raise Conflict(f"the tenant {name!r} cannot be created: there is a database {database!r} already")
    _execute(connection, "CREATE ROLE {role} LOGIN PASSWORD {verifier}", role=role, password=password)
    # Without it only a superuser could make the role the owner of a database.
    _execute(connection, "GRANT {role} TO CURRENT_USER", role=role)
    if name == CONTROL_TENANT:
        _execute(connection, "GRANT CONNECT ON DATABASE {database} TO {role}", role=role, database=database)
        _execute(connection, "GRANT USAGE, CREATE ON SCHEMA public TO {role}", role=role)


def _create_database(address: str, database: str, owner: str | None) -> None:
    """
    Make the database unless it exists, closed to everyone but its owner. CREATE DATABASE bars transactions.
    """
    with _connected(address, autocommit=True) as engine, engine.connect() as connection:
        if not _exists_txn(connection, "pg_database", "datname", database):
            # template0: nobody can be connected to it, which would make this fail.
            statement = "CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8'"
            if owner is not None:
                statement += " OWNER {role}"
            try:
                _execute(connection, statement, database=database, role=owner or "")
            except exc.DBAPIError as error:
                if sqlstate(error) not in _MADE_MEANWHILE:
                    raise
        _execute(connection, "REVOKE ALL ON DATABASE {database} FROM PUBLIC", database=database)


def _row_txn(connection: Connection, name: str, *, lock: bool = False) -> Row[Any]:
    query = select(tenants).where(tenants.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound(f"there is no tenant {name[:80]!r}")
    return row


def _dsn(tenant: Row[Any], address: str) -> str:
    place = {key: value for key, value in dsns.parse(address).items() if key not in _PERSONAL}
    return dsns.build({**place, "user": tenant.role, "password": tenant.password, "dbname": tenant.database})


def _new_password() -> str:
    return secrets.token_urlsafe(32)


def _exists_txn(connection: Connection, catalogue: str, column: str, name: str) -> bool:
    found = connection.execute(text(f"SELECT 1 FROM {catalogue} WHERE {column} = :name"), {"name": name})
    return found.first() is not None


def _execute(
    connection: Connection, statement: str, *, role: str = "", database: str = "", password: str = ""
) -> None:
    """Run a statement that takes no parameters, with its names quoted.

    The password goes as a SCRAM verifier: the server's log, which quotes failed statements, never holds it.
    """
    driver: Any = connection.connection.driver_connection
    verifier = encrypt_password(password, role, driver, "scram-sha-256") if password else ""
    composed = sql.SQL(statement).format(
        role=sql.Identifier(role), database=sql.Identifier(database), verifier=sql.Literal(verifier)
    )
    connection.exec_driver_sql(composed.as_string(driver))


@contextlib.contextmanager
def _connected(dsn: str, *, autocommit: bool = False) -> Iterator[Engine]:
    """An engine without a pool, whose errors are those of `errors`."""
    engine = create_engine(
        "postgresql+psycopg2://",
        creator=lambda: connect(dsn, connect_timeout_s=10, statement_timeout_ms=TIMEOUT_MS),
        poolclass=NullPool,
    )
    try:
        yield engine.execution_options(isolation_level="AUTOCOMMIT") if autocommit else engine
    except exc.SQLAlchemyError as error:
        raise translate(error, "tenants") from None
