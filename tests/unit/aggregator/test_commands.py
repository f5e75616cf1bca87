"""Commands of the aggregator's own, from sending to their end."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, ensureDeferred

from gandalf.aggregator.commands import Commands
from gandalf.aggregator.lives import CommandLife, CommandState
from gandalf.routing.failures import RoutingFailure
from gandalf.store.errors import NotFound
from gandalf.wire.body import unpack_body
from tests.unit.aggregator.traffic import OTHER, TrafficCase

HOUR = 3_600_000


class CommandCase(TrafficCase):
    """What all of these do."""

    @property
    def commands(self) -> Commands:
        """Those of the instance."""
        return self.aggregator.commands

    def send(self, command: str = "CREATE", payload: str = "{}", **changes: object) -> CommandLife:
        """Send a command for whoever speaks vcs, and let it arrive."""
        life = self.commands.send("vcs", command, payload, **changes)  # type: ignore[arg-type]
        self.settle()
        return self.commands.get(life.uuid)

    def answered(self, life: CommandLife, *events: str) -> CommandLife:
        """The life after the connector has answered it so."""
        for event in events:
            self.git.answer(event)
            self.settle()
        return self.commands.get(life.uuid)


class Lives(CommandCase):
    """What a command goes through."""

    def test_receipt_progress_outcome(self) -> None:
        """Sent as protocol.md 4 and 7 say, resolved by the cluster, answered by the connector."""
        sent_at = int(self.clock.seconds() * 1000)
        life = self.send(payload='{"name":"x"}', timeout_ms=5000, context={"branch": "main"})
        self.assertEqual(life, CommandLife(life.uuid, "CREATE", "vcs", "", sent_at, 5000, HOUR))
        (command,) = self.git.commands
        self.assertEqual((command.uuid, command.target, command.timeout), (life.uuid, "git1", 5000))
        body = unpack_body(command.body)
        self.assertEqual(body["context"], {"connector_type": "vcs", "branch": "main"})
        self.assertEqual((body["source"], body["payload"]), ("aggregator1", '{"name":"x"}'))
        self.network.advance(1)
        life = self.answered(life, "TAKEN")
        assert life.receipt is not None
        self.assertEqual((life.state, life.ended), (CommandState.TAKEN, False))
        self.assertEqual(
            (life.receipt.event, life.receipt.source, life.receipt.at), ("TAKEN", "git1", sent_at + 1000)
        )
        for text in ("half", "most"):
            self.git.answer("PROGRESS", text)
        last = self.git.answer("SUCCESS", '{"ok":true}')
        self.network.advance(1)
        life = self.commands.get(life.uuid)
        assert life.outcome is not None
        self.assertEqual((life.state, life.ended, life.error), (CommandState.SUCCESS, True, None))
        self.assertEqual([each.payload for each in life.progress], [b"half", b"most"])
        self.assertEqual((life.outcome.uuid, life.outcome.payload), (last.uuid, b'{"ok":true}'))
        self.assertEqual(life.ended_at, life.outcome.at)

    def test_failure(self) -> None:
        """FAILURE is an outcome."""
        life = self.answered(self.send(), "TAKEN", "FAILURE")
        self.assertEqual((life.state, life.outcome and life.outcome.event), (CommandState.FAILURE, "FAILURE"))

    def test_an_outcome_without_a_receipt(self) -> None:
        """The first event that answers counts as the receipt, whatever it is called."""
        for event, state in (("SUCCESS", "SUCCESS"), ("PROGRESS", "TAKEN"), ("WAITING", "TAKEN")):
            life = self.answered(self.send(event), event)
            assert life.receipt is not None
            self.assertEqual((life.state, life.receipt.event), (state, event))
        self.assertEqual([each.event for each in life.progress], ["WAITING"])

    def test_to_a_target(self) -> None:
        """A command may name its connector instead of a pivot."""
        life = self.commands.send("", "CREATE", target="git1")
        self.settle()
        self.assertEqual(self.git.commands[0].uuid, life.uuid)

    def test_a_command_called_error(self) -> None:
        """Its receipts have the topic of error events, and are receipts."""
        life = self.answered(self.send("error"), "TAKEN", "SUCCESS")
        self.assertEqual(life.state, CommandState.SUCCESS)

    def test_what_cannot_be_read(self) -> None:
        """An answer whose body is not as it must be changes nothing."""
        life = self.send()
        frame = self.git.shoset.frame("evt", {"topic": "CREATE", "event": 5}, target="x", reference=life.uuid)
        self.git.link.send(frame)
        self.settle()
        self.assertEqual(self.commands.get(life.uuid), life)

    def test_a_connector_at_another_instance(self) -> None:
        """Its answers come by way of the cluster, to both instances; only the one that sent the command cares."""
        brother = self.second()
        work = self.worker("work1", OTHER)
        self.cluster.speakers["work"] = "work1"
        self.cluster.homes["work1"] = self.cluster.link
        life = self.commands.send("work", "RUN")
        self.settle()
        for event in ("TAKEN", "PROGRESS", "SUCCESS"):
            work.answer(event)
        self.settle()
        life = self.commands.get(life.uuid)
        self.assertEqual((life.state, len(life.progress)), (CommandState.SUCCESS, 1))
        self.assertEqual(brother.commands.latest(), [])
        self.assertNotIn("events for nobody here", brother.router.counters)
        with self.assertRaises(NotFound):
            brother.commands.get(life.uuid)


class NoOutcome(CommandCase):
    """Commands that nobody takes, or does not finish."""

    def refusal(self, life: CommandLife) -> tuple[str, str]:
        """State and code."""
        assert life.error is not None
        self.assertTrue(life.error.message)
        return life.state, life.error.code

    def test_no_route_at_the_cluster(self) -> None:
        """The cluster's error event is its end, with the cluster's reason."""
        life = self.commands.send("unknown", "CREATE")
        self.settle()
        life = self.commands.get(life.uuid)
        self.assertEqual(self.refusal(life), ("ERROR", "NO_ROUTE"))
        self.assertEqual(
            (life.error and life.error.message, life.error and life.error.source), ("nobody speaks it", "cluster1")
        )

    def test_no_cluster(self) -> None:
        """Without a link to a member it has ended when it is sent."""
        self.network.cables[0].cut()
        life = self.commands.send("vcs", "CREATE")
        self.assertEqual(self.refusal(life), ("ERROR", "NO_ROUTE"))

    def test_nobody_answers(self) -> None:
        """After its timeout, or the aggregator's when that is shorter, TIMEOUT; late answers change nothing."""
        self.cluster.mute.add("CREATE")
        short, long = self.send(timeout_ms=300), self.send(timeout_ms=60_000)
        self.assertEqual((short.timeout, long.timeout), (300, 10_000))
        self.network.advance(0.29)
        self.assertFalse(self.commands.get(short.uuid).ended)
        self.network.advance(0.02)
        self.assertEqual(self.refusal(self.commands.get(short.uuid)), ("ERROR", "TIMEOUT"))
        self.network.advance(9.7)
        self.assertEqual(self.refusal(self.commands.get(long.uuid)), ("ERROR", "TIMEOUT"))
        self.git.emit("CREATE", "SUCCESS", target="aggregator1", reference=long.uuid)
        self.settle()
        self.assertEqual(self.commands.get(long.uuid).state, "ERROR")

    def test_too_large(self) -> None:
        """What no member accepts is refused at once."""
        life = self.send(payload="x" * (8 << 20))
        self.assertEqual(self.refusal(life), ("ERROR", "TOO_LARGE"))

    def test_no_outcome_in_time(self) -> None:
        """Counted from sending; what was received is kept."""
        life = self.answered(self.send(outcome_timeout_ms=60_000), "TAKEN", "PROGRESS")
        self.network.advance(59.9)
        self.assertFalse(self.commands.get(life.uuid).ended)
        self.network.advance(0.2)
        life = self.commands.get(life.uuid)
        self.assertEqual(self.refusal(life), ("OUTCOME_TIMEOUT", "OUTCOME_TIMEOUT"))
        self.assertEqual(len(life.progress), 1)

    def test_an_error_after_the_receipt(self) -> None:
        """Another who was tried could not: the one who took it goes on."""
        life = self.answered(self.send(), "TAKEN")
        body: dict[str, object] = {"topic": "error", "event": "TIMEOUT"}
        self.cluster.send("evt", body, target="aggregator1", reference=life.uuid)
        self.settle()
        self.assertEqual(self.commands.get(life.uuid).state, "TAKEN")
        self.assertEqual(self.answered(life, "SUCCESS").state, "SUCCESS")

    def test_before_the_start_is_done(self) -> None:
        """It waits as a connector's would, and is told when that was too long."""
        self.aggregator = self.make(OTHER, "127.0.0.1:9204")
        self.cluster.mute.add("LOGICAL_CONFIGURATION")
        self.start()
        short, long = self.send(timeout_ms=1000), self.send()
        self.network.advance(5)
        self.assertEqual(self.git.commands, [])
        self.cluster.mute.clear()
        self.network.advance(7)
        self.assertEqual(self.refusal(self.commands.get(short.uuid)), ("ERROR", "EXPIRED"))
        self.assertEqual(self.refusal(self.commands.get(long.uuid)), ("ERROR", "EXPIRED"))


