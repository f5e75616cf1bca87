"""The first tables of this history."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "aggregator_instances",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("logical_name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "logical_name", "address", name=op.f("aggregator_instances_pkey")),
        schema="cluster",
    )
    op.create_table(
        "members",
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("logical_name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instance", name=op.f("members_pkey")),
        schema="cluster",
    )
    op.create_table(
        "tenants",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ready_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("tenants_pkey")),
        sa.UniqueConstraint("database", name=op.f("tenants_database_key")),
        sa.UniqueConstraint("role", name=op.f("tenants_role_key")),
        schema="cluster",
    )
    op.create_table(
        "component_secrets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("component_type", sa.Text(), nullable=False),
        sa.Column("logical_name", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("bind_address", sa.Text(), nullable=True),
        sa.Column("instance", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("bound_at", sa.BigInteger(), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["cluster.tenants.name"],
            name=op.f("component_secrets_tenant_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("component_secrets_pkey")),
        sa.UniqueConstraint("hash", name=op.f("component_secrets_hash_key")),
        schema="cluster",
    )
    op.create_index(
        op.f("component_secrets_tenant_logical_name_idx"),
        "component_secrets",
        ["tenant", "logical_name"],
        unique=False,
        schema="cluster",
    )
