"""Connectors of a former process, as the origin of events that it left."""

from __future__ import annotations

from operator import attrgetter

from gandalf.aggregator.origin import Origin
from gandalf.routing.charge import Charge
from gandalf.routing.link import CONNECTOR, Links
from gandalf.wire.runs import Parcel


class FormerOrigin(Origin):
    """Whoever has this logical name now, if anybody."""

    connected = available = False
    max_frame = 0

    def __init__(self, logical_name: str, tenant: str, links: Links) -> None:
        super().__init__(logical_name, tenant)
        self._links = links

    def send(self, parcel: Parcel, charge: Charge | None = None) -> None:
        """To one connection of that name; a secret may not be proved so soon after the start."""
        heirs = self._links.named(CONNECTOR, self.logical_name)
        if heirs:
            max(heirs, key=attrgetter("validated", "available")).send(parcel, charge)
        elif charge is not None:
            charge.settle()
