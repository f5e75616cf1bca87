"""Commands into receipts, events into reactions."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from gandalf.connector import CommandFailed, Connector, Job, Network, OutcomeTimeout, ReceivedEvent
from gandalf.connector.execution import Executor
from gandalf.connector.network import Command
from gandalf.connector.testing import MemoryHost, MemoryNetwork, carry_out

T = TypeVar("T")


class Greeting(BaseModel):
    """A payload."""

    name: str = "world"


class ThreadHost(MemoryHost):
    """Runs work in a real thread, and holds back what the thread asks of the loop until `run`."""

    def __init__(self) -> None:
        self.queue: list[Callable[[], object]] = []
        self.asked = threading.Event()
        self.threads: list[threading.Thread] = []

    def in_thread(self, call: Callable[[], T]) -> Deferred[T]:
        """Run `call` in a thread; its result is queued as any other call."""
        result: Deferred[T] = Deferred()

        def work() -> None:
            try:
                value = call()
            except Exception as error:
                failed = error
                self.from_thread(lambda: result.errback(failed))
            else:
                self.from_thread(lambda: result.callback(value))

        self.threads.append(threading.Thread(target=work))
        self.threads[-1].start()
        return result

    def from_thread(self, call: Callable[[], object]) -> None:
        """Queue `call`."""
        self.queue.append(call)
        self.asked.set()

    def run(self) -> None:
        """Run what is queued when the thread has ended or waits."""
        while self.queue:
            self.queue.pop(0)()


class ExecutorTests(SynchronousTestCase):
    """`Executor.execute` (protocol.md 7)."""

    def setUp(self) -> None:
        """A connector to declare commands on."""
        self.connector = Connector(type="test", product="memory", versions=[(1, 0)])
        self.network = MemoryNetwork()

    def run_command(self, payload: object = None) -> list[tuple[str, object]]:
        """The receipts of the command GREET."""
        return carry_out(self.connector, "GREET", payload, network=self.network).receipts

    def test_receipts_come_in_order(self) -> None:
        """TAKEN before the work, then its progress, then one SUCCESS with what it returns."""
        begun = []

        @self.connector.command("GREET", Greeting)
        def greet(request: Greeting, job: Job) -> dict[str, object]:
            begun.append(job.command)
            job.progress("thinking")
            job.progress({"percent": 50})
            return {"text": f"hello {request.name}"}

        self.assertEqual(
            self.run_command({"name": "Ada"}),
            [
                ("TAKEN", None),
                ("PROGRESS", {"message": "thinking"}),
                ("PROGRESS", {"percent": 50}),
                ("SUCCESS", {"text": "hello Ada"}),
            ],
        )
        self.assertEqual(begun, ["GREET"])

    def test_job_knows_its_command(self) -> None:
        """uuid, source and deadline are those of the command."""
        seen: list[object] = []

        @self.connector.command("GREET", Greeting)
        async def greet(request: Greeting, job: Job) -> None:
            seen.extend([job.uuid, job.command, job.source, job.deadline])

        executor = Executor(self.connector, self.network, MemoryHost(), incident=str)
        command = Command(UUID(int=7), "GREET", b"{}", source="c1", deadline=12.5)
        ensureDeferred(executor.execute(command, lambda event, text: None))
        self.assertEqual(seen, [UUID(int=7), "GREET", "c1", 12.5])

    def test_coroutine_handler_is_awaited(self) -> None:
        """An `async def` gives its outcome when it ends, not before."""
        gate: Deferred[str] = Deferred()

        @self.connector.command("GREET", Greeting)
        async def greet(request: Greeting, job: Job) -> str:
            return await gate

        receipts = self.run_command()
        self.assertEqual(receipts, [("TAKEN", None)])
        gate.callback("done")
        self.assertEqual(receipts, [("TAKEN", None), ("SUCCESS", "done")])

    def test_invalid_payload_fails_without_work(self) -> None:
        """An invalid payload is a FAILURE that names each place; the handler is not called."""
        called: list[object] = []
        self.connector.command("GREET", Greeting)(lambda request, job: called.append(request))
        receipts = self.run_command({"name": 3})
        self.assertEqual([event for event, _ in receipts], ["TAKEN", "FAILURE"])
        self.assertEqual(
            receipts[1][1],
            {
                "code": "INVALID_PAYLOAD",
                "message": "the payload of GREET is not valid: name is 3: must be a valid string",
                "errors": [{"place": "name", "value": 3, "allowed": "must be a valid string"}],
            },
        )
        self.assertEqual(called, [])

    def test_unknown_command_lists_the_known(self) -> None:
        """A command that is not declared is a FAILURE that names those that are."""
        self.connector.command("WAVE", Greeting)(lambda request, job: None)
        self.connector.command("BOW", Greeting)(lambda request, job: None)
        event, payload = carry_out(self.connector, "GREET", network=self.network).outcome
        self.assertEqual((event, payload["code"]), ("FAILURE", "UNKNOWN_COMMAND"))
        self.assertIn("BOW, WAVE", payload["message"])

    def test_command_failed_is_the_failure(self) -> None:
        """`CommandFailed` gives the FAILURE its code, message and details."""

        @self.connector.command("GREET", Greeting)
        def greet(request: Greeting, job: Job) -> None:
            raise CommandFailed("SHY", "not today", {"until": "tomorrow"})

        self.assertEqual(
            self.run_command()[1:],
            [("FAILURE", {"code": "SHY", "message": "not today", "until": "tomorrow"})],
        )
        self.assertEqual(self.flushLoggedErrors(), [])

    def assert_internal(self, error: type[BaseException]) -> None:
        """The outcome is INTERNAL with the incident's id only, and the log has the rest."""
        receipts = self.run_command()
        self.assertEqual([event for event, _ in receipts], ["TAKEN", "FAILURE"])
        self.assertEqual(
            receipts[1][1],
            {
                "code": "INTERNAL",
                "message": "unexpected failure, incident incident-1",
                "incident": "incident-1",
            },
        )
        self.assertEqual(len(self.flushLoggedErrors(error)), 1)

    def test_unexpected_exception_is_an_incident(self) -> None:
        """Any other exception tells the sender an incident's id, and the log the traceback."""

        @self.connector.command("GREET", Greeting)
        def greet(request: Greeting, job: Job) -> None:
            raise KeyError("hunter2")

        self.assert_internal(KeyError)

    def test_a_handler_that_exits_is_an_incident(self) -> None:
        """As what parses arguments does when they are wrong: the sender is owed an outcome."""

        @self.connector.command("GREET", Greeting)
        def greet(request: Greeting, job: Job) -> None:
            sys.exit(2)

        self.assert_internal(SystemExit)

    def test_result_that_json_cannot_say_is_an_incident(self) -> None:
        """A handler that returns what has no JSON fails, it does not stay without outcome."""
        self.connector.command("GREET", Greeting)(lambda request, job: object())
        self.assert_internal(ValueError)

    def test_failure_that_json_cannot_say_is_an_incident(self) -> None:
        """Details that have no JSON do not cost the outcome."""

        @self.connector.command("GREET", Greeting)
        def greet(request: Greeting, job: Job) -> None:
            raise CommandFailed("SHY", "not today", {"until": object()})

        self.assert_internal(ValueError)

    def test_progress_that_json_cannot_say_is_the_handlers_error(self) -> None:
        """A progress without JSON raises in the handler."""
        self.connector.command("GREET", Greeting)(lambda request, job: job.progress(object()))
        self.assert_internal(ValueError)

    def test_cancelled_work_has_an_outcome(self) -> None:
        """Work cancelled by Twisted ends in a FAILURE."""
        gate: Deferred[None] = Deferred()

        @self.connector.command("GREET", Greeting)
        async def greet(request: Greeting, job: Job) -> None:
            await gate

        receipts = self.run_command()
        gate.cancel()
        self.assertEqual([event for event, _ in receipts], ["TAKEN", "FAILURE"])
        self.assertIn("CANCELLED", str(receipts[1]))

    def test_asyncio_cancellation_has_an_outcome_and_passes(self) -> None:
        """Work cancelled by asyncio ends in a FAILURE, and asyncio still sees its cancellation."""

        @self.connector.command("GREET", Greeting)
        async def greet(request: Greeting, job: Job) -> None:
            await Deferred()

        receipts: list[str] = []
        executor = Executor(self.connector, self.network, MemoryHost(), incident=str)
        running = executor.execute(Command(UUID(int=7), "GREET"), lambda event, text: receipts.append(event))
        running.send(None)
        with self.assertRaises(asyncio.CancelledError):
            running.throw(asyncio.CancelledError())
        self.assertEqual(receipts, ["TAKEN", "FAILURE"])

    def test_progress_after_the_outcome_is_dropped(self) -> None:
        """Nothing follows the outcome, whoever still holds the job."""
        jobs: list[Job] = []
        self.connector.command("GREET", Greeting)(lambda request, job: jobs.append(job))
        receipts = self.run_command()
        jobs[0].progress("late")
        self.assertEqual([event for event, _ in receipts], ["TAKEN", "SUCCESS"])

    def test_job_emits(self) -> None:
        """An event emitted by the handler reaches the network; one that it refuses is logged, not lost in
        silence."""
        self.network.takes_charge = False

        @self.connector.command("GREET", Greeting)
        def greet(request: Greeting, job: Job) -> None:
            job.emit("greeting", "SAID", {"to": request.name}, target="c2")

        self.assertEqual(self.run_command()[-1], ("SUCCESS", None))
        [emitted] = self.network.emitted
        self.assertEqual(
            (emitted.topic, emitted.event, emitted.payload, emitted.target),
            ("greeting", "SAID", {"to": "world"}, "c2"),
        )
        emitted.taken.errback(OSError("gone"))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_coroutine_handler_sends(self) -> None:
        """`await job.send` gives an `async def` the outcome of another connector's command."""

        @self.connector.command("GREET", Greeting)
        async def greet(request: Greeting, job: Job) -> object:
            return (await job.send("vcs", "LIST", {"a": 1}, target="git1", timeout=3)).payload

        receipts = self.run_command()
        [sent] = self.network.sent
        self.assertEqual(
            (sent.connector_type, sent.command, sent.payload, sent.target, sent.timeout),
            ("vcs", "LIST", {"a": 1}, "git1", 3),
        )
        sent.succeed(["demo"])
        self.assertEqual(receipts[-1], ("SUCCESS", ["demo"]))

    def test_blocking_call_on_the_loop_is_refused(self) -> None:
        """`job.call` on the loop's thread raises instead of stopping everything."""

        @self.connector.command("GREET", Greeting)
        async def greet(request: Greeting, job: Job) -> None:
            job.call("vcs", "LIST")

        self.assert_internal(RuntimeError)


