"""Rows of any model: listed, read, created, changed and deleted. What is special of trees is in `trees`.

A scope is the set of domains whose rows may be seen, None for all; rows outside it are as if they were not there.
Rows whose `deleted_at` is set are hidden: not found, though their unique values are still taken.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs
from sqlalchemy import ColumnElement, Connection, Row, UniqueConstraint, and_, delete, insert, or_, select, update

from .errors import Conflict, NotFound
from .model import Many, Model, Nested, Record, Value
from .models import MODELS
from .times import at

Scope = Collection[UUID] | None

NAMED = 10
"""How many of the rows that use something a conflict names."""


@attrs.frozen
class Page:
    """Which rows of a list are wanted, and in which order: by a column, then by id.

    `filters` are values by column. `after` is the place of the last row that was seen: its value of the order's
    column, and its id.
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
        value, last = page.after
        beyond = (order < value, id < last) if page.descending else (order > value, id > last)
        query = query.where(or_(beyond[0], and_(order == value, beyond[1])))
    query = query.order_by(*((order.desc(), id.desc()) if page.descending else (order, id)))
    if page.limit is not None:
        query = query.limit(page.limit)
    return [_record(row) for row in connection.execute(query)]


def read_txn(connection: Connection, model: Model, id: UUID, *, scope: Scope = None, lock: bool = False) -> Record:
    """The row of this id. With `lock` nobody else changes it before the end of the transaction.

    Raises `NotFound`.
    """
    return _one(connection, model, model.table.c.id == id, str(id), scope, lock)


def read_named_txn(connection: Connection, model: Model, name: str, *, scope: Scope = None) -> Record:
    """The row of this name (the model's label); of several, the oldest. Raises `NotFound`."""
    return _one(connection, model, model.column(model.label) == name, name, scope, False)


def create_txn(connection: Connection, model: Model, values: Mapping[str, Value], *, now: int) -> Record:
    """Store a row; what is not among `values` is empty. Returns it.

    `created_at` and `updated_at` are `now` (ms since the epoch) unless they are among the values. Raises `Conflict`
    when a unique value is taken, or a reference leads nowhere.
    """
    time = at(now)
    row = {**_empty(model), "created_at": time, "updated_at": time, **values, "id": uuid.uuid4()}
    _check_references(connection, model, row)
    _check_unique(connection, model, row, None)
    return _record(connection.execute(insert(model.table).values(row).returning(model.table)).one())


def update_txn(
    connection: Connection, model: Model, before: Record, values: Mapping[str, Value], *, now: int
) -> Record:
    """Change `values` of the row `before`, which was read with `lock`. Returns it as it is now.

    Raises `Conflict` as `create_txn`, and when it is to be hidden while it is in use.
    """
    changes = {"updated_at": at(now), **values}
    after = {**before, **changes}
    _check_references(connection, model, after)
    _check_unique(connection, model, after, before["id"])
    if after["deleted_at"] is not None:
        refuse_if_used_txn(connection, model, [before["id"]])
    statement = update(model.table).where(model.table.c.id == before["id"]).values(changes)
    return _record(connection.execute(statement.returning(model.table)).one())


def delete_txn(connection: Connection, model: Model, id: UUID) -> None:
    """Remove a row, and what it owns. Raises `Conflict` when it is in use."""
    refuse_if_used_txn(connection, model, [id])
    connection.execute(delete(model.table).where(model.table.c.id == id))


def refuse_if_used_txn(connection: Connection, model: Model, ids: Sequence[UUID]) -> None:
    """Raise `Conflict`, with the users' names, when a row that none of `ids` owns refers to one of them."""
    found = []
    for user, column in _users(model):
        table = user.table
        query = select(table.c[user.label]).where(table.c[column].in_(ids)).order_by(table.c[user.label])
        if names := list(connection.execute(query).scalars()):
            found.append(_counted(user, names))
    for assigner, many in _assigners(model):
        assert many.through is not None
        query = (
            select(assigner.column(assigner.label))
            .join(many.through, many.through.c[many.via] == assigner.table.c.id)
            .where(many.through.c[many.other].in_(ids))
            .distinct()
            .order_by(assigner.column(assigner.label))
        )
        if names := list(connection.execute(query).scalars()):
            found.append(_counted(assigner, names))
    if found:
        raise Conflict(f"the {model.words} is in use by {' and '.join(found)}")


def load_txn(connection: Connection, model: Model, records: Sequence[Record], loads: Mapping[str, Any]) -> None:
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


def _check_references(connection: Connection, model: Model, row: Mapping[str, Value]) -> None:
    for field in model.references:
        id, other = row[field.column], MODELS[field.refers]
        if id is None:
            continue
        query = select(other.table.c.id).where(other.table.c.id == id, other.table.c.deleted_at.is_(None))
        if connection.execute(query).first() is None:
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


def _assigners(model: Model) -> Iterable[tuple[Model, Many]]:
    for other in MODELS.values():
        for member in other.members:
            if isinstance(member, Many) and member.through is not None and member.model == model.name:
                yield other, member


def _counted(model: Model, names: Sequence[object]) -> str:
    shown = ", ".join(repr(str(name)[:80]) for name in names[:NAMED])
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"the {model.words} {shown}{more}"


def _load_nested(connection: Connection, member: Nested, records: Sequence[Record], loads: Mapping[str, Any]) -> None:
    other = MODELS[member.model]
    ids = {record[member.via] for record in records} - {None}
    found = [_record(row) for row in connection.execute(select(other.table).where(other.table.c.id.in_(ids)))]
    load_txn(connection, other, found, loads)
    by_id = {record["id"]: record for record in found}
    for record in records:
        record[member.key] = by_id.get(record[member.via])


def _load_many(connection: Connection, member: Many, records: Sequence[Record], loads: Mapping[str, Any]) -> None:
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
