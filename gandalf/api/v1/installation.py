"""Tenants, secrets and definitions of components in `/api/v1`: what the cluster does for the API."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, RootModel, StringConstraints, model_validator

from gandalf.api.bodies import BodyTooLong, NoFile
from gandalf.api.errors import Refused, Unreachable
from gandalf.api.installation import Installation, create_tenant
from gandalf.api.operation import Access, Call, Reply, operation
from gandalf.api.resources import Resources
from gandalf.api.v1.views import Strict, Text, answer_of, shown
from gandalf.store.definitions import InvalidDefinition
from gandalf.store.errors import Conflict, NotFound
from gandalf.store.models import TENANT

MAX_DEFINITION: Final = 1024 * 1024
"""Bytes of a component's definition at most."""


class TenantBody(Strict):
    """A new tenant."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,47}$")]
    short_description: Text = ""
    description: Text = ""
    logo: Text = ""


class Login(BaseModel):
    """A log-in of an administrator."""

    login: str
    password: str


class NewTenant(BaseModel):
    """A tenant, the log-ins of its administrators, and a secret for its aggregator: none is told again."""

    tenant: answer_of(TENANT)  # type: ignore[valid-type]
    logins: list[Login]
    secret: str


def _said(least: int) -> dict[str, Any]:
    """The schema of both being there, or of neither."""
    keys = ("component_type", "logical_name")
    if least:
        return {"required": list(keys), "properties": {key: {"minLength": 1} for key in keys}}
    return {"properties": {key: {"maxLength": 0} for key in keys}}


class SecretBody(Strict):
    """Whose secret it is to be; without both, that of the component that uses it first."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_said(1), _said(0)]})

    component_type: Literal["", "aggregator", "connector"] = ""
    logical_name: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9._-]{1,128})?$")] = ""

    @model_validator(mode="after")
    def _both_or_neither(self) -> SecretBody:
        if bool(self.component_type) != bool(self.logical_name):
            raise ValueError("component_type and logical_name are needed both, or neither")
        return self


class Secret(BaseModel):
    """What may be told of a secret; times in ms since the epoch."""

    id: UUID
    component_type: str | None
    logical_name: str | None
    tenant: str
    bind_address: str | None = None
    instance: str | None = None
    created_at: int
    used_at: int | None = None
    revoked_at: int | None = None


class NewSecret(BaseModel):
    """A secret that was made; its text is not told again."""

    id: UUID
    secret: str
    component_type: str | None
    logical_name: str | None
    tenant: str
    created_at: int


_CLUSTER: Final = (Refused, Unreachable, NotFound, Conflict)
"""What the cluster may answer."""


class V1Installation:
    """Tenants, secrets and components.

    :param tenant: the name of the tenant that this aggregator serves.
    """

    def __init__(self, resources: Resources, installation: Installation, tenant: str) -> None:
        self._resources = resources
        self._installation = installation
        self._own = tenant

    @operation(
        "POST",
        "/tenants",
        Access.ADMINISTRATOR,
        "Create a tenant, with a database of its own.",
        body=TenantBody,
        answers={201: NewTenant},
        errors=_CLUSTER,
        tag="tenants",
    )
    async def create_tenant(self, call: Call) -> Reply:
        """Only from a tenant that administers the cluster."""
        row, made = await create_tenant(self._resources, self._installation, call.user, call.body.model_dump())
        logins = [
            {"login": login, "password": password} for login, password in zip(made.login, made.password, strict=True)
        ]
        told = {"tenant": shown(TENANT, row), "logins": logins, "secret": made.secret}
        return Reply(told, 201, {"Location": f"/api/v1/tenants/{row['id']}"})

    @operation(
        "GET",
        "/secrets",
        Access.ADMINISTRATOR,
        "List the secrets of the tenant's components.",
        answers={200: RootModel[list[Secret]]},
        errors=_CLUSTER,
        tag="secrets",
    )
    async def secrets(self, call: Call) -> Reply:
        """Without the secrets themselves, which nobody keeps."""
        return Reply(await self._installation.secrets())

    @operation(
        "POST",
        "/secrets",
        Access.ADMINISTRATOR,
        "Create a secret.",
        body=SecretBody,
        answers={201: NewSecret},
        errors=_CLUSTER,
        tag="secrets",
    )
    async def create_secret(self, call: Call) -> Reply:
        """For a component, or open."""
        await self._resources.require_valid_state(call.user)
        return Reply(await self._installation.create_secret(call.body.component_type, call.body.logical_name), 201)

    @operation(
        "DELETE",
        "/secrets/<uuid:id>",
        Access.ADMINISTRATOR,
        "Revoke a secret.",
        answers={204: None},
        errors=_CLUSTER,
        tag="secrets",
    )
    async def revoke_secret(self, call: Call, id: UUID) -> Reply:
        """Who is linked stays until the link breaks."""
        await self._installation.revoke_secret(id)
        return Reply(b"", 204)

    @operation(
        "POST",
        "/logical-components",
        Access.ADMINISTRATOR,
        "Store a logical component; the body is its definition, in YAML or JSON.",
        answers={204: None},
        errors=(*_CLUSTER, InvalidDefinition, NoFile, BodyTooLong),
        tag="logical-components",
        takes="application/yaml",
    )
    async def save_component(self, call: Call) -> Reply:
        """A connector, unless its `type` says aggregator."""
        await self._installation.upload(self._own, "", _content(call))
        return Reply(b"", 204)


def _content(call: Call) -> bytes:
    body: Any = call.request.content
    body.seek(0)
    content: bytes = body.read(MAX_DEFINITION + 1)
    if not content:
        raise NoFile("the body is empty; it must be the definition of a component")
    if len(content) > MAX_DEFINITION:
        raise BodyTooLong(f"the definition is longer than {MAX_DEFINITION} bytes")
    return content
