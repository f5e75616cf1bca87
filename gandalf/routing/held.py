"""Frames of connectors that wait until the aggregator has started (protocol.md 8)."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import chain, count
from operator import attrgetter
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime

from gandalf.routing.charge import Charge
from gandalf.routing.fallthrough import OVERHEAD
from gandalf.routing.link import Link
from gandalf.wire.envelope import Frame

HELD_FRAMES: Final = 1000
"""Frames of one connector that wait before it is read no more."""

HELD_BYTES: Final = 8 << 20
"""The same in bytes, with :data:`OVERHEAD` for each."""

HELD_BYTES_OF_ALL: Final = 64 << 20
"""Bytes of all connectors' frames that wait before none who sends is read any more."""


@attrs.frozen
class HeldFrame:
    """One that waits; ``since`` in seconds of the clock, ``number`` in the order in which they came."""

    frame: Frame
    origin: Link
    charge: Charge
    since: float
    number: int


class HeldFrames:
    """Keeps frames in the order in which they came; none of them is taken charge of yet."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._frames: defaultdict[Link, list[HeldFrame]] = defaultdict(list)
        self._bytes: Counter[Link] = Counter()
        self._numbers = count()
        self.bytes = 0
        """Bytes that all that wait are reckoned to take."""

    def hold(self, frame: Frame, origin: Link) -> Charge:
        """Keep ``frame``; the charge is to be settled when it has been routed."""
        held = HeldFrame(frame, origin, Charge(), self._clock.seconds(), next(self._numbers))
        self._frames[origin].append(held)
        weight = len(frame.raw) + OVERHEAD
        self._bytes[origin] += weight
        self.bytes += weight
        return held.charge

    def enough(self, origin: Link) -> bool:
        """Whether no more is to be read from ``origin``."""
        frames, size = len(self._frames.get(origin, ())), self._bytes[origin]
        return frames >= HELD_FRAMES or size >= HELD_BYTES or self.bytes >= HELD_BYTES_OF_ALL

    def drop(self, origin: Link) -> None:
        """The session of ``origin`` is forgotten: its peer sends all of it again, to whoever it finds."""
        self._frames.pop(origin, None)
        self.bytes -= self._bytes.pop(origin, 0)

    def release(self) -> list[HeldFrame]:
        """All of them."""
        frames = sorted(chain.from_iterable(self._frames.values()), key=attrgetter("number"))
        self._frames.clear()
        return frames
