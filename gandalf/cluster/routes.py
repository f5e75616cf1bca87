"""Where a command can go: to a logical component, over an aggregator link that has it (protocol.md 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import zip_longest

import attrs
import msgpack

from gandalf.routing.charge import Charge
from gandalf.routing.link import Link
from gandalf.wire.runs import Parcel


@attrs.frozen
class Route:
    """A component over a link; a candidate of protocol.md 6.2. It has all that falling through asks of a link."""

    link: Link
    target: str
    added: int = attrs.field(default=0, eq=False)
    """Bytes that a message is longer with the target, when it comes without one."""

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
        """The longest envelope that the peer accepts, in bytes, less what the target adds to it."""
        return self.link.max_frame - self.added

    def send(self, parcel: Parcel, charge: Charge | None = None) -> None:
        """Send ``parcel`` over the link, to the component."""
        if parcel.target != self.target:
            parcel = parcel.for_target(self.target)
        self.link.send(parcel, charge)


def routes(targets: Iterable[str], links_of: Callable[[str], Sequence[Link]], *, named: bool) -> list[Route]:
    """The routes to ``targets`` over the validated links that have them.

    :param named: whether the message names its target itself.

    Whoever goes through them in turn meets all components once before it meets one a second time, over another
    link: a component that is mute over one link is likely to be so over the next.
    """
    by_target = [
        [Route(link, target, 0 if named else _added(target)) for link in links_of(target) if link.validated]
        for target in targets
    ]
    return [route for turn in zip_longest(*by_target) for route in turn if route is not None]


@lru_cache(maxsize=10_000)
def _added(target: str) -> int:
    return len(msgpack.packb(target)) - len(msgpack.packb(""))