class Waiting(CommandCase):
    """Being told of the end."""

    def test_ended(self) -> None:
        """All who wait are told, and who asks afterwards at once."""
        life = self.answered(self.send(), "TAKEN")
        waiters = [self.commands.ended(life.uuid) for _ in range(2)]
        for waiter in waiters:
            self.assertNoResult(waiter)
        life = self.answered(life, "SUCCESS")
        for waiter in (*waiters, self.commands.ended(life.uuid)):
            self.assertEqual(self.successResultOf(waiter), life)

    def test_given_up(self) -> None:
        """One who gives up changes nothing for the others, nor for the command; even while they are told."""
        life = self.send()
        first, second, third = (self.commands.ended(life.uuid) for _ in range(3))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second.addCallback(lambda life: third.cancel())
        self.answered(life, "SUCCESS")
        self.successResultOf(second)
        self.failureResultOf(third, CancelledError)

    def test_unknown(self) -> None:
        """Nothing is known of a command that was never sent."""
        for ask in (self.commands.get, self.commands.ended):
            with self.assertRaises(NotFound):
                ask(bytes(16))

    def test_the_end_of_the_instance(self) -> None:
        """Whoever waits learns that it stops; draining waits for a receipt, not for an outcome."""
        taken, sent = self.answered(self.send(), "TAKEN"), self.send("LATER")
        waiters = [self.commands.ended(life.uuid) for life in (taken, sent)]
        draining = ensureDeferred(self.aggregator.drain())
        self.settle()
        self.assertNoResult(draining)
        with self.assertRaises(RoutingFailure) as refused:
            self.commands.send("vcs", "CREATE")
        self.assertEqual(refused.exception.code, "DRAINING")
        self.git.answer("TAKEN")
        self.network.advance(3)
        self.successResultOf(draining)
        for waiter in waiters:
            self.assertEqual(self.failureResultOf(waiter, RoutingFailure).value.code, "DRAINING")
        self.assertEqual(self.commands.in_flight, 0)

    def test_no_timer_is_left_behind(self) -> None:
        """Neither by a command that ended nor by one that was in flight when the instance stopped."""
        self.network.advance(1)
        before = len(self.clock.getDelayedCalls())
        self.answered(self.send(), "TAKEN", "SUCCESS")
        self.answered(self.send(), "TAKEN")
        self.network.advance(1)
        self.assertEqual(len(self.clock.getDelayedCalls()), before + 1)
        self.commands.stop()
        self.assertEqual(len(self.clock.getDelayedCalls()), before)


