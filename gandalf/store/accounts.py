"""What a log-in needs: a user by email, the hash of the password, and the keys that sign tokens."""

from __future__ import annotations

import secrets
import uuid
from uuid import UUID

import attrs
from sqlalchemy import Connection, insert, select, update

from . import tenant_schema as tables
from .errors import NotFound
from .times import at

KEY_BYTES = 32


@attrs.frozen
class Account:
    """A user who may log in; `password_hash` "" lets nobody in."""

    id: UUID
    email: str
    password_hash: str = attrs.field(repr=False)


def account_txn(connection: Connection, email: str) -> Account:
    """The account of this email. Raises `NotFound`."""
    users = tables.users
    query = select(users.c.id, users.c.email, users.c.password_hash)
    row = connection.execute(query.where(users.c.email == email, users.c.deleted_at.is_(None))).first()
    if row is None:
        raise NotFound("Email not found")
    return Account(row.id, row.email, row.password_hash)


def replace_hash_txn(connection: Connection, account: Account, password_hash: str) -> None:
    """Keep the same password under a better hash, unless it was changed meanwhile."""
    users = tables.users
    same = (users.c.id == account.id, users.c.password_hash == account.password_hash)
    connection.execute(update(users).where(*same).values(password_hash=password_hash))


def new_key() -> bytes:
    """A signing key, from the system's randomness."""
    return secrets.token_bytes(KEY_BYTES)


def signing_keys_txn(connection: Connection, *, now: int) -> list[bytes]:
    """The installation's signing keys, the newest first; one is made if there is none."""
    found = _keys(connection)
    if not found:
        # Of several instances that start at once on a new database one makes the key: all lock the same row.
        connection.execute(select(tables.migration_lock).with_for_update())
        found = _keys(connection)
    if not found:
        found = [new_key()]
        connection.execute(insert(tables.signing_keys).values(id=uuid.uuid4(), secret=found[0], created_at=at(now)))
    return found


def _keys(connection: Connection) -> list[bytes]:
    keys = tables.signing_keys
    query = select(keys.c.secret).order_by(keys.c.created_at.desc(), keys.c.id)
    return [bytes(secret) for secret in connection.execute(query).scalars()]
