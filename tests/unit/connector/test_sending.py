"""Commands on their way out: receipt, progress, outcome (protocol.md 7)."""

from __future__ import annotations

import itertools
from typing import Any

from gandalf.connector import CommandFailed, CommandRefused, OutcomeTimeout, ReceivedEvent
from gandalf.shoset.settings import Limits
from gandalf.wire import kinds
from gandalf.wire.envelope import Frame
from tests.unit.connector.support import Aggregator, RuntimeCase, body_of, greeter, payload_of

BOTH = ("127.0.0.1:1", "127.0.0.1:2")


class SendCase(RuntimeCase):
    """A connector that sends."""

    def send(self, **more: Any) -> Any:
        """Send a command, and let it arrive."""
        promise: Any = self.running.send("vcs", "LIST", **more)
        self.network.settle()
        return promise

    def command(self, aggregator: Aggregator) -> Frame:
        """The command that an instance got last."""
        return aggregator.heard(kinds.COMMAND)[-1]

    def refused(self, promise: Any) -> tuple[str, str]:
        """Code and message with which a command was refused."""
        error = self.failureResultOf(promise, CommandRefused).value
        return error.code, error.message


class OutcomeTests(SendCase):
    """One instance of the aggregator."""

    def test_a_command_as_it_goes_out(self) -> None:
        """It names itself, the pivot, its payload, its source; the envelope its target and timeout in ms."""
        self.start()
        promise = self.send(payload={"a": 1}, target="git2", timeout=2.5)
        frame = self.command(self.first)
        body = body_of(frame)
        self.assertEqual((frame.tenant, frame.target, frame.timeout), ("acme", "git2", 2500))
        self.assertEqual(
            (body["command"], body["context"], body["source"]), ("LIST", {"connector_type": "vcs"}, "git1")
        )
        self.assertEqual(payload_of(frame), {"a": 1})
        self.first.answer(frame, "SUCCESS")
        self.successResultOf(promise)

    def test_receipt_progress_outcome(self) -> None:
        """Progress is told as it comes; the outcome has the receipt and the last event."""
        self.start()
        progress: list[ReceivedEvent] = []
        promise = self.send(on_progress=progress.append)
        frame = self.command(self.first)
        self.first.answer(frame, "TAKEN", source="git2")
        self.first.answer(frame, "PROGRESS", {"percent": 50})
        self.assertEqual([event.payload for event in progress], [{"percent": 50}])
        self.assertNoResult(promise)
        self.first.answer(frame, "SUCCESS", {"names": []})
        outcome = self.successResultOf(promise)
        self.assertEqual(outcome.command.bytes, frame.uuid)
        self.assertEqual((outcome.receipt.event, outcome.receipt.source), ("TAKEN", "git2"))
        self.assertEqual((outcome.final.event, outcome.payload), ("SUCCESS", {"names": []}))

    def test_failure(self) -> None:
        """Code, message and whatever else the failure says."""
        self.start()
        promise = self.send()
        failure = {"code": "EXISTS", "message": "there is one", "name": "demo"}
        self.first.answer(self.command(self.first), "FAILURE", failure)
        error = self.failureResultOf(promise, CommandFailed).value
        self.assertEqual((error.code, error.message, error.details), ("EXISTS", "there is one", {"name": "demo"}))

    def test_failure_that_says_nothing(self) -> None:
        """A foreign connector's failure without a payload is a failure."""
        self.start()
        promise = self.send()
        self.first.answer(self.command(self.first), "FAILURE")
        self.assertEqual(self.failureResultOf(promise, CommandFailed).value.code, "FAILED")

    def test_every_order_of_the_answers(self) -> None:
        """Whatever overtakes on other links: the outcome is the outcome, and nothing that is late disturbs."""
        self.start()
        for order in itertools.permutations(("TAKEN", "PROGRESS", "SUCCESS")):
            promise = self.send()
            frame = self.command(self.first)
            for event in order:
                self.first.answer(frame, event, event)
            self.assertEqual(self.successResultOf(promise).payload, "SUCCESS", order)

    def test_late_and_double_answers_are_counted(self) -> None:
        """The second of two connectors that carried a command out is not heard."""
        self.start()
        promise = self.send()
        frame = self.command(self.first)
        self.first.answer(frame, "TAKEN")
        self.first.answer(frame, "TAKEN")
        self.first.answer(frame, "SUCCESS", 1)
        self.first.answer(frame, "SUCCESS", 2)
        self.assertEqual(self.successResultOf(promise).payload, 1)
        counters = self.running.sender.counters
        self.assertEqual((counters["receipts beyond the first"], counters["answers to nothing"]), (1, 1))

    def test_an_answer_not_understood(self) -> None:
        """It is counted, and the outcome is waited for."""
        self.start()
        promise = self.send()
        self.first.answer(self.command(self.first), "WELL")
        self.assertEqual(self.running.sender.counters["answers not understood"], 1)
        self.first.answer(self.command(self.first), "SUCCESS")
        self.successResultOf(promise)

    def test_progress_that_raises(self) -> None:
        """It is logged, and the outcome comes."""
        self.start()

        def fail(event: ReceivedEvent) -> None:
            raise RuntimeError("no")

        promise = self.send(on_progress=fail)
        self.first.answer(self.command(self.first), "PROGRESS")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.first.answer(self.command(self.first), "SUCCESS")
        self.successResultOf(promise)

    def test_no_outcome_in_time(self) -> None:
        """Taken, and then nothing: the caller's time is what counts, however long."""
        self.start()
        promise = self.send(timeout=60)
        self.first.answer(self.command(self.first), "TAKEN")
        self.network.advance(59.9)
        self.assertNoResult(promise)
        self.network.advance(0.1)
        self.assertEqual(self.failureResultOf(promise, OutcomeTimeout).value.code, "OUTCOME_TIMEOUT")

    def test_given_up(self) -> None:
        """A cancelled command is forgotten: nothing is left of it."""
        self.start()
        promise = self.send()
        promise.addErrback(lambda failure: None)
        promise.cancel()
        self.assertEqual(len(self.running.sender), 0)
        self.first.answer(self.command(self.first), "SUCCESS")
        self.assertEqual(self.running.sender.counters["answers to nothing"], 1)

    def test_bad_commands(self) -> None:
        """What can never be sent is a ValueError where it is made."""
        self.start()
        for timeout in (0, -1, float("nan"), float("inf")):
            self.assertRaises(ValueError, self.running.send, "vcs", "LIST", timeout=timeout)
        self.assertRaises(ValueError, self.running.send, "vcs", "")
        self.assertRaises(ValueError, self.running.send, "vcs", "LIST", {"x": object()})
        self.assertEqual(len(self.running.sender), 0)

    def test_stopped(self) -> None:
        """What waits fails, taken or not; nothing new is sent."""
        self.start()
        taken, not_taken = self.send(), self.send()
        self.first.answer(self.first.heard(kinds.COMMAND)[0], "TAKEN")
        stopped = self.stop()
        self.network.advance(1)
        self.successResultOf(stopped)
        self.assertEqual(self.failureResultOf(taken, CommandFailed).value.code, "STOPPED")
        self.assertEqual(self.refused(not_taken)[0], "STOPPED")
        self.assertEqual(self.refused(self.send())[0], "STOPPED")


