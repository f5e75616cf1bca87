"""Trees of domains and of tags: one root each, which is never removed, and no row below itself.

A tree changes once at a time: see `rows.lock_tree_txn`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, func, insert, literal, select

from . import tenant_schema as tables
from .errors import Conflict, NotFound
from .model import Model, Record, Value
from .models import AUTHORIZATION, DOMAIN, ENVIRONMENT
from .rows import Page, create_txn, delete_txn, list_txn, lock_tree_txn, read_txn, update_txn
from .times import at

MAX_LEVELS: Final = 100
"""From the root to the deepest row: whoever draws or renders a tree goes down it."""


def root_txn(connection: Connection, model: Model) -> Record:
    """The root. Raises `NotFound` when there is none."""
    return _root(model, list_txn(connection, model, page=Page(filters={"parent_id": None})))


def tree_txn(connection: Connection, model: Model, *, visible: Iterable[UUID] | None = None) -> Record:
    """The root, with `Childs` all the way down: None at a leaf. Of what is `visible` (None: all) the branches.

    Raises `NotFound` as `root_txn`.
    """
    records = list_txn(connection, model)
    root = _root(model, records)
    if visible is not None:
        wanted = _with_ancestors(records, [root["id"], *visible])
        records = [record for record in records if record["id"] in wanted]
    by_id = {record["id"]: record for record in records}
    for record in by_id.values():
        record["Childs"] = None
    for record in by_id.values():
        parent = by_id.get(record["parent_id"])
        if parent is not None:
            parent["Childs"] = parent["Childs"] or []
            parent["Childs"].append(record)
    return root


def below_txn(connection: Connection, model: Model, id: UUID) -> list[UUID]:
    """The id itself, and those of all rows below it."""
    table = model.table
    start = select(table.c.id).where(table.c.id == id).cte("below", recursive=True)
    below = start.union(select(table.c.id).join(start, table.c.parent_id == start.c.id))
    return list(connection.execute(select(below.c.id)).scalars())


def _levels_above(connection: Connection, model: Model, id: UUID) -> int:
    """How many rows there are from the root to this one, both counted."""
    table = model.table
    start = select(table.c.id, table.c.parent_id).where(table.c.id == id).cte("above", recursive=True)
    above = start.union(select(table.c.id, table.c.parent_id).join(start, table.c.id == start.c.parent_id))
    return connection.execute(select(func.count()).select_from(above)).scalar_one()


def _levels_below(connection: Connection, model: Model, id: UUID) -> int:
    """How many rows there are from this one to the deepest below it, both counted."""
    table = model.table
    start = select(table.c.id, literal(1).label("level")).where(table.c.id == id).cte("below", recursive=True)
    below = start.union(select(table.c.id, start.c.level + 1).join(start, table.c.parent_id == start.c.id))
    return connection.execute(select(func.max(below.c.level))).scalar_one() or 0


def _refuse_depth(connection: Connection, model: Model, parent: UUID, levels: int) -> None:
    if _levels_above(connection, model, parent) + levels > MAX_LEVELS:
        raise Conflict(f"a tree of {model.plural} has at most {MAX_LEVELS} levels")


def create_below_txn(
    connection: Connection, model: Model, parent: UUID, values: Mapping[str, Value], *, now: int
) -> Record:
    """Store a row below `parent`. A domain gets its parent's GitURL and libraries, copies of its environments, its
    tags, and copies of its authorizations.

    Raises `NotFound` when there is no such parent; `Conflict` as `rows.create_txn`, and beyond `MAX_LEVELS`.
    """
    above = read_txn(connection, model, parent, lock=True)
    _refuse_depth(connection, model, parent, 1)
    if model is not DOMAIN:
        return create_txn(connection, model, {**values, "parent_id": parent}, now=now)
    created = create_txn(connection, model, {**values, "parent_id": parent, "git_url": above["git_url"]}, now=now)
    _inherit(connection, above["id"], created["id"], now)
    return created


def change_txn(
    connection: Connection, model: Model, before: Record, values: Mapping[str, Value], *, now: int
) -> Record:
    """Change a row of a tree, which was read with `lock`; a parent left out or unset stays what it was.

    Raises `Conflict` when the row would be below itself, when the root would be hidden or moved, when a row would be
    hidden that others are below, beyond `MAX_LEVELS`, and as `rows.update_txn`.
    """
    parent = values.get("parent_id") or before["parent_id"]
    values = {**values, "parent_id": parent}
    if values.get("deleted_at") is not None:
        _refuse_hiding(connection, model, before)
    if parent != before["parent_id"]:
        if before["parent_id"] is None:
            raise Conflict(f"the root {model.words} cannot be below another")
        if parent in below_txn(connection, model, before["id"]):
            raise Conflict(f"the {model.words} cannot be below itself: {parent} is it, or is below it")
        assert isinstance(parent, UUID)
        _refuse_depth(connection, model, parent, _levels_below(connection, model, before["id"]))
    return update_txn(connection, model, before, values, now=now)


def remove_txn(connection: Connection, model: Model, id: UUID) -> None:
    """Remove a row and all that is below it. Raises `Conflict` for the root, and when something there is in use."""
    lock_tree_txn(connection, model)
    if root_txn(connection, model)["id"] == id:
        raise Conflict(f"the root {model.words} cannot be deleted")
    delete_txn(connection, model, *below_txn(connection, model, id))


def _refuse_hiding(connection: Connection, model: Model, record: Record) -> None:
    if record["parent_id"] is None:
        raise Conflict(f"the root {model.words} cannot be deleted")
    if list_txn(connection, model, page=Page(filters={"parent_id": record["id"]}, limit=1)):
        raise Conflict(f"the {model.words} cannot be hidden while others are below it")


def _inherit(connection: Connection, above: UUID, below: UUID, now: int) -> None:
    for table, other in ((tables.domain_libraries, "library_id"), (tables.domain_tags, "tag_id")):
        rows = connection.execute(select(table.c[other]).where(table.c.domain_id == above)).scalars()
        assigned = [{"domain_id": below, other: id} for id in rows]
        if assigned:
            connection.execute(insert(table), assigned)
    for model in (ENVIRONMENT, AUTHORIZATION):
        new = {"created_at": at(now), "updated_at": at(now), "domain_id": below}
        originals = list_txn(connection, model, page=Page(filters={"domain_id": above}))
        # Made at the same time, the copies stand in the order of their ids: that of the originals.
        ids = sorted(uuid.uuid4() for _ in originals)
        if originals:
            copies = [{**original, **new, "id": id} for original, id in zip(originals, ids, strict=True)]
            connection.execute(insert(model.table), copies)


def _root(model: Model, records: Iterable[Record]) -> Record:
    for record in records:
        if record["parent_id"] is None:
            return record
    raise NotFound(f"there is no root {model.words}")


def _with_ancestors(records: Iterable[Record], visible: Iterable[UUID]) -> set[UUID]:
    parents = {record["id"]: record["parent_id"] for record in records}
    wanted: set[UUID] = set()
    for start in visible:
        id: UUID | None = start
        while id is not None and id not in wanted:
            wanted.add(id)
            id = parents.get(id)
    return wanted
