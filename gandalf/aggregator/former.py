"""Connectors of a former process, as the origin of events that it left."""

from __future__ import annotations

from gandalf.routing.charge import Charge
from gandalf.routing.link import CONNECTOR, Links
from gandalf.wire.runs import Parcel


class FormerOrigin:
    """Implements :class:`gandalf.routing.link.Link`: whoever has this logical name now, if anybody.

    It is not among the links of the registry: what it is sent are the error events about its events.
    """

    type = CONNECTOR
    validated = True
    connected = available = False
    congested = full = False
    filters = True
    max_frame = 0

    def __init__(self, logical_name: str, tenant: str, links: Links) -> None:
        self.logical_name = logical_name
        self.tenant = tenant
        self._links = links

    def wants(self, topic: str) -> bool:
        """Nothing, whatever its topic."""
        return False

    def send(self, parcel: Parcel, charge: Charge | None = None) -> None:
        """To one connection of that name."""
        for link in self._links.named(CONNECTOR, self.logical_name):
            link.send(parcel, charge)
            return
        if charge is not None:
            charge.settle()

    def pause(self) -> None:
        """Nothing comes from it."""

    def resume(self) -> None:
        """Nothing comes from it."""

    def dismiss(self, reason: str, message: str) -> None:
        """There is no connection."""

    def forget(self) -> None:
        """There is no session."""
