"""Sending to one candidate after the other until one answers (protocol.md 6.2, 8 and 9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from gandalf.routing.failures import NO_ROUTE, OVERLOADED, TIMEOUT, TOO_LARGE, RoutingFailure
from gandalf.routing.link import Link
from gandalf.wire.envelope import LENGTH, Frame


class Rotation:
    """Chooses who is tried first: another one each time, for each group of brothers by itself."""

    def __init__(self) -> None:
        self._turns: defaultdict[str, int] = defaultdict(int)

    def order(self, group: str, candidates: Sequence[Link], frame: Frame) -> list[Link]:
        """The candidates that can take ``frame`` now, in the order in which they are to be tried.

        :raises RoutingFailure: ``NO_ROUTE``, none is there; ``TOO_LARGE``, none accepts so long a frame;
            ``OVERLOADED``, all that do are congested (6.7).
        """
        there = [link for link in candidates if link.available]
        if not there:
            raise RoutingFailure(NO_ROUTE, f"nobody is linked that could take it: {group}")
        fit = [link for link in there if accepts(link, frame)]
        if not fit:
            raise RoutingFailure(TOO_LARGE, f"{length_of(frame)} bytes is more than any connection accepts: {group}")
        free = [link for link in fit if is_free(link)]
        if not free:
            raise RoutingFailure(OVERLOADED, f"each of the {len(fit)} connections is congested: {group}")
        turn = self._turns[group] % len(free)
        self._turns[group] = turn + 1
        return free[turn:] + free[:turn]


@attrs.define(eq=False)
class Pending:
    """A frame that waits for its answer."""

    frame: Frame
    result: Deferred[Frame]
    candidates: Iterator[Link]
    tried: int
    share: float
    """Seconds that each candidate has to answer."""
    origin: Link | None = None
    """Who waits for the answer; None: this process itself."""
    link: Link | None = None
    timer: IDelayedCall | None = None


class FallThrough:
    """Frames on their way, by uuid, each at one candidate.

    :param idle: called with a link on which nothing is pending any more (:meth:`pending_on`), after whoever waited
        for the last has been told.
    """

    def __init__(self, clock: IReactorTime, *, idle: Callable[[Link], None] = lambda link: None) -> None:
        self._clock = clock
        self._idle = idle
        self._rotation = Rotation()
        self._pending: dict[bytes, Pending] = {}
        self._by_link: dict[Link, dict[bytes, Pending]] = {}
        self._by_origin: dict[Link, int] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def __iter__(self) -> Iterator[Pending]:
        return iter(list(self._pending.values()))

    def __contains__(self, uuid: bytes) -> bool:
        return uuid in self._pending

    def send(
        self, frame: Frame, group: str, candidates: Sequence[Link], budget: float, origin: Link | None = None
    ) -> Deferred[Frame]:
        """Send ``frame`` to one candidate, and after its share of ``budget`` seconds to the next.

        Fires with the first answer; fails with :class:`RoutingFailure`: as :meth:`Rotation.order`, or ``TIMEOUT``
        when all were tried. Cancelling it stops the trying.
        """
        result: Deferred[Frame]
        try:
            order = self._rotation.order(group, candidates, frame)
        except RoutingFailure as failure:
            return fail(failure)
        result = Deferred(lambda _: self._end(self._pending[frame.uuid], None))
        pending = Pending(frame, result, iter(order), 0, budget / len(order), origin)
        self._pending[frame.uuid] = pending
        if origin is not None:
            self._by_origin[origin] = self._by_origin.get(origin, 0) + 1
        self._next(pending)
        return result

    def answer(self, frame: Frame) -> bool:
        """Whether ``frame``, by its ``reference``, ends something pending here."""
        pending = self._pending.get(frame.reference)  # type: ignore[arg-type]  # None is never a key
        if pending is None:
            return False
        self._end(pending, frame)
        return True

    def pass_over(self, uuid: bytes) -> bool:
        """The candidate that has it now says that it cannot: go to the next at once."""
        pending = self._pending.get(uuid)
        if pending is None:
            return False
        self._next(pending)
        return True

    def link_lost(self, link: Link) -> None:
        """The connection broke: what waits there goes to the next at once."""
        for pending in list(self._by_link.get(link, {}).values()):
            # Whoever is told of the end of one may have ended another.
            if pending.link == link:
                self._next(pending)

    def pending_on(self, link: Link) -> int:
        """How many frames wait for an answer over ``link``, or for one to give to it."""
        return self._by_origin.get(link, 0) + len(self._by_link.get(link, ()))

    def at(self, uuid: bytes) -> Link | None:
        """The candidate that has the frame of ``uuid`` now."""
        pending = self._pending.get(uuid)
        return None if pending is None else pending.link

    def _next(self, pending: Pending) -> None:
        left = self._leave(pending)
        for link in pending.candidates:
            if link.available and is_free(link):
                pending.tried += 1
                pending.link = link
                self._by_link.setdefault(link, {})[pending.frame.uuid] = pending
                pending.timer = self._clock.callLater(pending.share, self._next, pending)
                link.send(pending.frame)
                break
        else:
            tried = f"no answer from any of the {pending.tried} connections that it was sent to"
            self._end(pending, RoutingFailure(TIMEOUT, tried))
        self._tell_idle(left)

    def _end(self, pending: Pending, outcome: Frame | RoutingFailure | None) -> None:
        """``outcome`` None: nobody wants it any more."""
        del self._pending[pending.frame.uuid]
        left, origin = self._leave(pending), pending.origin
        if origin is not None:
            self._by_origin[origin] -= 1
            if not self._by_origin[origin]:
                del self._by_origin[origin]
        if isinstance(outcome, RoutingFailure):
            pending.result.errback(outcome)
        elif outcome is not None:
            pending.result.callback(outcome)
        self._tell_idle(left)
        self._tell_idle(origin)

    def _leave(self, pending: Pending) -> Link | None:
        """Nobody has it now; returns who had it."""
        if pending.timer is not None:
            if pending.timer.active():
                pending.timer.cancel()
            pending.timer = None
        link, pending.link = pending.link, None
        if link is not None:
            waiting = self._by_link[link]
            del waiting[pending.frame.uuid]
            if not waiting:
                del self._by_link[link]
        return link

    def _tell_idle(self, link: Link | None) -> None:
        if link is not None and link not in self._by_link and link not in self._by_origin:
            self._idle(link)


def length_of(frame: Frame) -> int:
    """The length of the envelope of ``frame`` in bytes, as ``max_frame`` counts."""
    return len(frame.raw) - LENGTH.size


def accepts(link: Link, frame: Frame) -> bool:
    """Whether the peer reads a frame so long; one that it refuses would break every connection of the session."""
    return length_of(frame) <= link.max_frame


def is_free(link: Link) -> bool:
    """Not congested (protocol.md 6.7)."""
    return not link.congested and not link.full


def validated(links: Iterable[Link]) -> list[Link]:
    """Those whose component's secret the cluster has accepted."""
    return [link for link in links if link.validated]
