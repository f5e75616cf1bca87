"""Rows of any model: listed, read, created, changed and deleted. What is special of trees is in `trees`.

A scope is the set of domains whose rows may be seen, None for all; rows outside it are as if they were not there.
Rows whose `deleted_at` is set are hidden: not found, though their unique values are still taken.

Who changes or deletes a row locks it, who begins to refer to one does so with a lock of the weaker kind that foreign
keys use: of two at once one sees what the other did.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    UniqueConstraint,
    and_,
    delete,
    insert,
    literal,
    or_,
    select,
    update,
)

from .errors import Conflict, NotFound
from .model import Loads, Many, Model, Nested, Record, Value
from .models import MODELS
from .times import at

Scope = Collection[UUID] | None

NAMED = 10
"""How many of the rows that use something a conflict names."""


@attrs.frozen
class Page:
    """Which rows of a list are wanted, and in which order: by a column, one of the model's `orders`, then by id.

    `filters` are values by column, None for unset. `after` is the place of the last row that was seen: its value of
    the order's column, and its id.
    """

    filters: Mapping[str, Value] = attrs.field(factory=dict)
    order: str = "created_at"
    descending: bool = False
    limit: int | None = None
    after: tuple[Value, UUID] | None = None


EVERYTHING = Page()


def list_txn(connection: Connection, model: Model, *, scope: Scope = None, page: Page = EVERYTHING) -> list[Record]:
    """The rows that can be seen, nothing loaded beside them."""
    table = model.table
    query = select(table).where(table.c.deleted_at.is_(None), *_in_scope(model, scope))
    for column, value in page.filters.items():
        query = query.where(table.c[column].is_(None) if value is None else table.c[column] == value)
    order, id = table.c[page.order], table.c.id
    if page.after is not None:
        seen, last = literal(page.after[0], order.type), page.after[1]
        beyond = (order < seen, id < last) if page.descending else (order > seen, id > last)
        query = query.where(or_(beyond[0], and_(order == seen, beyond[1])))
    query = query.order_by(*((order.desc(), id.desc()) if page.descending else (order, id)))
    if page.limit is not None:
        query = query.limit(page.limit)
    return [_record(row) for row in connection.execute(query)]


def read_txn(connection: Connection, model: Model, id: UUID, *, scope: Scope = None, lock: bool = False) -> Record:
    """The row of this id. With `lock` nobody else changes it, or a row of the same tree, before the end of the
    transaction.

    Raises `NotFound`.
    """
    if lock and model.tree:
        lock_tree_txn(connection, model)
    return _one(connection, model, model.table.c.id == id, str(id), scope, lock)


def read_named_txn(connection: Connection, model: Model, name: str, *, scope: Scope = None) -> Record:
    """The row of this name (the model's label); of several, the oldest. Raises `NotFound`."""
    return _one(connection, model, model.column(model.label) == name, name, scope, False)


def lock_tree_txn(connection: Connection, model: Model) -> None:
    """Let nobody else change a row of this tree before the end of the transaction: a tree changes once at a time.

    The root is what is locked. Who locks another row of the tree does this before.
    """
    table = model.table
    connection.execute(select(table.c.id).where(table.c.parent_id.is_(None)).with_for_update())


def create_txn(connection: Connection, model: Model, values: Mapping[str, Value], *, now: int) -> Record:
    """Store a row; what is not among `values` is empty, and an id among them is ignored. Returns it.

    `created_at` and `updated_at` are `now` (ms since the epoch) unless they are among the values. Raises `Conflict`
    when a unique value is taken, or a reference leads nowhere.
    """
    time = at(now)
    row = {**_empty(model), "created_at": time, "updated_at": time, **values, "id": uuid.uuid4()}
    _check_references(connection, model, row, {})
    _check_unique(connection, model, row, None)
    return _record(connection.execute(insert(model.table).values(row).returning(model.table)).one())


def update_txn(
    connection: Connection, model: Model, before: Record, values: Mapping[str, Value], *, now: int
) -> Record:
    """Change `values` of the row `before`, which was read with `lock`. Returns it as it is now.

    An id among the values is ignored, and `updated_at` is `now` (ms since the epoch) whatever they say. Raises
    `Conflict` as `create_txn`, and when it is to be hidden while it is in use.
    """
    changes = {**values, "id": before["id"], "updated_at": at(now)}
    after = {**before, **changes}
    _check_references(connection, model, after, before)
    _check_unique(connection, model, after, before["id"])
    if after["deleted_at"] is not None:
        refuse_if_used_txn(connection, model, [before["id"]])
    statement = update(model.table).where(model.table.c.id == before["id"]).values(changes)
    return _record(connection.execute(statement.returning(model.table)).one())


def delete_txn(connection: Connection, model: Model, *ids: UUID) -> None:
    """Remove rows, and what they own. Raises `Conflict` when one is in use."""
    table = model.table
    connection.execute(select(table.c.id).where(table.c.id.in_(ids)).with_for_update())
    refuse_if_used_txn(connection, model, ids)
    _release(connection, model, ids)
    connection.execute(delete(table).where(table.c.id.in_(ids)))


def refuse_if_used_txn(connection: Connection, model: Model, ids: Sequence[UUID]) -> None:
    """Raise `Conflict`, with the users' names, when a row that none of `ids` owns refers to one of them.

    Hidden rows do not count: nobody could find and remove them.
    """
    found = []
    for user, column in _users(model):
        table = user.table
        query = select(table.c[user.label]).where(table.c[column].in_(ids), table.c.deleted_at.is_(None))
        if names := list(connection.execute(query.order_by(table.c[user.label])).scalars()):
            found.append(_counted(user, names))
    for user, through, own, other in _assigners(model):
        table = user.table
        query = (
            select(table.c[user.label])
            .join(through, through.c[own] == table.c.id)
            .where(through.c[other].in_(ids), table.c.deleted_at.is_(None))
            .distinct()
            .order_by(table.c[user.label])
        )
        if names := list(connection.execute(query).scalars()):
            found.append(_counted(user, names))
    if found:
        raise Conflict(f"the {model.words} is in use by {' and '.join(found)}")


def load_txn(connection: Connection, model: Model, records: Sequence[Record], loads: Loads) -> None:
    """Put beside each record what `loads` names."""
    for member in model.members:
        if isinstance(member, Nested | Many) and member.key in loads:
            if isinstance(member, Nested):
                _load_nested(connection, member, records, loads[member.key])
            else:
                _load_many(connection, member, records, loads[member.key])


def domain_of_txn(connection: Connection, model: Model, values: Mapping[str, Value]) -> UUID | None:
    """The domain whose rights decide on a row with these values; None: it is in none."""
    place = model.domain
    if place is None:
        return None
    value = values.get(place.column)
    if place.of and value is not None:
        other = MODELS[place.of].table
        value = connection.execute(select(other.c.domain_id).where(other.c.id == value)).scalar()
    return value if isinstance(value, UUID) else None


# How it is done.


def _one(
    connection: Connection, model: Model, which: ColumnElement[bool], shown: str, scope: Scope, lock: bool
) -> Record:
    table = model.table
    query = select(table).where(which, table.c.deleted_at.is_(None), *_in_scope(model, scope))
    query = query.order_by(table.c.created_at, table.c.id).limit(1)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound(f"there is no {model.words} {shown[:80]!r}")
    return _record(row)


def _in_scope(model: Model, scope: Scope) -> list[ColumnElement[bool]]:
    if scope is None or model.domain is None:
        return []
    column = model.column(model.domain.column)
    if not model.domain.of:
        return [column.in_(scope)]
    other = MODELS[model.domain.of].table
    return [column.in_(select(other.c.id).where(other.c.domain_id.in_(scope)))]


def _record(row: Row[Any]) -> Record:
    return dict(row._mapping)


def _empty(model: Model) -> dict[str, Value]:
    zero: dict[str, Value] = {"text": "", "int8": 0, "bool": False}
    empty = {field.column: zero.get(field.type) for field in model.fields}
    if model.password is not None and model.password.column is not None:
        empty[model.password.column] = ""
    return empty


def _check_references(
    connection: Connection, model: Model, row: Mapping[str, Value], before: Mapping[str, Value]
) -> None:
    for field in model.references:
        id, other = row[field.column], MODELS[field.refers]
        if id is None or id == before.get(field.column):
            continue
        query = select(other.table.c.id).where(other.table.c.id == id, other.table.c.deleted_at.is_(None))
        if connection.execute(query.with_for_update(read=True, key_share=True)).first() is None:
            raise Conflict(f"{field.key}: there is no {other.words} {str(id)!r}")


def _check_unique(connection: Connection, model: Model, row: Mapping[str, Value], own: UUID | None) -> None:
    table = model.table
    for columns in unique_columns(model):
        if any(row[column] is None for column in columns):
            continue
        query = select(table.c.id, table.c.deleted_at).where(*(table.c[column] == row[column] for column in columns))
        taken = connection.execute(query).first()
        if taken is not None and taken.id != own:
            what = " and ".join(f"{column} {str(row[column])[:80]!r}" for column in columns)
            hidden = ", which is hidden" if taken.deleted_at is not None else ""
            raise Conflict(f"there is already another {model.words} of {what}{hidden}")


def unique_columns(model: Model) -> Iterable[tuple[str, ...]]:
    """The sets of columns that no two rows of the model may have alike."""
    for constraint in sorted(model.table.constraints, key=lambda constraint: str(constraint.name)):
        if isinstance(constraint, UniqueConstraint):
            yield tuple(column.name for column in constraint.columns)


def _users(model: Model) -> Iterable[tuple[Model, str]]:
    for other in MODELS.values():
        for field in other.references:
            if field.refers == model.name and not field.owned:
                yield other, field.column


def _assigners(model: Model) -> Iterable[tuple[Model, Table, str, str]]:
    """Whose rows get rows of the model assigned, and the table of that: its column for them and that for these."""
    for other in MODELS.values():
        for member in other.members:
            if isinstance(member, Many) and member.through is not None and member.model == model.name:
                yield other, member.through, member.via, member.other


def _release(connection: Connection, model: Model, ids: Sequence[UUID]) -> None:
    """Take these from the rows that still refer to them, which are hidden: see `refuse_if_used_txn`."""
    for user, column in _users(model):
        table = user.table
        hidden = (table.c[column].in_(ids), table.c.deleted_at.is_not(None))
        connection.execute(update(table).where(*hidden).values({column: None}))
    for _, through, _, other in _assigners(model):
        connection.execute(delete(through).where(through.c[other].in_(ids)))


def _counted(model: Model, names: Sequence[object]) -> str:
    shown = ", ".join(repr(str(name)[:80]) for name in names[:NAMED])
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"the {model.words} {shown}{more}"


def _load_nested(connection: Connection, member: Nested, records: Sequence[Record], loads: Loads) -> None:
    other = MODELS[member.model]
    ids = {record[member.via] for record in records} - {None}
    query = select(other.table).where(other.table.c.id.in_(ids), other.table.c.deleted_at.is_(None))
    found = [_record(row) for row in connection.execute(query)]
    load_txn(connection, other, found, loads)
    by_id = {record["id"]: record for record in found}
    for record in records:
        record[member.key] = by_id.get(record[member.via])


def _load_many(connection: Connection, member: Many, records: Sequence[Record], loads: Loads) -> None:
    other, through = MODELS[member.model], member.through
    ids = [record["id"] for record in records]
    if through is None:
        owner = other.table.c[member.via]
        query = select(other.table, owner.label("_owner")).where(owner.in_(ids))
    else:
        owner = through.c[member.via]
        query = select(other.table, owner.label("_owner")).join(through, through.c[member.other] == other.table.c.id)
        query = query.where(owner.in_(ids))
    query = query.where(other.table.c.deleted_at.is_(None)).order_by(other.table.c.created_at, other.table.c.id)
    found = [_record(row) for row in connection.execute(query)]
    owners = [record.pop("_owner") for record in found]
    load_txn(connection, other, found, loads)
    lists: dict[UUID, list[Record]] = {id: [] for id in ids}
    for record, owner_id in zip(found, owners, strict=True):
        lists[owner_id].append(record)
    for record in records:
        record[member.key] = lists[record["id"]]
