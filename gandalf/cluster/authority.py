"""Who may act for whom: an aggregator for its own tenant, one of an administrator for every tenant.

A connector, for which an aggregator asks, may act for its own tenant only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Final

from gandalf.cluster.requests import NOT_FOUND, Request, RequestFailed
from gandalf.routing.failures import NOT_AUTHORISED

ALL: Final = "*"
"""What ``context.tenant`` is when a request is about all tenants."""


def aggregator_only(request: Request) -> None:
    """Nobody but the aggregator itself may ask this.

    :raises RequestFailed: the request is a connector's.
    """
    if request.target:
        raise RequestFailed(NOT_AUTHORISED, f"{request.command} is between the cluster and the aggregator only")


class Authority:
    """Judges what a request names.

    :param administrators: the tenants whose aggregators may act for every tenant.
    :param exists: whether there is a tenant of this name.
    """

    def __init__(self, administrators: Collection[str], exists: Callable[[str], Awaitable[bool]]) -> None:
        self._administrators = administrators
        self._exists = exists

    def administrator_only(self, request: Request, what: str) -> None:
        """Nobody but an aggregator of an administrator may do ``what``.

        :raises RequestFailed: the request is somebody else's; the text says who may.
        """
        aggregator_only(request)
        if request.tenant not in self._administrators:
            named = ", ".join(map(repr, self._administrators))
            who = f"one of the administrators may: {named}" if named else "nobody may: there are no administrators"
            raise RequestFailed(
                NOT_AUTHORISED,
                f"an aggregator of the tenant {request.tenant!r} may not {what}; {who}",
            )

    async def tenant(self, request: Request) -> str:
        """The tenant that ``request`` is about: ``context.tenant``, or the asker's own when that is not given.

        :raises RequestFailed: the asker may not act for it, or it does not exist.
        """
        named = request.text("tenant", default=request.tenant)
        if named != request.tenant:
            if request.target:
                raise RequestFailed(NOT_AUTHORISED, f"a connector may act for its own tenant {request.tenant!r} only")
            self.administrator_only(request, f"act for the tenant {named[:80]!r}")
            if not await self._exists(named):
                raise RequestFailed(NOT_FOUND, f"there is no tenant {named[:80]!r}")
        return named

    async def tenant_or_all(self, request: Request) -> str | None:
        """As :meth:`tenant`; None for all tenants.

        :raises RequestFailed: as there.
        """
        if request.text("tenant", default="") != ALL:
            return await self.tenant(request)
        self.administrator_only(request, "act for all tenants")
        return None
