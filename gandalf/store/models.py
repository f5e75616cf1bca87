"""What there is: one declaration for each model. The REST API, in both its forms, and its description follow from it.

A new one needs its table (tenant_schema.py, with a migration) and a declaration here.
"""

from __future__ import annotations

from . import tenant_schema as tables
from .model import SEEN, Domained, Field, Many, Model, Nested, Password

_SHORT, _LONG, _LOGO = Field("ShortDescription"), Field("Description"), Field("Logo")
_DESCRIBED = (_SHORT, _LONG, _LOGO)
_NAME, _UNIQUE_NAME = Field("Name"), Field("Name", unique=True)


def _refers(key: str, model: str, *, owned: bool = False) -> tuple[Field, Nested]:
    """The id of another row, and that row."""
    field = Field(f"{key}ID", "uuid", refers=model, owned=owned)
    return field, Nested(key, model, field.column)


# By a pivot or a product connector, which declare it.
_DECLARED = (
    *_refers("Pivot", "Pivot", owned=True),
    *_refers("ProductConnector", "ProductConnector", owned=True),
)
_OWN_DOMAIN = Domained("domain_id")

# Who may do what

USER = Model(
    "User",
    tables.users,
    (
        Field("Email", unique=True),
        Password(column="password_hash"),
        Field("FirstName"),
        Field("LastName"),
        Field("CompanyId"),
        _LOGO,
        _LONG,
    ),
    label="email",
)
ROLE = Model("Role", tables.roles, (_UNIQUE_NAME, *_DESCRIBED))
DOMAIN = Model(
    "Domain",
    tables.domains,
    (
        _NAME,
        Field("ParentID", "uuid", refers="Domain", owned=True),
        Nested("Parent", "Domain", "parent_id", null=True),
        Many("Authorizations", "Authorization", "domain_id"),
        Many("Products", "Product", "domain_id"),
        Many("Libraries", "Library", "domain_id", tables.domain_libraries, "library_id"),
        Many("Tags", "Tag", "domain_id", tables.domain_tags, "tag_id"),
        Many("Environments", "Environment", "domain_id"),
        *_DESCRIBED,
        Field("GitURL"),
        Many("Childs", "Domain", "parent_id"),
    ),
    domain=Domained("id"),
    tree=True,
    listed={
        "Parent": {},
        "Authorizations": {"User": {}, "Role": {}},
        "Products": {},
        "Libraries": {},
        "Tags": {},
        "Environments": {},
    },
    read={
        "Parent": {},
        "Authorizations": {"User": {}, "Role": {}},
        "Products": {},
        "Libraries": {},
        "Tags": {},
        "Environments": {"EnvironmentType": {}, "Domain": {}},
    },
)
AUTHORIZATION = Model(
    "Authorization",
    tables.authorizations,
    (
        *_refers("User", "User", owned=True),
        *_refers("Role", "Role"),
        *_refers("Domain", "Domain", owned=True),
    ),
    label="id",
    domain=_OWN_DOMAIN,
    listed={"User": {}, "Role": {}, "Domain": {}},
    read={"User": {}, "Role": {}, "Domain": {}},
)

# What a domain holds

LIBRARY = Model("Library", tables.libraries, (_UNIQUE_NAME, *_DESCRIBED))
TAG = Model(
    "Tag",
    tables.tags,
    (
        _NAME,
        Field("ParentID", "uuid", refers="Tag", owned=True),
        Nested("Parent", "Tag", "parent_id", null=True),
        *_DESCRIBED,
        Many("Childs", "Tag", "parent_id"),
    ),
    tree=True,
    listed={"Parent": {}},
)
ENVIRONMENT_TYPE = Model("EnvironmentType", tables.environment_types, (_NAME, *_DESCRIBED))
ENVIRONMENT = Model(
    "Environment",
    tables.environments,
    (
        _NAME,
        *_refers("EnvironmentType", "EnvironmentType"),
        *_DESCRIBED,
        *_refers("Domain", "Domain", owned=True),
    ),
    domain=_OWN_DOMAIN,
    listed={"EnvironmentType": {}},
    read={"EnvironmentType": {}},
)
PRODUCT = Model(
    "Product",
    tables.products,
    (_UNIQUE_NAME, *_DESCRIBED, Field("RepositoryURL"), *_refers("Domain", "Domain")),
    domain=_OWN_DOMAIN,
    listed={"Domain": {}},
    read={"Domain": {}},
)

