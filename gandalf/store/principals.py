"""Who somebody is: a user, and what the user's authorizations allow on which domains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from uuid import UUID

import attrs
from sqlalchemy import Connection, and_, select

from . import tenant_schema as tables
from .errors import NotFound

ADMINISTRATOR = "Administrator"
"""The role that may do everything on its domain and what is below it."""


@attrs.frozen
class Principal:
    """A user, and the domains on which he or she may read, write and administer: those with a fitting
    authorization, and all below them; below the root they need not be named.

    `root` is the domain that stands for the whole tenant; who administers it is an administrator of the tenant.
    """

    user: UUID
    email: str
    root: UUID | None
    reading: frozenset[UUID]
    writing: frozenset[UUID]
    administering: frozenset[UUID]

    @property
    def is_administrator(self) -> bool:
        """Whether of the whole tenant."""
        return self.root is not None and self.root in self.administering


def principal_txn(connection: Connection, user: UUID, writers: Collection[str]) -> Principal:
    """Who the user of this id is now. `writers` are the names of the roles that may write.

    Raises `NotFound` for a user who is not there (any more).
    """
    users, roles, domains, granted = tables.users, tables.roles, tables.domains, tables.authorizations
    valid = and_(granted.c.user_id == users.c.id, granted.c.deleted_at.is_(None), roles.c.deleted_at.is_(None))
    root = select(domains.c.id).where(domains.c.parent_id.is_(None)).limit(1).scalar_subquery()
    query = (
        select(users.c.email, roles.c.name, granted.c.domain_id, root.label("root"))
        .select_from(users)
        .outerjoin(granted.join(roles, roles.c.id == granted.c.role_id), valid)
        .where(users.c.id == user, users.c.deleted_at.is_(None))
    )
    rows = connection.execute(query).all()
    if not rows:
        raise NotFound("there is no such user any more")
    grants = [(row.domain_id, row.name) for row in rows if row.domain_id is not None]
    administered = {domain for domain, role in grants if role == ADMINISTRATOR}
    written = {domain for domain, role in grants if role in writers} | administered
    read = {domain for domain, _ in grants}
    below: defaultdict[UUID | None, list[UUID]] = defaultdict(list)
    # A right on the root holds everywhere: what is below need not be known for it.
    if read - {rows[0].root}:
        for id, parent in connection.execute(select(domains.c.id, domains.c.parent_id)):
            below[parent].append(id)
    return Principal(
        user,
        rows[0].email,
        rows[0].root,
        reading=_with_below(read, below),
        writing=_with_below(written, below),
        administering=_with_below(administered, below),
    )


def administrators_txn(connection: Connection) -> set[UUID]:
    """The users who administer the whole tenant."""
    users, roles, domains, granted = tables.users, tables.roles, tables.domains, tables.authorizations
    query = (
        select(users.c.id)
        .join(granted, granted.c.user_id == users.c.id)
        .join(roles, roles.c.id == granted.c.role_id)
        .join(domains, domains.c.id == granted.c.domain_id)
        .where(
            roles.c.name == ADMINISTRATOR,
            domains.c.parent_id.is_(None),
            *(table.c.deleted_at.is_(None) for table in (users, roles, domains, granted)),
        )
        .distinct()
    )
    return set(connection.execute(query).scalars())


def _with_below(domains: Iterable[UUID], below: dict[UUID | None, list[UUID]]) -> frozenset[UUID]:
    found: set[UUID] = set()
    waiting = list(domains)
    while waiting:
        domain = waiting.pop()
        if domain not in found:
            found.add(domain)
            waiting += below[domain]
    return frozenset(found)
