"""Commands and events that come in (protocol.md 6.5 and 7)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from gandalf.connector import Connector, Job, Network, ReceivedEvent, receiving
from gandalf.shoset.settings import Limits
from gandalf.wire import kinds
from gandalf.wire.body import pack_body
from tests.unit.connector.support import Greet, RuntimeCase, body_of, greeter, payload_of

BOTH = ("127.0.0.1:1", "127.0.0.1:2")


class CommandTests(RuntimeCase):
    """Protocol.md 7."""

    def test_receipts(self) -> None:
        """TAKEN, then the outcome: events that refer to the command, named like it, for its source."""
        self.start()
        command = self.first.command("GREET", {"name": "World"}, source="workflow1")
        frames = self.first.heard(kinds.EVENT)
        self.assertEqual(self.first.events(), [("GREET", "TAKEN"), ("GREET", "SUCCESS")])
        for frame in frames:
            self.assertEqual((frame.reference, frame.target), (command.uuid, "workflow1"))
            self.assertEqual((frame.tenant, body_of(frame)["source"]), ("acme", "git1"))
        self.assertEqual(payload_of(frames[1]), {"text": "Hello World"})

    def test_receipts_take_the_link_of_the_command(self) -> None:
        """So that the instance that waits hears at once, and the order is kept."""
        second = self.second()
        self.start(None, *BOTH)
        for side, other in ((self.first, second), (second, self.first)):
            before = len(other.events())
            side.command("GREET", {"name": "x"})
            self.assertEqual((len(side.events()), len(other.events())), (2, before))

    def test_receipts_take_another_when_that_is_broken(self) -> None:
        """What is not acknowledged goes out over a brother."""
        second = self.second()
        work: Deferred[str] = Deferred()
        connector = greeter()

        @connector.command("WAIT", Greet)
        async def wait(request: Greet, job: Job) -> str:
            return await work

        self.start(connector, *BOTH)
        self.first.command("WAIT", {"name": "x"})
        self.network.advance(1)
        self.first.down()
        work.callback("done")
        self.network.settle()
        self.assertEqual(second.events(), [("WAIT", "SUCCESS")])

    def test_a_duplicate_acts_once(self) -> None:
        """By whatever link it comes again, and it is acknowledged."""
        second = self.second()
        self.start(None, *BOTH)
        command = self.first.command("GREET", {"name": "x"})
        second.link.send(command)
        self.network.advance(0.1)
        self.assertEqual((len(self.first.events()), second.events()), (2, []))
        self.assertEqual(self.running.receiver.counters["duplicates"], 1)
        self.assertEqual(len(second.link.outbox), 0)

    def test_unknown_and_unreadable(self) -> None:
        """An unknown command fails; a body that cannot be read is counted and taken from the sender."""
        self.start()
        self.first.command("NOPE")
        self.assertEqual(payload_of(self.first.heard(kinds.EVENT)[-1])["code"], "UNKNOWN_COMMAND")
        for body in (b"\xc1", pack_body({"command": 7}), pack_body({"payload": "{}"})):
            self.first.say(kinds.COMMAND, body)
        self.network.advance(0.1)
        self.assertEqual((self.running.receiver.counters["malformed"], len(self.first.events())), (3, 2))
        self.assertEqual(len(self.first.link.outbox), 0)

    def test_the_deadline(self) -> None:
        """The handler knows how long the sender finds it worth: the timeout, from the arrival; without one,
        ten seconds."""
        seen: list[float | None] = []
        connector = Connector(type="t", product="p", versions=[(1, 0)])

        @connector.command("GREET", Greet)
        async def greet(request: Greet, job: Job) -> None:
            seen.append(job.deadline)

        self.start(connector)
        self.network.advance(100)
        self.first.command("GREET", {"name": "x"}, timeout=2500)
        self.first.command("GREET", {"name": "x"})
        self.assertEqual(seen, [102.5, 110.0])

    def test_other_kinds_are_of_no_use(self) -> None:
        """They are counted and acknowledged."""
        self.start()
        self.first.say(kinds.CONFIG, {"command": "RELOAD"})
        self.network.advance(0.1)
        self.assertEqual((self.running.counters["frames of no use"], len(self.first.link.outbox)), (1, 0))


class ChargeTests(RuntimeCase):
    """When a command counts as taken charge of (protocol.md 5.3)."""

    def test_not_before_its_receipt_is_on_its_way(self) -> None:
        """A loop that starts jobs later acknowledges later; what is sent again meanwhile is the same job."""
        started: list[Any] = []
        runtime = self.runtime()

        def launch(work: object) -> Any:
            started.append(work)
            return lambda: None

        self.patch(runtime.receiver._loop, "launch", launch)
        runtime.start()
        self.network.settle()
        command = self.first.command("GREET", {"name": "x"})
        self.first.link.send(command)
        self.network.advance(1)
        self.assertEqual((len(started), len(self.first.link.outbox)), (1, 2))
        self.assertRaises(StopIteration, started[0].send, None)
        self.network.advance(0.1)
        self.assertEqual((len(self.first.link.outbox), self.first.events()[0]), (0, ("GREET", "TAKEN")))
        runtime.receiver._jobs.clear()


class LimitTests(RuntimeCase):
    """Bounds."""

    limits = Limits(unacknowledged_frames=2, max_frame=2000)

    def test_too_many_jobs(self) -> None:
        """The command too many is taken and fails at once: its sender need not guess."""
        self.patch(receiving, "MAX_JOBS", 1)
        work: Deferred[None] = Deferred()
        connector = Connector(type="t", product="p", versions=[(1, 0)])

        @connector.command("WAIT", Greet)
        async def wait(request: Greet, job: Job) -> None:
            await work

        self.start(connector)
        for _ in range(2):
            self.first.command("WAIT", {"name": "x"})
            self.network.advance(0.1)
        self.assertEqual([event for _, event in self.first.events()], ["TAKEN", "TAKEN", "FAILURE"])
        self.assertEqual(payload_of(self.first.heard(kinds.EVENT)[-1])["code"], "OVERLOADED")
        work.callback(None)

    def test_no_room_for_receipts(self) -> None:
        """With as many events unacknowledged as may be, a command is left to a brother; it can come again."""
        self.start()
        link = self.first.link
        for _ in range(2):
            self.running.emit("a", "X")
        command = self.first.command("GREET", {"name": "x"})
        self.assertEqual(self.running.receiver.counters["commands not taken"], 1)
        self.network.advance(0.1)
        link.send(command)
        self.network.settle()
        self.assertEqual(self.first.events()[-1], ("GREET", "SUCCESS"))

    def test_progress_gives_way(self) -> None:
        """Progress beyond the bound is dropped and counted; the outcome never is."""
        connector = Connector(type="t", product="p", versions=[(1, 0)])

        @connector.command("GREET", Greet)
        async def greet(request: Greet, job: Job) -> None:
            for number in range(5):
                job.progress(str(number))

        self.start(connector)
        self.network.advance(0.1)
        self.first.command("GREET", {"name": "x"})
        self.network.advance(0.1)
        self.assertEqual([event for _, event in self.first.events()], ["TAKEN", "PROGRESS", "SUCCESS"])
        self.assertEqual(self.running.counters["progress dropped"], 4)

    def test_an_outcome_too_long(self) -> None:
        """It becomes a failure that says so; progress too long is dropped."""
        connector = Connector(type="t", product="p", versions=[(1, 0)])

        @connector.command("GREET", Greet)
        async def greet(request: Greet, job: Job) -> str:
            job.progress("y" * 3000)
            return "x" * 3000

        self.first.shoset.limits = self.limits
        self.start(connector)
        self.network.advance(0.1)
        self.first.command("GREET", {"name": "x"})
        self.assertEqual([event for _, event in self.first.events()], ["TAKEN", "FAILURE"])
        failure = payload_of(self.first.heard(kinds.EVENT)[-1])
        self.assertEqual((failure["code"], "3002 bytes" in failure["message"]), ("TOO_LARGE", True))


class EventTests(RuntimeCase):
    """Reactions."""

    def setUp(self) -> None:
        super().setUp()
        self.heard: list[ReceivedEvent] = []
        self.connector = Connector(type="t", product="p", versions=[(1, 0)])

        @self.connector.on("project.*")
        async def project(event: ReceivedEvent, network: Network) -> None:
            self.heard.append(event)

    def test_what_a_reaction_is_given(self) -> None:
        """The event as it came, its payload parsed."""
        self.start(self.connector)
        frame = self.first.event("project.requested", "REQUESTED", {"name": "demo"}, source="cli", target="git1")
        (event,) = self.heard
        self.assertEqual((event.uuid.bytes, event.topic, event.event), (frame.uuid, "project.requested", "REQUESTED"))
        self.assertEqual((event.payload, event.source, event.target), ({"name": "demo"}, "cli", "git1"))
        self.assertEqual((event.reference, event.timestamp), (None, frame.timestamp))

    def test_a_duplicate_acts_once(self) -> None:
        """By whatever link it comes again."""
        second = self.second()
        self.start(self.connector, *BOTH)
        frame = self.first.event("project.requested", "REQUESTED")
        second.link.send(frame)
        self.network.advance(0.1)
        self.assertEqual((len(self.heard), self.running.receiver.counters["duplicates"]), (1, 1))
        self.assertEqual(len(second.link.outbox), 0)

    def test_an_event_of_our_own_is_not_heard(self) -> None:
        """It comes back by way of a brother of the instance that it was sent to."""
        second = self.second()
        self.start(self.connector, *BOTH)
        self.running.emit("project.ready", "READY")
        self.network.settle()
        side, other = (self.first, second) if self.first.events() else (second, self.first)
        other.link.send(side.heard(kinds.EVENT)[0])
        self.network.advance(0.1)
        self.assertEqual(self.heard, [])

    def test_other_topics(self) -> None:
        """What was not asked for and comes all the same causes nothing."""
        self.start(self.connector)
        self.first.event("vcs.pushed", "PUSHED")
        self.assertEqual(self.heard, [])

    def test_unreadable(self) -> None:
        """A body that cannot be read is counted and taken from the sender."""
        self.start(self.connector)
        self.first.say(kinds.EVENT, b"\xc1")
        self.network.advance(0.1)
        self.assertEqual((self.running.receiver.counters["malformed"], len(self.first.link.outbox)), (1, 0))

    def test_too_many_reactions(self) -> None:
        """Those beyond the bound wait, unacknowledged, and each acts once and in order."""
        self.patch(receiving, "MAX_REACTIONS", 1)
        works: list[Deferred[None]] = []

        @self.connector.on("slow.*")
        async def slow(event: ReceivedEvent, network: Network) -> None:
            self.heard.append(event)
            works.append(Deferred())
            await works[-1]

        self.start(self.connector)
        frames = [self.first.event(f"slow.{number}", "X") for number in range(3)]
        self.first.link.send(frames[2])
        self.network.advance(0.1)
        self.assertEqual((len(self.heard), len(self.first.link.outbox)), (1, 3))
        for number in range(3):
            works[number].callback(None)
        self.network.advance(0.1)
        self.assertEqual([event.topic for event in self.heard], ["slow.0", "slow.1", "slow.2"])
        self.assertEqual(len(self.first.link.outbox), 0)

    def test_many_wait_and_end_at_once(self) -> None:
        """However many reactions that need not wait come after one that did: each acts once, in order."""
        self.patch(receiving, "MAX_REACTIONS", 1)
        work: Deferred[None] = Deferred()

        @self.connector.on("slow.*")
        async def slow(event: ReceivedEvent, network: Network) -> None:
            await work

        self.start(self.connector)
        self.first.event("slow.0", "X")
        frames = [self.first.event("project.x", str(number)) for number in range(2000)]
        self.network.advance(0.1)
        self.assertEqual((self.heard, len(self.first.link.outbox)), ([], 2000))
        work.callback(None)
        self.network.advance(0.1)
        self.assertEqual([event.uuid.bytes for event in self.heard], [frame.uuid for frame in frames])
        self.assertEqual(len(self.first.link.outbox), 0)
