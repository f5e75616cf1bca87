"""The catalogue of a tenant: pivots, product connectors, and the logical components that speak them.

Saving replaces what a definition says and keeps the ids, so saving twice is harmless; what a definition no
longer declares is removed, unless a component has a value for it (`Conflict`).
"""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection, Row, Table, case, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from . import tenant_schema as tables
from .definitions import (
    Definitions,
    InvalidDefinition,
    LogicalComponentDefinition,
    PivotDefinition,
    PivotReference,
    ProductConnectorDefinition,
    ProductConnectorReference,
)
from .errors import Conflict, NotFound
from .times import at

_PARTS = {
    "keys": tables.keys,
    "commandtypes": tables.command_types,
    "eventtypes": tables.event_types,
    "resourcetypes": tables.resource_types,
}
# Where a definition's name differs from the column's.
_COLUMNS = {"defaultvalue": "default_value", "shortdescription": "short_description"}
# What a component keeps when its definition does not say it.
_KEPT = ("aggregator", "shortdescription", "description")


def save_definitions_txn(connection: Connection, definitions: Definitions, *, now: int) -> None:
    """Save all that a file or directory defines, in the order that references need."""
    for pivot in definitions.pivots:
        save_pivot_txn(connection, pivot, now=now)
    for connector in definitions.productconnectors:
        save_product_connector_txn(connection, connector, now=now)
    for component in definitions.logicalcomponents:
        save_logical_component_txn(connection, component, now=now)


def save_pivot_txn(connection: Connection, pivot: PivotDefinition, *, now: int) -> uuid.UUID:
    """Store the pivot of this name and version; returns its id. Raises `Conflict` (see above)."""
    key = {"name": pivot.name, "major": pivot.major, "minor": pivot.minor}
    id = _upsert(connection, tables.pivots, key, {}, now)
    _save_parts(connection, pivot, "pivot_id", id, now)
    return id


def save_product_connector_txn(
    connection: Connection, connector: ProductConnectorDefinition, *, now: int
) -> uuid.UUID:
    """Store the product connector of this name, product and version, and the product; returns its id.

    Raises `NotFound` when its pivot is not stored, `Conflict` (see above).
    """
    pivot = _pivot_row(connection, connector.pivot.name, connector.pivot.major, connector.pivot.minor)
    product = _upsert(connection, tables.connector_products, {"name": connector.product.name}, {}, now)
    key = {
        "name": connector.name,
        "product_id": product,
        "major": connector.major,
        "minor": connector.minor,
    }
    id = _upsert(connection, tables.product_connectors, key, {"pivot_id": pivot.id}, now)
    _save_parts(connection, connector, "product_connector_id", id, now)
    return id


def fetch_pivot_txn(connection: Connection, name: str, major: int, minor: int) -> PivotDefinition:
    """The pivot of this name and version; raises `NotFound`."""
    row = _pivot_row(connection, name, major, minor)
    return PivotDefinition.model_validate(
        {"name": row.name, "major": row.major, "minor": row.minor, **_parts(connection, "pivot_id", row.id)}
    )


def fetch_product_connector_txn(
    connection: Connection, name: str, product: str, major: int, minor: int
) -> ProductConnectorDefinition:
    """The product connector of this product and version, called `name` or speaking the pivot `name`.

    The Go system's clients name the pivot there. Raises `NotFound`.
    """
    row = _connector_row(connection, name, product, major, minor)
    return ProductConnectorDefinition.model_validate(
        {
            "name": row.name,
            "major": row.major,
            "minor": row.minor,
            "pivot": {"name": row.pivot_name, "major": row.pivot_major, "minor": row.pivot_minor},
            "product": {"name": row.product_name},
            **_parts(connection, "product_connector_id", row.id),
        }
    )


def save_logical_component_txn(
    connection: Connection, component: LogicalComponentDefinition, *, now: int
) -> uuid.UUID:
    """Store the component of this logical name with its key values and resources; returns its id.

    What the definition does not say at all stays as it is stored: texts, and key values (those of a key that its
    new language has too, by name, become that key's). Resources that it has already and that are not named stay.
    Raises `NotFound` when its pivot or product connector is not stored, `InvalidDefinition` for a key that does not
    exist or a mandatory one without a value, and `Conflict` for another component's resource.
    """
    values: dict[str, Any] = {"type": component.type, "pivot_id": None, "product_connector_id": None}
    values |= {_COLUMNS.get(field, field): getattr(component, field) for field in _KEPT if component.says(field)}
    owners = []
    if component.productconnector is not None:
        wanted = component.productconnector
        row = _connector_row(connection, wanted.name, wanted.product.name, wanted.major, wanted.minor)
        values["product_connector_id"] = row.id
        owners += [tables.keys.c.product_connector_id == row.id, tables.keys.c.pivot_id == row.pivot_id]
    if component.pivot is not None:
        pivot = _pivot_row(connection, component.pivot.name, component.pivot.major, component.pivot.minor)
        values["pivot_id"] = pivot.id
        owners.append(tables.keys.c.pivot_id == pivot.id)
    keys = {
        row.name: row
        # The pivot's keys first, so that a product connector's of the same name counts.
        for row in connection.execute(
            select(tables.keys)
            .where(or_(*owners), tables.keys.c.deleted_at.is_(None))
            .order_by(case((tables.keys.c.pivot_id.is_(None), 1), else_=0))
        )
    }
    _check_keys(component, keys, _valued(connection, component))
    id = _upsert(connection, tables.logical_components, {"logical_name": component.logicalname}, values, now)
    if component.says("keyvalues"):
        _save_values(connection, component, keys, id, now)
    else:
        _move_values(connection, keys, id, now)
    _save_resources(connection, component, id, now)
    return id


