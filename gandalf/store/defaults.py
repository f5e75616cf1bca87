"""Definitions that every tenant can have: stored in a tenant's database when it first asks for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection

from .catalogue import (
    fetch_pivot_txn,
    fetch_product_connector_txn,
    save_pivot_txn,
    save_product_connector_txn,
)
from .definitions import (
    Definitions,
    InvalidDefinition,
    LogicalComponentDefinition,
    PivotDefinition,
    PivotReference,
    ProductConnectorDefinition,
    load_definitions,
)
from .errors import NotFound


class Defaults:
    """Pivots and product connectors, by name and version."""

    def __init__(self, definitions: Definitions) -> None:
        self._pivots = {(pivot.name, pivot.major, pivot.minor): pivot for pivot in definitions.pivots}
        self._connectors = definitions.productconnectors

    def __len__(self) -> int:
        return len(self._pivots) + len(self._connectors)

    def pivot_txn(self, connection: Connection, name: str, major: int, minor: int, *, now: int) -> PivotDefinition:
        """The tenant's pivot of this name and version, stored now if it is not there; raises `NotFound`."""
        try:
            return fetch_pivot_txn(connection, name, major, minor)
        except NotFound:
            default = self._pivots.get((name, major, minor))
            if default is None:
                raise
        save_pivot_txn(connection, default, now=now)
        return fetch_pivot_txn(connection, name, major, minor)

    def product_connector_txn(
        self, connection: Connection, name: str, product: str, major: int, minor: int, *, now: int
    ) -> ProductConnectorDefinition:
        """Likewise a product connector, called `name` or speaking the pivot `name`; with its pivot."""
        try:
            return fetch_product_connector_txn(connection, name, product, major, minor)
        except NotFound:
            default = self._connector(name, product, major, minor)
            if default is None:
                raise
        self.save_product_connector_txn(connection, default, now=now)
        return fetch_product_connector_txn(connection, name, product, major, minor)

    def save_product_connector_txn(
        self, connection: Connection, connector: ProductConnectorDefinition, *, now: int
    ) -> None:
        """Store `connector`, with its pivot if that is not there; raises `NotFound` for an unknown pivot."""
        self._referred_txn(connection, connector.pivot, now)
        save_product_connector_txn(connection, connector, now=now)

    def prepare_txn(self, connection: Connection, component: LogicalComponentDefinition, *, now: int) -> None:
        """Store what `component` refers to if it is not there; raises `NotFound`."""
        if component.pivot is not None:
            self._referred_txn(connection, component.pivot, now)
        if component.productconnector is not None:
            wanted = component.productconnector
            self.product_connector_txn(
                connection, wanted.name, wanted.product.name, wanted.major, wanted.minor, now=now
            )

    def _referred_txn(self, connection: Connection, pivot: PivotReference, now: int) -> None:
        self.pivot_txn(connection, pivot.name, pivot.major, pivot.minor, now=now)

    def _connector(self, name: str, product: str, major: int, minor: int) -> ProductConnectorDefinition | None:
        version = [
            connector
            for connector in self._connectors
            if (connector.product.name, connector.major, connector.minor) == (product, major, minor)
        ]
        for connector in version:
            if connector.name == name:
                return connector
        return next((connector for connector in version if connector.pivot.name == name), None)


def load_defaults(paths: Iterable[Path]) -> Defaults:
    """Read files and directories of definitions.

    Raises `InvalidDefinition`, also for a logical component, which belongs to one tenant, for a name and
    version that is there twice, and for a pivot that a product connector refers to and that is not there; `OSError`.
    """
    pivots: list[PivotDefinition] = []
    connectors: list[ProductConnectorDefinition] = []
    known: dict[tuple[object, ...], Path] = {}
    for path in paths:
        definitions = load_definitions(path)
        for component in definitions.logicalcomponents:
            raise InvalidDefinition(
                f"{path}: logicalcomponents: {component.logicalname!r}: a component belongs to one tenant; here"
                " pivots and productconnectors are allowed"
            )
        pivots += definitions.pivots
        connectors += definitions.productconnectors
        keys: list[tuple[object, ...]] = [("pivot", each.name, each.major, each.minor) for each in definitions.pivots]
        keys += [
            ("product connector", each.name, each.product.name, each.major, each.minor)
            for each in definitions.productconnectors
        ]
        for key in keys:
            if key in known:
                what = " ".join(map(str, key))
                raise InvalidDefinition(f"{path}: {what} is there again; it was in {known[key]} already")
            known[key] = path
    for connector in connectors:
        wanted = connector.pivot
        if ("pivot", wanted.name, wanted.major, wanted.minor) not in known:
            raise InvalidDefinition(
                f"product connector {connector.name!r}: pivot: {wanted.name} {wanted.major}.{wanted.minor} is not"
                " among the definitions"
            )
    return Defaults(Definitions(pivots=pivots, productconnectors=connectors))
