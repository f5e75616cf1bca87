"""Who is linked: links by logical name and by type (protocol.md 1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gandalf.shoset.link import ShosetLink


class _Roll:
    """A list from which anything is removed at once: the last takes its place."""

    __slots__ = ("_places", "links")

    def __init__(self) -> None:
        self.links: list[ShosetLink] = []
        self._places: dict[ShosetLink, int] = {}

    def add(self, link: ShosetLink) -> None:
        self._places[link] = len(self.links)
        self.links.append(link)

    def remove(self, link: ShosetLink) -> None:
        place, last = self._places.pop(link), self.links.pop()
        if last is not link:
            self.links[place] = last
            self._places[last] = place


class Registry:
    """Links whose handshake succeeded, until their session is forgotten.

    Adding and removing takes the same time however many there are: thousands may be forgotten in one turn.

    Registered after the handshake; removing what is not there does nothing.
    """

    def __init__(self) -> None:
        self._links: dict[bytes, ShosetLink] = {}
        self._named: defaultdict[tuple[str, str], _Roll] = defaultdict(_Roll)
        self._typed: defaultdict[str, _Roll] = defaultdict(_Roll)

    def __len__(self) -> int:
        return len(self._links)

    def __iter__(self) -> Iterator[ShosetLink]:
        return iter(list(self._links.values()))

    def __contains__(self, link: object) -> bool:
        session = getattr(link, "session", None)
        return session is not None and self._links.get(session) is link

    def add(self, link: ShosetLink) -> None:
        """Register ``link`` under its type and logical name."""
        if link.session not in self._links:
            self._links[link.session] = link
            self._named[link.type, link.logical_name].add(link)
            self._typed[link.type].add(link)

    def remove(self, link: ShosetLink) -> None:
        """Forget ``link``."""
        if self._links.pop(link.session, None) is not None:
            named = self._named[link.type, link.logical_name]
            named.remove(link)
            if not named.links:
                del self._named[link.type, link.logical_name]
            self._typed[link.type].remove(link)

    def session(self, session: bytes) -> ShosetLink | None:
        """The link of a session."""
        return self._links.get(session)

    def of_type(self, type: str) -> list[ShosetLink]:
        """The links to peers of one type; not to be changed, and only good until the next change."""
        roll = self._typed.get(type)
        return roll.links if roll is not None else []

    def named(self, type: str, logical_name: str) -> list[ShosetLink]:
        """The links to the brothers of one logical name and type."""
        roll = self._named.get((type, logical_name))
        return roll.links if roll is not None else []
