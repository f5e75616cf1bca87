"""Tenants, validation, events, heartbeats and requests: what a member does with them (protocol.md 9)."""

from __future__ import annotations

from gandalf.routing.charge import Charge
from gandalf.routing.failures import RoutingFailure
from gandalf.routing.link import Link
from gandalf.routing.testing import TENANT, run_of
from gandalf.store.errors import DatabaseUnavailable, StoreError
from gandalf.wire import kinds
from gandalf.wire.envelope import Frame
from tests.unit.cluster.support import OTHER, RouterCase


class TenantAndValidationTest(RouterCase):
    """Who may send what."""

    def test_wrong_tenant(self) -> None:
        """A frame whose tenant is not the link's is answered; nobody else hears of it, no trace has it."""
        for kind in sorted(kinds.ROUTED):
            with self.subTest(kind):
                frame = self.make(kind, {}, tenant=OTHER)
                self.assertIsNone(self.router.route(frame, self.a))
                self.assert_error(self.a, "WRONG_TENANT", frame, "'tenant2'")
                self.assert_nothing_else()
        self.assertEqual((self.recorded(), self.recorded(kinds.COMMAND), self.requests), ([], [], []))
        self.assertEqual({tenant for tenant, _, _ in self.records}, {TENANT})

    def test_not_validated(self) -> None:
        """Before its secret is accepted an aggregator may send its own secret only; the rest leaves no record."""
        self.a.validated = False
        for kind in sorted(kinds.ROUTED - {kinds.SECRET}):
            with self.subTest(kind):
                frame = self.make(kind, {})
                self.router.route(frame, self.a)
                self.assert_error(self.a, "NOT_VALIDATED", frame)
        relayed = self.make(kinds.SECRET, {}, target="connector1")
        self.router.route(relayed, self.a)
        self.assert_error(self.a, "NOT_VALIDATED", relayed)
        self.assertEqual((self.records, self.requests), ([], []))
        own = self.make(kinds.SECRET, {})
        self.router.route(own, self.a)
        self.assertEqual(self.requests, [(own, self.a)])
        self.assert_nothing_else()

    def test_refused_before_validation_acts_after_it(self) -> None:
        """A frame that was refused is no duplicate when it comes again."""
        self.a.validated = False
        event = self.make.event()
        self.router.route(event, self.a)
        self.a.validated = True
        self.a.take()
        self.router.route(event, self.a)
        self.assertEqual(self.b.take(), [event])

    def test_malformed_body(self) -> None:
        """What a rule has to read and cannot is answered."""
        for kind, body in (
            (kinds.EVENT, {"topic": 1}),
            (kinds.COMMAND, {"context": []}),
            (kinds.CONFIG, {"context": {"connector_type": 1}}),
            (kinds.HEARTBEAT, {"context": 1}),
        ):
            with self.subTest(kind):
                frame = self.make(kind, body)
                self.assertIsNone(self.router.route(frame, self.a))
                self.assert_error(self.a, "MALFORMED", frame, "body: ")
        self.assert_nothing_else()


