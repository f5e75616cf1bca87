"""UUIDv7 (RFC 9562): identifiers of messages made here (protocol.md 2, element 1)."""

from __future__ import annotations

from collections.abc import Callable

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62
_RANDOM_MASK = (0xFFF << 64) | ((1 << 62) - 1)


class UUIDMaker:
    """Makes UUIDv7 as 16 bytes.

    :param now: seconds since the epoch.
    :param random: as ``os.urandom``: so many random bytes.
    """

    def __init__(self, now: Callable[[], float], random: Callable[[int], bytes]) -> None:
        self._now = now
        self._random = random

    def __call__(self) -> bytes:
        milliseconds = int(self._now() * 1000) & 0xFFFF_FFFF_FFFF
        noise = int.from_bytes(self._random(10), "big") & _RANDOM_MASK
        return (milliseconds << 80 | _VERSION_7 | _VARIANT | noise).to_bytes(16, "big")