class RefusalTests(SendCase):
    """Error events, and no answer at all (protocol.md 6.2 and 6.6)."""

    def test_what_the_only_instance_says(self) -> None:
        """Its error is raised."""
        self.start()
        for code in ("NO_ROUTE", "TIMEOUT", "OVERLOADED", "EXPIRED", "WRONG_TENANT", "MALFORMED"):
            promise = self.send()
            self.first.error(self.command(self.first), code, message="so it is")
            self.assertEqual(self.refused(promise), (code, "so it is"))

    def test_another_instance_may_do_better(self) -> None:
        """What one instance cannot carry goes to the next at once, under the same uuid."""
        second = self.second()
        self.start(None, *BOTH)
        promise = self.send()
        self.first.error(self.command(self.first), "NO_ROUTE")
        self.assertEqual(self.command(second).uuid, self.command(self.first).uuid)
        second.answer(self.command(second), "SUCCESS")
        self.successResultOf(promise)

    def test_the_last_ones_error_is_raised(self) -> None:
        """When none can."""
        second = self.second()
        self.start(None, *BOTH)
        promise = self.send()
        self.first.error(self.command(self.first), "NO_ROUTE")
        second.error(self.command(second), "OVERLOADED", message="too much")
        self.assertEqual(self.refused(promise), ("OVERLOADED", "too much"))

    def test_the_clusters_word_is_the_last(self) -> None:
        """An error made further on ends it: another instance would be told the same."""
        second = self.second()
        self.start(None, *BOTH)
        promise = self.send()
        self.first.error(self.command(self.first), "NO_ROUTE", origin="aggregator1", message="no such connector")
        self.assertEqual(self.refused(promise), ("NO_ROUTE", "no such connector"))
        self.assertEqual(second.heard(kinds.COMMAND), [])

    def test_what_no_instance_can_mend_ends_it(self) -> None:
        """A frame that is wrong is wrong everywhere."""
        second = self.second()
        self.start(None, *BOTH)
        promise = self.send()
        self.first.error(self.command(self.first), "WRONG_TENANT")
        self.assertEqual(self.refused(promise)[0], "WRONG_TENANT")
        self.assertEqual(second.heard(kinds.COMMAND), [])

    def test_an_error_without_a_payload(self) -> None:
        """A foreign aggregator's error is one, whatever it leaves out."""
        self.start()
        promise = self.send()
        self.first.event("error", "NO_ROUTE", reference=self.command(self.first).uuid, target="git1")
        self.assertEqual(self.refused(promise)[0], "NO_ROUTE")

    def test_an_error_from_who_had_it_before(self) -> None:
        """It comes when another instance has the command already, and says nothing about that one."""
        second = self.second()
        self.start(None, *BOTH)
        promise = self.send(timeout=4)
        self.network.advance(2)
        self.assertEqual(self.command(second).uuid, self.command(self.first).uuid)
        self.first.error(self.command(self.first), "TIMEOUT")
        self.assertNoResult(promise)
        self.assertEqual(self.running.sender.counters["late errors"], 1)
        second.answer(self.command(second), "SUCCESS")
        self.successResultOf(promise)

    def test_an_error_after_the_receipt(self) -> None:
        """Somebody has it: what another instance says does not count."""
        self.start()
        promise = self.send()
        self.first.answer(self.command(self.first), "TAKEN")
        self.first.error(self.command(self.first), "TIMEOUT")
        self.assertNoResult(promise)
        self.assertEqual(self.running.sender.counters["errors after the receipt"], 1)
        self.first.answer(self.command(self.first), "SUCCESS")
        self.successResultOf(promise)

    def test_nobody_answers(self) -> None:
        """Each instance has its share of the time, ten seconds at most in all; then it is TIMEOUT."""
        second = self.second()
        self.start(None, *BOTH)
        promise = self.send(timeout=60)
        self.network.advance(4.9)
        self.assertEqual(len(second.heard(kinds.COMMAND)), 0)
        self.network.advance(0.2)
        self.assertEqual(len(second.heard(kinds.COMMAND)), 1)
        self.network.advance(4.8)
        self.assertNoResult(promise)
        self.network.advance(0.2)
        self.assertEqual(self.refused(promise)[0], "TIMEOUT")

    def test_a_receipt_that_comes_over_another_link(self) -> None:
        """It counts as any: the command goes to no other instance."""
        second = self.second()
        self.start(None, *BOTH)
        promise = self.send()
        second.answer(self.command(self.first), "TAKEN")
        self.network.advance(9)
        self.assertEqual(second.heard(kinds.COMMAND), [])
        second.answer(self.command(self.first), "SUCCESS")
        self.successResultOf(promise)

    def test_not_validated(self) -> None:
        """The secret is shown again, then the command is sent again."""
        self.start()
        promise = self.send()
        self.first.error(self.command(self.first), "NOT_VALIDATED")
        self.network.advance(0.1)
        self.assertEqual(len(self.first.heard(kinds.SECRET)), 2)
        self.assertEqual(len(self.first.heard(kinds.COMMAND)), 2)
        self.first.answer(self.command(self.first), "SUCCESS")
        self.successResultOf(promise)


