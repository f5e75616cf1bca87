"""Whom a shoset works for: what the floors above are asked and told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from gandalf.routing.charge import Charge
from gandalf.shoset.session import KeptFrame
from gandalf.wire.control import BrothersBody, LinkBody
from gandalf.wire.envelope import Frame
from gandalf.wire.runs import Run

if TYPE_CHECKING:
    from gandalf.shoset.link import ShosetLink


@attrs.frozen
class Refusal:
    """Why a link is refused: a code of protocol.md 5.1 and what an operator should know."""

    code: str
    message: str


class Host(Protocol):
    """Implemented by an aggregator, a cluster member and a connector."""

    def admit(self, hello: LinkBody, tenant: str) -> Refusal | None:
        """Whether a peer of the right type may link; asked on the listening side only."""

    def link_up(self, link: ShosetLink, resumed: bool) -> None:
        """A connection of ``link`` has shaken hands; ``resumed``: its session goes on."""

    def link_leaving(self, link: ShosetLink) -> None:
        """The peer said ``bye``: call ``link.finish()`` once nothing is pending on it (protocol.md 5.2)."""

    def link_down(self, link: ShosetLink) -> None:
        """The connection is gone; the session is kept for a while."""

    def link_gone(self, link: ShosetLink) -> None:
        """The session is forgotten."""

    def link_relieved(self, link: ShosetLink) -> None:
        """``link`` was congested or full, and can take frames again (protocol.md 6.7)."""

    def frame_received(self, frame: Frame, link: ShosetLink) -> Charge | None:
        """A routed frame came in. None: it is taken charge of; else it is when the charge is settled."""

    def run_received(self, run: Run, link: ShosetLink) -> Charge | None:
        """Frames alike came in, to be worked on in one piece. None: they are to come one by one instead."""

    def frame_expired(self, kept: KeptFrame, link: ShosetLink) -> None:
        """What waited for ``link`` was dropped after a reconnection: it was too old (protocol.md 5.3), or is longer
        than the peer accepts now."""

    def brothers_received(self, brothers: BrothersBody, link: ShosetLink) -> None:
        """The peer told the addresses of a logical name (protocol.md 5.2)."""
