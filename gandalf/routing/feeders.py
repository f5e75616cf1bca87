"""Who is not read because the cluster takes no more (protocol.md 6.7)."""

from __future__ import annotations

from gandalf.routing.link import Link


class Feeders:
    """Connections that are paused, until all are resumed together."""

    def __init__(self) -> None:
        self._paused: dict[Link, None] = {}

    def __len__(self) -> int:
        return len(self._paused)

    def pause(self, link: Link) -> None:
        """Read no more from ``link``."""
        if link not in self._paused:
            self._paused[link] = None
            link.pause()

    def resume(self) -> None:
        """Read all of them again."""
        paused, self._paused = self._paused, {}
        for link in paused:
            link.resume()

    def forget(self, link: Link) -> None:
        """``link`` is not to be resumed any more."""
        self._paused.pop(link, None)