class LinkTests(SendCase):
    """Links that break and come back."""

    def test_the_next_instance_at_once(self) -> None:
        """When the connection breaks before the receipt, without waiting for the share to be over."""
        second = self.second()
        self.start(None, *BOTH)
        promise = self.send()
        self.first.down()
        second.answer(self.command(second), "SUCCESS")
        self.successResultOf(promise)

    def test_after_the_receipt_nothing_is_sent_again(self) -> None:
        """The outcome may come by way of another instance."""
        second = self.second()
        self.start(None, *BOTH)
        promise = self.send()
        self.first.answer(self.command(self.first), "TAKEN")
        frame = self.command(self.first)
        self.first.down()
        self.assertEqual(second.heard(kinds.COMMAND), [])
        second.answer(frame, "SUCCESS")
        self.successResultOf(promise)

    def test_the_only_link_breaks(self) -> None:
        """The command waits for it to come back."""
        self.start()
        promise = self.send()
        self.first.cut()
        self.assertNoResult(promise)
        self.network.advance(1)
        self.first.answer(self.command(self.first), "SUCCESS")
        self.successResultOf(promise)

    def test_an_instance_that_came_meanwhile(self) -> None:
        """When the instance that has the command goes, it goes to one that was not there when it was sent."""
        second = self.second()
        listener = self.network.listeners.pop(second.address)
        self.start(None, *BOTH)
        promise = self.send()
        self.assertEqual(len(self.first.heard(kinds.COMMAND)), 1)
        self.network.listeners[second.address] = listener
        self.network.advance(1)
        self.assertEqual(second.heard(kinds.COMMAND), [])
        self.first.down()
        second.answer(self.command(second), "SUCCESS")
        self.successResultOf(promise)

    def test_nobody_is_linked(self) -> None:
        """The command waits for a link, its own time at most."""
        listener = self.network.listeners.pop("127.0.0.1:1")
        self.start()
        lost, promise = self.send(timeout=1), self.send(timeout=5)
        self.network.advance(1)
        self.assertEqual(self.refused(lost)[0], "NO_ROUTE")
        self.network.listeners["127.0.0.1:1"] = listener
        self.network.advance(2)
        self.first.answer(self.command(self.first), "SUCCESS")
        self.successResultOf(promise)
        self.assertEqual(len(self.first.heard(kinds.COMMAND)), 1)

    def test_given_up_when_a_link_comes(self) -> None:
        """Of those that wait, one that was refused may have another given up: that goes nowhere."""
        self.first.shoset.limits = Limits(max_frame=1000)
        listener = self.network.listeners.pop("127.0.0.1:1")
        self.start()
        long, other = self.send(payload="x" * 1000), self.send()
        long.addErrback(lambda failure: other.cancel())
        other.addErrback(lambda failure: None)
        self.network.listeners["127.0.0.1:1"] = listener
        self.network.advance(1)
        self.assertEqual((len(self.running.sender), self.first.heard(kinds.COMMAND)), (0, []))


