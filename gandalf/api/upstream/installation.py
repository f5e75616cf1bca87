"""Tenants, secrets and uploads of logical components (section 8 of the Go system's contract)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, RootModel, StringConstraints
from sqlalchemy import Connection

from gandalf.api.bodies import multipart_file
from gandalf.api.errors import BadRequest
from gandalf.api.guard import Guard
from gandalf.api.installation import Installation, create_tenant
from gandalf.api.operation import Access, Call, Reply, operation
from gandalf.api.resources import Resources
from gandalf.api.upstream.views import Body, Text, answer_of, rendered
from gandalf.store.errors import NotFound
from gandalf.store.models import TENANT
from gandalf.store.principals import Principal
from gandalf.store.rows import read_named_txn

TYPES = ("aggregator", "connector")


class TenantRequest(Body):
    """A new tenant; a password that is sent is replaced by a generated one."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,47}$")] = Field(alias="Name")
    short_description: Text = Field(default="", alias="ShortDescription")
    description: Text = Field(default="", alias="Description")
    logo: Text = Field(default="", alias="Logo")


class NewTenant(answer_of(TENANT)):  # type: ignore[misc]
    """A tenant's own fields, its first administrator's log-in, those of both, and a secret for its aggregator."""

    login: str
    password: str
    tenant: answer_of(TENANT)  # type: ignore[valid-type]
    logins: list[str]
    passwords: list[str]
    secret: str


class Secret(BaseModel):
    """A secret. Its text is told when it is made only; in a list its id stands in its place."""

    Secret: str
    AddressIP: str


class Uploaded(BaseModel):
    """What an upload answers."""

    result: str


class UpstreamTenants:
    """`POST /tenant`: the cluster makes the database; the other operations on tenants are those of every model.

    :param tenant: the name of the tenant that this aggregator serves.
    """

    def __init__(self, resources: Resources, guard: Guard, installation: Installation, tenant: str) -> None:
        self._resources = resources
        self._guard = guard
        self._installation = installation
        self._own = tenant

    @operation(
        "POST",
        "/tenant",
        Access.ADMINISTRATOR,
        "Create a tenant, with a database of its own.",
        body=TenantRequest,
        answers={201: NewTenant},
        tag="Tenant",
    )
    async def create(self, call: Call) -> Reply:
        """What is told of the log-ins is told this once."""
        row, made = await create_tenant(self._resources, self._installation, call.user, call.body.model_dump())
        tenant = rendered(TENANT, row)
        told = {
            **tenant,
            "login": made.login[0],
            "password": made.password[0],
            "tenant": tenant,
            "logins": list(made.login),
            "passwords": list(made.password),
            "secret": made.secret,
        }
        return Reply(told, 201)

    @operation(
        "GET",
        "/secretassignement",
        Access.ADMINISTRATOR,
        "List the secrets of the tenant's components.",
        answers={200: RootModel[list[Secret]]},
        tag="SecretAssignement",
    )
    async def list_secrets(self, call: Call) -> Reply:
        """Those that were not revoked."""
        secrets = await self._installation.secrets()
        return Reply([_secret(each["id"], each) for each in secrets if each.get("revoked_at") is None])

    @operation(
        "POST",
        "/secretassignement",
        Access.ADMINISTRATOR,
        "Create a secret, which becomes that of the component that uses it first.",
        answers={201: Secret},
        tag="SecretAssignement",
    )
    async def create_secret(self, call: Call) -> Reply:
        """A body is ignored."""
        await self._resources.require_valid_state(call.user)
        made = await self._installation.create_secret()
        return Reply(_secret(made["secret"], made), 201)

    @operation(
        "POST",
        "/logicalcomponent/upload/<tenant>/<type>",
        Access.ADMINISTRATOR,
        "Store a logical component that a YAML file defines.",
        answers={200: Uploaded},
        tag="LogicalComponent",
        upload="myFile",
    )
    async def upload(self, call: Call, tenant: str, type: str) -> Reply:
        """Of an aggregator or a connector, as the path says."""
        if type not in TYPES:
            raise BadRequest(f"the type is {type[:80]!r}; allowed: {', '.join(TYPES)}")
        if tenant != self._own:
            await self._guard.run("is there such a tenant", call.user, _tenant_txn(tenant))
        await self._installation.upload(tenant, type, multipart_file(call.request, "myFile").content)
        return Reply({"result": "Successfully Uploaded File"})


def _tenant_txn(name: str) -> Any:
    def tenant_is_there_txn(connection: Connection, principal: Principal) -> None:
        try:
            read_named_txn(connection, TENANT, name)
        except NotFound:
            raise NotFound(f"tenant not found: {name[:80]!r}") from None

    return tenant_is_there_txn


def _secret(shown: str, secret: dict[str, Any]) -> dict[str, str]:
    return {"Secret": shown, "AddressIP": secret.get("bind_address") or ""}
