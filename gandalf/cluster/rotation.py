"""Telling aggregators that their tenant's database has another address than they know (protocol.md 6.4b)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final
from weakref import WeakKeyDictionary

from sqlalchemy import Connection
from twisted.logger import Logger

from gandalf.routing.errors import MakeFrame
from gandalf.routing.link import Link
from gandalf.store.database import Database
from gandalf.store.errors import DatabaseUnavailable
from gandalf.store.tenants import tenant_dsn_txn
from gandalf.wire.kinds import CONFIGURATION_DATABASE

INTERVAL: Final = 5.0
"""Seconds between two looks at the addresses."""


class Rotation:
    """Looks at the addresses of the databases of the tenants that are linked, and tells each link once of each.

    An aggregator that was away when an address changed, or that got its own from another member before the database
    moved, hears of it when it is linked; it does nothing when it is the one that it uses.

    :param links: the aggregator links.
    """

    log = Logger()

    def __init__(self, control: Database, links: Callable[[], Iterable[Link]], make_frame: MakeFrame) -> None:
        self._control = control
        self._links = links
        self._make_frame = make_frame
        self._known: WeakKeyDictionary[Link, str] = WeakKeyDictionary()

    def handed_out(self, link: Link, dsn: str) -> None:
        """The aggregator at ``link`` was given this address."""
        self._known[link] = dsn

    async def look(self) -> None:
        """Tell each aggregator the address of its tenant's database that it has not been told here."""
        by_tenant: dict[str, list[Link]] = {}
        for link in self._links():
            if link.validated:
                by_tenant.setdefault(link.tenant, []).append(link)
        if not by_tenant:
            return
        try:
            addresses = await self._control.run(
                "addresses of tenants", _addresses_txn, tuple(by_tenant), self._control.dsn
            )
        except DatabaseUnavailable as error:
            self.log.warn("the addresses of the tenants cannot be looked at: {reason}", reason=str(error))
            return
        for tenant, dsn in addresses.items():
            links = [link for link in by_tenant[tenant] if self._known.get(link) != dsn]
            if links:
                self._tell(tenant, dsn, links)

    def _tell(self, tenant: str, dsn: str, links: list[Link]) -> None:
        self.log.info(
            "{count} aggregators are told where the database of {tenant} is", count=len(links), tenant=tenant
        )
        payload = json.dumps({"tenant": tenant, "dsn": dsn})
        body: dict[str, object] = {"command": "CONFIGURATION_DATABASE_REPLY", "payload": payload}
        for link in links:
            self._known[link] = dsn
            link.send(self._make_frame(CONFIGURATION_DATABASE, body, target=link.logical_name, tenant=tenant))


def _addresses_txn(connection: Connection, tenants: tuple[str, ...], address: str) -> dict[str, str]:
    return {tenant: tenant_dsn_txn(connection, tenant, address) for tenant in tenants}
