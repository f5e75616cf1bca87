"""Which connectors an event goes to (protocol.md 6.1)."""

from __future__ import annotations

from typing import Final

from gandalf.routing.errors import topic_of
from gandalf.routing.link import CONNECTOR, Link, Links
from gandalf.wire.runs import Parcel

REMEMBERED: Final = 10_000
"""Topics whose listeners are known; beyond that all are looked for anew."""


class Audience:
    """Who wants which topic: found once for each topic, until a connector comes, is validated, or goes.

    However many connectors there are, an event costs no more than those whom it goes to.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._of_all: list[Link] = []
        self._with_filter: list[Link] = []
        self._by_topic: dict[str, list[Link]] = {}
        self._counted = -1

    def changed(self) -> None:
        """A connector has come, with topics of its own, or is gone, or one that has named topics is validated."""
        self._counted = -1

    def send(self, parcel: Parcel, origin: Link) -> None:
        """To every validated connection but ``origin``: of its target if it has one, else of those who want it."""
        if parcel.target:
            for link in self._links.named(CONNECTOR, parcel.target):
                if link.validated and link is not origin:
                    link.send(parcel)
            return
        self._look()
        for link in self._of_all:
            if link.validated and link is not origin:
                link.send(parcel)
        if not self._with_filter:
            return
        wanted: dict[Link, set[bytes]] = {}
        for frame in parcel.frames():
            for link in self._of(topic_of(frame)):
                if link.validated and link is not origin:
                    wanted.setdefault(link, set()).add(frame.uuid)
        for link, uuids in wanted.items():
            link.send(parcel if len(uuids) == parcel.count else parcel.only(uuids))

    def _of(self, topic: str) -> list[Link]:
        """Those who named topics and were validated when that was looked at last, and of them who wants this one."""
        wanting = self._by_topic.get(topic)
        if wanting is None:
            if len(self._by_topic) >= REMEMBERED:
                self._by_topic.clear()
            wanting = self._by_topic[topic] = [link for link in self._with_filter if link.wants(topic)]
        return wanting

    def _look(self) -> None:
        links = self._links.of_type(CONNECTOR)
        if self._counted != len(links):
            self._counted = len(links)
            self._by_topic.clear()
            self._of_all = [link for link in links if not link.filters]
            # What strangers ask for may be long: it is not looked at.
            self._with_filter = [link for link in links if link.filters and link.validated]
