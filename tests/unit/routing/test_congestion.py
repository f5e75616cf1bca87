"""6.7 Congestion: who is read no more, and until when."""

from __future__ import annotations

from collections.abc import Callable

from gandalf.routing.testing import FakeLink
from tests.unit.routing.support import RoutingCase, event_answers


class Feeders(RoutingCase):
    """Towards a congested or absent cluster, the aggregator stops reading from its connectors."""

    def paused(self) -> list[FakeLink]:
        """Who is not read."""
        self.assertEqual(self.router.paused, len([link for link in self.links if link.paused]))
        return [link for link in self.links if link.paused]

    def cluster(self, attribute: str, value: bool) -> None:
        """Set an attribute of both members."""
        for member in (self.member1, self.member2):
            setattr(member, attribute, value)

    def test_an_event_pauses_exactly_its_feeder(self) -> None:
        """Absent, congested, full or without our secret: the event is kept for both members, its origin paused."""
        for attribute, value in (("available", False), ("congested", True), ("full", True), ("validated", False)):
            self.cluster(attribute, value)
            frame = self.make.event(target="nobody")
            self.route(frame, self.git1, {self.member1: [frame], self.member2: [frame]})
            self.assertEqual(self.paused(), [self.git1])
            self.router.relieved()
            self.assertEqual(self.paused(), [self.git1], "read again although nothing has changed")
            setattr(self.member2, attribute, not value)
            self.router.relieved()
            self.assertEqual(self.paused(), [])
            self.cluster(attribute, not value)

    def test_read_while_one_member_takes_frames(self) -> None:
        """A second member that does not holds nobody up."""
        self.member1.disconnect()
        self.drop(self.make.event(), self.git1)
        self.member1.reconnect()
        self.member2.congested = True
        self.drop(self.make.event(), self.git1)
        self.assertEqual(self.paused(), [])

    def test_each_feeder_by_its_own_event(self) -> None:
        """Paused once each, resumed once each, together."""
        self.cluster("congested", True)
        for link in (self.git1, self.flow, self.git1):
            self.drop(self.make.event(), link)
        self.assertEqual(self.paused(), [self.git1, self.flow])
        self.cluster("congested", False)
        self.router.relieved()
        self.router.relieved()
        calls = [[call for call in link.calls if call != "send"] for link in (self.git1, self.flow, self.git2)]
        self.assertEqual(calls, [["pause", "resume"], ["pause", "resume"], []])

    def test_a_member_that_links_again(self) -> None:
        """Whoever waited is read again."""
        self.cluster("available", False)
        self.drop(self.make.event(), self.git1)
        self.member1.reconnect()
        self.router.link_up(self.member1)
        self.assertEqual(self.paused(), [])

    def test_events_of_the_cluster_pause_nobody(self) -> None:
        """A member is not held up by the other one."""
        self.member2.congested = True
        self.member1.congested = True
        self.drop(self.make.event(), self.member1)
        self.assertEqual(self.paused(), [])

    def test_events_for_a_congested_connector(self) -> None:
        """Wait in its buffer: nobody is paused, everybody else gets them."""
        self.git1.congested = True
        self.git1.full = True
        frame = self.make.event()
        self.route(frame, self.flow, {link: [frame] for link in (self.member1, self.member2, self.git1, self.git2)})
        self.assertEqual(self.paused(), [])

    def test_a_feeder_that_is_forgotten(self) -> None:
        """Is not counted, and not touched later."""
        self.cluster("congested", True)
        self.drop(self.make.event(), self.git1)
        self.router.link_gone(self.git1)
        self.assertEqual(self.router.paused, 0)
        self.cluster("congested", False)
        self.router.relieved()
        self.assertNotIn("resume", self.git1.calls)

    def test_commands_are_answered_instead(self) -> None:
        """A command does not pause its origin: it is told at once."""
        self.cluster("congested", True)
        self.drop(self.make.command(), self.git1)
        self.assertEqual(self.paused(), [])


