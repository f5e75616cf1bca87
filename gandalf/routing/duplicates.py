"""The window in which a uuid seen before is a duplicate (protocol.md 6.5)."""

from __future__ import annotations

from collections.abc import Collection


class DuplicateWindow:
    """Remembers at least the ``size`` uuids seen latest, and at most twice as many.

    Two generations of a set: looking up and adding cost the same however many there are.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def seen(self, uuid: bytes) -> bool:
        """Whether ``uuid`` was seen before; from now on it is."""
        if uuid in self._young:
            return True
        known = uuid in self._old
        self._young.add(uuid)
        if len(self._young) >= self._size:
            self._old, self._young = self._young, set()
        return known

    def all_new(self, uuids: Collection[bytes]) -> bool:
        """Whether none of ``uuids`` was seen before, nor stands there twice; from now on they are seen.

        When it is False nothing has changed: each is to be looked up by itself.
        """
        new = set(uuids)
        if len(new) != len(uuids) or not self._young.isdisjoint(new) or not self._old.isdisjoint(new):
            return False
        self._young |= new
        if len(self._young) >= self._size:
            self._old, self._young = self._young, set()
        return True

    def __contains__(self, uuid: bytes) -> bool:
        return uuid in self._young or uuid in self._old

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
