"""Files of the API's clients; and what is in use can no longer be removed from below its users."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_IN_USE = (
    ("authorizations", "role_id", "roles"),
    ("domain_libraries", "library_id", "libraries"),
    ("domain_tags", "tag_id", "tags"),
    ("environments", "environment_type_id", "environment_types"),
    ("products", "domain_id", "domains"),
    ("resources", "domain_id", "domains"),
    ("resources", "logical_component_id", "logical_components"),
    ("event_type_to_polls", "event_type_id", "event_types"),
)


def upgrade() -> None:
    """Make the table; foreign keys of these columns no longer remove or empty the row that refers."""
    op.create_table(
        "files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("files_pkey")),
    )
    for table, column, referred in _IN_USE:
        op.drop_constraint(f"{table}_{column}_fkey", table, type_="foreignkey")
        # Not by the same name again: CockroachDB does not take that within one transaction.
        op.create_foreign_key(f"{table}_{column}_in_use_fkey", table, referred, [column], ["id"])
