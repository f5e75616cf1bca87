"""How much the sessions of a listener keep for their peers, all together (protocol.md 5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

if TYPE_CHECKING:
    from gandalf.shoset.factory import ShosetFactory
    from gandalf.shoset.link import ShosetLink

TRANCHE: Final = 16 * 1024
"""Bytes that every session may keep uncounted, and in which more is counted: counting each frame would cost more."""

OVERHEAD: Final = 256
"""Bytes that a frame is reckoned to take besides its own."""


class KeptBytes:
    """Counts what is kept, and makes room when it is more than ``kept_bytes``, or for more broken sessions than
    there may be connections.

    First the session that broke first is forgotten; with none broken, whoever keeps most is a slow consumer, is
    closed and forgotten. Their peers start anew (protocol.md 5.3).
    """

    log = Logger()

    def __init__(self, shoset: ShosetFactory) -> None:
        self.bytes = 0
        """Bytes that are kept, without sessions that keep less than :data:`TRANCHE`."""
        self._shoset = shoset
        self._soon: IDelayedCall | None = None

    def reserve(self, link: ShosetLink) -> None:
        """``link`` keeps more than was reserved for it."""
        self._weigh(link)
        if self.bytes > self._shoset.limits.kept_bytes:
            self._make_room_soon()

    def release(self, link: ShosetLink) -> None:
        """``link`` keeps much less than was reserved for it. Nothing happens to one that was dialled."""
        if not link.address:
            self._weigh(link)

    def broken(self, sessions: int) -> None:
        """So many sessions are broken and kept."""
        if sessions > self._shoset.limits.max_connections:
            self._make_room_soon()

    def stop(self) -> None:
        """Nothing is kept any more."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    def _weigh(self, link: ShosetLink) -> None:
        outbox = link.outbox
        link.reserved = (outbox.bytes // TRANCHE + 1) * TRANCHE
        weight = outbox.bytes + OVERHEAD * len(outbox) if outbox.bytes >= TRANCHE else 0
        self.bytes += weight - link.weighed
        link.weighed = weight

    def _make_room_soon(self) -> None:
        # Not at once: whoever sends to many at a time walks over the links of which some are to be forgotten.
        if self._soon is None:
            self._soon = self._shoset.clock.callLater(0, self._make_room)

    def _make_room(self) -> None:
        self._soon = None
        shoset, limits = self._shoset, self._shoset.limits
        broken = list(shoset.broken)
        excess = len(broken) - limits.max_connections
        for number, link in enumerate(broken):
            if number < excess or (self.bytes > limits.kept_bytes and link.weighed):
                self._give_up(link, "was broken")
        while self.bytes > limits.kept_bytes:
            linked = (link for link in shoset.registry if not link.address)
            heaviest = max(linked, key=lambda link: link.outbox.bytes)
            shoset.counters.slow_consumers += 1
            heaviest.dismiss("SLOW_CONSUMER", "too much is waiting for all together; link again")
            self._give_up(heaviest, "kept most")

    def _give_up(self, link: ShosetLink, why: str) -> None:
        shoset = self._shoset
        self.log.warn(
            "the session of {name} is forgotten, which {why}: {bytes} bytes are kept for all, {frames} frames for it",
            name=link.logical_name,
            why=why,
            bytes=self.bytes,
            frames=len(link.outbox),
        )
        shoset.counters.crowded_out += 1
        shoset.forget(link)