class LimitTests(SendCase):
    """What a link does not take."""

    limits = Limits(high_water=1024)

    def test_too_long(self) -> None:
        """A command longer than any instance accepts is refused at once."""
        self.first.shoset.limits = Limits(max_frame=1000)
        self.start()
        self.assertEqual(self.refused(self.send(payload="x" * 1000))[0], "TOO_LARGE")

    def test_congested(self) -> None:
        """With no link free it is OVERLOADED at once (protocol.md 6.7)."""
        self.start()
        self.network.cable.dialling.held = True
        for number in range(40):
            self.running.emit(f"t{number}", "X", "x" * 8000)
        self.assertEqual(self.refused(self.send())[0], "OVERLOADED")
        self.network.cable.dialling.held = False
        self.network.advance(0.1)


class OwnTests(SendCase):
    """A connector that sends to itself."""

    def test_the_outcome_comes(self) -> None:
        """The command comes back under its own uuid and is carried out; its receipts, which no aggregator
        brings back, count."""
        self.start(greeter())
        promise: Any = self.running.send("greeting", "GREET", {"name": "me"})
        self.network.settle()
        frame = self.command(self.first)
        self.first.link.send(frame.replace(target="git1"))
        self.network.settle()
        self.assertEqual(self.successResultOf(promise).payload, {"text": "Hello me"})
        self.assertEqual(self.first.events(), [("GREET", "TAKEN"), ("GREET", "SUCCESS")])
