"""6.1 Event, and when one counts as taken charge of (protocol.md 5.3)."""

from __future__ import annotations

from gandalf.routing.charge import SETTLED
from gandalf.routing.link import CLUSTER, CONNECTOR
from gandalf.routing.testing import FakeLink, run_of
from gandalf.wire.envelope import LENGTH, make_frame
from gandalf.wire.kinds import EVENT
from tests.unit.routing.support import Error, RoutingCase


class EventWithoutTarget(RoutingCase):
    """Sent on every validated connection except the origin."""

    def test_from_a_connector(self) -> None:
        """To both members, to the origin's brother and all other connectors; not to who is not validated."""
        frame = self.make.event()
        everyone = (self.member1, self.member2, self.git2, self.flow)
        self.route(frame, self.git1, {link: [frame] for link in everyone})

    def test_from_the_cluster(self) -> None:
        """To the other cluster connections too, and to all validated connectors; not back to the origin."""
        frame = self.make.event()
        everyone = (self.member2, self.git1, self.git2, self.flow)
        self.assertIsNone(self.route(frame, self.member1, {link: [frame] for link in everyone}))

    def test_bytes_as_they_came(self) -> None:
        """A body that is no map is nobody's business: the frame goes on byte by byte."""
        frame = make_frame(EVENT, self.make.uuid(), "tenant1", "", None, 0, 0, b"\xc1 not MessagePack")
        sent: list[bytes] = []
        self.router.route(frame, self.git1)
        for link in (self.member1, self.member2, self.git2, self.flow):
            sent += [each.raw for each in link.take()]
        self.assertEqual(sent, [frame.raw] * 4)

    def test_kept_for_connections_that_are_broken(self) -> None:
        """A session that may be resumed gets what would have gone there (5.3)."""
        frame = self.make.event()
        for link in (self.git2, self.member2):
            link.disconnect()
        everyone = (self.member1, self.member2, self.git2, self.flow)
        self.route(frame, self.git1, {link: [frame] for link in everyone})

    def test_kept_for_members_that_have_not_accepted_our_secret_yet(self) -> None:
        """The link below sends it as soon as it may; it must not be lost to a member that starts anew."""
        self.member2.validated = False
        frame = self.make.event()
        everyone = (self.member1, self.member2, self.git2, self.flow)
        self.route(frame, self.git1, {link: [frame] for link in everyone})

    def test_what_comes_from_the_cluster_is_safe_already(self) -> None:
        """Another member need not be kept what the cluster has: it may be let go when that one's link is full."""
        self.drop(self.make.event(), self.member1)
        self.assertEqual([charge for _, charge in self.member2.sent], [SETTLED])


class Topics(RoutingCase):
    """A connector whose link named topics receives only those."""

    TABLE = (
        # What the connectors ask for, the topic, whether they get it.
        (("a.b",), "a.b", True),
        (("a.b",), "a.c", False),
        (("a.*",), "a.b", True),
        (("a.*",), "a.b.c", False),
        (("a.*",), "a", False),
        (("*.b",), "a.b", True),
        (("a.>",), "a.b", True),
        (("a.>",), "a.b.c.d", True),
        (("a.>",), "a", False),
        ((">",), "a", True),
        (("x", "a.>"), "a.b", True),
        (("x", "y"), "a.b", False),
        ((), "a.b", False),
        (None, "a.b", True),
    )

    def test_topics_of_connectors(self) -> None:
        """``*`` is one word, ``>`` one or more; without topics everything is received, whoever the origin is."""
        for patterns, topic, wanted in self.TABLE:
            for origin in (self.flow, self.member1):
                self.git1.topics = self.git2.topics = patterns
                self.router.link_up(self.git1)
                frame = self.make.event(topic)
                expected = {link: [frame] for link in (self.member1, self.member2, self.flow) if link is not origin}
                if wanted:
                    expected |= {self.git1: [frame], self.git2: [frame]}
                self.route(frame, origin, expected)

    def test_topics_of_each_connection_by_itself(self) -> None:
        """Brothers may ask for different things."""
        self.git1.topics = ("a.>",)
        self.git2.topics = ("b.>",)
        frame = self.make.event("b.c")
        self.route(frame, self.member1, {self.member2: [frame], self.git2: [frame], self.flow: [frame]})

    def test_topic_that_cannot_be_read(self) -> None:
        """Who named topics does not get an event whose topic cannot be read; everybody else does."""
        self.git1.topics = (">",)
        for body in (b"\xc1", b"\x80", b"\x81\xa5topic\xc0"):
            frame = make_frame(EVENT, self.make.uuid(), "tenant1", "", None, 0, 0, body)
            self.router.route(frame, self.member1)
            counts = [len(link.take()) for link in (self.git1, self.git2, self.flow, self.member2)]
            self.assertEqual(counts, [0, 1, 1, 1], body)


