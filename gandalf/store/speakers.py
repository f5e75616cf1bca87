"""Which logical components speak which pivot: what resolving a command needs to know (protocol.md 9)."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import Connection, or_, select

from . import tenant_schema as tables


def speakers_txn(connection: Connection) -> dict[str, tuple[str, ...]]:
    """For each pivot's name the logical names of the components that speak it, themselves or by their product
    connector."""
    components, connectors, pivots = tables.logical_components, tables.product_connectors, tables.pivots
    query = (
        select(pivots.c.name, components.c.logical_name)
        .select_from(components)
        .outerjoin(connectors, connectors.c.id == components.c.product_connector_id)
        .join(pivots, or_(pivots.c.id == connectors.c.pivot_id, pivots.c.id == components.c.pivot_id))
        .where(components.c.deleted_at.is_(None))
        .distinct()
        .order_by(pivots.c.name, components.c.logical_name)
    )
    names: defaultdict[str, list[str]] = defaultdict(list)
    for pivot, logical_name in connection.execute(query):
        names[pivot].append(logical_name)
    return {pivot: tuple(components) for pivot, components in names.items()}
