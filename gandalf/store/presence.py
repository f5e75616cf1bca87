"""Who is there: cluster members and aggregator instances, in the control database.

Every function's times are milliseconds since the epoch. Whoever is alive says so again and again
(`*_seen_txn`); who has not been seen for a while is taken for gone.
"""

from __future__ import annotations

import attrs
from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from .cluster_schema import aggregator_instances, members


@attrs.frozen
class Member:
    """A cluster member: `instance` is hex, `address` "host:port"."""

    instance: str
    logical_name: str
    address: str
    last_seen: int


@attrs.frozen
class AggregatorInstance:
    """An instance of a tenant's aggregator; `address` is "host:port"."""

    tenant: str
    logical_name: str
    address: str
    last_seen: int


def member_seen_txn(connection: Connection, instance: str, logical_name: str, address: str, *, now: int) -> None:
    """Record that a member is alive, at this address."""
    row = insert(members).values(instance=instance, logical_name=logical_name, address=address, last_seen=now)
    latest = func.greatest(members.c.last_seen, row.excluded.last_seen)
    changes = {"logical_name": logical_name, "address": address, "last_seen": latest}
    connection.execute(row.on_conflict_do_update(index_elements=["instance"], set_=changes))


def member_gone_txn(connection: Connection, instance: str) -> None:
    """Record that a member has left; nothing happens if it is not known."""
    connection.execute(delete(members).where(members.c.instance == instance))


def live_members_txn(connection: Connection, since: int) -> list[Member]:
    """The members seen at `since` or later, by address."""
    query = select(members).where(members.c.last_seen >= since).order_by(members.c.address)
    return [Member(**row._mapping) for row in connection.execute(query)]


def aggregator_seen_txn(connection: Connection, tenant: str, logical_name: str, address: str, *, now: int) -> None:
    """Record that an instance of an aggregator is alive, at this address."""
    row = insert(aggregator_instances).values(
        tenant=tenant, logical_name=logical_name, address=address, last_seen=now
    )
    latest = func.greatest(aggregator_instances.c.last_seen, row.excluded.last_seen)
    key = ["tenant", "logical_name", "address"]
    connection.execute(row.on_conflict_do_update(index_elements=key, set_={"last_seen": latest}))


def aggregator_gone_txn(connection: Connection, tenant: str, logical_name: str, address: str) -> None:
    """Record that an instance of an aggregator has left; nothing happens if it is not known."""
    table = aggregator_instances
    connection.execute(
        delete(table).where(
            table.c.tenant == tenant, table.c.logical_name == logical_name, table.c.address == address
        )
    )


def live_aggregators_txn(connection: Connection, since: int, tenant: str | None = None) -> list[AggregatorInstance]:
    """The instances (of a tenant's aggregator) seen at `since` or later, by tenant, name and address."""
    table = aggregator_instances
    query = select(table).where(table.c.last_seen >= since)
    if tenant is not None:
        query = query.where(table.c.tenant == tenant)
    rows = connection.execute(query.order_by(table.c.tenant, table.c.logical_name, table.c.address))
    return [AggregatorInstance(**row._mapping) for row in rows]


def forget_txn(connection: Connection, before: int) -> None:
    """Remove whoever was last seen before `before`: processes that crashed never say that they leave."""
    for table in (members, aggregator_instances):
        connection.execute(delete(table).where(table.c.last_seen < before))