class EventWithTarget(RoutingCase):
    """Sent to every cluster connection and to every connection of that logical name, except the origin."""

    def test_from_a_connector(self) -> None:
        """To both members and both brothers; nobody else."""
        frame = self.make.event(target="git")
        everyone = (self.member1, self.member2, self.git1, self.git2)
        self.route(frame, self.flow, {link: [frame] for link in everyone})

    def test_from_a_brother(self) -> None:
        """The origin is left out, though it bears the name."""
        frame = self.make.event(target="git")
        self.route(frame, self.git1, {link: [frame] for link in (self.member1, self.member2, self.git2)})

    def test_from_a_connector_for_one_that_is_not_here(self) -> None:
        """To the cluster, which may know where it is."""
        frame = self.make.event(target="elsewhere")
        self.route(frame, self.git1, {self.member1: [frame], self.member2: [frame]})

    def test_from_the_cluster(self) -> None:
        """To the other member and both brothers."""
        frame = self.make.event(target="git")
        self.route(frame, self.member1, {link: [frame] for link in (self.member2, self.git1, self.git2)})

    def test_whatever_its_topics(self) -> None:
        """Topics are for events without target."""
        self.git1.topics = ("nothing.of.this",)
        frame = self.make.event("a.b", target="git")
        self.route(frame, self.member1, {link: [frame] for link in (self.member2, self.git1, self.git2)})

    def test_from_the_cluster_for_a_connector_that_is_not_here(self) -> None:
        """Dropped and counted: nobody gets it, the other member neither."""
        self.assertIsNone(self.route(self.make.event(target="elsewhere"), self.member1, {}))
        self.assertEqual(self.router.counters["events for nobody here"], 1)

    def test_from_the_cluster_for_a_connector_that_is_not_validated(self) -> None:
        """As if it were not here."""
        self.route(self.make.event(target="bare"), self.member1, {})
        self.assertEqual(self.router.counters["events for nobody here"], 1)

    def test_from_the_cluster_for_a_member(self) -> None:
        """A target is a connector's name; one that only a member bears is nobody's."""
        self.route(self.make.event(target="cluster"), self.member1, {})
        self.assertEqual(self.router.counters["events for nobody here"], 1)

    def test_not_to_brothers_that_are_not_validated(self) -> None:
        """A name that was claimed is not enough to receive what is meant for it."""
        self.git2.validated = False
        frame = self.make.event(target="git")
        self.route(frame, self.member1, {self.member2: [frame], self.git1: [frame]})


