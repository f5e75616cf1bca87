"""What the API asks of the cluster, which alone makes databases and secrets."""

from __future__ import annotations

from typing import Any, Protocol

import attrs


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

    async def create_secret(self) -> dict[str, Any]:
        """A new open secret of this tenant: keys ``id`` and ``secret`` among others."""

    async def secrets(self) -> list[dict[str, Any]]:
        """The secrets of this tenant, without the secrets themselves."""

    async def upload(self, tenant: str, type: str, content: bytes) -> None:
        """Store the logical component that YAML or JSON in ``content`` defines.

        :raises InvalidDefinition: it cannot be used.
        """
