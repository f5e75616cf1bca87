"""What the API asks of the cluster, which alone makes databases and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

import attrs

from gandalf.api.resources import Resources
from gandalf.store.model import Record, Value
from gandalf.store.models import TENANT


@attrs.frozen
class NewTenant:
    """A tenant's database was made: its administrators, side by side, and a secret for its aggregator; none of them
    is told again. `secret` is "" when it could not be made."""

    login: tuple[str, ...]
    password: tuple[str, ...] = attrs.field(repr=False)
    secret: str = attrs.field(repr=False)


class Installation(Protocol):
    """Asks the cluster. Errors: `Refused`, `Unreachable`, `BadRequest`; `NotFound` and `Conflict` of the store."""

    async def create_tenant(self, name: str) -> NewTenant:
        """Make the database and role of a tenant, and its aggregator's component, which gets the key value
        ``repository_url`` of this one."""

    async def create_secret(self, component_type: str = "", logical_name: str = "") -> dict[str, Any]:
        """A new secret of this tenant's component of this type and name; without both, an open one: it becomes that
        of the component that uses it first. Keys as in docs/cluster-requests.md, ``id`` and ``secret`` among them."""

    async def secrets(self) -> list[dict[str, Any]]:
        """The secrets of this tenant, without the secrets themselves."""

    async def revoke_secret(self, id: UUID) -> None:
        """Let nobody in with it any more."""

    async def upload(self, tenant: str, type: str, content: bytes) -> None:
        """Store the logical component that YAML or JSON in ``content`` defines; its ``type``, unless that is "".

        :raises InvalidDefinition: it cannot be used.
        """


async def create_tenant(
    resources: Resources, installation: Installation, user: UUID, values: Mapping[str, Value]
) -> tuple[Record, NewTenant]:
    """Make a tenant: its row first, which reserves the name; it goes again when the database cannot be made."""
    row = await resources.create(user, TENANT, values)
    try:
        return row, await installation.create_tenant(row["name"])
    except BaseException:
        await resources.delete(user, TENANT, row["id"])
        raise
