"""Where a command can go: to a logical component, over an aggregator link that has it (protocol.md 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest

import attrs

from gandalf.routing.charge import Charge
from gandalf.routing.link import Link
from gandalf.wire.runs import Parcel


@attrs.frozen
class Route:
    """A component over a link; a candidate of protocol.md 6.2. It has all that falling through asks of a link."""

    link: Link
    target: str

    @property
    def available(self) -> bool:
        """Whether the link may be a candidate."""
        return self.link.available

    @property
    def congested(self) -> bool:
        """Whether the link is congested (protocol.md 6.7)."""
        return self.link.congested

    @property
    def full(self) -> bool:
        """Whether the link keeps as much as may be (protocol.md 5.3)."""
        return self.link.full

    @property
    def max_frame(self) -> int:
        """The longest envelope that the peer accepts, in bytes."""
        return self.link.max_frame

    def send(self, parcel: Parcel, charge: Charge | None = None) -> None:
        """Send ``parcel`` over the link, to the component."""
        if parcel.target != self.target:
            parcel = parcel.for_target(self.target)
        self.link.send(parcel, charge)


def routes(targets: Iterable[str], links_of: Callable[[str], Sequence[Link]]) -> list[Route]:
    """The routes to ``targets`` over the validated links that have them.

    Whoever goes through them in turn meets all components once before it meets one a second time, over another
    link: a component that is mute over one link is likely to be so over the next.
    """
    by_target = [[Route(link, target) for link in links_of(target) if link.validated] for target in targets]
    return [route for turn in zip_longest(*by_target) for route in turn if route is not None]
