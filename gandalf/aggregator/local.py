"""The aggregator's own API as a peer of its router: where commands and events sent over HTTP come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gandalf.aggregator.origin import Origin
from gandalf.routing.charge import Charge
from gandalf.routing.failures import OVERLOADED, RoutingFailure
from gandalf.wire.envelope import Frame
from gandalf.wire.runs import Parcel

DRAINING: Final = "DRAINING"
"""The code with which nothing more is taken when the instance stops, as for a link (protocol.md 5.1)."""


class LocalOrigin(Origin):
    """A connector that is always there.

    It is named as the aggregator, so that what answers its frames is addressed to the aggregator, and comes to each
    of its instances. Whatever answers them besides error events is heard by a tap of the router.
    """

    connected = True

    def __init__(self, logical_name: str, tenant: str, max_frame: int) -> None:
        super().__init__(logical_name, tenant)
        self.max_frame = max_frame
        self.available = True
        self.listeners: list[Callable[[Frame], None]] = []
        """Each is told of every error event about a frame of ours."""
        self._paused = False

    def check(self) -> None:
        """Whether frames may come from here now.

        :raises RoutingFailure: ``OVERLOADED``, the cluster takes nothing at the moment; ``DRAINING``.
        """
        if not self.available:
            raise RoutingFailure(DRAINING, "this instance stops and takes nothing more; use its brothers")
        if self._paused:
            raise RoutingFailure(OVERLOADED, "the cluster takes nothing at the moment; try again later")

    def send(self, parcel: Parcel, charge: Charge | None = None) -> None:
        """Error events about our frames; taken charge of at once."""
        for frame in parcel.frames():
            for listener in tuple(self.listeners):
                listener(frame)
        if charge is not None:
            charge.settle()

    def pause(self) -> None:
        """The cluster takes nothing: neither is anything taken here (protocol.md 6.7)."""
        self._paused = True

    def resume(self) -> None:
        """The cluster takes frames again."""
        self._paused = False

    def dismiss(self, reason: str, message: str) -> None:
        """The instance stops: nothing more is taken here."""
        self.available = False