class Leaving(RoutingCase):
    """After a peer's ``bye``, what is pending is finished (protocol.md 5.2)."""

    def setUp(self) -> None:
        """Ends are recorded among the calls of the link."""
        super().setUp()
        self.finished: list[FakeLink] = []

    def leave(self, link: FakeLink) -> None:
        """``link`` said bye."""
        link.available = False
        self.router.leaving(link, self.finish(link))

    def finish(self, link: FakeLink) -> Callable[[], None]:
        """Records the end in the order of what else happens on ``link``."""

        def finish() -> None:
            link.calls.append("finish")
            self.finished.append(link)

        return finish

    def test_nothing_is_pending(self) -> None:
        """It is closed at once."""
        self.leave(self.git1)
        self.assertEqual(self.finished, [self.git1])

    def test_a_command_that_it_has(self) -> None:
        """Closed when that is answered; the answer is sent on first."""
        command = self.make.command(target="git")
        self.drop(command, self.member1)
        self.leave(self.git1)
        self.assertEqual(self.finished, [])
        self.drop(event_answers(command, self.make), self.git1)
        self.assertEqual(self.finished, [self.git1])

    def test_a_command_that_goes_on_to_the_next(self) -> None:
        """Closed when its share is over."""
        command = self.make.command(target="git", timeout=2000)
        self.drop(command, self.member1)
        self.leave(self.git1)
        self.pass_time(1)
        self.assertSent({self.git2: [command]})
        self.assertEqual(self.finished, [self.git1])
        self.drop(event_answers(command, self.make), self.git2)

    def test_an_answer_that_it_waits_for(self) -> None:
        """Closed after it has the answer, not before."""
        command = self.make.command()
        self.drop(command, self.git1)
        self.leave(self.git1)
        self.assertEqual(self.finished, [])
        answer = event_answers(command, self.make, target="git")
        self.route(answer, self.member1, {link: [answer] for link in (self.member2, self.git1, self.git2)})
        self.assertEqual(self.git1.calls, ["send", "finish"])

    def test_an_error_that_it_waits_for(self) -> None:
        """The same with the error event that ends a command."""
        self.drop(self.make.command(timeout=1000), self.git1)
        self.leave(self.git1)
        self.pass_time(0.5)
        self.pass_time(0.5)
        self.forget_sent()
        self.assertEqual(self.git1.calls, ["send", "finish"])

    def test_several(self) -> None:
        """Closed after the last, in either direction."""
        asked = self.make.command()
        self.drop(asked, self.git1)
        given = self.make.command(target="git")
        self.drop(given, self.member2)
        self.leave(self.git1)
        self.drop(event_answers(asked, self.make), self.member1)
        self.assertEqual(self.finished, [])
        self.drop(event_answers(given, self.make), self.git1)
        self.assertEqual(self.finished, [self.git1])

    def test_requests_of_our_own(self) -> None:
        """A member that has one of ours is waited for."""
        request = self.make("configuration", {})
        result = self.router.own.send(request, "the cluster", [self.member1], 5.0)
        self.forget_sent()
        self.leave(self.member1)
        self.assertEqual(self.finished, [])
        self.drop(self.make("configuration", {}, reference=request.uuid), self.member1)
        self.successResultOf(result)
        self.assertEqual(self.finished, [self.member1])

    def test_it_breaks_first(self) -> None:
        """Then nothing is closed; nor when it is linked again."""
        for event in (self.router.link_lost, self.router.link_up):
            command = self.make.command()
            self.drop(command, self.git1)
            self.leave(self.git1)
            event(self.git1)
            self.git1.available = True
            self.drop(event_answers(command, self.make), self.member1)
            self.assertEqual(self.finished, [])


class Quiet(RoutingCase):
    """When an instance may end (protocol.md 5.2)."""

    def test_at_once(self) -> None:
        """When nothing is on its way."""
        self.successResultOf(self.router.quiet())

    def test_commands_and_events(self) -> None:
        """When the last command has ended and the last event is safe."""
        command = self.make.command()
        self.drop(command, self.git1)
        self.drop(self.make.event(), self.git2)
        quiet = [self.router.quiet(), self.router.quiet()]
        self.drop(event_answers(command, self.make), self.member1)
        self.assertNoResult(quiet[0])
        self.member2.acknowledge()
        for each in quiet:
            self.successResultOf(each)

    def test_only_after_the_last_word(self) -> None:
        """Whoever asked has been told by then."""
        self.drop(self.make.command(timeout=1000), self.git1)
        told: list[int] = []
        self.router.quiet().addCallback(lambda _: told.append(len(self.git1.take())))
        self.pass_time(0.5)
        self.assertEqual(told, [])
        self.pass_time(0.5)
        self.assertEqual(told, [1])
        self.forget_sent()

    def test_cancelled(self) -> None:
        """Who waits no longer is not called."""
        self.drop(self.make.event(), self.git1)
        quiet = self.router.quiet()
        quiet.cancel()
        self.failureResultOf(quiet)
        self.member1.acknowledge()
