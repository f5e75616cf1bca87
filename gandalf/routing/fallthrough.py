"""Sending to one candidate after the other until one answers (protocol.md 6.2, 8 and 9)."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from gandalf.routing.deadlines import Deadlines
from gandalf.routing.failures import NO_ROUTE, OVERLOADED, TIMEOUT, TOO_LARGE, RoutingFailure
from gandalf.routing.link import Link
from gandalf.wire.envelope import LENGTH, Frame
from gandalf.wire.runs import Parcel, Run

OVERHEAD: Final = 512
"""Bytes that a frame on its way is reckoned to take besides its own."""

GROUPS: Final = 10_000
"""Groups whose turn is remembered; beyond that all begin anew."""


class Rotation:
    """Chooses who is tried first: another one each time, for each group of brothers by itself."""

    def __init__(self) -> None:
        self._turns: defaultdict[str, int] = defaultdict(int)

    def order(self, group: str, candidates: Sequence[Link], parcel: Parcel) -> list[Link]:
        """The candidates that can take ``parcel`` now, in the order in which they are to be tried.

        :raises RoutingFailure: ``NO_ROUTE``, none is there; ``TOO_LARGE``, none accepts so long a frame;
            ``OVERLOADED``, all that do are congested (6.7).
        """
        there = [link for link in candidates if link.available]
        if not there:
            raise RoutingFailure(NO_ROUTE, f"nobody is linked that could take it: {group}")
        fit = [link for link in there if accepts(link, parcel)]
        if not fit:
            raise RoutingFailure(TOO_LARGE, f"{length_of(parcel)} bytes is more than any connection accepts: {group}")
        free = [link for link in fit if is_free(link)]
        if not free:
            raise RoutingFailure(OVERLOADED, f"each of the {len(fit)} connections is congested: {group}")
        if len(self._turns) > GROUPS:
            self._turns.clear()
        turn = self._turns[group] % len(free)
        self._turns[group] = (turn + parcel.count - 1) % len(free) + 1
        return free[turn:] + free[:turn]


@attrs.define(eq=False)
class Pending:
    """A frame that waits for its answer; or a run, each frame of which waits for its own."""

    parcel: Parcel
    """What was sent: of a run all that had no answer then."""
    failed: Callable[[RoutingFailure], object]
    """Told why what has no answer has none."""
    candidates: list[Link]
    share: float
    """Seconds that each candidate has to answer."""
    left: int
    """Frames that have no answer yet."""
    answered: Callable[[Frame], object] | None = None
    """Told the answer, of a single frame."""
    origin: Link | None = None
    """Who waits for the answer; None: this process itself."""
    link: Link | None = None
    since: float = 0.0
    """When it was sent to ``link``, in seconds of the clock."""
    weight: int = 0
    """Bytes that it is reckoned to take."""
    turn: int = 0
    """The candidate that is next."""
    tried: int = 0
    ended: bool = False


class FallThrough:
    """Frames on their way, by uuid, each at one candidate.

    :param idle: called with a link on which nothing is pending any more (:meth:`pending_on`), after whoever waited
        for the last has been told.
    :param max_bytes: as much may be on its way (:data:`OVERHEAD`); more is ``OVERLOADED`` (protocol.md 6.7).
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        *,
        idle: Callable[[Link], None] = lambda link: None,
        max_bytes: int = sys.maxsize,
    ) -> None:
        self.bytes = 0
        """Bytes that all on its way is reckoned to take."""
        self._max_bytes = max_bytes
        self._clock = clock
        self._idle = idle
        self._rotation = Rotation()
        self._deadlines: Deadlines[Pending] = Deadlines(clock, self._next)
        self._pending: dict[bytes, Pending] = {}
        self._by_link: dict[Link, dict[Pending, None]] = {}
        self._by_origin: dict[Link, dict[Pending, None]] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def __iter__(self) -> Iterator[Pending]:
        return iter(list(dict.fromkeys(self._pending.values())))

    def __contains__(self, uuid: bytes) -> bool:
        return uuid in self._pending

    def has_any(self, uuids: Iterable[bytes]) -> bool:
        """Whether any of these is on its way."""
        return not self._pending.keys().isdisjoint(uuids)

    def send(
        self, frame: Frame, group: str, candidates: Sequence[Link], budget: float, origin: Link | None = None
    ) -> Deferred[Frame]:
        """Send ``frame`` to one candidate, and after its share of ``budget`` seconds to the next.

        Fires with the first answer; fails with :class:`RoutingFailure`: as :meth:`Rotation.order`, or ``TIMEOUT``
        when all were tried. Cancelling it stops the trying.
        """
        try:
            order = self._order(group, candidates, frame)
        except RoutingFailure as failure:
            return fail(failure)
        result: Deferred[Frame] = Deferred(lambda _: self._end(pending, None))
        pending = Pending(frame, result.errback, order, budget / len(order), 1, result.callback, origin)
        self._pending[frame.uuid] = pending
        self._begin(pending)
        return result

    def send_run(
        self,
        run: Run,
        group: str,
        candidates: Sequence[Link],
        budget: float,
        origin: Link,
        failed: Callable[[RoutingFailure], object],
    ) -> None:
        """As :meth:`send`, each frame of ``run`` beginning with another candidate.

        :param failed: told why frames have no answer; the failure's ``parcel`` is these frames, None: all of them.
        """
        try:
            order = self._order(group, candidates, run)
        except RoutingFailure as failure:
            failed(failure)
            return
        share = budget / len(order)
        for turn, part in enumerate(run.dealt(len(order))):
            pending = Pending(part, failed, order[turn:] + order[:turn], share, part.count, None, origin)
            self._pending.update(dict.fromkeys(part.uuids, pending))
            self._begin(pending)

    def _order(self, group: str, candidates: Sequence[Link], parcel: Parcel) -> list[Link]:
        if self.bytes >= self._max_bytes:
            raise RoutingFailure(OVERLOADED, f"{self.bytes} bytes wait for answers already, as much as may")
        return self._rotation.order(group, candidates, parcel)

    def _begin(self, pending: Pending) -> None:
        pending.weight = _weight(pending.parcel)
        self.bytes += pending.weight
        if pending.origin is not None:
            _put(self._by_origin, pending.origin, pending)
        self._next(pending)

    def answer(self, parcel: Parcel) -> bool:
        """Whether ``parcel``, by its ``reference``, ends something pending here."""
        if isinstance(parcel, Run):
            return self._answer_all(parcel)
        pending = self._pending.pop(parcel.reference, None)  # type: ignore[arg-type]  # None is never a key
        if pending is None:
            return False
        pending.left -= 1
        if not pending.left:
            self._end(pending, parcel)
        return True

    def _answer_all(self, answers: Run) -> bool:
        pop = self._pending.pop
        ended: list[tuple[Pending, int]] = []
        before = len(self._pending)
        for number, reference in enumerate(answers.references or ()):
            pending = pop(reference, None)
            if pending is not None:
                pending.left -= 1
                if not pending.left:
                    ended.append((pending, number))
        taken = before - len(self._pending)
        frames = iter(answers.chosen(number for pending, number in ended if pending.answered is not None))
        for pending, _ in ended:
            self._end(pending, None if pending.answered is None else next(frames))
        return taken > 0

    def pass_over(self, uuid: bytes) -> bool:
        """The candidate that has it now says that it cannot: go to the next at once."""
        pending = self._pending.get(uuid)
        if pending is None:
            return False
        self._next(pending if pending.left == 1 else self._split(pending, uuid))
        return True

    def _split(self, pending: Pending, uuid: bytes) -> Pending:
        """One frame of a run goes on by itself from where the run is."""
        assert isinstance(pending.parcel, Run) and pending.link is not None
        alone = attrs.evolve(pending, parcel=pending.parcel.only({uuid}), left=1)
        alone.weight = _weight(alone.parcel)
        pending.weight -= alone.weight
        pending.left -= 1
        self._pending[uuid] = alone
        if alone.origin is not None:
            _put(self._by_origin, alone.origin, alone)
        _put(self._by_link, pending.link, alone)
        self._deadlines.set(alone, alone.share)
        return alone

    def link_lost(self, link: Link) -> None:
        """The connection broke: what waits there goes to the next at once."""
        for pending in list(self._by_link.get(link, ())):
            # Whoever is told of the end of one may have ended another.
            if pending.link == link:
                self._next(pending)

    def pending_on(self, link: Link) -> int:
        """How many frames wait for an answer over ``link``, or for one to give to it."""
        return sum(pending.left for table in (self._by_origin, self._by_link) for pending in table.get(link, ()))

    def at(self, uuid: bytes) -> Link | None:
        """The candidate that has the frame of ``uuid`` now."""
        pending = self._pending.get(uuid)
        return None if pending is None else pending.link

    def _next(self, pending: Pending) -> None:
        left = self._leave(pending)
        while pending.turn < len(pending.candidates):
            link = pending.candidates[pending.turn]
            pending.turn += 1
            if link.available and is_free(link):
                pending.tried += 1
                pending.link = link
                pending.since = self._clock.seconds()
                _put(self._by_link, link, pending)
                self._deadlines.set(pending, pending.share)
                link.send(self.unanswered(pending))
                break
        else:
            tried = f"no answer from any of the {pending.tried} connections that it was sent to"
            self._end(pending, RoutingFailure(TIMEOUT, tried, self.unanswered(pending)))
        self._tell_idle(left)

    def unanswered(self, pending: Pending) -> Parcel:
        """What has no answer yet: of a run nothing else is sent a second time."""
        parcel = pending.parcel
        if isinstance(parcel, Run) and pending.left < parcel.count:
            left = {uuid for uuid in parcel.uuids if self._pending.get(uuid) is pending}
            pending.parcel = parcel.only(left)
        return pending.parcel

    def _end(self, pending: Pending, outcome: Frame | RoutingFailure | None) -> None:
        """``outcome`` None: nobody wants it any more; or nobody asks."""
        if pending.ended:
            # Of several answers in a run, whoever got one may have given up another.
            return
        pending.ended = True
        if pending.left:
            for uuid in pending.parcel.uuids:
                if self._pending.get(uuid) is pending:
                    del self._pending[uuid]
            pending.left = 0
        self.bytes -= pending.weight
        left, origin = self._leave(pending), pending.origin
        if origin is not None:
            _take(self._by_origin, origin, pending)
        try:
            if isinstance(outcome, RoutingFailure):
                pending.failed(outcome)
            elif outcome is not None and pending.answered is not None:
                pending.answered(outcome)
        except Exception:
            self.log.failure("whoever waited for an answer failed")
        self._tell_idle(left)
        self._tell_idle(origin)

    def _leave(self, pending: Pending) -> Link | None:
        """Nobody has it now; returns who had it."""
        link, pending.link = pending.link, None
        if link is not None:
            self._deadlines.clear(pending, pending.share)
            _take(self._by_link, link, pending)
        return link

    def _tell_idle(self, link: Link | None) -> None:
        if link is not None and link not in self._by_link and link not in self._by_origin:
            self._idle(link)