class WorkerThreadTests(SynchronousTestCase):
    """A plain handler in a thread of its own."""

    def setUp(self) -> None:
        """A host with real threads."""
        self.connector = Connector(type="test", product="memory", versions=[(1, 0)])
        self.network = MemoryNetwork()
        self.host = ThreadHost()
        self.receipts: list[tuple[str, str]] = []

    def start(self) -> None:
        """Start the command GREET and let its thread come to its first call of the loop."""
        executor = Executor(self.connector, self.network, self.host, incident=str)
        ensureDeferred(
            executor.execute(Command(UUID(int=7), "GREET"), lambda event, text: self.receipts.append((event, text)))
        )

    def test_reports_are_made_on_the_loop_in_order(self) -> None:
        """Progress and events of a worker thread wait for the loop, and keep their order before the
        outcome."""

        @self.connector.command("GREET", Greeting)
        def greet(request: Greeting, job: Job) -> str:
            payload = {"n": 1}
            job.progress(payload)
            job.emit("greeting", "SAID", payload)
            payload["n"] = 2
            return "done"

        self.start()
        self.host.threads[0].join()
        self.assertEqual(self.receipts, [("TAKEN", "")])
        self.assertEqual(self.network.emitted, [])
        self.host.run()
        self.assertEqual(self.receipts, [("TAKEN", ""), ("PROGRESS", '{"n":1}'), ("SUCCESS", '"done"')])
        self.assertEqual([emitted.payload for emitted in self.network.emitted], [{"n": 1}])

    def test_call_waits_for_the_outcome(self) -> None:
        """`job.call` blocks the worker until the outcome is there, or raises what the network raised."""
        for error in (None, CommandFailed("SHY", "no"), OutcomeTimeout("too late")):
            with self.subTest(error=error):
                self.setUp()

                @self.connector.command("GREET", Greeting)
                def greet(request: Greeting, job: Job) -> object:
                    return job.call("vcs", "LIST").payload

                self.start()
                self.host.asked.wait(5)
                self.host.run()
                [sent] = self.network.sent
                if error is None:
                    sent.succeed([1])
                else:
                    sent.outcome.errback(error)
                self.host.threads[0].join()
                self.host.run()
                expected = "SUCCESS" if error is None else "FAILURE"
                self.assertEqual([event for event, _ in self.receipts], ["TAKEN", expected])
                self.flushLoggedErrors(OutcomeTimeout)

    def test_send_in_a_worker_thread_is_refused(self) -> None:
        """`job.send` in a worker thread raises: its result could not be awaited there."""

        @self.connector.command("GREET", Greeting)
        def greet(request: Greeting, job: Job) -> None:
            job.send("vcs", "LIST")

        self.start()
        self.host.threads[0].join()
        self.host.run()
        self.assertEqual(self.receipts[-1][0], "FAILURE")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.network.sent, [])