class EventTest(RouterCase):
    """Events."""

    def test_an_event_waits_for_longer_than_the_window_remembers(self) -> None:
        """It is recorded and spread once, and counts for both links when the trace has it."""
        self.commits = False
        event = self.make.event()
        first = self.router.route(event, self.a)
        for _ in range(2000):
            self.router.route(self.make.event(), self.a)
        self.b.take()
        fresh = self.make.event()
        self.assertIsNone(self.router.route_run(run_of([event, fresh]), self.b))
        self.assertEqual(self.recorded().count(fresh.uuid), 0)
        again = self.router.route(event, self.b)
        assert first is not None and again is not None
        self.assertEqual((self.recorded().count(event.uuid), self.a.take()), (1, []))
        for _, _, done in self.records:
            done(None)
        self.assertTrue(first.settled and again.settled)
        self.assertEqual(self.router.counters["duplicates"], 1)

    def test_event(self) -> None:
        """To every validated aggregator of the tenant but the origin, as it came; recorded in the tenant's trace."""
        late = self.link("aggregator1")
        late.validated = False
        event = self.make.event(target="somebody")
        charge = self.router.route(event, self.a)
        self.assertIs(self.b.take()[0], event)
        self.assertEqual(late.take(), [])
        self.assert_nothing_else()
        assert charge is not None
        self.assertTrue(charge.settled)
        ((tenant, record, _),) = self.records
        self.assertEqual((tenant, record.uuid, record.target), (TENANT, event.uuid, "somebody"))
        self.assertEqual((record.received_at, record.member), (1_000_000, "127.0.0.1:9100"))

    def test_counts_when_recorded(self) -> None:
        """It goes on at once, and counts when the trace has it; so does a duplicate that comes meanwhile."""
        self.commits = False
        event = self.make.event()
        charge = self.router.route(event, self.a)
        self.assertEqual(self.b.take(), [event])
        duplicate = self.router.route(event, self.b)
        self.assertIs(duplicate, charge)
        assert isinstance(charge, Charge)
        self.assertFalse(charge.settled)
        self.assertEqual(self.router.unsettled, 1)
        self.records[0][2](None)
        self.assertTrue(charge.settled)
        self.assertEqual(self.router.unsettled, 0)
        self.assertIsNone(self.router.route(event, self.b))
        self.assertEqual(self.router.counters["duplicates"], 2)
        self.assertEqual(len(self.records), 1)
        self.assert_nothing_else()

    def test_trace_refuses(self) -> None:
        """What the trace cannot hold is answered, and counts: it would hold up all that follows."""
        self.commits = False
        event = self.make.event()
        charge = self.router.route(event, self.a)
        self.b.take()
        self.records[0][2](StoreError("no"))
        self.assert_error(self.a, "MALFORMED", event, "trace")
        assert charge is not None
        self.assertTrue(charge.settled)

    def test_trace_closed(self) -> None:
        """What the trace did not take because this member ends never counts: it comes again elsewhere."""
        self.commits = False
        charge = self.router.route(self.make.event(), self.a)
        self.records[0][2](DatabaseUnavailable("closed"))
        assert charge is not None
        self.assertFalse(charge.settled)
        self.assertEqual(self.router.unsettled, 0)
        self.assertEqual(self.a.take(), [])

    def test_own_error_event_comes_back(self) -> None:
        """An error event made here that comes back by way of a brother is dropped."""
        command = self.command(target="absent")
        self.router.route(command, self.a)
        (error,) = self.a.take()
        self.router.route(error, self.b)
        self.assert_nothing_else()

    def test_error_event_of_others(self) -> None:
        """An error event about what is not pending here is recorded, and goes no further."""
        error = self.error_about(self.make.event())
        charge = self.router.route(error, self.a)
        assert charge is not None
        self.assertTrue(charge.settled)
        self.assert_nothing_else()
        self.assertEqual(self.router.counters["late errors"], 1)
        self.assertEqual([record.uuid for _, record, _ in self.records], [error.uuid])

    def test_topic_error_of_a_connector(self) -> None:
        """An event that merely has the topic error is an event as any: without reference, or of another name."""
        for event in (
            self.make(kinds.EVENT, {"topic": "error", "event": "TIMEOUT"}),
            self.make(kinds.EVENT, {"topic": "error", "event": "DISK_FULL"}, reference=b"r" * 16),
        ):
            self.router.route(event, self.a)
            self.assertEqual(self.b.take(), [event])

    def test_broken_link_gets_events_later(self) -> None:
        """Events for a link that is broken are kept for it; for a link that is gone they are not."""
        self.b.disconnect()
        self.router.link_lost(self.b)
        self.router.route(self.make.event(), self.a)
        self.assertEqual(len(self.b.take()), 1)
        self.router.link_gone(self.b)
        self.router.route(self.make.event(), self.a)
        self.assertEqual(self.b.take(), [])


class HoldTest(RouterCase):
    """When a trace cannot keep up."""

    def test_hold(self) -> None:
        """The aggregators of that tenant are not read, nor those that come meanwhile; the others are."""
        self.router.hold(TENANT, True)
        late = self.link("aggregator1")
        self.assertEqual([link.paused for link in (self.a, self.b, late, self.other)], [True, True, True, False])
        self.assertEqual(self.router.held, frozenset({TENANT}))
        self.router.hold(TENANT, False)
        self.assertEqual([link.paused for link in (self.a, self.b, late, self.other)], [False] * 4)
        self.assertEqual(self.router.held, frozenset())