class Bounds(CommandCase):
    """What is remembered, and what is not taken."""

    def bounded(self, **bounds: int) -> None:
        """Commands of other bounds take the place of the instance's."""
        aggregator = self.aggregator
        aggregator.commands = Commands(
            aggregator.router,
            aggregator._origin,
            aggregator.shoset.frame,
            clock=self.clock,
            now=self.clock.seconds,
            max_timeout=10.0,
            **bounds,
        )

    def test_what_can_never_be_sent(self) -> None:
        """Told by name, with what is allowed; nothing goes out."""
        for changes, told in (
            ({"command": ""}, "command is empty"),
            ({"command": "x" * 257}, "command has 257 characters"),
            ({"connector_type": ""}, "connector_type and target"),
            ({"target": "x" * 257}, "target has 257 characters"),
            ({"timeout_ms": -1}, "timeout is -1 ms"),
            ({"timeout_ms": 86_400_001}, "timeout is 86400001 ms"),
            ({"outcome_timeout_ms": 0}, "outcome_timeout is 0 ms"),
            ({"outcome_timeout_ms": 604_800_001}, "outcome_timeout is 604800001 ms"),
            ({"context": {"a": object()}}, "context cannot be sent"),
            ({"context": {"a": 2**64}}, "context cannot be sent"),
        ):
            arguments: dict[str, object] = {"connector_type": "vcs", "command": "A", **changes}
            with self.subTest(told), self.assertRaisesRegex(ValueError, told):
                self.commands.send(**arguments)  # type: ignore[arg-type]
        self.settle()
        self.assertEqual((self.git.commands, self.commands.in_flight), ([], 0))

    def test_too_many_in_flight(self) -> None:
        """OVERLOADED; one that ends makes room."""
        self.bounded(max_in_flight=2)
        self.send()
        life = self.send()
        with self.assertRaises(RoutingFailure) as refused:
            self.send()
        self.assertEqual(refused.exception.code, "OVERLOADED")
        self.answered(life, "SUCCESS")
        self.send()
        self.assertEqual(self.commands.in_flight, 2)
        self.commands.stop()

    def test_the_cluster_takes_nothing(self) -> None:
        """OVERLOADED while the aggregator would not read from a connector either."""
        self.network.cables[0].cut()
        waiting = self.aggregator.events.emit("a", "X")
        with self.assertRaises(RoutingFailure) as refused:
            self.send()
        self.assertEqual(refused.exception.code, "OVERLOADED")
        self.network.advance(1)
        self.successResultOf(waiting)
        self.assertEqual(self.answered(self.send(), "SUCCESS").state, "SUCCESS")

    def test_ended_ones_are_forgotten(self) -> None:
        """The oldest first, when there are too many; none that is in flight."""
        self.bounded(remembered=2)
        first = self.send("FIRST")
        lives = [self.answered(self.send(name), "SUCCESS") for name in ("A", "B", "C")]
        self.assertEqual([life.command for life in self.commands.latest()], ["C", "B", "FIRST"])
        self.assertEqual([life.command for life in self.commands.latest(1)], ["C"])
        with self.assertRaises(NotFound):
            self.commands.get(lives[0].uuid)
        self.assertFalse(self.commands.get(first.uuid).ended)
        self.commands.stop()

    def test_forgotten_for_want_of_room(self) -> None:
        """Ended ones first; the latest is kept though it is larger than all the room there is."""
        self.bounded(max_bytes=1000)
        for number in range(5):
            self.send(str(number))
            self.git.answer("SUCCESS", "x" * 300)
            self.settle()
        self.assertEqual([life.command for life in self.commands.latest()], ["4"])
        self.send("large")
        self.git.answer("SUCCESS", "x" * 5000)
        self.settle()
        (life,) = self.commands.latest()
        self.assertEqual((life.command, self.commands.bytes), ("large", life.weight))

    def test_progress_for_want_of_room(self) -> None:
        """When no ended ones are left, what those in flight have told is let go, of the oldest first."""
        self.bounded(max_bytes=1000)
        lives = []
        for number in range(3):
            lives.append(self.send(str(number)))
            self.git.answer("TAKEN", "x" * 100)
            self.git.answer("PROGRESS", "x" * 300)
            self.settle()
        lives = [self.commands.get(life.uuid) for life in lives]
        self.assertEqual([len(life.progress) for life in lives], [0, 1, 1])
        self.assertEqual([life.progress_dropped for life in lives], [1, 0, 0])
        self.assertEqual(lives[0].receipt and lives[0].receipt.payload, b"")
        self.assertEqual(self.commands.bytes, sum(life.weight for life in lives))
        self.assertLessEqual(self.commands.bytes, 1000)
        self.commands.stop()

    def test_names_as_long_as_a_frame(self) -> None:
        """Only as much is kept of what an answer is called, and of who says that it made it, as of any name."""
        life = self.send()
        self.git.answer("X" * 1000)
        self.settle()
        life = self.commands.get(life.uuid)
        assert life.receipt is not None
        self.assertEqual("X" * 256, life.receipt.event)

    def test_progress_of_one_command(self) -> None:
        """The latest hundred, and at most 1 MiB of them; the others are counted."""
        many, large = self.send("many"), self.send("large")
        first, second = self.git.commands
        for number in range(105):
            self.git.answer("PROGRESS", str(number), first)
        for _ in range(5):
            self.git.answer("PROGRESS", "x" * (400 << 10), second)
        self.settle()
        many, large = self.commands.get(many.uuid), self.commands.get(large.uuid)
        self.assertEqual((len(many.progress), many.progress_dropped, many.progress[0].payload), (100, 5, b"5"))
        self.assertEqual((len(large.progress), large.progress_dropped), (2, 3))
        self.git.answer("PROGRESS", "x" * (2 << 20), second)
        self.settle()
        large = self.commands.get(large.uuid)
        self.assertEqual((len(large.progress), large.progress_dropped), (1, 5))

    def test_nobody_listens_when_nothing_is_in_flight(self) -> None:
        """The router has a tap only while there is something to hear."""
        taps = self.aggregator.router.taps
        self.assertEqual(taps, [])
        lives = [self.send("A"), self.send("B")]
        self.assertEqual(len(taps), 1)
        for life, command in zip(lives, self.git.commands, strict=True):
            self.assertEqual(len(taps), 1)
            self.git.answer("SUCCESS", "", command)
            self.settle()
            self.assertTrue(self.commands.get(life.uuid).ended)
        self.assertEqual(taps, [])
