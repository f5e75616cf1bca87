"""Commands and configs: resolved, sent, and fallen through (protocol.md 9 and 6.2)."""

from __future__ import annotations

from gandalf.routing.testing import FakeLink, run_of
from gandalf.store.errors import DatabaseUnavailable
from gandalf.wire import kinds
from gandalf.wire.envelope import LENGTH, Frame
from tests.unit.cluster.support import OTHER, RouterCase


class CommandTest(RouterCase):
    """Where a command goes."""

    def take_command(self, link: FakeLink, command: Frame, target: str) -> None:
        """``link`` was sent ``command`` for ``target``, and nothing else."""
        (sent,) = link.take()
        self.assertEqual(
            (sent.kind, sent.uuid, sent.tenant, sent.target, sent.timeout, sent.body),
            (command.kind, command.uuid, command.tenant, target, command.timeout, command.body),
        )

    def end(self, command: Frame, link: FakeLink) -> None:
        """A receipt comes over ``link``."""
        self.router.route(self.make.event("DO", "TAKEN", reference=command.uuid), link)
        self.assertEqual(self.router.pending, 0)

    def test_with_target(self) -> None:
        """To the link that has the target, its bytes as they came; recorded; it counts at once."""
        self.presence.seen(self.b, "git")
        command = self.command(target="git", timeout=3000)
        self.assertIsNone(self.router.route(command, self.a))
        self.assertIs(self.b.take()[0], command)
        self.assert_nothing_else()
        self.assertEqual(self.recorded(kinds.COMMAND), [command.uuid])
        self.assertEqual(self.router.pending, 1)
        self.end(command, self.b)
        self.assertEqual(len(self.a.take()), 1)

    def test_back_to_the_origin(self) -> None:
        """The connector may be behind the very aggregator that the command came from."""
        self.presence.seen(self.a, "git")
        command = self.command(target="git")
        self.router.route(command, self.a)
        self.take_command(self.a, command, "git")
        self.end(command, self.a)

    def test_by_pivot(self) -> None:
        """To a present component that speaks the pivot, with target set."""
        self.speak(vcs=("absent", "git"))
        self.presence.seen(self.b, "git")
        self.presence.seen(self.b, "jira")
        command = self.command("vcs")
        self.router.route(command, self.a)
        self.take_command(self.b, command, "git")
        self.assert_nothing_else()
        self.end(command, self.b)

    def test_by_heartbeat(self) -> None:
        """A connector of which nothing is stored speaks what it says; one of which something is, what is stored."""
        self.speak(workflow=("py",))
        self.presence.seen(self.b, "git", "vcs")
        self.presence.seen(self.b, "py", "vcs")
        for _ in range(2):
            command = self.command("vcs")
            self.router.route(command, self.a)
            self.take_command(self.b, command, "git")
            self.end(command, self.b)
            self.a.take()

    def test_waits_for_what_is_not_known(self) -> None:
        """When nobody is found the components are looked up once more; the command counts when it is pending."""
        self.presence.seen(self.b, "git")
        command = self.command("vcs")
        charge = self.router.route(command, self.a)
        assert charge is not None
        self.assertFalse(charge.settled)
        self.assertIs(self.router.route(command, self.a), charge)
        self.assertEqual(self.router.pending, 1)
        self.assert_nothing_else()
        self.lookups.pop().callback({"vcs": ("git",)})
        self.assertTrue(charge.settled)
        self.take_command(self.b, command, "git")
        self.end(command, self.b)
        self.assertEqual(self.lookups, [])

    def test_a_look_up_takes_longer_than_the_window_remembers(self) -> None:
        """A command that comes again meanwhile, alone or in a run, is the same: it goes out once, and counts once."""
        self.presence.seen(self.b, "git")
        command = self.command("vcs")
        first = self.router.route(command, self.a)
        for _ in range(2000):
            self.router.route(self.make.event(tenant=OTHER), self.other)
        again = self.router.route(command, self.a)
        assert first is not None and again is not None
        self.presence.seen(self.b, "git", "vcs")
        self.assertIsNone(self.router.route_run(run_of([command, self.command("vcs")]), self.a))
        self.other.take()
        self.lookups.pop().callback({"vcs": ("git",)})
        self.assertTrue(first.settled and again.settled)
        self.take_command(self.b, command, "git")
        self.end(command, self.b)
        self.assertEqual(self.recorded(kinds.COMMAND), [command.uuid])

    def test_nobody(self) -> None:
        """NO_ROUTE at once, saying what was looked for; the trace has the command and the error event."""
        self.speak(vcs=tuple(f"git{number:02}" for number in range(12)))
        for command, text in (
            (self.command(target="git"), "connector 'git' of tenant 'tenant1' is not present"),
            (self.command("vcs"), "none of the components of tenant 'tenant1' that speak 'vcs' is present: git00, "),
            (self.command("vcs"), "git09 and 2 more"),
            (self.command("ci"), "no logical component of tenant 'tenant1' speaks the pivot 'ci'"),
            (self.command(), "neither a target nor"),
        ):
            with self.subTest(text):
                self.assertIsNone(self.router.route(command, self.a))
                self.assert_error(self.a, "NO_ROUTE", command, text)
                self.assertIn(command.uuid, self.recorded(kinds.COMMAND))
        self.assert_nothing_else()

    def test_database_away(self) -> None:
        """When the components cannot be looked up the sender is told that as well."""
        command = self.command("vcs")
        self.router.route(command, self.a)
        self.lookups.pop().errback(DatabaseUnavailable("away"))
        self.assert_error(self.a, "NO_ROUTE", command, "the database could not be asked")

    def test_database_slow(self) -> None:
        """A look-up may take the command's budget and no more."""
        command = self.command("vcs", timeout=2000)
        self.router.route(command, self.a)
        self.clock.advance(2)
        self.assert_error(self.a, "NO_ROUTE", command, "could not be asked in time")
        self.lookups.pop().callback({})
        self.assert_nothing_else()

    def test_look_up_takes_from_the_budget(self) -> None:
        """What a look-up takes is missing from the time that components have to answer."""
        self.presence.seen(self.b, "git")
        command = self.command("vcs", timeout=2000)
        self.router.route(command, self.a)
        self.clock.advance(1.5)
        self.lookups.pop().callback({"vcs": ("git",)})
        self.b.take()
        self.clock.advance(0.5)
        self.assert_error(self.a, "TIMEOUT", command)

    def test_not_validated_link_has_nobody(self) -> None:
        """A link whose own secret does not hold any more is no candidate."""
        self.presence.seen(self.b, "git")
        self.b.validated = False
        command = self.command(target="git")
        self.router.route(command, self.a)
        self.assert_error(self.a, "NO_ROUTE", command)

    def test_unavailable_and_congested(self) -> None:
        """A broken link is no candidate, nor is a congested one while another is free."""
        self.presence.seen(self.a, "git")
        self.presence.seen(self.b, "git")
        self.b.congested = True
        for _ in range(2):
            command = self.command(target="git")
            self.router.route(command, self.a)
            self.take_command(self.a, command, "git")
            self.end(command, self.a)
            self.b.take()
        self.a.congested = True
        command = self.command(target="git")
        self.router.route(command, self.a)
        self.assert_error(self.a, "OVERLOADED", command)

    def test_longer_with_its_target(self) -> None:
        """A name that is set makes it longer than the link accepts: the link would be refused, each time anew."""
        self.speak(vcs=("git",))
        self.presence.seen(self.b, "git")
        for kind in (kinds.COMMAND, kinds.CONFIG):
            body = {"command": "DO", "context": {"connector_type": "vcs"}}
            resolved, given = self.make(kind, body), self.make(kind, body, target="git")
            self.b.max_frame = len(given.raw) - LENGTH.size - 1
            self.assertIsNone(self.router.route(resolved, self.a))
            self.assert_error(self.a, "TOO_LARGE", resolved)
            self.assert_nothing_else()
            self.b.max_frame += 1
            for frame in (given, self.make(kind, body)):
                self.assertIsNone(self.router.route(frame, self.a))
                self.take_command(self.b, frame, "git")
                if kind == kinds.COMMAND:
                    self.end(frame, self.b)
                    self.a.take()

    def test_a_run_longer_with_its_target(self) -> None:
        """Its frames are short enough."""
        self.speak(vcs=("git",))
        self.presence.seen(self.b, "git")
        commands = [self.command("vcs") for _ in range(3)]
        run = run_of(commands)
        self.a.max_frame = self.b.max_frame = len(run.raw) - LENGTH.size
        self.assertIsNone(self.router.route_run(run, self.a))
        for command in commands:
            self.router.route(command, self.a)
            self.take_command(self.b, command, "git")
            self.end(command, self.b)
            self.a.take()

    def test_largest_timeout(self) -> None:
        """The budget is the command's timeout, at most max_timeout; 0 is max_timeout."""
        self.presence.seen(self.b, "git")
        for timeout in (0, 60_000):
            command = self.command(target="git", timeout=timeout)
            self.router.route(command, self.a)
            self.clock.advance(9.9)
            self.assertEqual(self.a.take(), [])
            self.clock.advance(0.1)
            self.assert_error(self.a, "TIMEOUT", command)


