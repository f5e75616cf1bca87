"""Events from connectors that no cluster member has acknowledged yet (protocol.md 5.3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat

from gandalf.routing.charge import Charge
from gandalf.routing.link import Link
from gandalf.wire.runs import Parcel


class EventCharge(Charge):
    """Events from a connector: settled as far as one cluster member has acknowledged them."""

    __slots__ = ("_given", "_settled", "keepers", "origin", "parcel", "uuids")

    def __init__(self, parcel: Parcel, origin: Link, settled: Callable[[Sequence[bytes]], None]) -> None:
        super().__init__(parcel.count)
        self.parcel = parcel
        self.uuids = parcel.uuids
        self.origin = origin
        self.keepers: tuple[Link, ...] = ()
        """Links to members that keep the events until they are acknowledged."""
        self._settled = settled
        self._given: dict[EventCharge, None] | None = None

    def given(self, to_members: dict[EventCharge, None]) -> None:
        """Stand among what members were given, until it is settled."""
        self._given = to_members
        to_members[self] = None

    def advance(self, done: int) -> None:
        """One member has so many of them, from the first on."""
        before = self.done
        if done > before and not self.settled:
            super().advance(done)
            if self.settled and self._given is not None:
                self._given.pop(self, None)
            self._settled(self.uuids if done - before == self.count else self.uuids[before:done])

    def apart(self) -> list[EventCharge]:
        """One for each event that is not settled; this one is settled as far as they are without a gap."""
        frames = self.parcel.frames()[self.done :]
        each: list[EventCharge] = []

        def settled(uuids: Sequence[bytes]) -> None:
            while each[self.done - first :] and each[self.done - first].settled:
                self.advance(self.done + 1)

        first = self.done
        each += [EventCharge(frame, self.origin, settled) for frame in frames]
        return each


class Unsettled:
    """The charges of those events, by uuid.

    :param safe: called each time when some are settled.
    """

    def __init__(self, safe: Callable[[], None]) -> None:
        self._safe = safe
        self._charges: dict[bytes, EventCharge] = {}

    def __len__(self) -> int:
        return len(self._charges)

    def has_any(self, uuids: Iterable[bytes]) -> bool:
        """Whether any of these events is not safe yet."""
        return not self._charges.keys().isdisjoint(uuids)

    def __iter__(self) -> Iterator[EventCharge]:
        """In the order in which the events came."""
        return iter(list(dict.fromkeys(self._charges.values())))

    def begin(self, parcel: Parcel, origin: Link) -> EventCharge:
        """``parcel`` has come from ``origin``."""
        charge = EventCharge(parcel, origin, self._settled)
        self._charges.update(dict.fromkeys(charge.uuids, charge))
        return charge

    def get(self, uuid: bytes) -> Charge | None:
        """The charge of an event that is not safe yet and has come once more."""
        charge = self._charges.get(uuid)
        return None if charge is None else charge.of(charge.uuids.index(uuid))

    def abandon(self, charge: EventCharge, number: int) -> None:
        """The event before which ``number`` came is not going to be settled."""
        self._charges.pop(charge.uuids[number], None)
        self._safe()

    def _settled(self, uuids: Sequence[bytes]) -> None:
        # As a loop without its steps: there is one for each message.
        deque(map(self._charges.pop, uuids, repeat(None)), maxlen=0)
        self._safe()
