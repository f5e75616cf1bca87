"""``configuration`` and ``logicalConfiguration``: what there is and what it speaks (protocol.md 4)."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from gandalf.cluster.authority import Authority
from gandalf.cluster.requests import Answer, Handlers, Request, RequestFailed
from gandalf.routing.failures import NOT_AUTHORISED
from gandalf.store.catalogue import (
    fetch_logical_component_txn,
    fetch_pivot_txn,
    fetch_product_connector_txn,
    save_logical_component_txn,
    save_pivot_txn,
)
from gandalf.store.defaults import Defaults
from gandalf.store.definitions import LogicalComponentDefinition, PivotDefinition, ProductConnectorDefinition
from gandalf.store.trace_writer import Runner
from gandalf.wire.kinds import CONFIGURATION, LOGICAL_CONFIGURATION


class Configurations:
    """Answers out of the tenant's database, and stores there.

    :param database: the database of a tenant.
    :param authority: says for which tenant the asker may act.
    :param defaults: what every tenant can have.
    :param saved: told of a tenant whose components or their languages have changed.
    :param now: seconds since the epoch.
    """

    def __init__(
        self,
        database: Callable[[str], Runner],
        authority: Authority,
        defaults: Defaults,
        saved: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._authority = authority
        self._defaults = defaults
        self._saved = saved
        self._now = now

    @property
    def handlers(self) -> Handlers:
        """What is answered here."""
        return {
            CONFIGURATION: {
                "PIVOT_CONFIGURATION": self.pivot,
                "CONNECTOR_PRODUCT_CONFIGURATION": self.product_connector,
                "SAVE_PIVOT_CONFIGURATION": self.save_pivot,
                "SAVE_PRODUCT_CONNECTOR_CONFIGURATION": self.save_product_connector,
            },
            LOGICAL_CONFIGURATION: {"LOGICAL_CONFIGURATION": self.logical_component},
        }

    async def pivot(self, request: Request) -> Answer:
        """The pivot of a name and version."""
        tenant = await self._authority.tenant(request)
        name = request.text("name", "connector_type", "component_type")
        major, minor = request.version()
        pivot = await self._database(tenant).run(
            "fetch a pivot", self._defaults.pivot_txn, name, major, minor, now=self._milliseconds()
        )
        return Answer(pivot.model_dump_json())

    async def product_connector(self, request: Request) -> Answer:
        """The product connector of a name, or of a pivot's name, for a product and version."""
        tenant = await self._authority.tenant(request)
        name, product = request.text("name", "connector_type"), request.text("product")
        major, minor = request.version()
        connector = await self._database(tenant).run(
            "fetch a product connector",
            self._defaults.product_connector_txn,
            name,
            product,
            major,
            minor,
            now=self._milliseconds(),
        )
        return Answer(connector.model_dump_json())

    async def save_pivot(self, request: Request) -> Answer:
        """Stores the pivot in the payload; the answer is what is stored."""
        tenant = await self._authority.tenant(request)
        pivot = request.parsed(PivotDefinition)
        now = self._milliseconds()

        def save_pivot_and_fetch_txn(connection: Connection) -> PivotDefinition:
            save_pivot_txn(connection, pivot, now=now)
            return fetch_pivot_txn(connection, pivot.name, pivot.major, pivot.minor)

        stored = await self._database(tenant).run("save a pivot", save_pivot_and_fetch_txn)
        self._saved(tenant)
        return Answer(stored.model_dump_json())

    async def save_product_connector(self, request: Request) -> Answer:
        """Stores the product connector in the payload; the answer is what is stored."""
        tenant = await self._authority.tenant(request)
        connector = request.parsed(ProductConnectorDefinition)
        now = self._milliseconds()

        def save_product_connector_and_fetch_txn(connection: Connection) -> ProductConnectorDefinition:
            self._defaults.save_product_connector_txn(connection, connector, now=now)
            return fetch_product_connector_txn(
                connection, connector.name, connector.product.name, connector.major, connector.minor
            )

        stored = await self._database(tenant).run("save a product connector", save_product_connector_and_fetch_txn)
        self._saved(tenant)
        return Answer(stored.model_dump_json())

    async def logical_component(self, request: Request) -> Answer:
        """With a payload: stores it. The answer is what is stored, of the name in the payload or else in the context.

        A connector may see and change itself only.
        """
        tenant = await self._authority.tenant(request)
        if request.payload:
            component = self._component(request, tenant)
            name = component.logicalname
        else:
            component, name = None, request.text("logical_name", default=request.target)
            name = name or request.text("logical_name")
        if request.target and name != request.target:
            raise RequestFailed(
                NOT_AUTHORISED, f"connector {request.target!r} may ask for itself only, not for {name[:80]!r}"
            )
        now = self._milliseconds()

        def logical_component_txn(connection: Connection) -> LogicalComponentDefinition:
            if component is not None:
                self._defaults.prepare_txn(connection, component, now=now)
                save_logical_component_txn(connection, component, now=now)
            return fetch_logical_component_txn(connection, name)

        stored = await self._database(tenant).run("logical configuration", logical_component_txn)
        if component is not None:
            self._saved(tenant)
        return Answer(stored.model_dump_json())

    @staticmethod
    def _component(request: Request, tenant: str) -> LogicalComponentDefinition:
        component = request.parsed(LogicalComponentDefinition)
        if request.target and component.type != "connector":
            raise RequestFailed(NOT_AUTHORISED, f"a connector cannot be a component of type {component.type!r}")
        if component.type == "connector" and not component.aggregator and tenant == request.tenant:
            return component.model_copy(update={"aggregator": request.link.logical_name})
        return component

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)
