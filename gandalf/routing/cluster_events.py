"""Events on their way to the cluster, until one member has acknowledged them (protocol.md 5.3, 6.1 and 6.7)."""

from __future__ import annotations

from collections.abc import Callable

from gandalf.routing import failures
from gandalf.routing.charge import Charge
from gandalf.routing.fallthrough import accepts, is_free, length_of
from gandalf.routing.keeper import Keeper
from gandalf.routing.link import CLUSTER, Link, Links
from gandalf.routing.unsettled import EventCharge, Unsettled
from gandalf.wire.envelope import Frame
from gandalf.wire.runs import Parcel


class ClusterEvents:
    """Gives every event to every member, and none up before one has it.

    :param keeper: takes charge of events while the whole cluster is away; None: nobody does.
    :param answer: tells the origin of a frame why it was not carried.
    :param safe: called each time when events are settled.
    """

    def __init__(
        self,
        links: Links,
        keeper: Keeper | None,
        answer: Callable[[Frame, Link, str, str], None],
        safe: Callable[[], None],
    ) -> None:
        self.unsettled = Unsettled(safe)
        """What no member has acknowledged."""
        self._links = links
        self._keeper = keeper
        self._answer = answer
        self._adrift: list[EventCharge] = []
        self._known: set[Link] = set()
        """Members that are given every event, from the first on that was not safe when they were linked."""
        self._able: tuple[Link, ...] = ()
        """Who was given the latest: the same for many, which share it."""
        self._given: dict[EventCharge, None] = {}
        """What they were given and none has acknowledged, in order."""

    def send(self, parcel: Parcel, origin: Link) -> tuple[EventCharge, bool]:
        """``parcel`` has come from a connector. The second tells whether the cluster can have it; if not, its origin
        is told."""
        charge = self.unsettled.begin(parcel, origin)
        keeper = self._keeper
        if keeper is not None and keeper.keeping:
            keeper.keep(charge)
            return charge, True
        return charge, self._to_members(parcel, charge)

    def send_kept(self, charge: EventCharge) -> None:
        """The cluster is there: it is to have what ``charge`` is about now; the origin is told when it cannot.

        Nothing happens when it is settled, as by a member that had it before and is linked again.
        """
        if charge.settled:
            return
        if charge.parcel.count == 1 or all(accepts(link, charge.parcel) for link in self._links.of_type(CLUSTER)):
            self._to_members(charge.parcel, charge)
            return
        # Perhaps only some of its frames are too long.
        for each in charge.apart():
            self._to_members(each.parcel, each)

    def _to_members(self, parcel: Parcel, charge: EventCharge) -> bool:
        members = self._links.of_type(CLUSTER)
        if not members:
            self._adrift.append(charge)
            return True
        length = length_of(parcel)
        able = tuple([member for member in members if length <= member.max_frame])
        if able != self._able:
            self._able = able
        charge.keepers = self._able
        charge.given(self._given)
        for member in able:
            member.send(parcel, charge)
        if not able:
            message = f"{length} bytes is more than any cluster member accepts"
            for frame in parcel.frames():
                self._answer(frame, charge.origin, failures.TOO_LARGE, message)
            charge.settle()
        return bool(able)

    def let_go(self, frame: Frame, charge: Charge | None, member: Link) -> None:
        """``frame`` is kept for ``member`` no more: it waited for longer than its timeout (protocol.md 5.3), or is
        longer than the member accepts by now."""
        if not isinstance(charge, EventCharge) or charge.settled or member not in charge.keepers:
            return
        _leave(charge, member)
        if not charge.keepers:
            self._lost(frame, charge, too_long=not accepts(member, frame))

    def _lost(self, frame: Frame, charge: EventCharge, *, too_long: bool) -> None:
        """No member has it or will have it: its origin is told."""
        if too_long:
            code, message = failures.TOO_LARGE, f"{length_of(frame)} bytes is more than the cluster accepts"
        else:
            code, message = failures.EXPIRED, "the message was not delivered to the cluster within its timeout"
        self._answer(frame, charge.origin, code, message)
        charge.settle()

    # Members come and go.

    def member_linked(self, member: Link) -> None:
        """``member`` is linked, nothing was routed since: if it is new, it is given what no other has acknowledged.

        Else that would wait for those others, who may never come back, and what comes from now on would overtake it.
        """
        if member in self._known:
            return
        self._known.add(member)
        for charge in list(self._given):
            if accepts(member, charge.parcel) and member not in charge.keepers:
                member.send(charge.parcel, charge)
                charge.keepers += (member,)

    def member_up(self) -> None:
        """One that accepts events is there."""
        adrift, self._adrift = self._adrift, []
        for charge in adrift:
            self.send_kept(charge)
        if self._keeper is not None:
            self._keeper.cluster_back()

    def member_left(self) -> None:
        """One is no longer there: perhaps it was the last."""
        if self._keeper is None:
            return
        if not any(member.available and member.validated for member in self._links.of_type(CLUSTER)):
            self._keeper.cluster_left(self.unsettled)

    def member_gone(self, member: Link) -> None:
        """Its session is forgotten: what others had let go of is gone with it. Its origin is told.

        With no other member it waits for the next one.
        """
        self._known.discard(member)
        others = self._links.of_type(CLUSTER)
        for charge in [charge for charge in self._given if member in charge.keepers]:
            _leave(charge, member)
            if others and not charge.keepers:
                for frame in charge.parcel.frames()[charge.done :]:
                    self._lost(frame, charge, too_long=not any(accepts(other, frame) for other in others))

    # Whether more may come (protocol.md 6.7).

    def relieved(self) -> None:
        """A link takes frames again."""
        if self._keeper is not None:
            self._keeper.relieved()

    @property
    def taken(self) -> bool:
        """Whether more events are taken; else connectors are not to be read."""
        keeper = self._keeper
        if keeper is not None and keeper.keeping:
            return keeper.takes
        return self.members_take

    @property
    def members_take(self) -> bool:
        """Whether a member is there and takes frames."""
        for member in self._links.of_type(CLUSTER):
            if member.available and member.validated and is_free(member):
                return True
        return False


def _leave(charge: EventCharge, member: Link) -> None:
    charge.keepers = tuple([keeper for keeper in charge.keepers if keeper is not member])
