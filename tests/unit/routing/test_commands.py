"""6.2 Command."""

from __future__ import annotations

from gandalf.routing.testing import FakeLink, run_of
from gandalf.wire.envelope import LENGTH, Frame
from tests.unit.routing.support import MAX_TIMEOUT, Error, RoutingCase, event_answers


class CommandFromAConnector(RoutingCase):
    """Candidates are the connections to the cluster."""

    def test_first_candidate_answers(self) -> None:
        """It goes to one member; the answer ends it, and goes to whom it is for, as any event."""
        command = self.make.command()
        self.assertIsNone(self.route(command, self.git1, {self.member1: [command]}))
        self.assertEqual(self.router.pending, 1)
        answer = event_answers(command, self.make, target="git")
        self.route(answer, self.member1, {link: [answer] for link in (self.member2, self.git1, self.git2)})
        self.assertEqual(self.router.pending, 0)
        self.pass_time(2 * MAX_TIMEOUT)

    def test_target_changes_nothing(self) -> None:
        """A command for a connector that is here goes to the cluster all the same, which records it."""
        command = self.make.command(target="flow")
        self.route(command, self.git1, {self.member1: [command]})
        self.drop(event_answers(command, self.make), self.member1)

    def test_rotating_start(self) -> None:
        """Another member is the first each time."""
        for member in (self.member1, self.member2, self.member1):
            command = self.make.command()
            self.route(command, self.git1, {member: [command]})
            self.drop(event_answers(command, self.make), member)

    def test_falls_through_at_the_share(self) -> None:
        """The share is budget / candidates: 2 s for each of two, of 4 s; then all were tried."""
        command = self.make.command(timeout=4000)
        self.route(command, self.git1, {self.member1: [command]})
        self.pass_time(1.999)
        self.assertSent({})
        self.pass_time(0.001)
        self.assertSent({self.member2: [command]})
        self.pass_time(1.999)
        self.assertSent({})
        self.pass_time(0.001)
        self.assertSent({self.git1: [Error("TIMEOUT", command)]})
        self.assertEqual(self.router.pending, 0)

    def test_budgets(self) -> None:
        """Timeout 0 is ``max_timeout``; what is longer is cut to it."""
        for timeout, budget in (
            (0, MAX_TIMEOUT),
            (60_000, MAX_TIMEOUT),
            (2**63, MAX_TIMEOUT),
            (10_000, MAX_TIMEOUT),
            (1, 0.001),
        ):
            command = self.make.command(timeout=timeout)
            self.router.route(command, self.git1)
            self.pass_time(budget * 0.499)
            self.assertEqual(len(self.member1.take() + self.member2.take()), 1, timeout)
            self.pass_time(budget * 0.002)
            self.assertEqual(len(self.member1.take() + self.member2.take()), 1, timeout)
            self.pass_time(budget * 0.498)
            self.assertSent({})
            self.pass_time(budget * 0.002)
            self.assertSent({self.git1: [Error("TIMEOUT", command)]})

    def test_at_once_to_the_next_when_the_connection_breaks(self) -> None:
        """No waiting for the share; what the next one has is its own share."""
        command = self.make.command(timeout=4000)
        self.drop(command, self.git1)
        self.pass_time(0.5)
        self.member1.disconnect()
        self.router.link_lost(self.member1)
        self.assertSent({self.member2: [command]})
        self.pass_time(1.999)
        self.assertSent({})
        self.member2.disconnect()
        self.router.link_lost(self.member2)
        self.assertSent({self.git1: [Error("TIMEOUT", command)]})

    def test_a_broken_connection_that_has_it_no_more(self) -> None:
        """Whose share is over may break without any effect."""
        command = self.make.command(timeout=4000)
        self.drop(command, self.git1)
        self.pass_time(2)
        self.assertSent({self.member2: [command]})
        self.router.link_lost(self.member1)
        self.assertSent({})
        self.drop(event_answers(command, self.make), self.member2)

    def test_several_on_a_connection_that_breaks(self) -> None:
        """Each goes on, in order."""
        self.member2.available = False
        commands = [self.make.command() for _ in range(3)]
        for command in commands:
            self.route(command, self.git1, {self.member1: [command]})
        self.member2.available = True
        self.router.link_lost(self.member1)
        # The candidates are those of when it came.
        self.assertSent({self.git1: [Error("TIMEOUT", command) for command in commands]})

    def test_congested_candidates_are_skipped(self) -> None:
        """While another is free, a congested or full member is no candidate: the other has the whole budget."""
        for attribute in ("congested", "full"):
            setattr(self.member1, attribute, True)
            for _ in range(2):
                command = self.make.command(timeout=4000)
                self.route(command, self.git1, {self.member2: [command]})
                self.pass_time(3.999)
                self.assertSent({})
                self.pass_time(0.001)
                self.assertSent({self.git1: [Error("TIMEOUT", command)]})
            setattr(self.member1, attribute, False)

    def test_congested_when_its_turn_comes(self) -> None:
        """The next is passed over at once when it is congested or full by then."""
        for attribute in ("congested", "full", "available"):
            command = self.make.command(timeout=4000)
            self.router.route(command, self.git1)
            first = self.member1 if self.member1.take() else self.member2
            second = self.member2 if first is self.member1 else self.member1
            self.forget_sent()
            setattr(second, attribute, attribute != "available")
            self.pass_time(2)
            self.assertSent({self.git1: [Error("TIMEOUT", command)]})
            setattr(second, attribute, attribute == "available")

    def test_all_congested(self) -> None:
        """``OVERLOADED`` at once, to the origin only."""
        self.member1.congested = True
        self.member2.full = True
        command = self.make.command()
        self.assertIsNone(self.route(command, self.git1, {self.git1: [Error("OVERLOADED", command)]}))

    def test_no_candidate(self) -> None:
        """``NO_ROUTE`` at once: none connected, or none that has accepted our secret."""
        self.member1.disconnect()
        self.member2.validated = False
        command = self.make.command()
        self.route(command, self.git1, {self.git1: [Error("NO_ROUTE", command)]})
        self.assertEqual(self.router.pending, 0)

    def test_longer_than_members_accept(self) -> None:
        """Members that accept no such frame are no candidates; ``TOO_LARGE`` when that is all of them."""
        command = self.make.command()
        self.member1.max_frame = len(command.raw) - LENGTH.size - 1
        self.route(command, self.git1, {self.member2: [command]})
        self.drop(event_answers(command, self.make), self.member2)
        self.member2.max_frame = len(command.raw) - LENGTH.size - 1
        command = self.make.command()
        self.route(command, self.git1, {self.git1: [Error("TOO_LARGE", command)]})

    def test_who_would_accept_its_length_is_congested(self) -> None:
        """``OVERLOADED``: later it could be carried, which ``TOO_LARGE`` would deny."""
        self.member1.max_frame = 10
        self.member2.congested = True
        command = self.make.command()
        self.route(command, self.git1, {self.git1: [Error("OVERLOADED", command)]})

    def test_any_event_with_the_reference_ends_it(self) -> None:
        """Whatever it says and whoever sends it: a brother, another member, an error event of the cluster."""
        answers: list[tuple[FakeLink, str, str]] = [
            (self.git2, "DO", "TAKEN"),
            (self.member1, "DO", "SUCCESS"),
            (self.member2, "error", "NO_ROUTE"),
        ]
        for origin, topic, event in answers:
            command = self.make.command()
            self.drop(command, self.git1)
            answer = self.make.event(topic, event, reference=command.uuid, target="flow")
            expected = {link: [answer] for link in (self.member1, self.member2, self.flow) if link is not origin}
            self.route(answer, origin, expected)
            self.assertEqual(self.router.pending, 0)

    def test_only_the_reference_counts(self) -> None:
        """An event without reference, or with another, ends nothing."""
        command = self.make.command()
        self.drop(command, self.git1)
        for reference in (None, self.make.uuid()):
            self.drop(self.make.event("DO", "TAKEN", reference=reference), self.member1)
        self.assertEqual(self.router.pending, 1)
        self.drop(event_answers(command, self.make), self.member1)

    def test_only_events_end_it(self) -> None:
        """A reply of another kind does not."""
        command = self.make.command()
        self.drop(command, self.git1)
        for kind in ("configuration", "secret", "config", "heartbeat"):
            self.drop(self.make(kind, {}, reference=command.uuid), self.member1)
        self.assertEqual(self.router.pending, 1)
        self.drop(event_answers(command, self.make), self.member1)

    def test_late_answers(self) -> None:
        """After the timeout, and after the first answer, events about a command are routed as any event."""
        command = self.make.command(timeout=1000)
        self.drop(command, self.git1)
        self.pass_time(0.5)
        self.pass_time(0.5)
        self.assertSent({self.member2: [command], self.git1: [Error("TIMEOUT", command)]})
        for event in ("TAKEN", "PROGRESS", "SUCCESS"):
            answer = event_answers(command, self.make, event, target="git")
            self.route(answer, self.member1, {link: [answer] for link in (self.member2, self.git1, self.git2)})
        self.assertEqual(self.router.errors.counts, {"TIMEOUT": 1})

    def test_answer_of_a_candidate_whose_share_is_over(self) -> None:
        """It still ends the command, wherever that is now."""
        command = self.make.command(timeout=4000)
        self.drop(command, self.git1)
        self.pass_time(2)
        self.assertSent({self.member2: [command]})
        answer = event_answers(command, self.make, target="git")
        self.route(answer, self.member1, {link: [answer] for link in (self.member2, self.git1, self.git2)})
        self.assertEqual(self.router.pending, 0)

    def test_duplicates(self) -> None:
        """A command sent twice, by whatever brother, acts once."""
        command = self.make.command()
        self.drop(command, self.git1)
        self.assertIsNone(self.route(command, self.git1, {}))
        self.assertIsNone(self.route(command, self.git2, {}))
        self.assertEqual(self.router.counters["duplicates"], 2)
        self.drop(event_answers(command, self.make), self.member1)
        self.route(command, self.git1, {})

    def test_duplicate_of_one_that_is_pending_for_longer_than_the_window_remembers(self) -> None:
        """It is a duplicate all the same."""
        self.router = self.new_router(duplicate_window=2)
        self.router.open()
        command = self.make.command()
        self.drop(command, self.git1)
        for _ in range(5):
            self.drop(self.make.event(), self.git1)
        self.route(command, self.git2, {})
        self.assertEqual(self.router.counters["duplicates"], 1)
        self.drop(event_answers(command, self.make), self.member1)


