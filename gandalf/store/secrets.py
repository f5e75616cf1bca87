"""Component secrets, in the control database: what a component proves itself with (protocol.md 6.4, 9).

A secret belongs to one component type, logical name and tenant, and is bound at its first use to the
address at which that instance listens; a component that listens nowhere (address "") is not bound. Several
may exist for one component, one for each instance. Only the SHA-256 of a secret is stored. A slow hash, as
for passwords, would gain nothing: a secret made here has 256 random bits, which nobody tries out; one
chosen by an operator should be as random.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from typing import Any

import attrs
from sqlalchemy import Connection, Row, insert, select, update

from .cluster_schema import component_secrets, tenants
from .errors import Conflict, InvalidName, NotFound

MIN_LENGTH = 16


@attrs.frozen
class Accepted:
    """The secret is right; `bound_now` is true at the use that bound it to an address."""

    id: uuid.UUID
    bound_now: bool


@attrs.frozen
class Refused:
    """The secret is not accepted; `reason` may be told to whoever presented it."""

    reason: str


@attrs.frozen
class SecretInfo:
    """What may be told of a secret. Times in ms since the epoch; `bind_address` None = not bound yet."""

    id: uuid.UUID
    component_type: str
    logical_name: str
    tenant: str
    bind_address: str | None
    instance: str | None
    created_at: int
    used_at: int | None
    revoked_at: int | None


def create_txn(connection: Connection, component_type: str, logical_name: str, tenant: str, *, now: int) -> str:
    """Make a secret and return its text, never to be had again. Raises `Conflict` for an unknown tenant."""
    secret = secrets.token_urlsafe(32)
    import_txn(connection, component_type, logical_name, tenant, secret, now=now)
    return secret


def import_txn(
    connection: Connection, component_type: str, logical_name: str, tenant: str, secret: str, *, now: int
) -> uuid.UUID:
    """Store a secret chosen elsewhere, and return its id; storing the same again for the same component is
    harmless.

    Raises `InvalidName` when it is shorter than 16 characters, `Conflict` when it is another component's or
    revoked, or the tenant does not exist.
    """
    if len(secret) < MIN_LENGTH:
        raise InvalidName(f"a secret must have at least {MIN_LENGTH} characters; this one has {len(secret)}")
    existing = _find_txn(connection, secret)
    if existing is not None:
        if refusal := _refusal(existing, component_type, logical_name, tenant):
            raise Conflict(f"the secret for {logical_name[:80]!r} is in use: {refusal.reason}")
        found: uuid.UUID = existing.id
        return found
    if connection.execute(select(tenants.c.name).where(tenants.c.name == tenant)).first() is None:
        raise Conflict(f"there is no tenant {tenant[:80]!r} for a secret to belong to")
    id = uuid.uuid4()
    row = {
        "id": id,
        "hash": _hash(secret),
        "component_type": component_type,
        "logical_name": logical_name,
        "tenant": tenant,
        "created_at": now,
    }
    connection.execute(insert(component_secrets).values(row))
    return id


def validate_txn(
    connection: Connection,
    component_type: str,
    logical_name: str,
    tenant: str,
    bind_address: str,
    instance: str,
    secret: str,
    *,
    now: int,
) -> Accepted | Refused:
    """
    Whether this instance (`instance`: hex) of the component may come in with `secret`; binds it at first
    use.
    """
    row = _find_txn(connection, secret)
    if row is None:
        return Refused("the secret is unknown")
    if refusal := _refusal(row, component_type, logical_name, tenant):
        return refusal
    binding = row.bind_address is None and bind_address != ""
    if not binding and bind_address != (row.bind_address or ""):
        return Refused("the secret is bound to another address")
    used = {"used_at": now, "instance": instance}
    if binding:
        used.update(bind_address=bind_address, bound_at=now)
    connection.execute(update(component_secrets).where(component_secrets.c.id == row.id).values(used))
    return Accepted(row.id, binding)


def revoke_txn(connection: Connection, id: uuid.UUID, *, now: int) -> None:
    """Let nobody in with this secret any more; revoking it again changes nothing. Raises `NotFound`."""
    query = select(component_secrets.c.revoked_at).where(component_secrets.c.id == id).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"there is no secret {id}")
    if row.revoked_at is None:
        connection.execute(update(component_secrets).where(component_secrets.c.id == id).values(revoked_at=now))


def list_txn(connection: Connection, tenant: str | None = None) -> list[SecretInfo]:
    """Every secret (of a tenant), oldest first, without the secrets themselves."""
    fields = [attribute.name for attribute in attrs.fields(SecretInfo)]
    query = select(*(component_secrets.c[name] for name in fields)).order_by(
        component_secrets.c.created_at, component_secrets.c.id
    )
    if tenant is not None:
        query = query.where(component_secrets.c.tenant == tenant)
    return [SecretInfo(**row._mapping) for row in connection.execute(query)]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _find_txn(connection: Connection, secret: str) -> Row[Any] | None:
    # FOR UPDATE: of two first uses at once, the second waits and finds the secret bound.
    return connection.execute(
        select(component_secrets).where(component_secrets.c.hash == _hash(secret)).with_for_update()
    ).first()


def _refusal(row: Row[Any], component_type: str, logical_name: str, tenant: str) -> Refused | None:
    if row.revoked_at is not None:
        return Refused("the secret has been revoked")
    if row.tenant != tenant:
        return Refused("the secret belongs to another tenant")
    if (row.component_type, row.logical_name) != (component_type, logical_name):
        return Refused("the secret belongs to another component")
    return None
