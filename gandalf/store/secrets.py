"""Component secrets, in the control database: what a component proves itself with (protocol.md 6.4, 9).

A secret belongs to one component type, logical name and tenant, and is bound at its first use to the
address at which that instance listens; a component that listens nowhere (address "") is not bound. An open
secret belongs to a tenant only, and its first use makes it that component's, for good. Several may exist for
one component, one for each instance. Only the SHA-256 of a secret is stored. A slow hash, as for passwords,
would gain nothing: a secret made here has 256 random bits, an open one 122, which nobody tries out; one
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
class Created:
    """A new secret: `secret` is its text, never to be had again."""

    id: uuid.UUID
    secret: str = attrs.field(repr=False)


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
    """What may be told of a secret. Times in ms since the epoch; `bind_address` None = not bound yet;
    `component_type` and `logical_name` both None = open, not used yet.
    """

    id: uuid.UUID
    component_type: str | None
    logical_name: str | None
    tenant: str
    bind_address: str | None
    instance: str | None
    created_at: int
    used_at: int | None
    revoked_at: int | None


def create_txn(connection: Connection, component_type: str, logical_name: str, tenant: str, *, now: int) -> Created:
    """Make a secret of a component. Raises `Conflict` for an unknown tenant."""
    return _created_txn(connection, component_type, logical_name, tenant, secrets.token_urlsafe(32), now)


def create_open_txn(connection: Connection, tenant: str, *, now: int) -> Created:
    """Make an open secret, whose text is a UUID as the Go system's were. Raises `Conflict` for an unknown tenant."""
    return _created_txn(connection, None, None, tenant, str(uuid.uuid4()), now)


def import_txn(
    connection: Connection, component_type: str, logical_name: str, tenant: str, secret: str, *, now: int
) -> uuid.UUID:
    """Store a secret chosen elsewhere, and return its id; storing the same again for the same component is
    harmless.

    Raises `InvalidName` when it is shorter than 16 characters, `Conflict` when it is open, another
    component's or revoked, or the tenant does not exist.
    """
    if len(secret) < MIN_LENGTH:
        raise InvalidName(f"a secret must have at least {MIN_LENGTH} characters; this one has {len(secret)}")
    existing = _find_txn(connection, secret)
    if existing is None:
        return _created_txn(connection, component_type, logical_name, tenant, secret, now).id
    refusal = _refusal(existing, component_type, logical_name, tenant)
    if refusal or _is_open(existing):
        reason = refusal.reason if refusal else "the secret is open, for whoever uses it first"
        raise Conflict(f"the secret for {logical_name[:80]!r} is in use: {reason}")
    found: uuid.UUID = existing.id
    return found


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
    Whether this instance (`instance`: hex) of the component may come in with `secret`; the first use binds it to
    the address, and makes an open secret this component's.
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
    if _is_open(row):
        used.update(component_type=component_type, logical_name=logical_name)
    if binding:
        used.update(bind_address=bind_address, bound_at=now)
    connection.execute(update(component_secrets).where(component_secrets.c.id == row.id).values(used))
    return Accepted(row.id, binding)


def revoke_txn(connection: Connection, id: uuid.UUID, tenant: str | None = None, *, now: int) -> None:
    """Let nobody in with this secret (of a tenant) any more; revoking it again changes nothing. Raises `NotFound`."""
    query = select(component_secrets).where(component_secrets.c.id == id).with_for_update()
    row = connection.execute(query).first()
    if row is None or tenant not in (None, row.tenant):
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


def _created_txn(
    connection: Connection, component_type: str | None, logical_name: str | None, tenant: str, secret: str, now: int
) -> Created:
    if connection.execute(select(tenants.c.name).where(tenants.c.name == tenant)).first() is None:
        raise Conflict(f"there is no tenant {tenant[:80]!r} for a secret to belong to")
    created = Created(uuid.uuid4(), secret)
    row = {
        "id": created.id,
        "hash": _hash(secret),
        "component_type": component_type,
        "logical_name": logical_name,
        "tenant": tenant,
        "created_at": now,
    }
    connection.execute(insert(component_secrets).values(row))
    return created


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _find_txn(connection: Connection, secret: str) -> Row[Any] | None:
    # FOR UPDATE: of two first uses at once, the second waits and finds the secret assigned and bound.
    return connection.execute(
        select(component_secrets).where(component_secrets.c.hash == _hash(secret)).with_for_update()
    ).first()


def _refusal(row: Row[Any], component_type: str, logical_name: str, tenant: str) -> Refused | None:
    if row.revoked_at is not None:
        return Refused("the secret has been revoked")
    if row.tenant != tenant:
        return Refused("the secret belongs to another tenant")
    if not _is_open(row) and (row.component_type, row.logical_name) != (component_type, logical_name):
        return Refused("the secret belongs to another component")
    return None


def _is_open(row: Row[Any]) -> bool:
    return row.component_type is None