class CommandFromTheCluster(RoutingCase):
    """Candidates are the connections of the connector named ``target``."""

    def test_one_connection_of_the_target(self) -> None:
        """It goes to one brother, and to the other after its share; nobody else is involved."""
        command = self.make.command(target="git", timeout=4000)
        self.assertIsNone(self.route(command, self.member1, {self.git1: [command]}))
        self.pass_time(2)
        self.assertSent({self.git2: [command]})
        answer = event_answers(command, self.make, target="flow")
        self.route(answer, self.git2, {link: [answer] for link in (self.member1, self.member2, self.flow)})
        self.assertEqual(self.router.pending, 0)

    def test_rotating_start_for_each_target_by_itself(self) -> None:
        """Commands for others do not change whose turn it is."""
        turns: list[tuple[str, FakeLink]] = [
            ("git", self.git1),
            ("flow", self.flow),
            ("git", self.git2),
            ("flow", self.flow),
            ("git", self.git1),
        ]
        for target, expected in turns:
            command = self.make.command(target=target)
            self.route(command, self.member1, {expected: [command]})
            self.drop(event_answers(command, self.make), expected)

    def test_nobody_of_that_name(self) -> None:
        """``NO_ROUTE`` to the asking member only: unknown, without target, not validated, or gone."""
        for target in ("unknown", "", "bare", "cluster"):
            command = self.make.command(target=target)
            self.route(command, self.member1, {self.member1: [Error("NO_ROUTE", command)]})
        for link in (self.git1, self.git2):
            link.disconnect()
        command = self.make.command(target="git")
        self.route(command, self.member2, {self.member2: [Error("NO_ROUTE", command)]})

    def test_all_tried(self) -> None:
        """``TIMEOUT`` to the asking member only."""
        command = self.make.command(target="git", timeout=1000)
        self.drop(command, self.member2)
        self.pass_time(0.5)
        self.pass_time(0.5)
        self.assertSent({self.git2: [command], self.member2: [Error("TIMEOUT", command)]})

    def test_all_congested(self) -> None:
        """``OVERLOADED`` to the asking member only."""
        for link in (self.git1, self.git2):
            link.congested = True
        command = self.make.command(target="git")
        self.route(command, self.member1, {self.member1: [Error("OVERLOADED", command)]})

    def test_at_once_to_the_brother_when_the_connection_breaks(self) -> None:
        """As towards the cluster."""
        command = self.make.command(target="git")
        self.drop(command, self.member1)
        self.git1.disconnect()
        self.router.link_lost(self.git1)
        self.assertSent({self.git2: [command]})
        self.drop(event_answers(command, self.make), self.git2)

    def test_second_member_asks_the_same(self) -> None:
        """The cluster falls through to us a second time under one uuid: the connector is not asked twice."""
        command = self.make.command(target="git")
        self.drop(command, self.member1)
        self.route(command, self.member2, {})
        self.assertEqual(self.router.counters["duplicates"], 1)
        self.drop(event_answers(command, self.make), self.git1)

    def test_answer_by_way_of_the_cluster(self) -> None:
        """The connector answered through another instance: that ends it here too, though nobody here gets it."""
        command = self.make.command(target="git")
        self.drop(command, self.member1)
        self.route(event_answers(command, self.make, target="elsewhere"), self.member2, {})
        self.assertEqual(self.router.pending, 0)