class EventCharges(RoutingCase):
    """An aggregator takes charge of an event from a connector when one cluster member has acknowledged it."""

    def test_settles_on_the_first_members_acknowledgement(self) -> None:
        """Not when it was sent, not when connectors have it; once one member has it, whichever."""
        for first, second in ((self.member1, self.member2), (self.member2, self.member1)):
            charge = self.drop(self.make.event(), self.git1)
            assert charge is not None
            for link in (self.git2, self.flow):
                link.acknowledge()
            self.assertFalse(charge.settled)
            self.assertEqual(self.router.unsettled, 1)
            first.acknowledge()
            self.assertTrue(charge.settled)
            self.assertEqual(self.router.unsettled, 0)
            second.acknowledge()
            self.assertEqual(self.router.unsettled, 0)

    def test_a_member_that_is_linked_later(self) -> None:
        """It too is given what no other has acknowledged, once and before what comes from then on."""
        self.links.remove(self.member2)
        safe, charged = self.make.event(), self.make.event()
        self.drop(safe, self.git1)
        self.member1.acknowledge()
        charge = self.drop(charged, self.git1)
        self.links.add(self.member2)
        for _ in range(2):
            self.router.to_cluster.member_linked(self.member2)
        later = self.make.event()
        self.drop(later, self.git1)
        self.assertEqual([frame for frame, _ in self.member2.sent], [charged, later])
        self.member1.disconnect()
        self.router.link_lost(self.member1)
        self.member2.acknowledge(1)
        self.assertTrue(charge is not None and charge.settled)
        for link in (self.member1, self.member2, self.git2, self.flow):
            link.take()

    def test_acknowledged_while_it_is_sent(self) -> None:
        """Settled before the rule is done."""
        self.member1.acknowledges = True
        charge = self.drop(self.make.event(), self.git1)
        self.assertTrue(charge is not None and charge.settled)
        self.assertEqual(self.router.unsettled, 0)

    def test_duplicate_of_an_event_not_yet_safe(self) -> None:
        """Dropped and counted as a duplicate; taken charge of when the first is, and not before."""
        frame = self.make.event()
        self.drop(frame, self.git1)
        settled: list[str] = []
        for origin in (self.git1, self.git2):
            charge = self.route(frame, origin, {})
            assert charge is not None
            charge.then(lambda: settled.append("counted"))
        self.assertEqual(settled, [])
        self.member2.acknowledge()
        self.assertEqual(settled, ["counted"] * 2)
        self.assertEqual(self.router.counters["duplicates"], 2)

    def test_duplicate_of_an_event_that_is_safe(self) -> None:
        """Dropped, counted, and taken charge of at once."""
        frame = self.make.event()
        self.drop(frame, self.git1)
        self.member1.acknowledge()
        self.assertIsNone(self.route(frame, self.git1, {}))
        self.assertEqual(self.router.counters["duplicates"], 1)

    def test_event_from_the_cluster_counts_at_once(self) -> None:
        """The cluster has it already."""
        self.assertIsNone(self.drop(self.make.event(), self.member1))


class EventsComingBack(RoutingCase):
    """An event that comes a second time, from wherever, is a duplicate (protocol.md 6.5)."""

    def test_from_the_cluster(self) -> None:
        """A connector's event does not come back to anybody by way of a member."""
        frame = self.make.event()
        self.drop(frame, self.git1)
        self.route(frame, self.member1, {})
        self.assertEqual(self.router.counters["duplicates"], 1)

    def test_from_both_members(self) -> None:
        """Two members that bring one event: it goes on once."""
        frame = self.make.event(target="git")
        self.drop(frame, self.member1)
        self.route(frame, self.member2, {})

    def test_from_a_connector_that_has_it_from_the_cluster(self) -> None:
        """Nor the other way round."""
        frame = self.make.event()
        self.drop(frame, self.member1)
        self.route(frame, self.flow, {})


