"""Events from connectors that no cluster member has acknowledged yet (protocol.md 5.3)."""

from __future__ import annotations

from collections.abc import Callable

from gandalf.routing.charge import Charge
from gandalf.routing.link import Link
from gandalf.wire.envelope import Frame


class EventCharge(Charge):
    """An event from a connector: settled when one cluster member has acknowledged it."""

    __slots__ = ("_settled", "keepers", "origin", "uuid")

    def __init__(self, uuid: bytes, origin: Link, settled: Callable[[bytes], None]) -> None:
        super().__init__()
        self.uuid = uuid
        self.origin = origin
        self.keepers = 0
        """Links to members that keep the event until it is acknowledged."""
        self._settled = settled

    def settle(self) -> None:
        """One member has it."""
        if not self.settled:
            super().settle()
            self._settled(self.uuid)


class Unsettled:
    """The charges of those events, by uuid.

    :param safe: called each time when one is settled.
    """

    def __init__(self, safe: Callable[[], None]) -> None:
        self._safe = safe
        self._charges: dict[bytes, EventCharge] = {}

    def __len__(self) -> int:
        return len(self._charges)

    def begin(self, frame: Frame, origin: Link) -> EventCharge:
        """``frame`` has come from ``origin``."""
        charge = self._charges[frame.uuid] = EventCharge(frame.uuid, origin, self._settled)
        return charge

    def get(self, uuid: bytes) -> EventCharge | None:
        """The charge of an event that is not safe yet."""
        return self._charges.get(uuid)

    def _settled(self, uuid: bytes) -> None:
        del self._charges[uuid]
        self._safe()
