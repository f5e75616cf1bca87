"""What a new tenant's database holds: a root domain and tag, and two administrators."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

import attrs
from argon2 import PasswordHasher
from sqlalchemy import Connection, Table, insert, select, update

from . import tenant_schema as tables
from .times import at

CONTROL_TENANT = "gandalf"
ADMINISTRATORS = ("Administrator1", "Administrator2")


@attrs.frozen
class Logins:
    """The administrators' logins and passwords, side by side; this is the only time that they can be told."""

    login: tuple[str, ...]
    password: tuple[str, ...] = attrs.field(repr=False)


def seed_txn(connection: Connection, *, tenant: str, now: int) -> Logins:
    """Store State, the domain and tag `root`, the role Administrator, the two administrators and the tenant itself.

    In a database that has them already the administrators get new passwords, and nothing else changes.
    """
    passwords = tuple(secrets.token_urlsafe(18) for _ in ADMINISTRATORS)
    hashes = dict(zip(ADMINISTRATORS, map(PasswordHasher().hash, passwords), strict=True))
    seeded = connection.execute(select(tables.state)).first() is not None
    if seeded:
        for email, password_hash in hashes.items():
            changed = {"password_hash": password_hash, "updated_at": at(now)}
            connection.execute(update(tables.users).where(tables.users.c.email == email).values(changed))
    else:
        _insert(connection, tenant, hashes, now)
    return Logins(ADMINISTRATORS, passwords)


def _insert(connection: Connection, tenant: str, hashes: dict[str, str], now: int) -> None:
    def add(table: Table, **values: Any) -> uuid.UUID:
        times = {"created_at": at(now), "updated_at": at(now)}
        id = uuid.uuid4()
        connection.execute(insert(table).values(id=id, **times, **values))
        return id

    connection.execute(insert(tables.state).values(id=1, admin=True))
    root = add(tables.domains, name="root", short_description="root", description="Domain root")
    add(tables.tags, name="root", short_description="root", description="Tag root")
    role = add(tables.roles, name="Administrator")
    for name, password_hash in hashes.items():
        person = dict.fromkeys(("email", "first_name", "last_name", "company_id", "description"), name)
        user = add(tables.users, password_hash=password_hash, **person)
        add(tables.authorizations, user_id=user, role_id=role, domain_id=root)
    add(tables.tenants, name=tenant)