class EventTooLarge(RoutingCase):
    """A peer is never sent a frame longer than it accepts: it would break the connection, again and again."""

    def test_longer_than_every_member_accepts(self) -> None:
        """``TOO_LARGE`` to the origin; nobody gets the event, and it is taken charge of."""
        frame = self.make.event()
        for member in (self.member1, self.member2):
            member.max_frame = len(frame.raw) - LENGTH.size - 1
        charge = self.route(frame, self.git1, {self.git1: [Error("TOO_LARGE", frame)]})
        self.assertTrue(charge is None or charge.settled)
        self.assertEqual(self.router.unsettled, 0)

    def test_longer_than_one_member_accepts(self) -> None:
        """The other has it."""
        frame = self.make.event()
        self.member1.max_frame = len(frame.raw) - LENGTH.size - 1
        self.member2.max_frame = len(frame.raw) - LENGTH.size
        self.route(frame, self.git1, {link: [frame] for link in (self.member2, self.git2, self.flow)})

    def test_from_one_member_to_another(self) -> None:
        """What one member sends, the other may not accept."""
        frame = self.make.event()
        self.member2.max_frame = len(frame.raw) - LENGTH.size - 1
        self.route(frame, self.member1, {link: [frame] for link in (self.git1, self.git2, self.flow)})

    def test_an_answer_that_is_too_large_still_ends_its_command(self) -> None:
        """The command was taken: nobody else is to be asked."""
        command = self.make.command(target="git")
        self.drop(command, self.member1)
        answer = self.make.event(reference=command.uuid)
        for member in (self.member1, self.member2):
            member.max_frame = 10
        self.route(answer, self.git1, {self.git1: [Error("TOO_LARGE", answer)]})
        self.assertEqual(self.router.pending, 0)


class Expired(RoutingCase):
    """Events that waited for a broken link for longer than their timeout (protocol.md 5.3)."""

    def test_no_member_has_it(self) -> None:
        """When the last link that kept it has let it go: ``EXPIRED`` to its origin only; it counts then."""
        frame = self.make.event(timeout=1000)
        charge = self.drop(frame, self.git1)
        assert charge is not None
        for _ in range(2):
            self.router.let_go(frame, charge, self.member1)
            self.assertSent({})
            self.assertFalse(charge.settled)
        self.router.let_go(frame, charge, self.member2)
        self.assertSent({self.git1: [Error("EXPIRED", frame)]})
        self.assertTrue(charge.settled)
        self.assertEqual(self.router.unsettled, 0)

    def test_a_member_has_it(self) -> None:
        """Nobody is told anything."""
        frame = self.make.event(timeout=1000)
        charge = self.drop(frame, self.git1)
        self.member1.acknowledge()
        for member in (self.member1, self.member2):
            self.router.let_go(frame, charge, member)
        self.assertSent({})

    def test_one_member_lets_it_go_and_another_takes_it(self) -> None:
        """It is delivered: no error."""
        frame = self.make.event(timeout=1000)
        charge = self.drop(frame, self.git1)
        assert charge is not None
        self.router.let_go(frame, charge, self.member1)
        self.member2.acknowledge()
        self.assertTrue(charge.settled)
        self.assertSent({})

    def test_one_member_lets_it_go_and_another_is_forgotten(self) -> None:
        """Its origin is told, in either order: else it would never count, nor whatever comes from there later."""
        for member in (self.member1, self.member2):
            self.router.to_cluster.member_linked(member)
        for forgotten_first in (True, False):
            lasting, short = self.make.event(), self.make.event(timeout=1000)
            charges = [self.drop(frame, self.git1) for frame in (lasting, short)]
            if not forgotten_first:
                self.router.let_go(short, charges[1], self.member2)
            self.links.remove(self.member1)
            self.router.link_gone(self.member1)
            if forgotten_first:
                self.assertSent({})
                self.router.let_go(short, charges[1], self.member2)
            self.assertSent({self.git1: [Error("EXPIRED", short)]})
            self.assertEqual([charge is not None and charge.settled for charge in charges], [False, True])
            self.links.add(self.member1)
            self.router.to_cluster.member_linked(self.member1)
            self.assertSent({self.member1: [lasting]})
            self.member2.acknowledge()

    def test_too_long_for_one_and_another_is_forgotten(self) -> None:
        """The origin is told so."""
        frame = self.make.event()
        charge = self.drop(frame, self.git1)
        self.member1.max_frame = 10
        self.router.let_go(frame, charge, self.member1)
        self.links.remove(self.member2)
        self.router.link_gone(self.member2)
        self.assertSent({self.git1: [Error("TOO_LARGE", frame)]})

    def test_what_a_forgotten_member_had_acknowledged(self) -> None:
        """Of that nobody is told that it is lost: only of the rest of the run."""
        frames = [self.make.event() for _ in range(3)]
        charge = self.router.route_run(run_of(frames), self.git1)
        assert charge is not None
        self.member1.acknowledge(1)
        short = self.links.add(FakeLink(CLUSTER, "cluster", label="short"))
        short.max_frame = 10
        self.router.to_cluster.member_linked(short)
        for link in self.links:
            link.take()
        for member in (self.member1, self.member2):
            self.links.remove(member)
            self.router.link_gone(member)
        self.assertSent({self.git1: [Error("TOO_LARGE", frame) for frame in frames[1:]]})
        self.assertTrue(charge.settled)

    def test_all_members_are_forgotten(self) -> None:
        """It waits for a new one, which is given it once."""
        frame = self.make.event()
        self.drop(frame, self.git1)
        for member in (self.member1, self.member2):
            self.links.remove(member)
            self.router.link_gone(member)
        self.assertSent({})
        new = self.links.add(FakeLink(CLUSTER, "cluster", label="new"))
        self.router.to_cluster.member_linked(new)
        self.router.link_up(new)
        self.assertSent({new: [frame]})

    def test_too_long_for_all_by_now(self) -> None:
        """Members that were started anew accept less: ``TOO_LARGE`` when the last has let it go."""
        frame = self.make.event()
        charge = self.drop(frame, self.git1)
        assert charge is not None
        self.member1.max_frame = self.member2.max_frame = 10
        self.router.let_go(frame, charge, self.member1)
        self.assertSent({})
        self.router.let_go(frame, charge, self.member2)
        self.assertSent({self.git1: [Error("TOO_LARGE", frame)]})
        self.assertTrue(charge.settled)

    def test_what_is_no_event_of_a_connector(self) -> None:
        """A command has its own timer; what was sent to a connector is its brothers' too: nobody is told."""
        command = self.make.command(timeout=1000)
        self.drop(command, self.git1)
        self.router.let_go(command, None, self.member1)
        self.router.let_go(self.make.event(), SETTLED, self.git2)
        self.assertSent({})
        self.drop(self.make.event(reference=command.uuid), self.member1)