class FallThroughTest(RouterCase):
    """Going on to the next."""

    def setUp(self) -> None:
        super().setUp()
        for link in (self.a, self.b):
            self.presence.seen(link, "git")

    def sent(self) -> list[tuple[FakeLink, str]]:
        """Who was sent a command just now, and for whom."""
        links = (self.a, self.b)
        return [(link, frame.target) for link in links for frame in link.take() if frame.kind == kinds.COMMAND]

    def test_shares(self) -> None:
        """Each candidate has its share of the budget; when all were tried the sender is told."""
        command = self.command(target="git", timeout=1000)
        self.router.route(command, self.a)
        self.assertEqual(self.sent(), [(self.a, "git")])
        self.clock.advance(0.5)
        self.assertEqual(self.sent(), [(self.b, "git")])
        self.clock.advance(0.5)
        self.assert_error(self.a, "TIMEOUT", command, "2 connections")
        self.assert_nothing_else()

    def test_components_take_turns(self) -> None:
        """Of several components all are met once before one is met over another link; the start rotates."""
        self.speak(vcs=("git", "hg"))
        for link in (self.a, self.b):
            self.presence.seen(link, "hg")
        expected = [(self.a, "git"), (self.a, "hg"), (self.b, "git"), (self.b, "hg")]
        for start in range(4):
            self.router.route(self.command("vcs", timeout=4000), self.a)
            met = self.sent()
            for _ in range(3):
                self.clock.advance(1)
                met += self.sent()
            self.assertEqual(met, expected[start:] + expected[:start])
            self.clock.advance(1)
            self.a.take()

    def test_error_from_who_has_it(self) -> None:
        """The next is tried at once; when that cannot either, the sender is told its reason."""
        command = self.command(target="git")
        self.router.route(command, self.a)
        self.sent()
        self.router.route(self.error_about(command, message="a is full"), self.a)
        self.assertEqual(self.sent(), [(self.b, "git")])
        self.router.route(self.error_about(command, "NO_ROUTE", "b has nobody"), self.b)
        self.assert_error(self.a, "NO_ROUTE", command, "aggregator1 about git: b has nobody")
        self.assert_nothing_else()

    def test_error_then_silence(self) -> None:
        """What an earlier candidate said does not count when the last one is silent."""
        command = self.command(target="git", timeout=1000)
        self.router.route(command, self.a)
        self.router.route(self.error_about(command), self.a)
        self.sent()
        self.clock.advance(0.5)
        self.assert_error(self.a, "TIMEOUT", command)

    def test_late_error(self) -> None:
        """An error event from who had it before is recorded and changes nothing."""
        command = self.command(target="git", timeout=1000)
        self.router.route(command, self.a)
        self.clock.advance(0.5)
        self.sent()
        self.router.route(self.error_about(command), self.a)
        self.assertEqual(self.router.pending, 1)
        self.router.route(self.make.event(reference=command.uuid), self.b)
        self.assertEqual(self.router.pending, 0)
        self.a.take()
        self.router.route(self.error_about(command), self.b)
        self.assert_nothing_else()

    def test_error_without_words(self) -> None:
        """An error event whose payload says nothing readable is as good as any."""
        for body in ("no JSON", "[]", "", "[" * 100_000):
            command = self.command(target="git")
            self.router.route(command, self.a)
            for _ in range(2):
                ((link, _),) = self.sent()
                error = self.make(
                    kinds.EVENT, {"topic": "error", "event": "OVERLOADED", "payload": body}, reference=command.uuid
                )
                self.router.route(error, link)
            self.assert_error(self.a, "OVERLOADED", command, "no reason was given")

    def test_answer_from_anywhere(self) -> None:
        """The first event that refers to it ends it, whichever aggregator brings it, and is distributed."""
        command = self.command(target="git")
        self.router.route(command, self.a)
        self.sent()
        receipt = self.make.event("DO", "TAKEN", reference=command.uuid)
        self.router.route(receipt, self.b)
        self.assertEqual(self.router.pending, 0)
        self.assertEqual(self.a.take(), [receipt])
        self.assert_nothing_else()

    def test_other_tenant_answers(self) -> None:
        """An event of another tenant ends nothing, nor does its error event."""
        command = self.command(target="git", timeout=1000)
        self.router.route(command, self.a)
        self.sent()
        for event in (self.make.event(reference=command.uuid), self.error_about(command)):
            self.router.route(event.replace(tenant=self.other.tenant), self.other)
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.router.pending, 1)
        self.clock.advance(0.5)
        self.clock.advance(0.5)
        self.assertEqual(self.router.pending, 0)

    def test_link_lost(self) -> None:
        """When the connection that has it breaks, the next gets it at once."""
        command = self.command(target="git")
        self.router.route(command, self.b)
        self.assertEqual(self.sent(), [(self.a, "git")])
        self.a.disconnect()
        self.router.link_lost(self.a)
        self.assertEqual(self.sent(), [(self.b, "git")])
        self.router.route(self.make.event(reference=command.uuid), self.b)

    def test_origin_gone(self) -> None:
        """The error event about a command whose connection is gone goes to a brother of who sent it."""
        self.presence.gone(self.b)
        self.presence.gone(self.a)
        holder = self.link("aggregator9")
        self.presence.seen(holder, "git")
        command = self.command(target="git", timeout=1000)
        self.router.route(command, self.a)
        self.a.disconnect()
        self.router.link_lost(self.a)
        self.clock.advance(1)
        self.assert_error(self.b, "TIMEOUT", command)
        self.assertEqual(self.a.take(), [])


