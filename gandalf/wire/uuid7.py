"""UUIDv7 (RFC 9562): identifiers of messages made here (protocol.md 2, element 1)."""

from __future__ import annotations

from collections.abc import Callable

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62
_RANDOM_MASK = (1 << 62) - 1


class UUIDMaker:
    """Makes UUIDv7 as 16 bytes, in the order of time to a quarter of a microsecond (RFC 9562, 6.2, method 3): what
    one process sends within a millisecond, a receipt and the progress after it, sorts as it was made.

    :param now: seconds since the epoch.
    :param random: as ``os.urandom``: so many random bytes.
    """

    def __init__(self, now: Callable[[], float], random: Callable[[int], bytes]) -> None:
        self._now = now
        self._random = random

    def __call__(self) -> bytes:
        ticks = int(self._now() * 4_096_000)  # of 1/4096 ms: as fine as a float tells the time of today
        milliseconds, fraction = ticks >> 12 & 0xFFFF_FFFF_FFFF, ticks & 0xFFF
        noise = int.from_bytes(self._random(8), "big") & _RANDOM_MASK
        return (milliseconds << 80 | _VERSION_7 | fraction << 64 | _VARIANT | noise).to_bytes(16, "big")
