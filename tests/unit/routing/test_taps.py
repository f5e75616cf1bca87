"""Taps: whoever in this process listens to what passes."""

from __future__ import annotations

from gandalf.routing.aggregator import AggregatorRouter
from gandalf.wire.envelope import LENGTH, Frame
from tests.unit.routing.support import OTHER_TENANT, Error, RoutingCase

HERE = "aggregator1"


class Taps(RoutingCase):
    """A tap hears of each event that is routed, and changes nothing."""

    def setUp(self) -> None:
        """One tap."""
        super().setUp()
        self.heard: list[Frame] = []
        self.router.taps.append(self.heard.append)

    def new_router(self, **changes: object) -> AggregatorRouter:
        """A router that knows its name."""
        return super().new_router(**{"logical_name": HERE, **changes})

    def test_events_of_connectors_and_of_the_cluster(self) -> None:
        """With and without target, and sent on as without a tap."""
        members, others = (self.member1, self.member2), (self.git2, self.flow)
        events = [self.make.event(target=target) for target in ("", "", "flow", "flow")]
        self.route(events[0], self.git1, {link: [events[0]] for link in (*members, *others)})
        self.route(events[1], self.member1, {link: [events[1]] for link in (self.member2, self.git1, *others)})
        self.route(events[2], self.git1, {link: [events[2]] for link in (self.member1, self.member2, self.flow)})
        self.route(events[3], self.member1, {link: [events[3]] for link in (self.member2, self.flow)})
        self.assertEqual(self.heard, events)

    def test_for_a_connector_that_is_not_here(self) -> None:
        """It is heard though it is dropped; one for this process itself is not counted as dropped."""
        elsewhere, here = self.make.event(target="elsewhere"), self.make.event(target=HERE)
        self.route(elsewhere, self.member1, {})
        self.route(here, self.member1, {})
        self.assertEqual(self.heard, [elsewhere, here])
        self.assertEqual(self.router.counters["events for nobody here"], 1)

    def test_once(self) -> None:
        """A duplicate is not heard, over whichever link it comes."""
        event = self.make.event()
        for origin in (self.git1, self.git1, self.git2, self.member1):
            self.drop(event, origin)
        self.assertEqual(self.heard, [event])

    def test_what_is_not_routed(self) -> None:
        """Not heard: another tenant's, one of a connector that is not validated, one too large for the cluster."""
        wrong, unproved, large = self.make.event(tenant=OTHER_TENANT), self.make.event(), self.make.event()
        self.drop(wrong, self.git1)
        self.drop(unproved, self.bare)
        for member in (self.member1, self.member2):
            member.max_frame = len(large.raw) - LENGTH.size - 1
        self.route(large, self.git1, {self.git1: [Error("TOO_LARGE", large)]})
        self.assertEqual(self.heard, [])

    def test_events_only(self) -> None:
        """A command is not heard; the event that answers it is."""
        command = self.make.command()
        self.drop(command, self.git1)
        answer = self.make.event("DO", "TAKEN", reference=command.uuid, target="git")
        self.drop(answer, self.member1)
        self.assertEqual(self.heard, [answer])

    def test_without_the_cluster(self) -> None:
        """An event that waits for a member is heard when it comes, and not again when it is sent on."""
        for member in (self.member1, self.member2):
            self.links.remove(member)
        event = self.make.event()
        self.drop(event, self.git1)
        self.links.add(self.member1)
        self.router.link_up(self.member1)
        self.assertSent({self.member1: [event]})
        self.assertEqual(self.heard, [event])

    def test_one_that_fails(self) -> None:
        """It is logged; the event goes its way, and the next tap hears it."""

        def failing(frame: Frame) -> None:
            raise ZeroDivisionError

        self.router.taps.insert(0, failing)
        event = self.make.event(target="flow")
        self.route(event, self.git1, {link: [event] for link in (self.member1, self.member2, self.flow)})
        self.assertEqual(self.heard, [event])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_one_that_leaves_while_it_hears(self) -> None:
        """The others hear the event all the same."""

        def leaving(frame: Frame) -> None:
            self.router.taps.remove(leaving)

        self.router.taps.insert(0, leaving)
        for _ in range(2):
            self.drop(self.make.event(target="elsewhere"), self.member1)
        self.assertEqual(len(self.heard), 2)
        self.assertEqual(self.router.taps, [self.heard.append])