class NoClusterLink(RoutingCase):
    """No member is known at all."""

    def test_an_event_waits(self) -> None:
        """Connectors have it at once; its origin is read no more; the first member that links gets it."""
        self.links.remove(self.member1)
        self.links.remove(self.member2)
        frame = self.make.event()
        charge = self.route(frame, self.git1, {self.git2: [frame], self.flow: [frame]})
        assert charge is not None
        self.assertTrue(self.git1.paused)
        self.links.add(self.member1)
        self.router.link_up(self.git2)
        self.router.link_up(self.member1)
        self.assertSent({self.member1: [frame]})
        self.assertFalse(self.git1.paused)
        self.assertFalse(charge.settled)
        self.member1.acknowledge()
        self.assertTrue(charge.settled)

    def test_an_event_that_the_member_does_not_accept(self) -> None:
        """Its origin is told when a member is there, and it counts."""
        self.links.remove(self.member1)
        self.links.remove(self.member2)
        frame = self.make.event(target="git")
        charge = self.route(frame, self.git1, {self.git2: [frame]})
        self.member1.max_frame = 10
        self.links.add(self.member1)
        self.router.link_up(self.member1)
        self.assertSent({self.git1: [Error("TOO_LARGE", frame)]})
        self.assertTrue(charge is not None and charge.settled)


class Sessions(RoutingCase):
    """Connections by name and type."""

    def test_a_connector_named_as_the_cluster(self) -> None:
        """Type and name together: what is for the cluster's connections is not for a connector of that name."""
        other = FakeLink(CONNECTOR, "cluster", label="impostor")
        self.links.add(other)
        self.assertEqual(self.links.named(CLUSTER, "cluster"), [self.member1, self.member2])
        command = self.make.command()
        self.route(command, self.git1, {self.member1: [command]})
        self.drop(self.make.event(reference=command.uuid), self.member1)
