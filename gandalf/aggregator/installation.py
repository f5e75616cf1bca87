"""What the API asks of the cluster: tenants, secrets, and logical components with the languages that they speak."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

import yaml
from pydantic import ValidationError
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gandalf.aggregator.requests import RequestFailed
from gandalf.api.errors import BadRequest, Refused, Unreachable
from gandalf.api.installation import NewTenant
from gandalf.routing.failures import RoutingFailure
from gandalf.store.definitions import (
    InvalidDefinition,
    LogicalComponentDefinition,
    PivotDefinition,
    PivotReference,
    ProductConnectorDefinition,
    ProductConnectorReference,
    explain,
)
from gandalf.store.errors import Conflict, NotFound
from gandalf.wire.kinds import CONFIGURATION, CONFIGURATION_DATABASE, LOGICAL_CONFIGURATION

T = TypeVar("T")

CREATION_S: Final = 40.0
"""Seconds that making a tenant's database may take."""

MAX_YAML: Final = 1024 * 1024
"""Bytes of a definition at most."""

REPOSITORY: Final = "repository_url"
"""The key of the aggregator's component that says where definitions are fetched from."""

Fetch = Callable[[str], Awaitable[bytes]]
"""The content at a URL; raises `NotFound` when it cannot be had."""

_PIVOT: Final = {"name": "aggregator", "major": 1, "minor": 0}


class Asks(Protocol):
    """The part of :class:`gandalf.aggregator.requests.ClusterRequests` that is used here."""

    async def ask(
        self, kind: str, command: str, context: dict[str, object], payload: str, budget: float | None = None
    ) -> Any:
        """See there."""


class ClusterInstallation:
    """Implements :class:`gandalf.api.installation.Installation`.

    :param logical_name: of this aggregator.
    :param in_thread: calls a function that takes its time away from the reactor.
    """

    log = Logger()

    def __init__(
        self, requests: Asks, logical_name: str, fetch: Fetch, in_thread: Callable[..., Deferred[Any]]
    ) -> None:
        self._requests = requests
        self._logical_name = logical_name
        self._fetch = fetch
        self._in_thread = in_thread

    async def create_tenant(self, name: str) -> NewTenant:
        """See the interface. What is told of the logins is told once, so nothing after it may lose it."""
        told = await self._ask(CONFIGURATION_DATABASE, "CREATE_DATABASE", {}, name, CREATION_S)
        made = NewTenant(tuple(told["Login"]), tuple(told["Password"]), told.get("Secret", ""))
        try:
            await self._introduce(name)
        except Exception:
            self.log.failure("the component of the new tenant {name} was not stored; its aggregator does", name=name)
        return made

    async def create_secret(self, component_type: str = "", logical_name: str = "") -> dict[str, Any]:
        """See the interface."""
        named: dict[str, object] = {"component_type": component_type, "logical_name": logical_name}
        made: dict[str, Any] = await self._ask(CONFIGURATION_DATABASE, "CREATE_SECRET", named)
        return made

    async def secrets(self) -> list[dict[str, Any]]:
        """See the interface."""
        found: list[dict[str, Any]] = await self._ask(CONFIGURATION_DATABASE, "LIST_SECRETS", {})
        return found

    async def revoke_secret(self, id: UUID) -> None:
        """See the interface."""
        await self._ask(CONFIGURATION_DATABASE, "REVOKE_SECRET", {"id": str(id)})

    async def upload(self, tenant: str, type: str, content: bytes) -> None:
        """See the interface. What the component refers to and the cluster does not know is fetched from the
        repository."""
        component = await self._in_thread(read_component, type, content)
        try:
            await self._save(tenant, component)
        except NotFound as missing:
            if not await self._fetch_missing(tenant, component):
                raise NotFound(f"{missing}; and this aggregator has no {REPOSITORY} to fetch it from") from None
            await self._save(tenant, component)

    async def _save(self, tenant: str, component: LogicalComponentDefinition) -> None:
        payload = component.model_dump_json(exclude_unset=True)
        await self._ask(LOGICAL_CONFIGURATION, "LOGICAL_CONFIGURATION", {"tenant": tenant}, payload)

    async def _introduce(self, tenant: str) -> None:
        """Store the component of the tenant's aggregator, called like the tenant."""
        component: dict[str, Any] = {"logicalname": tenant, "type": "aggregator", "pivot": _PIVOT}
        repository = await self._repository()
        if repository:
            component["keyvalues"] = [{"value": repository, "key": {"name": REPOSITORY}}]
        await self._ask(LOGICAL_CONFIGURATION, "LOGICAL_CONFIGURATION", {"tenant": tenant}, json.dumps(component))

    async def _repository(self) -> str:
        own = await self._ask(LOGICAL_CONFIGURATION, "LOGICAL_CONFIGURATION", {"logical_name": self._logical_name})
        for value in own.get("keyvalues", []):
            if value["key"]["name"] == REPOSITORY:
                return str(value["value"]).rstrip("/")
        return ""

    async def _fetch_missing(self, tenant: str, component: LogicalComponentDefinition) -> bool:
        """Fetch and store the pivot, and the product connector, that the component refers to; False: from nowhere."""
        repository = await self._repository()
        if not repository:
            return False
        if component.pivot is not None:
            await self._fetch_pivot(repository, tenant, component.pivot)
        wanted = component.productconnector
        if wanted is not None:
            place = f"{repository}/configurations/{wanted.name.lower()}/{wanted.product.name.lower()}"
            content = await self._content(f"{place}/{wanted.major}_{wanted.minor}_product_connector.yaml")
            connector = await self._in_thread(read_product_connector, wanted, content)
            await self._fetch_pivot(repository, tenant, connector.pivot)
            command = "SAVE_PRODUCT_CONNECTOR_CONFIGURATION"
            await self._ask(CONFIGURATION, command, {"tenant": tenant}, connector.model_dump_json())
        return True

    async def _fetch_pivot(self, repository: str, tenant: str, wanted: PivotReference) -> None:
        version = {"name": wanted.name, "major": wanted.major, "minor": wanted.minor, "tenant": tenant}
        try:
            await self._ask(CONFIGURATION, "PIVOT_CONFIGURATION", version)
        except NotFound:
            place = f"{repository}/configurations/{wanted.name.lower()}/{wanted.major}_{wanted.minor}_pivot.yaml"
            pivot = await self._in_thread(read_pivot, wanted, await self._content(place))
            await self._ask(CONFIGURATION, "SAVE_PIVOT_CONFIGURATION", {"tenant": tenant}, pivot.model_dump_json())

    async def _content(self, url: str) -> bytes:
        try:
            return await self._fetch(url)
        except NotFound as error:
            what = "product connector" if url.endswith("_product_connector.yaml") else "pivot"
            raise NotFound(f"{what} not found: {error}") from None

    async def _ask(
        self, kind: str, command: str, context: dict[str, object], payload: str = "", budget: float | None = None
    ) -> Any:
        try:
            return await self._requests.ask(kind, command, context, payload, budget)
        except RoutingFailure as failure:
            raise Unreachable(f"the cluster cannot be asked at the moment: {failure}") from None
        except RequestFailed as failure:
            raise _ERRORS.get(failure.code, Unreachable)(failure.message) from None


