"""The first tables of this history."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "connector_products",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("connector_products_pkey")),
        sa.UniqueConstraint("name", name=op.f("connector_products_name_key")),
    )
    op.create_table(
        "domains",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("short_description", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("logo", sa.Text(), nullable=False),
        sa.Column("git_url", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["domains.id"], name=op.f("domains_parent_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("domains_pkey")),
    )
    op.create_index(op.f("domains_parent_id_idx"), "domains", ["parent_id"], unique=False)
    op.create_table(
        "environment_types",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("short_description", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("logo", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("environment_types_pkey")),
    )
    op.create_table(
        "libraries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("short_description", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("logo", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("libraries_pkey")),
        sa.UniqueConstraint("name", name=op.f("libraries_name_key")),
    )
    op.create_table(
        "pivots",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("major", sa.SmallInteger(), nullable=False),
        sa.Column("minor", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pivots_pkey")),
        sa.UniqueConstraint("name", "major", "minor", name=op.f("pivots_name_major_minor_key")),
    )
    op.create_table(
        "roles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("short_description", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("logo", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("roles_pkey")),
        sa.UniqueConstraint("name", name=op.f("roles_name_key")),
    )
    op.create_table(
        "tags",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("short_description", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("logo", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["tags.id"], name=op.f("tags_parent_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("tags_pkey")),
    )
    op.create_index(op.f("tags_parent_id_idx"), "tags", ["parent_id"], unique=False)
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("short_description", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("logo", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("tenants_pkey")),
        sa.UniqueConstraint("name", name=op.f("tenants_name_key")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("company_id", sa.Text(), nullable=False),
        sa.Column("logo", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
        sa.UniqueConstraint("email", name=op.f("users_email_key")),
    )
    op.create_table(
        "authorizations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("role_id", sa.Uuid(), nullable=True),
        sa.Column("domain_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["domain_id"], ["domains.id"], name=op.f("authorizations_domain_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["role_id"], ["roles.id"], name=op.f("authorizations_role_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("authorizations_user_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("authorizations_pkey")),
    )
    op.create_index(op.f("authorizations_domain_id_idx"), "authorizations", ["domain_id"], unique=False)
    op.create_index(op.f("authorizations_role_id_idx"), "authorizations", ["role_id"], unique=False)
    op.create_index(op.f("authorizations_user_id_idx"), "authorizations", ["user_id"], unique=False)
    op.create_table(
        "domain_libraries",
        sa.Column("domain_id", sa.Uuid(), nullable=False),
        sa.Column("library_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["domain_id"], ["domains.id"], name=op.f("domain_libraries_domain_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["library_id"],
            ["libraries.id"],
            name=op.f("domain_libraries_library_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("domain_id", "library_id", name=op.f("domain_libraries_pkey")),
    )
    op.create_index(op.f("domain_libraries_library_id_idx"), "domain_libraries", ["library_id"], unique=False)
    op.create_table(
        "domain_tags",
        sa.Column("domain_id", sa.Uuid(), nullable=False),
        sa.Column("tag_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["domain_id"], ["domains.id"], name=op.f("domain_tags_domain_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name=op.f("domain_tags_tag_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("domain_id", "tag_id", name=op.f("domain_tags_pkey")),
    )
    op.create_index(op.f("domain_tags_tag_id_idx"), "domain_tags", ["tag_id"], unique=False)
    op.create_table(
        "environments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("environment_type_id", sa.Uuid(), nullable=True),
        sa.Column("domain_id", sa.Uuid(), nullable=True),
        sa.Column("short_description", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("logo", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["domain_id"], ["domains.id"], name=op.f("environments_domain_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["environment_type_id"],
            ["environment_types.id"],
            name=op.f("environments_environment_type_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("environments_pkey")),
    )
    op.create_index(op.f("environments_domain_id_idx"), "environments", ["domain_id"], unique=False)
    op.create_index(
        op.f("environments_environment_type_id_idx"), "environments", ["environment_type_id"], unique=False
    )
    op.create_table(
        "product_connectors",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("major", sa.SmallInteger(), nullable=False),
        sa.Column("minor", sa.SmallInteger(), nullable=False),
        sa.Column("pivot_id", sa.Uuid(), nullable=True),
        sa.Column("product_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["pivot_id"], ["pivots.id"], name=op.f("product_connectors_pivot_id_fkey")),
        sa.ForeignKeyConstraint(
            ["product_id"], ["connector_products.id"], name=op.f("product_connectors_product_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("product_connectors_pkey")),
        sa.UniqueConstraint(
            "name",
            "product_id",
            "major",
            "minor",
            name=op.f("product_connectors_name_product_id_major_minor_key"),
        ),
    )
    op.create_index(op.f("product_connectors_pivot_id_idx"), "product_connectors", ["pivot_id"], unique=False)
    op.create_index(op.f("product_connectors_product_id_idx"), "product_connectors", ["product_id"], unique=False)
    op.create_table(
        "products",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("short_description", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("logo", sa.Text(), nullable=False),
        sa.Column("repository_url", sa.Text(), nullable=False),
        sa.Column("domain_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["domain_id"], ["domains.id"], name=op.f("products_domain_id_fkey"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("products_pkey")),
        sa.UniqueConstraint("name", name=op.f("products_name_key")),
    )
    op.create_index(op.f("products_domain_id_idx"), "products", ["domain_id"], unique=False)
    op.create_table(
        "command_types",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=False),
        sa.Column("pivot_id", sa.Uuid(), nullable=True),
        sa.Column("product_connector_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["pivot_id"], ["pivots.id"], name=op.f("command_types_pivot_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["product_connector_id"],
            ["product_connectors.id"],
            name=op.f("command_types_product_connector_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("command_types_pkey")),
        sa.UniqueConstraint("pivot_id", "name", name=op.f("command_types_pivot_id_name_key")),
        sa.UniqueConstraint("product_connector_id", "name", name=op.f("command_types_product_connector_id_name_key")),
    )
    op.create_index(op.f("command_types_pivot_id_idx"), "command_types", ["pivot_id"], unique=False)
    op.create_index(
        op.f("command_types_product_connector_id_idx"),
        "command_types",
        ["product_connector_id"],
        unique=False,
    )
    op.create_table(
        "event_types",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=False),
        sa.Column("pivot_id", sa.Uuid(), nullable=True),
        sa.Column("product_connector_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["pivot_id"], ["pivots.id"], name=op.f("event_types_pivot_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["product_connector_id"],
            ["product_connectors.id"],
            name=op.f("event_types_product_connector_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("event_types_pkey")),
        sa.UniqueConstraint("pivot_id", "name", name=op.f("event_types_pivot_id_name_key")),
        sa.UniqueConstraint("product_connector_id", "name", name=op.f("event_types_product_connector_id_name_key")),
    )
    op.create_index(op.f("event_types_pivot_id_idx"), "event_types", ["pivot_id"], unique=False)
    op.create_index(
        op.f("event_types_product_connector_id_idx"), "event_types", ["product_connector_id"], unique=False
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("default_value", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("shortname", sa.Text(), nullable=False),
        sa.Column("mandatory", sa.Boolean(), nullable=False),
        sa.Column("pivot_id", sa.Uuid(), nullable=True),
        sa.Column("product_connector_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["pivot_id"], ["pivots.id"], name=op.f("keys_pivot_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["product_connector_id"],
            ["product_connectors.id"],
            name=op.f("keys_product_connector_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("keys_pkey")),
        sa.UniqueConstraint("pivot_id", "name", name=op.f("keys_pivot_id_name_key")),
        sa.UniqueConstraint("product_connector_id", "name", name=op.f("keys_product_connector_id_name_key")),
    )
    op.create_index(op.f("keys_pivot_id_idx"), "keys", ["pivot_id"], unique=False)
    op.create_index(op.f("keys_product_connector_id_idx"), "keys", ["product_connector_id"], unique=False)
    op.create_table(
        "logical_components",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("logical_name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("pivot_id", sa.Uuid(), nullable=True),
        sa.Column("product_connector_id", sa.Uuid(), nullable=True),
        sa.Column("aggregator", sa.Text(), nullable=False),
        sa.Column("short_description", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["pivot_id"], ["pivots.id"], name=op.f("logical_components_pivot_id_fkey")),
        sa.ForeignKeyConstraint(
            ["product_connector_id"],
            ["product_connectors.id"],
            name=op.f("logical_components_product_connector_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("logical_components_pkey")),
        sa.UniqueConstraint("logical_name", name=op.f("logical_components_logical_name_key")),
    )
    op.create_index(op.f("logical_components_pivot_id_idx"), "logical_components", ["pivot_id"], unique=False)
    op.create_index(
        op.f("logical_components_product_connector_id_idx"),
        "logical_components",
        ["product_connector_id"],
        unique=False,
    )
    op.create_table(
        "resource_types",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("pivot_id", sa.Uuid(), nullable=True),
        sa.Column("product_connector_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["pivot_id"], ["pivots.id"], name=op.f("resource_types_pivot_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["product_connector_id"],
            ["product_connectors.id"],
            name=op.f("resource_types_product_connector_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("resource_types_pkey")),
        sa.UniqueConstraint("pivot_id", "name", name=op.f("resource_types_pivot_id_name_key")),
        sa.UniqueConstraint(
            "product_connector_id", "name", name=op.f("resource_types_product_connector_id_name_key")
        ),
    )
    op.create_index(op.f("resource_types_pivot_id_idx"), "resource_types", ["pivot_id"], unique=False)
    op.create_index(
        op.f("resource_types_product_connector_id_idx"),
        "resource_types",
        ["product_connector_id"],
        unique=False,
    )
    op.create_table(
        "key_values",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("logical_component_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name=op.f("key_values_key_id_fkey")),
        sa.ForeignKeyConstraint(
            ["logical_component_id"],
            ["logical_components.id"],
            name=op.f("key_values_logical_component_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("key_values_pkey")),
        sa.UniqueConstraint(
            "logical_component_id", "key_id", name=op.f("key_values_logical_component_id_key_id_key")
        ),
    )
    op.create_index(op.f("key_values_key_id_idx"), "key_values", ["key_id"], unique=False)
    op.create_index(op.f("key_values_logical_component_id_idx"), "key_values", ["logical_component_id"], unique=False)
    op.create_table(
        "resources",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("logical_component_id", sa.Uuid(), nullable=True),
        sa.Column("domain_id", sa.Uuid(), nullable=True),
        sa.Column("resource_type_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["domain_id"], ["domains.id"], name=op.f("resources_domain_id_fkey"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["logical_component_id"],
            ["logical_components.id"],
            name=op.f("resources_logical_component_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["resource_type_id"], ["resource_types.id"], name=op.f("resources_resource_type_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("resources_pkey")),
        sa.UniqueConstraint("name", name=op.f("resources_name_key")),
    )
    op.create_index(op.f("resources_domain_id_idx"), "resources", ["domain_id"], unique=False)
    op.create_index(op.f("resources_logical_component_id_idx"), "resources", ["logical_component_id"], unique=False)
    op.create_index(op.f("resources_resource_type_id_idx"), "resources", ["resource_type_id"], unique=False)
    op.create_table(
        "event_type_to_polls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resource_id", sa.Uuid(), nullable=True),
        sa.Column("event_type_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_type_id"],
            ["event_types.id"],
            name=op.f("event_type_to_polls_event_type_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["resource_id"],
            ["resources.id"],
            name=op.f("event_type_to_polls_resource_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("event_type_to_polls_pkey")),
        sa.UniqueConstraint(
            "resource_id", "event_type_id", name=op.f("event_type_to_polls_resource_id_event_type_id_key")
        ),
    )
    op.create_index(
        op.f("event_type_to_polls_event_type_id_idx"), "event_type_to_polls", ["event_type_id"], unique=False
    )
    op.create_index(op.f("event_type_to_polls_resource_id_idx"), "event_type_to_polls", ["resource_id"], unique=False)
