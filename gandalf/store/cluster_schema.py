"""The tables of the cluster, in the schema `cluster` of the control database.

Times are milliseconds since the epoch.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text, Uuid

SCHEMA = "cluster"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    },
)

# `password` is readable, since it is handed out (CONFIGURATION_DATABASE); see tenants.py.
tenants = Table(
    "tenants",
    metadata,
    Column("name", Text, primary_key=True),
    Column("database", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False, unique=True),
    Column("password", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ready_at", BigInteger),  # null: not created to the end yet
)

component_secrets = Table(
    "component_secrets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),  # SHA-256 in hex; see secrets.py
    Column("component_type", Text),  # this and the next null: open, nobody has used it yet
    Column("logical_name", Text),
    Column("tenant", Text, ForeignKey(tenants.c.name, ondelete="CASCADE"), nullable=False),
    Column("bind_address", Text),  # null: not bound yet
    Column("instance", Text),  # hex, of the instance that used it last
    Column("created_at", BigInteger, nullable=False),
    Column("bound_at", BigInteger),
    Column("used_at", BigInteger),
    Column("revoked_at", BigInteger),
    Index(None, "tenant", "logical_name"),
)

members = Table(
    "members",
    metadata,
    Column("instance", Text, primary_key=True),  # hex
    Column("logical_name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
)

aggregator_instances = Table(
    "aggregator_instances",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("logical_name", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("last_seen", BigInteger, nullable=False),
)

# One row, locked while a migration runs: see migrate.py. Both schemas have such a table.
migration_lock = Table("migration_lock", metadata, Column("id", Integer, primary_key=True, autoincrement=False))