def budget_of(command: Parcel, max_timeout: float) -> float:
    """Seconds that a command is worth waiting for: its timeout, at most ``max_timeout`` (protocol.md 2 and 6.2)."""
    return min(command.timeout / 1000 or max_timeout, max_timeout)


def _weight(parcel: Parcel) -> int:
    return len(parcel.raw) + OVERHEAD * parcel.count


def _put(table: dict[Link, dict[Pending, None]], link: Link, pending: Pending) -> None:
    of_link = table.get(link)
    if of_link is None:
        table[link] = {pending: None}
    else:
        of_link[pending] = None


def _take(table: dict[Link, dict[Pending, None]], link: Link, pending: Pending) -> None:
    of_link = table[link]
    del of_link[pending]
    if not of_link:
        del table[link]


def length_of(parcel: Parcel) -> int:
    """The length of an envelope in bytes, as ``max_frame`` counts; of a run the most that one of its frames has."""
    return len(parcel.raw) - LENGTH.size


def accepts(link: Link, parcel: Parcel) -> bool:
    """Whether the peer reads a frame so long; one that it refuses would break every connection of the session."""
    return length_of(parcel) <= link.max_frame


def is_free(link: Link) -> bool:
    """Not congested (protocol.md 6.7)."""
    return not link.congested and not link.full


def validated(links: Iterable[Link]) -> list[Link]:
    """Those whose component's secret the cluster has accepted."""
    return [link for link in links if link.validated]
