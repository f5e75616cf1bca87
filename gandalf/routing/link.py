"""What the rules need to know of a link: the interface between routing and the network below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from gandalf.routing.charge import Charge
from gandalf.wire.runs import Parcel

CLUSTER: Final = "cl"
AGGREGATOR: Final = "a"
CONNECTOR: Final = "c"
"""Types of shosets (protocol.md 1)."""


class Link(Protocol):
    """A peer's session (protocol.md 5): it outlives the connection that it has at the moment."""

    logical_name: str
    type: str
    tenant: str
    validated: bool
    """Whether the cluster has accepted the secret of the component (protocol.md 1)."""

    @property
    def available(self) -> bool:
        """Connected, and not about to leave: may be a candidate."""

    @property
    def connected(self) -> bool:
        """Has a connection whose handshake is done."""

    @property
    def congested(self) -> bool:
        """More than the high-water mark is unsent (protocol.md 6.7)."""

    @property
    def full(self) -> bool:
        """As much is kept unacknowledged as may be (protocol.md 5.3)."""

    @property
    def max_frame(self) -> int:
        """The longest envelope that the peer said it accepts, in bytes."""

    @property
    def filters(self) -> bool:
        """Whether the peer named the topics that it wants."""

    def wants(self, topic: str) -> bool:
        """Whether the peer asked for events of ``topic`` (protocol.md 6.1)."""

    def send(self, parcel: Parcel, charge: Charge | None = None) -> None:
        """Keep ``parcel`` until it is acknowledged, and send it as soon as it can be.

        :param charge: settled as far as the peer acknowledges it.
        """

    def pause(self) -> None:
        """Stop reading from the peer."""

    def resume(self) -> None:
        """Read from the peer again."""

    def dismiss(self, reason: str, message: str) -> None:
        """Say ``bye`` and close; the session is kept."""

    def forget(self) -> None:
        """The session is not to be resumed."""


class Links(Protocol):
    """Who is linked (protocol.md 1)."""

    def of_type(self, type: str) -> Sequence[Link]:
        """The links to peers of one type."""

    def named(self, type: str, logical_name: str) -> Sequence[Link]:
        """The links to the brothers of one logical name and type."""

    def __contains__(self, link: object) -> bool:
        """Whether the session of ``link`` may still be resumed."""
