"""Who asked what, and who takes the reply (protocol.md 6.4)."""

from __future__ import annotations

from typing import Final

import attrs

from gandalf.routing.errors import readable
from gandalf.routing.link import Link, Links
from gandalf.routing.recent import RecentMap
from gandalf.wire.envelope import Frame
from gandalf.wire.kinds import SECRET

ASKED: Final = 100_000
"""Requests whose asker is remembered, at the least."""


@attrs.define(eq=False)
class Asker:
    """Who asked; ``link`` None: its session is forgotten."""

    link: Link | None
    type: str
    logical_name: str


class Askers:
    """The connections on which requests came, by the requests' uuids."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._asked: RecentMap[Asker] = RecentMap(ASKED)
        self._known: dict[Link, Asker] = {}

    def remember(self, request: Frame, origin: Link) -> None:
        """``request`` came from ``origin``."""
        asker = self._known.get(origin)
        if asker is None:
            asker = self._known[origin] = Asker(origin, origin.type, origin.logical_name)
        self._asked.put(request.uuid, asker)

    def forget(self, link: Link) -> None:
        """The session of ``link`` is forgotten; what it asked may still be answered to a brother."""
        asker = self._known.pop(link, None)
        if asker is not None:
            asker.link = None

    def take(self, reply: Frame, origin: Link) -> Asker | None:
        """Whose request is answered by ``reply``; it is not known any more afterwards.

        What one side asks, only the other can answer: no connector accepts its own secret.
        """
        reference = reply.reference
        asker = None if reference is None else self._asked.get(reference)
        if reference is None or asker is None or asker.type == origin.type:
            return None
        return self._asked.pop(reference)

    def receiver(self, asker: Asker, reply: Frame) -> Link | None:
        """The connection that asked, or if that is gone another of the same logical name."""
        link = asker.link
        if link is not None and link.connected:
            return link
        for brother in self._links.named(asker.type, asker.logical_name):
            if brother.available and (brother.validated or reply.kind == SECRET):
                return brother
        return link if link is not None and link in self._links else None


@attrs.frozen
class Verdict:
    """The cluster's word on a secret."""

    accepted: bool
    reason: str


def verdict(reply: Frame) -> Verdict | None:
    """What a ``VALIDATION_REPLY`` says; None: ``reply`` is something else, or says neither yes nor no."""
    body = readable(reply)
    payload = body.get("payload")
    if reply.kind != SECRET or body.get("command") != "VALIDATION_REPLY":
        return None
    if isinstance(payload, str):
        payload = payload.encode("utf-8", "replace")
    if not isinstance(payload, bytes) or payload not in (b"true", b"false"):
        return None
    context = body.get("context")
    reason = context.get("reason") if isinstance(context, dict) else None
    return Verdict(payload == b"true", reason if isinstance(reason, str) else "")
