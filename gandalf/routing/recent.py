"""A map that forgets the oldest: who asked what (protocol.md 6.4)."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")


class RecentMap(Generic[V]):
    """Remembers at least the ``size`` latest entries, and at most twice as many."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def put(self, key: bytes, value: V) -> None:
        """Remember ``value``."""
        self._young[key] = value
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}

    def get(self, key: bytes) -> V | None:
        """What is remembered, if it still is."""
        return self._young.get(key, self._old.get(key))

    def pop(self, key: bytes) -> V | None:
        """What was remembered; it no longer is."""
        value = self._young.pop(key, None)
        old = self._old.pop(key, None)
        return old if value is None else value
