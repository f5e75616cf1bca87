"""``configurationDatabase``: the secrets of components are made, listed and revoked (docs/cluster-requests.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final
from uuid import UUID

import attrs
from twisted.logger import Logger

from gandalf.cluster.authority import Authority, aggregator_only
from gandalf.cluster.requests import INVALID, Answer, Handlers, Request, RequestFailed
from gandalf.cluster.validation import AGGREGATOR, CONNECTOR
from gandalf.routing.failures import MALFORMED
from gandalf.store import secrets
from gandalf.store.database import Database
from gandalf.wire.kinds import CONFIGURATION_DATABASE

LONGEST_NAME: Final = 255
"""Characters of a logical name, as of any other name of the catalogue."""


class ComponentSecrets:
    """Looks after the secrets of a tenant's components.

    :param authority: says for which tenant the asker may act.
    :param now: seconds since the epoch.
    """

    log = Logger()

    def __init__(self, control: Database, authority: Authority, now: Callable[[], float]) -> None:
        self._control = control
        self._authority = authority
        self._now = now

    @property
    def handlers(self) -> Handlers:
        """What is answered here."""
        commands = {"CREATE_SECRET": self.create, "LIST_SECRETS": self.list, "REVOKE_SECRET": self.revoke}
        return {CONFIGURATION_DATABASE: commands}

    async def create(self, request: Request) -> Answer:
        """A new secret of the component that is named, or an open one; its text is told now and never again."""
        aggregator_only(request)
        tenant = await self._authority.tenant(request)
        component_type, logical_name = component = _component(request)
        now = self._milliseconds()
        if component_type is None or logical_name is None:
            created = await self._control.run("make an open secret", secrets.create_open_txn, tenant, now=now)
        else:
            created = await self._control.run(
                "make a secret", secrets.create_txn, component_type, logical_name, tenant, now=now
            )
        self.log.info(
            "secret {id} of {component} of tenant {tenant} was made for {asker}",
            id=created.id,
            component=" ".join(filter(None, component)) or "whoever uses it first",
            tenant=tenant,
            asker=_asker(request),
        )
        told = {
            "id": str(created.id),
            "secret": created.secret,
            "component_type": component_type,
            "logical_name": logical_name,
            "tenant": tenant,
            "created_at": now,
        }
        return Answer(json.dumps(told))

    async def list(self, request: Request) -> Answer:
        """Every secret of a tenant, or of all, oldest first; never the secrets themselves."""
        aggregator_only(request)
        tenant = await self._authority.tenant_or_all(request)
        found = await self._control.run("list secrets", secrets.list_txn, tenant)
        return Answer(json.dumps([{**attrs.asdict(info), "id": str(info.id)} for info in found]))

    async def revoke(self, request: Request) -> Answer:
        """A secret of a tenant, or of any, lets nobody in any more."""
        aggregator_only(request)
        tenant = await self._authority.tenant_or_all(request)
        text = request.text("id")
        try:
            id = UUID(text)
        except ValueError:
            raise RequestFailed(MALFORMED, f"context.id must be a UUID, not {text[:80]!r}") from None
        await self._control.run("revoke a secret", secrets.revoke_txn, id, tenant, now=self._milliseconds())
        self.log.info("secret {id} was revoked for {asker}", id=id, asker=_asker(request))
        return Answer("{}")

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)


def _component(request: Request) -> tuple[str, str] | tuple[None, None]:
    """The type and logical name that ``request`` gives; Nones when it gives neither."""
    component_type, logical_name = (
        request.text("component_type", default=""),
        request.text("logical_name", default=""),
    )
    if not component_type and not logical_name:
        return None, None
    if not component_type or not logical_name:
        raise RequestFailed(
            MALFORMED, f"{request.command} needs context.component_type and context.logical_name, or neither"
        )
    if component_type not in (AGGREGATOR, CONNECTOR):
        allowed = f"{AGGREGATOR!r} or {CONNECTOR!r}"
        raise RequestFailed(INVALID, f"context.component_type must be {allowed}, not {component_type[:80]!r}")
    if len(logical_name) > LONGEST_NAME:
        length = len(logical_name)
        raise RequestFailed(
            INVALID, f"context.logical_name must have at most {LONGEST_NAME} characters; this one has {length}"
        )
    return component_type, logical_name


def _asker(request: Request) -> str:
    return f"aggregator {request.link.logical_name} of tenant {request.tenant}"
