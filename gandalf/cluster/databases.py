"""``configurationDatabase``: the databases of tenants (protocol.md 4 and 6.4b)."""

from __future__ import annotations

import json
from collections.abc import Callable

from twisted.logger import Logger

from gandalf.cluster.authority import Authority, aggregator_only
from gandalf.cluster.requests import INVALID, Answer, Handlers, Request, RequestFailed
from gandalf.cluster.validation import AGGREGATOR
from gandalf.routing.link import Link
from gandalf.store import secrets, tenants
from gandalf.store.database import Database
from gandalf.store.errors import StoreError
from gandalf.wire.kinds import CONFIGURATION_DATABASE


class Databases:
    """Hands out a tenant's database to its aggregator, and makes new tenants.

    :param authority: says who may make tenants.
    :param created: told of a tenant that is new.
    :param handed_out: told a link and the address that the aggregator there was given.
    :param now: seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self,
        control: Database,
        authority: Authority,
        now: Callable[[], float],
        created: Callable[[str], None],
        handed_out: Callable[[Link, str], None],
    ) -> None:
        self._control = control
        self._authority = authority
        self._now = now
        self._created = created
        self._handed_out = handed_out

    @property
    def handlers(self) -> Handlers:
        """What is answered here."""
        return {CONFIGURATION_DATABASE: {"CONFIGURATION_DATABASE": self.database, "CREATE_DATABASE": self.create}}

    async def database(self, request: Request) -> Answer:
        """The database of the aggregator's tenant, with its password."""
        aggregator_only(request)
        dsn = await self._control.run(
            "address of a tenant's database", tenants.tenant_dsn_txn, request.tenant, self._control.dsn
        )
        self._handed_out(request.link, dsn)
        return Answer(json.dumps({"tenant": request.tenant, "dsn": dsn}))

    async def create(self, request: Request) -> Answer:
        """A new tenant, the logins of its administrators, and a secret for its aggregator."""
        self._authority.administrator_only(request, "create tenants")
        if not request.payload:
            raise RequestFailed(INVALID, "payload: must be the name of the new tenant")
        name, now = request.payload, int(self._now() * 1000)
        logins = await self._control.call("create a tenant", tenants.create_tenant, self._control.dsn, name, now=now)
        aggregator = request.text("logical_name", default=name)
        told: dict[str, object] = {"Login": list(logins.login), "Password": list(logins.password)}
        try:
            created = await self._control.run(
                "make a secret", secrets.create_txn, AGGREGATOR, aggregator, name, now=now
            )
            told["Secret"] = created.secret
        except StoreError as error:
            # The logins cannot be had again; a secret can be made at any time.
            self.log.error("no secret was made for {name}: {reason}", name=aggregator, reason=str(error))
        self.log.info("tenant {tenant} was created; its aggregator is to be {name}", tenant=name, name=aggregator)
        self._created(name)
        return Answer(json.dumps(told))