def fetch_logical_component_txn(connection: Connection, logical_name: str) -> LogicalComponentDefinition:
    """The component of this logical name; raises `NotFound`."""
    table = tables.logical_components
    query = select(table).where(table.c.logical_name == logical_name, table.c.deleted_at.is_(None))
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"logical component not found: {logical_name[:80]!r}")
    return LogicalComponentDefinition.model_validate(
        {
            "logicalname": row.logical_name,
            "type": row.type,
            "aggregator": row.aggregator,
            "shortdescription": row.short_description,
            "description": row.description,
            "pivot": _pivot_reference(connection, row.pivot_id),
            "productconnector": _connector_reference(connection, row.product_connector_id),
            "keyvalues": _values(connection, row.id),
            "resources": _resources(connection, row.id),
        }
    )


def components_speaking_txn(connection: Connection, pivot_name: str) -> list[str]:
    """The logical names of the components whose pivot, or product connector's pivot, has this name; in order."""
    components, connectors, pivots = tables.logical_components, tables.product_connectors, tables.pivots
    query = (
        select(components.c.logical_name)
        .outerjoin(connectors, connectors.c.id == components.c.product_connector_id)
        .join(pivots, or_(pivots.c.id == connectors.c.pivot_id, pivots.c.id == components.c.pivot_id))
        .where(pivots.c.name == pivot_name, components.c.deleted_at.is_(None))
        .distinct()
        .order_by(components.c.logical_name)
    )
    return list(connection.execute(query).scalars())


def _upsert(connection: Connection, table: Table, key: dict[str, Any], values: dict[str, Any], now: int) -> uuid.UUID:
    time = at(now)
    row = {"id": uuid.uuid4(), "created_at": time, "updated_at": time, **key, **values}
    changes = {"updated_at": time, "deleted_at": None, **values}
    statement = insert(table).values(row).on_conflict_do_update(index_elements=list(key), set_=changes)
    id: uuid.UUID = connection.execute(statement.returning(table.c.id)).scalar_one()
    return id


def _save_parts(
    connection: Connection,
    speaker: PivotDefinition | ProductConnectorDefinition,
    owner: str,
    id: uuid.UUID,
    now: int,
) -> None:
    for part, table in _PARTS.items():
        names = []
        for item in getattr(speaker, part):
            values = item.model_dump(mode="json")
            names.append(values.pop("name"))
            columns = {_COLUMNS.get(field, field): value for field, value in values.items()}
            _upsert(connection, table, {owner: id, "name": names[-1]}, columns, now)
        connection.execute(delete(table).where(table.c[owner] == id, table.c.name.not_in(names)))


def _parts(connection: Connection, owner: str, id: uuid.UUID) -> dict[str, list[dict[str, Any]]]:
    fields = {column: field for field, column in _COLUMNS.items()}
    return {
        part: [
            {fields.get(column, column): value for column, value in row._mapping.items()}
            for row in connection.execute(
                select(table).where(table.c[owner] == id, table.c.deleted_at.is_(None)).order_by(table.c.name)
            )
        ]
        for part, table in _PARTS.items()
    }


def _pivot_row(connection: Connection, name: str, major: int, minor: int) -> Row[Any]:
    table = tables.pivots
    query = select(table).where(table.c.name == name, table.c.major == major, table.c.minor == minor)
    row = connection.execute(query.where(table.c.deleted_at.is_(None))).first()
    if row is None:
        raise NotFound(f"pivot not found: {name[:80]!r} {major}.{minor}")
    return row


def _connector_row(connection: Connection, name: str, product: str, major: int, minor: int) -> Row[Any]:
    connectors, pivots, products = tables.product_connectors, tables.pivots, tables.connector_products
    query = (
        select(
            connectors,
            products.c.name.label("product_name"),
            pivots.c.name.label("pivot_name"),
            pivots.c.major.label("pivot_major"),
            pivots.c.minor.label("pivot_minor"),
        )
        .join(products, products.c.id == connectors.c.product_id)
        .join(pivots, pivots.c.id == connectors.c.pivot_id)
        .where(products.c.name == product, connectors.c.major == major, connectors.c.minor == minor)
        .where(or_(connectors.c.name == name, pivots.c.name == name), connectors.c.deleted_at.is_(None))
        .order_by(case((connectors.c.name == name, 0), else_=1))
    )
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"product connector not found: {name[:80]!r} of {product[:80]!r} {major}.{minor}")
    return row