class HeartbeatTest(RouterCase):
    """Heartbeats."""

    def beat(self, target: str = "", **context: object) -> None:
        """A heartbeat over ``a``."""
        heartbeat = self.make(kinds.HEARTBEAT, {"event": "HEARTBEAT", "context": context}, target=target)
        self.assertIsNone(self.router.route(heartbeat, self.a))

    def test_names_as_long_as_a_frame(self) -> None:
        """Are none: nobody is remembered by them."""
        link = self.link("aggregator1")
        for key in ("logical_name", "connector_type"):
            context = {"component_type": "connector", "logical_name": "git", key: "x" * 257}
            frame = self.make(kinds.HEARTBEAT, {"event": "HEARTBEAT", "context": context})
            self.router.route(frame, link)
            self.assert_error(link, "MALFORMED", frame)
        self.assertEqual(0, len(self.presence))

    def test_connector(self) -> None:
        """A connector's makes it present behind the link, speaking what it says."""
        self.beat(component_type="connector", logical_name="git", connector_type="vcs")
        self.assertEqual(self.presence.links(TENANT, "git"), [self.a])
        self.assertEqual(self.presence.claiming(TENANT, "vcs"), ["git"])
        self.beat("hg", component_type="connector", logical_name="other")
        self.assertEqual(self.presence.behind(self.a), frozenset({"git", "hg"}))

    def test_aggregator(self) -> None:
        """An aggregator's makes nobody present, nor does one without a name."""
        self.beat(component_type="aggregator", logical_name="aggregator1")
        self.beat(component_type="connector")
        self.beat()
        self.assertEqual(len(self.presence), 0)
        self.assert_nothing_else()
        self.assertEqual(self.records, [])


class RequestTest(RouterCase):
    """What the member answers by itself."""

    def test_no_more_are_taken(self) -> None:
        """The asker is told."""
        link = self.link("aggregator1")

        def full(frame: Frame, link: Link) -> None:
            raise RoutingFailure("OVERLOADED", "too many")

        self.router._request = full
        frame = self.make(kinds.CONFIGURATION, {"command": "GET"})
        self.assertIsNone(self.router.route(frame, link))
        self.assert_error(link, "OVERLOADED", frame, "too many")

    def test_requests(self) -> None:
        """Requests are handed on, once."""
        for kind in (
            kinds.SECRET,
            kinds.CONFIGURATION,
            kinds.LOGICAL_CONFIGURATION,
            kinds.CONFIGURATION_DATABASE,
        ):
            with self.subTest(kind):
                request = self.make(kind, {})
                self.router.route(request, self.a)
                self.router.route(request, self.a)
                self.assertEqual(self.requests.pop(), (request, self.a))
                self.assertEqual(self.requests, [])
        self.assert_nothing_else()

    def test_replies(self) -> None:
        """A member asks nothing, so what answers something is dropped and counted."""
        self.router.route(self.make(kinds.CONFIGURATION, {}, reference=b"r" * 16), self.a)
        self.assertEqual(self.requests, [])
        self.assertEqual(self.router.counters["replies that nobody asked for"], 1)

    def test_present(self) -> None:
        """An answer goes to who asked; if that is gone to a brother that may have it; else it waits."""
        self.assertIs(self.router.present(self.a), self.a)
        self.a.disconnect()
        self.assertIs(self.router.present(self.a), self.b)
        self.b.validated = False
        self.assertIs(self.router.present(self.a), self.a)
        self.other.disconnect()
        self.assertIs(self.router.present(self.other), self.other)

    def test_an_answer_while_who_asked_is_away(self) -> None:
        """A brother hears it, and does not know the question: it also waits for who asked, while that is kept."""
        asked = self.make(kinds.CONFIGURATION, {})
        replies = [self.make(kinds.CONFIGURATION, {"command": "X_REPLY"}, reference=asked.uuid) for _ in range(3)]
        self.router.reply(self.a, replies[0])
        self.a.disconnect()
        self.router.reply(self.a, replies[1])
        self.router.link_gone(self.a)
        self.router.reply(self.a, replies[2])
        self.assertEqual((self.a.take(), self.b.take()), (replies[:2], replies[1:]))