class AsyncioHost:
    """A `Host` on asyncio's loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.tasks: set[asyncio.Task[None]] = set()

    def in_thread(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Run `call` in the loop's thread pool."""
        return self.loop.run_in_executor(None, call)

    def from_thread(self, call: Callable[[], object]) -> None:
        """Run `call` on the loop."""
        self.loop.call_soon_threadsafe(call)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run `coroutine` as a task."""
        self.tasks.add(asyncio.ensure_future(coroutine))


class AsyncioTests(SynchronousTestCase):
    """The same connector in an asyncio program."""

    def test_handlers_of_both_kinds(self) -> None:
        """Coroutine and thread handlers report in order on asyncio's loop, where futures are asyncio's."""
        connector = Connector(type="test", product="memory", versions=[(1, 0)])

        @connector.command("PLAIN", Greeting)
        def plain(request: Greeting, job: Job) -> str:
            job.progress("working")
            return request.name

        @connector.command("ASYNC", Greeting)
        async def coroutine(request: Greeting, job: Job) -> str:
            job.progress("waiting")
            await asyncio.sleep(0)
            return request.name

        async def main() -> dict[str, list[str]]:
            receipts: dict[str, list[str]] = {"PLAIN": [], "ASYNC": []}
            executor = Executor(connector, MemoryNetwork(), AsyncioHost(), incident=str)
            for name, events in receipts.items():

                def report(event: str, text: str, events: list[str] = events) -> None:
                    events.append(event)

                await executor.execute(Command(UUID(int=1), name), report)
            return receipts

        for name, events in asyncio.run(main()).items():
            self.assertEqual(events, ["TAKEN", "PROGRESS", "SUCCESS"], name)


class DeliverTests(SynchronousTestCase):
    """`Executor.deliver`."""

    def test_matching_subscriptions_react(self) -> None:
        """Each subscription whose pattern matches is called with event and network, and no other."""
        connector = Connector(type="test", product="memory", versions=[(1, 0)])
        network = MemoryNetwork()
        seen: list[tuple[str, ReceivedEvent, Network]] = []
        for pattern in ("project.*", "project.requested", "other.>"):

            async def react(event: ReceivedEvent, network: Network, pattern: str = pattern) -> None:
                seen.append((pattern, event, network))

            connector.on(pattern)(react)
        executor = Executor(connector, network, MemoryHost(), incident=str)
        event = ReceivedEvent(UUID(int=1), "project.requested", "REQUESTED", {"name": "demo"})
        for reaction in executor.deliver(event):
            self.successResultOf(ensureDeferred(reaction))
        self.assertEqual(seen, [("project.*", event, network), ("project.requested", event, network)])

    def test_failing_reaction_is_logged(self) -> None:
        """A reaction that raises is logged and hurts nobody else."""
        connector = Connector(type="test", product="memory", versions=[(1, 0)])

        @connector.on("a")
        async def react(event: ReceivedEvent, network: Network) -> None:
            raise KeyError

        executor = Executor(connector, MemoryNetwork(), MemoryHost(), incident=str)
        [reaction] = executor.deliver(ReceivedEvent(UUID(int=1), "a", "B"))
        self.successResultOf(ensureDeferred(reaction))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
