"""Two routers to which the same happens, one of which works in runs: nobody may be able to tell them apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.task import Clock

from gandalf.routing.charge import Charge
from gandalf.routing.fallthrough import FallThrough
from gandalf.routing.link import Link
from gandalf.routing.testing import FakeLink
from gandalf.shoset.session import Inbox
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame
from gandalf.wire.framing import FrameReader
from gandalf.wire.runs import Run
from tests.unit.wire.support import EXAMPLES

_any = st.integers(0, 59)
"""One of the links: 60 can be divided by any small number of them."""


class Router(Protocol):
    """What both kinds of router have."""

    def route(self, frame: Frame, origin: Link) -> Charge | None: ...

    def route_run(self, run: Run, origin: Link) -> Charge | None: ...

    def link_up(self, link: Link) -> None: ...

    def link_lost(self, link: Link) -> None: ...


class Side:
    """A router and those around it.

    :param in_runs: whether what comes in one chunk is worked on in one piece where that can be.
    """

    router: Router

    def __init__(self, links: Mapping[str, FakeLink], *, in_runs: bool) -> None:
        self.in_runs = in_runs
        self.clock = Clock()
        self.links = links
        self.inboxes = {name: Inbox(lambda: None) for name in links}

    def arrive(self, name: str, frames: list[Frame]) -> None:
        """``frames`` come in one chunk."""
        link, inbox = self.links[name], self.inboxes[name]
        chunk = b"".join(frame.raw for frame in frames)
        reader = FrameReader(8 << 20)
        for parcel in reader.feed_parcels(chunk) if self.in_runs else reader.feed(chunk):
            if isinstance(parcel, Run):
                charge = self.router.route_run(parcel, link)
                if charge is not None:
                    inbox.take(charge, parcel.count)
                    continue
            for frame in parcel.frames():
                inbox.take(self.router.route(frame, link))

    def shown(self) -> dict[str, object]:
        """All that anybody could tell from outside. Error events may come in another order, under other uuids."""
        told: dict[str, object] = {}
        for name, link in self.links.items():
            bodies = [(frame, unpack_body(frame.body)) for frame, _ in link.sent]
            told[name] = [frame.raw for frame, body in bodies if body.get("topic") != "error"]
            told[f"errors to {name}"] = sorted(
                (frame.reference or b"", frame.target, json.loads(body["payload"])["message"])
                for frame, body in bodies
                if body.get("topic") == "error"
            )
            told[f"state of {name}"] = (link.paused, link.dismissed, self.inboxes[name].received)
        return told

    @staticmethod
    def pending(*tables: FallThrough) -> list[tuple[bytes, str, int]]:
        """Each frame on its way, where it is, and to how many it was sent."""
        return sorted(
            (uuid, repr(pending.link), pending.tried)
            for table in tables
            for pending in table
            for uuid in table.unanswered(pending).uuids
        )


class Twins(RuleBasedStateMachine):
    """What happens to both; a kind of router adds what comes to it."""

    sides: tuple[Side, Side]

    def __init__(self) -> None:
        super().__init__()
        self.known: list[Frame] = []

    def name(self, number: int) -> str:
        """Of one of the links."""
        names = list(self.sides[0].links)
        return names[number % len(names)]

    def arrive(self, number: int, frames: list[Frame]) -> None:
        """Frames come from one of the links, on both sides."""
        self.known = [*self.known, *frames][-20:]
        for side in self.sides:
            side.arrive(self.name(number), frames)

    @rule(number=_any, data=st.data())
    def again(self, number: int, data: st.DataObject) -> None:
        """Frames that came before, from there or from elsewhere."""
        if self.known:
            self.arrive(number, data.draw(st.lists(st.sampled_from(self.known), min_size=1, max_size=4)))

    @rule(number=_any, count=st.integers(1, 8))
    def acknowledge(self, number: int, count: int) -> None:
        """A peer has taken charge of some."""
        for side in self.sides:
            link = side.links[self.name(number)]
            link.acknowledge(min(count, len(link.sent) - link.acknowledged))

    @rule(number=_any, there=st.booleans())
    def link(self, number: int, there: bool) -> None:
        """A connection breaks, or is there again."""
        for side in self.sides:
            link = side.links[self.name(number)]
            if there:
                link.reconnect()
                side.router.link_up(link)
            else:
                link.disconnect()
                side.router.link_lost(link)

    @rule(number=_any, congested=st.booleans())
    def congest(self, number: int, congested: bool) -> None:
        """A connection has too much to send, or no longer."""
        for side in self.sides:
            side.links[self.name(number)].congested = congested

    @rule(number=_any, max_frame=st.sampled_from([100, 8 << 20]))
    def accept(self, number: int, max_frame: int) -> None:
        """What a peer accepts."""
        for side in self.sides:
            side.links[self.name(number)].max_frame = max_frame

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        for side in self.sides:
            side.clock.pump([0.25] * round(seconds / 0.25))

    @invariant()
    def same(self) -> None:
        """Nobody can tell them apart."""
        one, other = (side.shown() for side in self.sides)
        for key, value in other.items():
            assert one[key] == value, key


def run_twins(machine: type[Twins]) -> None:
    """Try a machine."""
    run_state_machine_as_test(
        machine,
        settings=settings(EXAMPLES, max_examples=200, stateful_step_count=30),
    )
