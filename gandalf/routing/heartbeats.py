"""Heartbeats of connectors, on their way to the cluster (protocol.md 6.4c)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gandalf.routing.errors import MakeFrame, readable
from gandalf.routing.fallthrough import accepts
from gandalf.routing.link import Link
from gandalf.wire.envelope import Frame
from gandalf.wire.kinds import HEARTBEAT

LONGEST: Final = 16 * 1024
"""Bytes of a heartbeat that is remembered; ours have a few hundred."""


class Heartbeats:
    """Passes heartbeats on, and remembers each connector's latest, unless it is longer than any should be."""

    def __init__(self, make_frame: MakeFrame) -> None:
        self._make_frame = make_frame
        self._latest: dict[Link, Frame] = {}

    def spread(self, frame: Frame, origin: Link, members: Iterable[Link]) -> None:
        """``frame`` came from ``origin``: it is for all members that can have it now; the next one comes soon."""
        if len(frame.raw) <= LONGEST:
            self._latest[origin] = frame
        else:
            self.forget(origin)
        for member in members:
            if member.available and not member.full and accepts(member, frame):
                member.send(frame)

    def introduce(self, member: Link) -> None:
        """``member`` has not heard who is here: tell it, under new uuids since it may have seen the old ones."""
        for link, latest in self._latest.items():
            if link.available:
                frame = self._make_frame(HEARTBEAT, readable(latest), target=latest.target)
                if accepts(member, frame):
                    member.send(frame)

    def latest(self, link: Link) -> dict[str, object]:
        """The context of the latest heartbeat of ``link``, as its peer made it; empty when there was none."""
        frame = self._latest.get(link)
        context = {} if frame is None else readable(frame).get("context")
        return context if isinstance(context, dict) else {}

    def forget(self, link: Link) -> None:
        """The session of ``link`` is forgotten."""
        self._latest.pop(link, None)