# What connectors speak

CONNECTOR_PRODUCT = Model("ConnectorProduct", tables.connector_products, (_UNIQUE_NAME,))
_VERSION = (Field("Major", "int8"), Field("Minor", "int8"))


def _declares(column: str) -> tuple[Many, ...]:
    """What a pivot or a product connector declares."""
    return (
        Many("ResourceTypes", "ResourceType", column),
        Many("CommandTypes", "CommandType", column),
        Many("EventTypes", "EventType", column),
        Many("Keys", "Key", column),
    )


PIVOT = Model("Pivot", tables.pivots, (_NAME, *_VERSION, *_declares("pivot_id")), operations=SEEN, upstream=False)
PRODUCT_CONNECTOR = Model(
    "ProductConnector",
    tables.product_connectors,
    (
        _NAME,
        *_VERSION,
        *_refers("Pivot", "Pivot"),
        *_refers("Product", "ConnectorProduct"),
        *_declares("product_connector_id"),
    ),
    operations=SEEN,
    upstream=False,
)
RESOURCE_TYPE = Model("ResourceType", tables.resource_types, (_NAME, *_DECLARED))
EVENT_TYPE = Model("EventType", tables.event_types, (_NAME, Field("Schema"), *_DECLARED))
COMMAND_TYPE = Model(
    "CommandType",
    tables.command_types,
    (_NAME, Field("Schema"), *_DECLARED),
    operations=SEEN,
    upstream=False,
)
KEY = Model(
    "Key",
    tables.keys,
    (
        _NAME,
        Field("DefaultValue"),
        Field("Type"),
        Field("Shortname"),
        Field("Mandatory", "bool"),
        *_DECLARED,
    ),
    operations=SEEN,
    upstream=False,
)

# What there is

LOGICAL_COMPONENT = Model(
    "LogicalComponent",
    tables.logical_components,
    (
        Field("LogicalName", unique=True),
        Field("Type"),
        *_refers("Pivot", "Pivot"),
        *_refers("ProductConnector", "ProductConnector"),
        Field("Aggregator"),
        Many("KeyValues", "KeyValue", "logical_component_id"),
        Many("Resources", "Resource", "logical_component_id"),
        _SHORT,
        _LONG,
    ),
    label="logical_name",
    operations=SEEN,
)
KEY_VALUE = Model(
    "KeyValue",
    tables.key_values,
    (Field("Value"), *_refers("Key", "Key"), *_refers("LogicalComponent", "LogicalComponent", owned=True)),
    label="id",
    operations=SEEN,
    upstream=False,
)
RESOURCE = Model(
    "Resource",
    tables.resources,
    (
        _UNIQUE_NAME,
        *_refers("LogicalComponent", "LogicalComponent"),
        *_refers("Domain", "Domain"),
        *_refers("ResourceType", "ResourceType"),
        Many("EventTypeToPolls", "EventTypeToPoll", "resource_id"),
    ),
    domain=_OWN_DOMAIN,
)
EVENT_TYPE_TO_POLL = Model(
    "EventTypeToPoll",
    tables.event_type_to_polls,
    (*_refers("Resource", "Resource", owned=True), *_refers("EventType", "EventType")),
    label="id",
    domain=Domained("resource_id", of="Resource"),
    listed={"Resource": {}, "EventType": {}},
)

# The installation

TENANT = Model("Tenant", tables.tenants, (_UNIQUE_NAME, Password(), *_DESCRIBED))

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        USER,
        ROLE,
        AUTHORIZATION,
        DOMAIN,
        TAG,
        LIBRARY,
        ENVIRONMENT_TYPE,
        ENVIRONMENT,
        PRODUCT,
        CONNECTOR_PRODUCT,
        PIVOT,
        PRODUCT_CONNECTOR,
        RESOURCE_TYPE,
        EVENT_TYPE,
        COMMAND_TYPE,
        KEY,
        LOGICAL_COMPONENT,
        KEY_VALUE,
        RESOURCE,
        EVENT_TYPE_TO_POLL,
        TENANT,
    )
}
"""By name. Whoever goes through all of them finds them in this order."""