def _check_keys(component: LogicalComponentDefinition, keys: dict[str, Row[Any]], valued: set[str]) -> None:
    given = [value.key.name for value in component.keyvalues]
    place = f"logical component {component.logicalname!r}"
    for index, name in enumerate(given):
        if name not in keys:
            allowed = ", ".join(sorted(keys)) or "none"
            raise InvalidDefinition(f"{place}: keyvalues.{index}.key.name: {name!r} is no key; allowed: {allowed}")
        if name in given[:index]:
            raise InvalidDefinition(f"{place}: keyvalues.{index}.key.name: {name!r} is there again")
    for row in keys.values():
        if row.mandatory and not row.default_value and row.name not in valued:
            raise InvalidDefinition(f"{place}: keyvalues: the mandatory key {row.name!r} is missing")


def _valued(connection: Connection, component: LogicalComponentDefinition) -> set[str]:
    """The names of the keys for which `component` has a value once it is saved."""
    if component.says("keyvalues"):
        return {value.key.name for value in component.keyvalues}
    table = tables.logical_components
    stored = connection.execute(select(table.c.id).where(table.c.logical_name == component.logicalname)).scalar()
    return set() if stored is None else {value["key"]["name"] for value in _values(connection, stored)}


def _save_values(
    connection: Connection,
    component: LogicalComponentDefinition,
    keys: dict[str, Row[Any]],
    id: uuid.UUID,
    now: int,
) -> None:
    table, saved = tables.key_values, []
    for value in component.keyvalues:
        key = {"logical_component_id": id, "key_id": keys[value.key.name].id}
        saved.append(_upsert(connection, table, key, {"value": value.value}, now))
    connection.execute(delete(table).where(table.c.logical_component_id == id, table.c.id.not_in(saved)))


def _move_values(connection: Connection, keys: dict[str, Row[Any]], id: uuid.UUID, now: int) -> None:
    """Let the stored values of another version's keys be those of the keys of the same name in `keys`."""
    values, old = tables.key_values, tables.keys
    query = (
        select(values.c.id, old.c.id.label("key_id"), old.c.name)
        .join(old, old.c.id == values.c.key_id)
        .where(values.c.logical_component_id == id, values.c.deleted_at.is_(None))
    )
    rows = connection.execute(query).all()
    taken = {row.key_id for row in rows}
    for row in rows:
        if row.name in keys and keys[row.name].id not in taken:
            moved = {"key_id": keys[row.name].id, "updated_at": at(now)}
            connection.execute(update(values).where(values.c.id == row.id).values(moved))


def _save_resources(connection: Connection, component: LogicalComponentDefinition, id: uuid.UUID, now: int) -> None:
    table = tables.resources
    for resource in component.resources:
        query = select(table.c.logical_component_id).where(table.c.name == resource.name)
        owner = connection.execute(query).scalar()
        if owner not in (None, id):
            raise Conflict(f"the resource {resource.name!r} is another component's")
        _upsert(connection, table, {"name": resource.name}, {"logical_component_id": id}, now)


def _pivot_reference(connection: Connection, id: uuid.UUID | None) -> PivotReference | None:
    table = tables.pivots
    row = connection.execute(select(table).where(table.c.id == id)).first()
    return None if row is None else PivotReference(name=row.name, major=row.major, minor=row.minor)


def _connector_reference(connection: Connection, id: uuid.UUID | None) -> ProductConnectorReference | None:
    connectors, products = tables.product_connectors, tables.connector_products
    query = select(connectors, products.c.name.label("product_name")).join(
        products, products.c.id == connectors.c.product_id
    )
    row = connection.execute(query.where(connectors.c.id == id)).first()
    if row is None:
        return None
    product = {"name": row.product_name}
    return ProductConnectorReference.model_validate(
        {"name": row.name, "major": row.major, "minor": row.minor, "product": product}
    )


def _values(connection: Connection, component: uuid.UUID) -> list[dict[str, Any]]:
    values, keys = tables.key_values, tables.keys
    query = (
        select(values.c.value, keys.c.name)
        .join(keys, keys.c.id == values.c.key_id)
        .where(values.c.logical_component_id == component, values.c.deleted_at.is_(None))
        .order_by(keys.c.name)
    )
    return [{"value": row.value, "key": {"name": row.name}} for row in connection.execute(query)]


def _resources(connection: Connection, component: uuid.UUID) -> list[dict[str, Any]]:
    table = tables.resources
    query = (
        select(table.c.name)
        .where(table.c.logical_component_id == component, table.c.deleted_at.is_(None))
        .order_by(table.c.name)
    )
    return [{"name": name} for name in connection.execute(query).scalars()]
