"""Events that wait to be written to the spool."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from gandalf.routing.unsettled import EventCharge
from gandalf.store.spool import ROW_COST, Row


class Entry:
    """Events that are not on disk yet, those of one charge. ``arrived``: ms since the epoch."""

    def __init__(self, charge: EventCharge, arrived: int) -> None:
        self.charge = charge
        self.arrived = arrived
        self.frames = charge.parcel.frames()[charge.done :]
        self.size = sum(len(frame.raw) for frame in self.frames) + ROW_COST * len(self.frames)

    def rows(self, first: int) -> list[Row]:
        """As they are on disk, from the id ``first`` on."""
        origin = self.charge.origin.logical_name
        return [Row(id, origin, self.arrived, frame.raw) for id, frame in enumerate(self.frames, first)]


class Unwritten:
    """In the order in which they are to be written. What is being written is known until it is forgotten."""

    def __init__(self) -> None:
        self._waiting: deque[Entry] = deque()
        self._known: dict[EventCharge, Entry] = {}
        self.bytes = 0
        """That all of them take."""

    def __bool__(self) -> bool:
        """Whether any waits that is not being written."""
        return bool(self._waiting)

    @property
    def frames(self) -> int:
        """How many events."""
        return sum(len(entry.frames) for entry in self._known.values())

    @property
    def arrived(self) -> int | None:
        """When the first that waits came; None: none does."""
        return self._waiting[0].arrived if self._waiting else None

    def add(self, charge: EventCharge, arrived: int) -> None:
        """One more, the last."""
        self._waiting.append(self._entry(charge, arrived))

    def add_before(self, charges: Iterable[EventCharge], arrived: int) -> None:
        """Those of them that are not known, before all others."""
        self._waiting.extendleft(
            reversed([self._entry(charge, arrived) for charge in charges if charge not in self._known])
        )

    def next(self, room: int, *, alone: bool) -> list[Entry]:
        """What waits first, as much as fits into ``room`` bytes; ``alone``, one that does not fit by itself too."""
        batch: list[Entry] = []
        for entry in self._waiting:
            room -= entry.size
            if room < 0 and (batch or not alone):
                break
            batch.append(entry)
        return batch

    def begin(self, batch: list[Entry]) -> None:
        """What waits first is being written."""
        for _ in batch:
            self._waiting.popleft()

    def again(self, batch: list[Entry]) -> None:
        """It could not be written, and waits as before."""
        self._waiting.extendleft(reversed(batch))

    def pop(self) -> Entry:
        """What waits first, which is not to be written."""
        entry = self._waiting.popleft()
        self.forget(entry)
        return entry

    def forget(self, entry: Entry) -> None:
        """It is written, or safe elsewhere."""
        self.bytes -= entry.size
        del self._known[entry.charge]

    def forget_settled(self) -> None:
        """What waits, and has come to the cluster or to nothing meanwhile."""
        waiting, self._waiting = self._waiting, deque()
        for entry in waiting:
            if entry.charge.settled:
                self.forget(entry)
            else:
                self._waiting.append(entry)

    def clear(self) -> list[EventCharge]:
        """Forget all, and give them back in order; what is being written is before what waits."""
        waiting = [entry.charge for entry in self._waiting]
        begun = self._known.keys() - waiting
        all_of_them = [charge for charge in self._known if charge in begun] + waiting
        self._known.clear()
        self._waiting.clear()
        self.bytes = 0
        return all_of_them

    def _entry(self, charge: EventCharge, arrived: int) -> Entry:
        entry = self._known[charge] = Entry(charge, arrived)
        self.bytes += entry.size
        return entry
