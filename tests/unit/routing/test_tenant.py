"""What comes before the rules: the tenant rule, and who may send at all (protocol.md 6)."""

from __future__ import annotations

from gandalf.routing.link import CLUSTER
from gandalf.routing.testing import TENANT, FakeLink
from gandalf.wire import kinds
from tests.unit.routing.support import KINDS, OTHER_TENANT, Error, RoutingCase

TENANT_RULE = ("evt", "cmd", "config")


class TenantRule(RoutingCase):
    """A frame of another tenant is not transmitted."""

    def test_wrong_tenant_from_a_connector(self) -> None:
        """``WRONG_TENANT`` goes to each cluster connection and to the origin; not to its brother, nor anybody."""
        for kind in TENANT_RULE:
            frame = self.make(kind, {"topic": "t"}, tenant=OTHER_TENANT, target="flow")
            error = Error("WRONG_TENANT", frame)
            self.route(frame, self.git1, {self.git1: [error], self.member1: [error], self.member2: [error]})
        self.assertEqual(self.router.errors.counts, {"WRONG_TENANT": 3})

    def test_wrong_tenant_from_the_cluster(self) -> None:
        """The origin is told once, the other cluster connections too; no connector is, not even the target."""
        for kind in TENANT_RULE:
            frame = self.make(kind, {"topic": "t"}, tenant=OTHER_TENANT, target="git")
            error = Error("WRONG_TENANT", frame)
            self.route(frame, self.member1, {self.member1: [error], self.member2: [error]})

    def test_the_tenant_rule_comes_before_validation(self) -> None:
        """A connection that is not validated hears of its wrong tenant, and so does the cluster."""
        for kind in TENANT_RULE:
            frame = self.make(kind, {}, tenant=OTHER_TENANT)
            error = Error("WRONG_TENANT", frame)
            self.route(frame, self.bare, {self.bare: [error], self.member1: [error], self.member2: [error]})

    def test_an_event_of_a_wrong_tenant_is_taken_charge_of(self) -> None:
        """Answered with an error: it counts at once (protocol.md 5.3)."""
        self.assertIsNone(self.drop(self.make.event(tenant=OTHER_TENANT), self.git1))

    def test_an_answer_of_a_wrong_tenant_ends_nothing(self) -> None:
        """An event of another tenant is not the answer to a command."""
        command = self.make.command()
        self.drop(command, self.git1)
        self.drop(self.make.event(reference=command.uuid, tenant=OTHER_TENANT), self.member1)
        self.assertEqual(self.router.pending, 1)
        self.drop(self.make.event(reference=command.uuid), self.member1)
        self.assertEqual(self.router.pending, 0)

    def test_the_error_event_bears_the_aggregators_tenant(self) -> None:
        """So the cluster takes it, and nobody answers it in turn."""
        frame = self.make.event(tenant=OTHER_TENANT)
        self.router.route(frame, self.git1)
        for link in (self.git1, self.member1, self.member2):
            (error,) = link.take()
            self.assertEqual((error.tenant, error.kind, error.reference), (TENANT, "evt", frame.uuid))

    def test_an_error_event_of_a_wrong_tenant_is_not_answered(self) -> None:
        """It is dropped; that it came is seen by the operator."""
        self.route(self.make.event("error", "TIMEOUT", tenant=OTHER_TENANT), self.git1, {})
        self.route(self.make.event("error", "TIMEOUT", tenant=OTHER_TENANT), self.member1, {})
        self.assertEqual(self.router.errors.counts, {"WRONG_TENANT": 2})

    def test_errors_for_an_absent_cluster_stop_their_cause(self) -> None:
        """What waits for an absent cluster is bounded: whoever makes it grow is read no more (5.3, 6.7)."""
        for member in (self.member1, self.member2):
            member.disconnect()
        self.drop(self.make.event(tenant=OTHER_TENANT), self.git1)
        self.assertEqual([link for link in self.links if link.paused], [self.git1])

    def test_an_error_that_one_member_has_need_not_be_kept_for_the_other(self) -> None:
        """One charge for all members: a full link may let go of what another has taken charge of."""
        self.drop(self.make.event(tenant=OTHER_TENANT), self.git1)
        charges = [charge for member in (self.member1, self.member2) for _, charge in member.sent]
        self.member2.acknowledge()
        self.assertEqual([charge is not None and charge.settled for charge in charges], [True, True])

    def test_the_other_kinds_have_no_tenant_rule(self) -> None:
        """``configuration``, ``logicalConfiguration`` and ``secret`` of any tenant go on, under our own."""
        for kind in ("configuration", "logicalConfiguration", "secret"):
            frame = self.make(kind, {}, tenant=OTHER_TENANT)
            self.router.route(frame, self.git1)
            (sent,) = self.member1.take() + self.member2.take()
            self.assertEqual((sent.uuid, sent.tenant), (frame.uuid, TENANT))


class Counted(RoutingCase):
    """What an operator sees of what passed."""

    def test_frames_by_kind(self) -> None:
        """Each frame that a rule was applied to, once; none that was refused before, and no duplicate."""
        for kind in KINDS:
            frame = self.make(kind, {}, reference=self.make.uuid())
            self.drop(frame, self.member1)
            self.drop(frame, self.member1)
        self.drop(self.make.event(tenant=OTHER_TENANT), self.git1)
        self.drop(self.make.event(), self.bare)
        self.assertEqual([self.router.counters[kind] for kind in KINDS], [1] * len(KINDS))
        self.assertEqual(self.router.counters["duplicates"], len(KINDS))


class NotValidated(RoutingCase):
    """A connection that is not validated may send ``secret`` only."""

    def test_a_connector_that_is_not_validated(self) -> None:
        """Everything but ``secret`` is answered with ``NOT_VALIDATED``, to the origin only."""
        for kind in KINDS:
            if kind != kinds.SECRET:
                frame = self.make(kind, {"topic": "t"}, target="git")
                charge = self.route(frame, self.bare, {self.bare: [Error("NOT_VALIDATED", frame)]})
                self.assertIsNone(charge)

    def test_a_member_that_has_not_accepted_our_secret_yet(self) -> None:
        """It is the cluster that judges secrets: what it sends is routed all the same."""
        member3 = FakeLink(CLUSTER, "cluster", label="member3", validated=False)
        self.links.add(member3)
        frame = self.make.event(target="git")
        self.route(frame, member3, {link: [frame] for link in (self.member1, self.member2, self.git1, self.git2)})

    def test_secret_may_be_sent(self) -> None:
        """It is what validation begins with."""
        frame = self.make(kinds.SECRET, {"command": "VALIDATION"})
        self.route(frame, self.bare, {self.member1: [frame.replace(target="bare")]})

    def test_what_was_refused_may_be_sent_again_once_validated(self) -> None:
        """A refused frame was not seen: under the same uuid it is no duplicate afterwards."""
        frame = self.make.event()
        self.drop(frame, self.bare)
        self.bare.validated = True
        everyone = (self.member1, self.member2, self.git1, self.git2, self.flow)
        self.route(frame, self.bare, {link: [frame] for link in everyone})

    def test_an_error_event_is_not_answered(self) -> None:
        """Not even when its sender is not validated."""
        self.route(self.make.event("error", "TIMEOUT"), self.bare, {})