_ERRORS: Final[dict[str, type[Exception]]] = {
    "NOT_AUTHORISED": Refused,
    "NOT_FOUND": NotFound,
    "CONFLICT": Conflict,
    "INVALID": BadRequest,
    "MALFORMED": BadRequest,
    "UNAVAILABLE": Unreachable,
}
"""By the code of the cluster's answer (docs/cluster-requests.md)."""


def read_component(type: str, content: bytes) -> LogicalComponentDefinition:
    """The component that YAML or JSON defines; of this `type`, whatever it says, unless that is "".

    Raises `InvalidDefinition`.
    """
    mapping = _mapping(content)
    return _read(LogicalComponentDefinition, {**mapping, "type": type} if type else {"type": "connector", **mapping})


def read_pivot(wanted: PivotReference, content: bytes) -> PivotDefinition:
    """The pivot in a file of the repository. Raises `InvalidDefinition`, also when it is not the one wanted."""
    pivot = _read(PivotDefinition, _mapping(content))
    if (pivot.name, pivot.major, pivot.minor) != (wanted.name, wanted.major, wanted.minor):
        raise InvalidDefinition(f"the repository has {pivot.name!r} {pivot.major}.{pivot.minor} in the place of it")
    return pivot


def read_product_connector(wanted: ProductConnectorReference, content: bytes) -> ProductConnectorDefinition:
    """The product connector in a file of the repository, as `read_pivot`; its product, and its pivot, are those that
    are wanted where the file does not say."""
    mapping = _mapping(content)
    pivot = {"name": wanted.name, "major": wanted.major, "minor": wanted.minor}
    return _read(ProductConnectorDefinition, {"pivot": pivot, "product": {"name": wanted.product.name}, **mapping})


def _mapping(content: bytes) -> dict[str, Any]:
    if len(content) > MAX_YAML:
        raise InvalidDefinition(f"it has {len(content)} bytes; at most {MAX_YAML} are allowed")
    try:
        text = content.decode("utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise InvalidDefinition("aliases of YAML (*name) are not allowed")
        value = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InvalidDefinition(f"it cannot be read as YAML: {error}") from None
    if not isinstance(value, dict):
        raise InvalidDefinition("it must be a map of keys and values")
    return value


def _read(model: type[T], value: dict[str, Any]) -> T:
    try:
        read: T = model.model_validate(value)  # type: ignore[attr-defined]
    except ValidationError as error:
        raise InvalidDefinition("; ".join(explain(error))) from None
    return read