class ConfigTest(RouterCase):
    """Configs."""

    def test_config(self) -> None:
        """Resolved like a command, sent once, with target set; nothing waits, nothing is recorded."""
        self.speak(vcs=("git",))
        self.presence.seen(self.b, "git")
        for config in (
            self.make(kinds.CONFIG, {"command": "SET", "context": {"connector_type": "vcs"}}),
            self.make(kinds.CONFIG, {"command": "SET"}, target="git"),
        ):
            self.assertIsNone(self.router.route(config, self.a))
            (sent,) = self.b.take()
            self.assertEqual((sent.uuid, sent.target, sent.body), (config.uuid, "git", config.body))
        self.assertEqual((self.router.pending, self.records), (0, []))

    def test_nobody(self) -> None:
        """Nobody there is NO_ROUTE; everybody congested is OVERLOADED."""
        config = self.make(kinds.CONFIG, {"command": "SET"}, target="git")
        self.router.route(config, self.a)
        self.assert_error(self.a, "NO_ROUTE", config)
        self.presence.seen(self.b, "git")
        self.b.congested = True
        config = self.make(kinds.CONFIG, {"command": "SET"}, target="git")
        self.router.route(config, self.a)
        self.assert_error(self.a, "OVERLOADED", config)


class EndTest(RouterCase):
    """Ending in good order."""

    def test_leaving(self) -> None:
        """A link that leaves is finished when it neither has nor waits for anything."""
        finished: list[str] = []
        self.presence.seen(self.b, "git")
        command = self.command(target="git")
        self.router.route(command, self.a)
        self.router.leaving(self.a, lambda: finished.append("a"))
        self.router.leaving(self.b, lambda: finished.append("b"))
        self.router.leaving(self.other, lambda: finished.append("other"))
        self.assertEqual(finished, ["other"])
        self.router.route(self.make.event(reference=command.uuid), self.b)
        self.assertEqual(sorted(finished), ["a", "b", "other"])

    def test_leaving_while_looking_up(self) -> None:
        """So is one whose command still waits for its components to be looked up."""
        finished: list[str] = []
        self.router.route(self.command("vcs"), self.a)
        self.router.leaving(self.a, lambda: finished.append("a"))
        self.assertEqual(finished, [])
        self.lookups.pop().callback({})
        self.assertEqual(finished, ["a"])

    def test_quiet(self) -> None:
        """Quiet is when no command is on its way and every event is recorded; the answer that ends one included."""
        self.presence.seen(self.b, "git")
        command = self.command(target="git")
        self.router.route(command, self.a)
        self.commits = False
        quiet = self.router.quiet()
        self.router.route(self.make.event(reference=command.uuid), self.b)
        self.assertEqual(self.router.pending, 0)
        self.assertNoResult(quiet)
        self.records[-1][2](None)
        self.successResultOf(quiet)
        self.successResultOf(self.router.quiet())
