"""Who takes charge of events while the whole cluster is away (protocol.md 5.3), if anybody does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gandalf.routing.unsettled import EventCharge


class Keeper(Protocol):
    """Keeps events in the cluster's stead, and settles the charge of each once it is safe here."""

    @property
    def keeping(self) -> bool:
        """Events go here rather than to the cluster: that is away, or has not been sent yet all that came before."""

    @property
    def takes(self) -> bool:
        """More may come; else the connectors are not read until :meth:`AggregatorRouter.read_again`."""

    def keep(self, charge: EventCharge) -> None:
        """This event has come from a connector while :attr:`keeping`."""

    def cluster_left(self, unsettled: Iterable[EventCharge]) -> None:
        """No member is linked any more; ``unsettled`` are the events that none has acknowledged, in order."""

    def cluster_back(self) -> None:
        """A member is linked and accepts events."""

    def relieved(self) -> None:
        """A member takes frames again (protocol.md 6.7)."""
