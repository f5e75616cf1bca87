"""Bad histories, each of which must be found out; and what the network does not promise, which must not."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.faults import invariants
from tests.faults.cast import AIMED, ALL, DIRECT, Cast, Player
from tests.faults.history import History, Span, traced
from tests.faults.invariants import Circumstances, Findings, check
from tests.faults.records import Kind, Record, code_number

NORTH = [Player(0, "w1", "north", "c1"), Player(1, "w2", "north", "c2"), Player(2, "w3", "north", "c3")]
SOUTH = [Player(3, "w1", "south", "c4")]
SENDER, RECEIVER, OTHER, STRANGER = (player.who(1) for player in [*NORTH, *SOUTH])
A1, A2, A1_AGAIN, B1 = 11, 12, 13, 14
INSTANCES = {"north": ("a1", "a2"), "south": ("b1",)}
END = 1000.0
CALM = 1000
"""The command that each connector has sent when nothing was broken."""
Who = tuple[int, ...]


class World:
    """A history in which all is well, until a test spoils it: everybody linked at 10, everything alive."""

    def __init__(self) -> None:
        self.records: dict[int, list[Record]] = {}
        self.trace: list[tuple[int, int, int]] = []
        self.spans = [Span(name, 0.0) for name in ("m1", "m2", "a1", "a2", "b1", "c1", "c2", "c3", "c4")]
        self.calm = (900.0, 910.0)
        self.whole = [9.0]
        for who in (SENDER, RECEIVER, OTHER):
            self.add(10, Kind.SESSION, who, link=0, other=A1)
            self.add(10, Kind.SESSION, who, link=1, other=A2)
        self.add(10, Kind.SESSION, STRANGER, link=0, other=B1)
        for who in (SENDER, RECEIVER, OTHER, STRANGER):
            self.add(905, Kind.COMMAND, who, number=CALM)
            self.add(905.1, Kind.ACT, who, other=who, number=CALM)
            self.add(905.2, Kind.ENDED, who, number=CALM)

    def add(self, time: float, kind: Kind, who: int, **more: int) -> None:
        """One record."""
        values = {"stream": 0, "link": 0, "other": 0, "number": 0, **more}
        self.records.setdefault(who, []).append(Record(time=time, kind=kind, who=who, **values))

    def event(
        self, number: int, *, stream: int = ALL, at: float = 20.0, to: tuple[int, ...] = (RECEIVER, OTHER)
    ) -> None:
        """One that goes well: sent, traced, acknowledged, delivered."""
        self.add(at, Kind.SEND, SENDER, stream=stream, number=number)
        self.add(at + 0.1, Kind.ACKED, SENDER, stream=stream, number=number)
        self.trace.append((SENDER, stream, number))
        for who in to:
            self.deliver(number, who, stream=stream, at=at)

    def deliver(self, number: int, who: int, *, stream: int = ALL, at: float = 20.0) -> None:
        """One delivery."""
        self.add(at + 0.1, Kind.DELIVERED, who, other=SENDER, stream=stream, number=number)

    def command(
        self, number: int, code: str = "SUCCESS", *, at: float = 20.0, by: tuple[int, ...] = (RECEIVER,)
    ) -> None:
        """A command that was carried out by some and ended."""
        self.add(at, Kind.COMMAND, SENDER, number=number)
        for who in by:
            self.add(at + 0.1, Kind.ACT, who, other=SENDER, number=number)
        if code:
            self.add(at + 0.2, Kind.ENDED, SENDER, number=number, link=code_number(code))

    def end(self, process: str, time: float, *, killed: bool = True) -> None:
        """A process ends, and comes again after a second."""
        self.spans = [
            Span(span.process, span.began, time, killed) if span.process == process else span for span in self.spans
        ]
        self.spans.append(Span(process, time + 1))

    def check(self) -> Findings:
        """What is found."""
        history = History()
        for records in self.records.values():
            history.add(records)
        cast = Cast((*NORTH, *SOUTH), 1.0, 1.0, {"north": ("127.0.0.1:1", "127.0.0.1:2"), "south": ("127.0.0.1:3",)})
        given = Circumstances(cast, INSTANCES, ("m1", "m2"), self.spans, END, self.calm, self.whole)
        return check(history, given, {"north": traced(self.trace), "south": {}})


class InvariantTests(SynchronousTestCase):
    """One world each."""

    def setUp(self) -> None:
        """All is well."""
        self.world = World()

    def assert_found(self, *kinds: str) -> None:
        """Just these violations, one of each."""
        findings = self.world.check()
        self.assertEqual(dict(findings.violations), dict.fromkeys(kinds, 1), findings.told)

    def test_all_is_well(self) -> None:
        """Nothing is found, and what came is counted."""
        for number in range(3):
            self.world.event(number)
            self.world.command(2 * number)
        self.world.command(3)
        self.world.event(0, stream=AIMED, to=(RECEIVER,))
        self.assert_found()
        self.assertEqual(self.world.check().delivered, 7)

    def test_an_event_lost(self) -> None:
        """Acknowledged, in the trace, and one did not get it."""
        self.world.event(0, to=(RECEIVER,))
        self.assert_found(invariants.LOST)

    def test_not_acknowledged(self) -> None:
        """What was not acknowledged when the sender ended may be lost."""
        self.world.add(20, Kind.SEND, SENDER)
        self.world.end("c1", 25)
        self.assert_found()

    def test_never_acknowledged(self) -> None:
        """The sender was there for long, and was told nothing."""
        self.world.add(20, Kind.SEND, SENDER)
        self.assert_found(invariants.NO_ANSWER)
        self.world.end("c1", 20 + invariants.ANSWERED + 1)
        self.assert_found(invariants.NO_ANSWER)

    def test_an_event_refused(self) -> None:
        """The network refuses none; the sender itself does when as much waits as may, and when it stops."""
        for number, code in enumerate(("OVERLOADED", "STOPPED")):
            self.world.add(20, Kind.SEND, SENDER, number=number)
            self.world.add(21, Kind.REFUSED, SENDER, number=number, link=code_number(code))
        self.assert_found()
        self.world.add(20, Kind.SEND, SENDER, number=2)
        self.world.add(21, Kind.REFUSED, SENDER, number=2, link=code_number("EXPIRED"))
        self.assert_found(invariants.NOT_TAKEN)

    def test_an_error_about_something_else(self) -> None:
        """An error event came to a connector that has sent nothing of the kind."""
        self.world.add(20, Kind.REFUSED, RECEIVER)
        self.assert_found(invariants.NOT_TAKEN)

    def test_not_in_the_trace(self) -> None:
        """Acknowledged, and delivered, and not recorded."""
        self.world.event(0)
        self.world.trace.clear()
        self.assert_found(invariants.UNTRACED)

    def test_in_the_trace_of_another_tenant(self) -> None:
        """It crossed, though nobody was given it."""
        self.world.event(0)
        cast = Cast((*NORTH, *SOUTH), 1.0, 1.0, {})
        history = History()
        for records in self.world.records.values():
            history.add(records)
        given = Circumstances(cast, INSTANCES, ("m1", "m2"), self.world.spans, END, self.world.calm, [9.0])
        found = traced(self.world.trace)
        self.assertEqual(check(history, given, {"north": found, "south": found}).violations[invariants.CROSSED], 1)

    def test_delivered_twice(self) -> None:
        """To one process."""
        self.world.event(0)
        self.world.deliver(0, OTHER)
        self.assert_found(invariants.TWICE)

    def test_delivered_again_in_another_life(self) -> None:
        """A process that was started again knows nothing of what its forerunner had."""
        self.world.end("c3", 20.5)
        self.world.event(0)
        again = NORTH[2].who(2)
        self.world.add(22, Kind.SESSION, again, link=0, other=A1)
        self.world.deliver(0, again, at=22)
        self.assert_found()

    def test_misdelivered(self) -> None:
        """What was for one came to another."""
        self.world.event(0, stream=AIMED, to=(RECEIVER, OTHER))
        self.assert_found(invariants.MISDELIVERED)

    def test_back_to_the_sender(self) -> None:
        """An event does not come to whom it is from."""
        self.world.event(0, to=(SENDER, RECEIVER, OTHER))
        self.assert_found(invariants.MISDELIVERED)

    def test_to_a_later_life_of_the_sender(self) -> None:
        """It is not the connection on which the event came in; what is for another is not for it either."""
        again = NORTH[0].who(2)
        self.world.end("c1", 20.5)
        self.world.event(0, to=(RECEIVER, OTHER, again))
        self.assert_found()
        self.world.event(0, stream=AIMED, to=(RECEIVER, again))
        self.assert_found(invariants.MISDELIVERED)

    def test_crossed_tenants(self) -> None:
        """The namesake in another tenant got it."""
        self.world.event(0, to=(RECEIVER, OTHER, STRANGER))
        self.assert_found(invariants.CROSSED)

    def test_a_command_crossed_tenants(self) -> None:
        """The namesake in another tenant carried it out."""
        self.world.command(0, by=(STRANGER,))
        self.assert_found(invariants.CROSSED)

    def test_a_command_misdelivered(self) -> None:
        """The third is for the second connector; another of the tenant carried it out."""
        self.world.command(3, by=(OTHER,))
        self.assert_found(invariants.MISDELIVERED)

    def test_made_up(self) -> None:
        """What came was never sent."""
        self.world.deliver(7, RECEIVER)
        self.assert_found(invariants.MADE_UP)

    def test_acted_on_twice(self) -> None:
        """By one process."""
        self.world.command(0, by=(RECEIVER, RECEIVER))
        self.assert_found(invariants.ACTED_TWICE)

    def test_acted_on_by_two(self) -> None:
        """Two connectors may carry out one command (protocol.md 7)."""
        self.world.command(0, by=(RECEIVER, OTHER))
        self.assert_found()

    def test_no_end(self) -> None:
        """Nobody tells the sender."""
        self.world.command(0, "")
        self.assert_found(invariants.NO_END)

    def test_no_end_of_a_killed_sender(self) -> None:
        """A process that was killed hears of nothing; one that was told to end does."""
        self.world.command(0, "")
        self.world.end("c1", 20.5)
        self.assert_found()
        self.world.end("c1", 20.5, killed=False)
        self.assert_found(invariants.NO_END)

    def test_no_end_long_before_the_sender_was_killed(self) -> None:
        """It had time enough to hear."""
        self.world.command(0, "")
        self.world.end("c1", 20 + invariants.ENDS + 1)
        self.assert_found(invariants.NO_END)

    def test_two_ends(self) -> None:
        """The sender was told twice."""
        self.world.command(0)
        self.world.add(21, Kind.ENDED, SENDER, number=0, link=code_number("TIMEOUT"))
        self.assert_found(invariants.TWO_ENDS)

    def test_success_of_nothing(self) -> None:
        """Nobody has carried it out."""
        self.world.command(0, by=())
        self.assert_found(invariants.NO_ACT)

    def test_failed_in_the_calm(self) -> None:
        """After all has healed every command succeeds; before that one may fail."""
        self.world.command(0, "TIMEOUT", by=(), at=899)
        self.assert_found()
        self.world.command(2, "TIMEOUT", by=(), at=901)
        self.assert_found(invariants.NOT_HEALED)

    def test_no_command_in_the_calm(self) -> None:
        """A connector whose commands are stuck fails with none of them; so does one that has none."""
        self.world.records[RECEIVER] = [one for one in self.world.records[RECEIVER] if one.time < 900]
        self.assert_found(invariants.NOT_HEALED)

    def test_an_event_refused_in_the_calm(self) -> None:
        """Whatever the reason."""
        self.world.add(901, Kind.SEND, SENDER)
        self.world.add(902, Kind.REFUSED, SENDER, link=code_number("OVERLOADED"))
        self.assert_found(invariants.NOT_HEALED)

    def test_a_session_not_resumed(self) -> None:
        """A process that was there throughout has forgotten a session; one that was started again never knew it."""
        self.world.add(30, Kind.SESSION, OTHER, link=0, other=A1_AGAIN)
        self.world.add(40, Kind.SESSION, OTHER, link=1, other=A1_AGAIN)
        self.assert_found()
        self.world.add(50, Kind.SESSION, OTHER, link=0, other=A1_AGAIN)
        self.assert_found(invariants.NOT_RESUMED)

    def test_something_else(self) -> None:
        """What nobody of the laboratory made."""
        self.world.add(20, Kind.STRAY, RECEIVER)
        self.assert_found(invariants.MISDELIVERED)


class OrderTests(SynchronousTestCase):
    """Frames of one session, and of two."""

    def setUp(self) -> None:
        """Four events over the instance a1."""
        self.world = World()
        for number in range(4):
            self.world.event(number, stream=DIRECT, at=20.0 + number)

    def arrive(self, *numbers: int, link: int = 0) -> None:
        """They come in this order."""
        for number in numbers:
            self.world.add(30, Kind.ARRIVED, RECEIVER, other=SENDER, stream=DIRECT, number=number, link=link)

    def found(self) -> int:
        """How many were out of order."""
        findings: Any = self.world.check()
        self.assertLessEqual(set(findings.violations), {invariants.DISORDER})
        return int(findings.violations[invariants.DISORDER])

    def test_in_order(self) -> None:
        """What is sent again after a break comes twice, and is not out of order."""
        self.arrive(0, 1, 2, 1, 2, 3)
        self.assertEqual(self.found(), 0)
        self.assertEqual(self.world.check().arrived_twice, 2)

    def test_out_of_order(self) -> None:
        """One overtook another."""
        self.arrive(0, 2, 1, 3)
        self.assertEqual(self.found(), 1)

    def test_by_way_of_another_instance(self) -> None:
        """Over two paths there is no order to keep."""
        self.arrive(0, 2, 3)
        self.arrive(1, link=1)
        self.assertEqual(self.found(), 0)

    def test_a_new_process(self) -> None:
        """What was sent to its forerunner may come first by way of the cluster; what is sent to it may not."""
        for who in (SENDER, RECEIVER):
            self.world.add(22.5, Kind.SESSION, who, link=0, other=A1_AGAIN)
        self.arrive(2, 1, 3)
        self.assertEqual(self.found(), 0)
        self.world.event(4, stream=DIRECT, at=24)
        self.arrive(4, 3)
        self.assertEqual(self.found(), 0)
        self.world.event(5, stream=DIRECT, at=25)
        self.world.event(6, stream=DIRECT, at=26)
        self.arrive(6, 5)
        self.assertEqual(self.found(), 1)


class OwedTests(SynchronousTestCase):
    """Whose loss is a loss: an event at 20 that did not come to OTHER."""

    def setUp(self) -> None:
        """It did not come."""
        self.world = World()

    def lost(self, stream: int = ALL) -> bool:
        """Whether that is a violation."""
        self.world.event(0, stream=stream, to=(RECEIVER,))
        findings = self.world.check()
        self.assertLessEqual(set(findings.violations), {invariants.LOST, invariants.NOT_RESUMED})
        self.assertEqual(findings.violations[invariants.LOST] + findings.not_owed, 1)
        return bool(findings.violations[invariants.LOST])

    def test_an_instance_ended_long_before(self) -> None:
        """With both of its successors it had sessions in time."""
        self.world.end("a1", 14)
        self.world.add(16, Kind.SESSION, OTHER, link=0, other=A1_AGAIN)
        self.assertTrue(self.lost())

    def test_an_instance_ended(self) -> None:
        """It may have been the one that had it; the member that has acknowledged it brings it to the other."""
        for killed in (True, False):
            self.setUp()
            self.world.end("a1", 20.05, killed=killed)
            self.assertTrue(self.lost())

    def test_an_instance_and_a_member_ended(self) -> None:
        """They may have been the two that had it, and nobody else."""
        self.world.end("a1", 20.05)
        self.world.end("m1", 20.2)
        self.assertFalse(self.lost())

    def test_an_instance_ended_and_the_other_before(self) -> None:
        """The other may not have been linked to the member yet."""
        self.world.end("a2", 14)
        self.world.add(16, Kind.SESSION, OTHER, link=1, other=A2)
        self.world.end("a1", 20.05)
        self.assertFalse(self.lost())
        self.setUp()
        self.world.end("a2", 14)
        self.world.add(16, Kind.SESSION, OTHER, link=1, other=A2)
        self.world.whole.append(17)
        self.world.end("a1", 20.05)
        self.assertTrue(self.lost())

    def test_another_instance_ended(self) -> None:
        """The one by way of which it came in is there, and so is the session with it."""
        self.world.end("a2", 20.05)
        self.assertTrue(self.lost(DIRECT))

    def test_a_member_ended(self) -> None:
        """With every instance it has a session: nobody needs the cluster."""
        self.world.end("m1", 20.05)
        self.assertTrue(self.lost())

    def test_a_session_anew(self) -> None:
        """What was kept for the old session is gone; the other instance has it from the cluster."""
        self.world.add(20.5, Kind.SESSION, OTHER, link=0, other=A1)
        self.assertTrue(self.lost())

    def test_a_session_anew_and_a_member_ended_before(self) -> None:
        """The other instance may not have found the new member yet."""
        self.world.add(20.5, Kind.SESSION, OTHER, link=0, other=A1)
        self.world.end("m1", 15)
        self.assertFalse(self.lost())

    def test_a_session_anew_and_a_member_ended(self) -> None:
        """Neither path was there throughout."""
        self.world.add(20.5, Kind.SESSION, OTHER, link=0, other=A1)
        self.world.end("m1", 20.05)
        self.assertFalse(self.lost())

    def test_how_much_is_owed(self) -> None:
        """It is told of a sample, of what came too: what is not owed could be lost unnoticed."""
        self.world.event(0)
        self.world.end("c3", 25)
        findings = self.world.check()
        self.assertEqual((findings.due, findings.owed), (2, 1))

    def test_the_receiver_ended(self) -> None:
        """A process that was killed does not count."""
        self.world.end("c3", 25)
        self.assertFalse(self.lost())