class CommandThatComesBack(RoutingCase):
    """A connector's command comes back from the cluster, resolved, under its own uuid."""

    def go_and_come_back(self) -> tuple[Frame, Frame]:
        """The command as the connector ``flow`` sent it, and as the cluster sends it on to ``git``."""
        command = self.make.command()
        self.route(command, self.flow, {self.member1: [command]})
        resolved = command.replace(target="git")
        self.route(resolved, self.member1, {self.git1: [resolved]})
        self.assertEqual(self.router.pending, 2)
        return command, resolved

    def test_its_receipt_ends_both(self) -> None:
        """One receipt: nothing is pending any more, and whoever asked has it."""
        command, _ = self.go_and_come_back()
        receipt = event_answers(command, self.make, target="flow")
        self.route(receipt, self.git1, {link: [receipt] for link in (self.member1, self.member2, self.flow)})
        self.assertEqual(self.router.pending, 0)

    def test_it_comes_back_once(self) -> None:
        """From the other member too it is a duplicate; from the connector as well."""
        command, resolved = self.go_and_come_back()
        self.route(resolved, self.member1, {})
        self.route(resolved, self.member2, {})
        self.route(command, self.flow, {})
        self.assertEqual(self.router.counters["duplicates"], 3)
        self.drop(event_answers(command, self.make), self.git1)

    def test_each_way_has_its_own_time(self) -> None:
        """The connectors' way times out for the cluster, the cluster's for the connector."""
        command = self.make.command(timeout=4000)
        self.drop(command, self.flow)
        resolved = command.replace(target="git")
        self.pass_time(1)
        self.drop(resolved, self.member1)
        self.pass_time(1)
        self.assertSent({self.member2: [command]})
        self.pass_time(1)
        self.assertSent({self.git2: [resolved]})
        self.pass_time(1)
        self.assertSent({self.flow: [Error("TIMEOUT", command)]})
        self.pass_time(1)
        self.assertSent({self.member1: [Error("TIMEOUT", resolved)]})

    def test_breaking_member(self) -> None:
        """The member that had it and sent it back breaks: only the way to the cluster goes on."""
        command, _ = self.go_and_come_back()
        self.member1.disconnect()
        self.router.link_lost(self.member1)
        self.assertSent({self.member2: [command]})
        self.drop(event_answers(command, self.make), self.git1)
        self.assertEqual(self.router.pending, 0)


class CommandErrors(RoutingCase):
    """What an unexpected failure does."""

    def test_a_rule_that_fails_is_logged(self) -> None:
        """Where the end of a command cannot be told, nothing is left behind but a line in the log."""
        self.drop(self.make.command(), self.git1)
        self.router.route_run(run_of([self.make.command(), self.make.command()]), self.git1)
        self.patch(self.router, "answer", lambda *arguments: 1 / 0)
        self.clock.pump([5.0] * 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.assertEqual(len(self.member1.take()) + len(self.member2.take()), 5)
        self.assertEqual(self.router.pending, 0)
