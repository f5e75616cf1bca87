"""What is assigned to domains: their tags and libraries."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, delete
from sqlalchemy.dialects.postgresql import insert

from .model import Many, Record
from .models import DOMAIN, MODELS
from .rows import Scope, load_txn, read_txn

ASSIGNED: dict[str, Many] = {
    MODELS[member.model].collection: member
    for member in DOMAIN.members
    if isinstance(member, Many) and member.through is not None
}
"""By the name of their resource: `tag`, `library`."""


def assigned_txn(connection: Connection, assigned: Many, domain: UUID, *, scope: Scope = None) -> list[Record]:
    """What is assigned to a domain. Raises `NotFound` for an unknown domain, and for one outside the scope."""
    record = read_txn(connection, DOMAIN, domain, scope=scope)
    load_txn(connection, DOMAIN, [record], {assigned.key: {}})
    found: list[Record] = record[assigned.key]
    return found


def assign_txn(connection: Connection, assigned: Many, domain: UUID, id: UUID) -> None:
    """Assign; nothing happens if it is already. Raises `NotFound` for an unknown domain, or an unknown `id`."""
    read_txn(connection, DOMAIN, domain)
    read_txn(connection, MODELS[assigned.model], id)
    assert assigned.through is not None
    row = {assigned.via: domain, assigned.other: id}
    connection.execute(insert(assigned.through).values(row).on_conflict_do_nothing())


def withdraw_txn(connection: Connection, assigned: Many, domain: UUID, id: UUID) -> None:
    """Assign no longer; nothing happens if it is not. Raises `NotFound` as `assign_txn`."""
    read_txn(connection, DOMAIN, domain)
    read_txn(connection, MODELS[assigned.model], id)
    through = assigned.through
    assert through is not None
    connection.execute(delete(through).where(through.c[assigned.via] == domain, through.c[assigned.other] == id))
