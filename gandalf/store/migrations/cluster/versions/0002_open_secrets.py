"""A secret may be open: nobody's until it is first used."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Let a secret be without a component."""
    for column in ("component_type", "logical_name"):
        op.alter_column("component_secrets", column, existing_type=sa.Text(), nullable=True, schema="cluster")
