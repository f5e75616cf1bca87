"""The tables of a tenant, in the schema `public` of its database: the models of the REST API, and the trace.

Every model has an `id` made here, not by the database, and `created_at`, `updated_at`, `deleted_at` (set =
hidden, though still unique). An API id that is zero is null here. Where the Go system's tables differ:
references are foreign keys; types are unique within the pivot or product connector that declares them, so
that versions stand side by side.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


def _model(name: str, *columns: Column[object] | UniqueConstraint) -> Table:
    return Table(
        name,
        metadata,
        Column("id", Uuid, primary_key=True),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("updated_at", DateTime(timezone=True), nullable=False),
        Column("deleted_at", DateTime(timezone=True)),
        *columns,
    )


def _text(name: str, *, unique: bool = False) -> Column[object]:
    return Column(name, Text, nullable=False, default="", unique=unique or None)


def _to(column: str, table: str, ondelete: str | None = None, *, nullable: bool = True) -> Column[object]:
    return Column(column, Uuid, ForeignKey(f"{table}.id", ondelete=ondelete), nullable=nullable, index=True)


def _described() -> tuple[Column[object], ...]:
    return _text("short_description"), _text("description"), _text("logo")


# Who may do what

users = _model(
    "users",
    _text("email", unique=True),
    _text("password_hash"),
    _text("first_name"),
    _text("last_name"),
    _text("company_id"),
    _text("logo"),
    _text("description"),
)
roles = _model("roles", _text("name", unique=True), *_described())
domains = _model("domains", _text("name"), _to("parent_id", "domains", "CASCADE"), *_described(), _text("git_url"))
authorizations = _model(
    "authorizations",
    _to("user_id", "users", "CASCADE"),
    _to("role_id", "roles"),
    _to("domain_id", "domains", "CASCADE"),
)

# What a domain holds

libraries = _model("libraries", _text("name", unique=True), *_described())
tags = _model("tags", _text("name"), _to("parent_id", "tags", "CASCADE"), *_described())
environment_types = _model("environment_types", _text("name"), *_described())
environments = _model(
    "environments",
    _text("name"),
    _to("environment_type_id", "environment_types"),
    _to("domain_id", "domains", "CASCADE"),
    *_described(),
)
products = _model(
    "products",
    _text("name", unique=True),
    *_described(),
    _text("repository_url"),
    _to("domain_id", "domains"),
)
domain_libraries = Table(
    "domain_libraries",
    metadata,
    Column("domain_id", Uuid, ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True),
    Column("library_id", Uuid, ForeignKey("libraries.id"), primary_key=True, index=True),
)
domain_tags = Table(
    "domain_tags",
    metadata,
    Column("domain_id", Uuid, ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", Uuid, ForeignKey("tags.id"), primary_key=True, index=True),
)

# What connectors speak

connector_products = _model("connector_products", _text("name", unique=True))
pivots = _model(
    "pivots",
    _text("name"),
    Column("major", SmallInteger, nullable=False),
    Column("minor", SmallInteger, nullable=False),
    UniqueConstraint("name", "major", "minor"),
)
product_connectors = _model(
    "product_connectors",
    _text("name"),
    Column("major", SmallInteger, nullable=False),
    Column("minor", SmallInteger, nullable=False),
    _to("pivot_id", "pivots"),
    _to("product_id", "connector_products"),
    UniqueConstraint("name", "product_id", "major", "minor"),
)


def _owned(name: str, *columns: Column[object]) -> Table:
    """A thing declared by a pivot or a product connector."""
    return _model(
        name,
        _text("name"),
        *columns,
        _to("pivot_id", "pivots", "CASCADE"),
        _to("product_connector_id", "product_connectors", "CASCADE"),
        UniqueConstraint("pivot_id", "name"),
        UniqueConstraint("product_connector_id", "name"),
    )


keys = _owned(
    "keys",
    _text("default_value"),
    _text("type"),
    _text("shortname"),
    Column("mandatory", Boolean, nullable=False, default=False),
)
command_types = _owned("command_types", _text("schema"))
event_types = _owned("event_types", _text("schema"))
resource_types = _owned("resource_types")

# What there is

logical_components = _model(
    "logical_components",
    _text("logical_name", unique=True),
    _text("type"),
    _to("pivot_id", "pivots"),
    _to("product_connector_id", "product_connectors"),
    _text("aggregator"),
    _text("short_description"),
    _text("description"),
)
key_values = _model(
    "key_values",
    _text("value"),
    _to("key_id", "keys"),
    _to("logical_component_id", "logical_components", "CASCADE"),
    UniqueConstraint("logical_component_id", "key_id"),
)
resources = _model(
    "resources",
    _text("name", unique=True),
    _to("logical_component_id", "logical_components"),
    _to("domain_id", "domains"),
    _to("resource_type_id", "resource_types"),
)
event_type_to_polls = _model(
    "event_type_to_polls",
    _to("resource_id", "resources", "CASCADE"),
    _to("event_type_id", "event_types"),
    UniqueConstraint("resource_id", "event_type_id"),
)

# The installation

# The API's own record of tenants, its own tenant among them; their passwords are in the control database only.
tenants = _model("tenants", _text("name", unique=True), *_described())
state = Table(
    "state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("admin", Boolean, nullable=False),
)
signing_keys = Table(
    "signing_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)

# What happened. Times are milliseconds since the epoch; `timestamp` is the sender's, `received_at` ours.
# Only fixed-size columns are indexed: names come from peers, and an over-long one must not fail a row.
trace = Table(
    "trace",
    metadata,
    Column("uuid", Uuid, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("reference", Uuid),
    Column("source", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("connector_type", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("member", Text, nullable=False),
    Index("trace_reference_idx", "reference"),
    Index("trace_received_at_uuid_kind_idx", "received_at", "uuid", "kind"),
)

# One row, locked while a migration runs: see migrate.py.
migration_lock = Table("migration_lock", metadata, Column("id", Integer, primary_key=True, autoincrement=False))
