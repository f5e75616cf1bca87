"""Which connectors are behind which aggregator link (protocol.md 9).

A connector is there when its secret is accepted over the link, and goes on being there as long as its heartbeats
come. What the body of any other message says of its source is a claim (protocol.md 3), and makes nobody present. A
heartbeat's name is the connector's own claim as well; a wrong one harms nobody: the aggregator delivers
by the names of its own links, and says when there is none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Final

from gandalf.routing.link import Link

HEARTBEAT_INTERVAL: Final = 60.0
"""Seconds between the heartbeats of a connector."""

MOST: Final = 100_000
"""Connectors that are remembered behind one link; its aggregator does not have more."""

EXPIRY: Final = 3 * HEARTBEAT_INTERVAL
"""Seconds after its last heartbeat at which a connector is absent."""


class Presence:
    """Connectors by tenant and logical name.

    :param seconds: the time of a clock that never goes back.
    :param expiry: seconds without a heartbeat after which a connector is absent.
    """

    def __init__(self, seconds: Callable[[], float], expiry: float = EXPIRY) -> None:
        self._seconds = seconds
        self._expiry = expiry
        self._seen: defaultdict[tuple[str, str], dict[Link, float]] = defaultdict(dict)
        self._behind: defaultdict[Link, set[str]] = defaultdict(set)
        self._pivots: dict[tuple[str, str], str] = {}
        self._claimants: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._seen)

    def seen(self, link: Link, logical_name: str, pivot: str = "") -> None:
        """The connector is behind ``link``, now; it says that it speaks ``pivot``, "" when it does not say."""
        behind = self._behind[link]
        if len(behind) >= MOST and logical_name not in behind:
            return
        self._seen[link.tenant, logical_name][link] = self._seconds()
        behind.add(logical_name)
        if pivot and pivot != self._pivots.get((link.tenant, logical_name)):
            self._unclaim(link.tenant, logical_name)
            self._pivots[link.tenant, logical_name] = pivot
            self._claimants[link.tenant, pivot].add(logical_name)

    def links(self, tenant: str, logical_name: str) -> list[Link]:
        """The aggregator links that have the connector."""
        oldest = self._seconds() - self._expiry
        seen = self._seen.get((tenant, logical_name))
        return [link for link, at in seen.items() if at >= oldest] if seen else []

    def claiming(self, tenant: str, pivot: str) -> list[str]:
        """The connectors that say that they speak ``pivot``, by name."""
        return sorted(self._claimants.get((tenant, pivot), ()))

    def behind(self, link: Link) -> frozenset[str]:
        """The connectors that ``link`` has or has had lately."""
        return frozenset(self._behind.get(link, ()))

    def gone(self, link: Link) -> None:
        """``link`` is there no more, nor is anybody behind it."""
        for logical_name in self._behind.pop(link, set()):
            self._forget(link, logical_name)

    def expire(self) -> None:
        """Forget who has not been heard of for too long."""
        oldest = self._seconds() - self._expiry
        for (_, logical_name), seen in list(self._seen.items()):
            for link in [link for link, at in seen.items() if at < oldest]:
                self._behind[link].discard(logical_name)
                if not self._behind[link]:
                    del self._behind[link]
                self._forget(link, logical_name)

    def _forget(self, link: Link, logical_name: str) -> None:
        seen = self._seen[link.tenant, logical_name]
        del seen[link]
        if not seen:
            del self._seen[link.tenant, logical_name]
            self._unclaim(link.tenant, logical_name)

    def _unclaim(self, tenant: str, logical_name: str) -> None:
        pivot = self._pivots.pop((tenant, logical_name), None)
        if pivot is not None:
            claimants = self._claimants[tenant, pivot]
            claimants.discard(logical_name)
            if not claimants:
                del self._claimants[tenant, pivot]
