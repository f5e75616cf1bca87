"""Connectors between real aggregators over loopback: on Twisted, on asyncio, under twistd."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue

from gandalf.connector import CommandFailed, CommandRefused, Connector, Job, Network, ReceivedEvent, SecretRefused
from tests.integration.network import NetworkCase, reactor, until
from tests.integration.programs import Program

HERE = Path(__file__).parent


class Greet(BaseModel):
    """A payload."""

    name: str


def greeter(pause: float = 0.0) -> tuple[Connector, Counter[str]]:
    """A connector, and how often it greeted whom."""
    connector = Connector(type="greeting", product="plain", versions=[(1, 0)])
    greeted: Counter[str] = Counter()

    @connector.command("GREET", Greet)
    async def greet(request: Greet, job: Job) -> dict[str, object]:
        greeted[request.name] += 1
        if pause:
            await deferLater(reactor, pause, lambda: None)
        return {"text": f"Hello {request.name}"}

    @connector.command("THREAD", Greet)
    def thread(request: Greet, job: Job) -> dict[str, object]:
        job.progress("half")
        return dict(job.call("greeting", "GREET", {"name": request.name}).payload)  # type: ignore[call-overload, no-any-return]

    return connector, greeted


def asker() -> Connector:
    """A connector that carries out nothing."""
    return Connector(type="asking", product="plain", versions=[(1, 0)])


class TwistedTests(NetworkCase):
    """Two connectors of one Twisted program, two instances of their aggregator."""

    async def test_a_command_goes_and_its_outcome_comes(self) -> None:
        """By way of the cluster; progress and failures likewise, and a nested call from a worker thread."""
        await self.network()
        greeting, _ = greeter()
        await self.connector(greeting, "greeter1")
        network = await self.connector(asker(), "asker1")
        outcome = await network.send("greeting", "GREET", {"name": "World"})
        self.assertEqual((outcome.payload, outcome.receipt.source), ({"text": "Hello World"}, "greeter1"))
        progress: list[object] = []
        outcome = await network.send(
            "greeting", "THREAD", {"name": "you"}, on_progress=lambda event: progress.append(event.payload)
        )
        self.assertEqual((outcome.payload, progress), ({"text": "Hello you"}, [{"message": "half"}]))
        with self.assertRaises(CommandFailed) as failed:
            await network.send("greeting", "GREET", {"nome": "x"})
        self.assertEqual(failed.exception.code, "INVALID_PAYLOAD")
        began = time.monotonic()
        with self.assertRaises(CommandRefused) as refused:
            await network.send("nobody", "GREET")
        self.assertEqual(refused.exception.code, "NO_ROUTE")
        self.assertLess(time.monotonic() - began, 2)

    async def test_events_reach_who_subscribed(self) -> None:
        """Once each, also those subscribed to while running."""
        await self.network()
        heard: list[tuple[str, object]] = []
        listener = asker()

        @listener.on("project.*")
        async def project(event: ReceivedEvent, network: Network) -> None:
            heard.append((event.topic, event.payload))

        running = await self.connector(listener, "listener1")
        network = await self.connector(asker(), "asker1")
        for number in range(20):
            await network.emit(f"project.t{number}", "X", number)
            await network.emit("other.topic", "X", number)
        await until(lambda: len(heard) == 20, f"20 events: {heard}")
        running.subscribe("other.*", project)
        await until(lambda: all(link.topics == ("project.*", "other.*") for link in self.links_of("listener1")))
        await network.emit("other.topic", "X", 99)
        await until(lambda: ("other.topic", 99) in heard)
        self.assertEqual(sorted(number for _, number in heard[:20]), list(range(20)))
        self.assertEqual(len(heard), 21)

    def links_of(self, logical_name: str) -> list[Any]:
        """What the instances know of a connector's links."""
        return [
            link for instance in self.instances for link in instance.service.shoset.registry.named("c", logical_name)
        ]

    async def test_an_instance_is_killed(self) -> None:
        """While commands and events flow: each command has its outcome and was carried out once, each event is
        acknowledged, is with the cluster, and came to the listener once."""
        await self.network()
        greeting, greeted = greeter(pause=0.02)
        heard: Counter[object] = Counter()

        @greeting.on("load.*")
        async def load(event: ReceivedEvent, network: Network) -> None:
            heard[event.payload] += 1

        await self.connector(greeting, "greeter1")
        network = await self.connector(asker(), "asker1")
        few = DeferredSemaphore(50)
        commands: list[Deferred[Any]] = [
            few.run(network.send, "greeting", "GREET", {"name": str(number)}) for number in range(500)
        ]
        events: list[Any] = []
        for number in range(500):
            events.append(network.emit(f"load.t{number % 7}", "X", number))
            if number == 250:
                await until(lambda: sum(greeted.values()) > 100)
                await self.instances[0].kill()
            if number % 10 == 0:
                await deferLater(reactor, 0, lambda: None)
        outcomes = await gatherResults(commands)
        await gatherResults(events)
        self.assertEqual(
            [outcome.payload["text"] for outcome in outcomes], [f"Hello {number}" for number in range(500)]
        )
        self.assertEqual(set(greeted.values()), {1})
        await until(lambda: len(heard) == 500, "all events")
        self.assertEqual(set(heard.values()), {1})
        await until(lambda: len(self.member.events) == 1500, "every event and receipt at the cluster")

    async def test_one_is_stopped_in_good_order(self) -> None:
        """An instance that drains says bye; what is pending finishes, the brother goes on."""
        await self.network()
        greeting, greeted = greeter(pause=0.02)
        await self.connector(greeting, "greeter1")
        network = await self.connector(asker(), "asker1")
        commands: list[Any] = [network.send("greeting", "GREET", {"name": str(number)}) for number in range(100)]
        self.instances[0].running = False
        await self.instances[0].service.drain()
        commands += [network.send("greeting", "GREET", {"name": str(number)}) for number in range(100, 120)]
        await gatherResults(commands)
        self.assertEqual((len(greeted), set(greeted.values())), (120, {1}))

    async def test_a_refused_secret(self) -> None:
        """It fails `connect` with the cluster's reason; a brother in the same process is not disturbed."""
        await self.network()
        self.member.refused.add("asker1")
        greeting, _ = greeter()
        await self.connector(greeting, "greeter1")
        with self.assertRaises(SecretRefused) as refused:
            await self.connector(asker(), "asker1")
        self.assertIn("revoked", str(refused.exception))


class AsyncioTests(NetworkCase):
    """An asyncio program, in a process of its own."""

    async def test_an_asyncio_program(self) -> None:
        """It sends, carries out, emits and reacts, by names and addresses; and ends leaving nothing behind."""
        await self.network()
        greeting, _ = greeter()
        network = await self.connector(greeting, "greeter1")
        self.member.speakers["asyncio"] = "asyncio1"
        script = str(HERE / "asyncio_program.py")
        addresses = [address.replace("127.0.0.1", "localhost") for address in self.addresses]
        ended = getProcessOutputAndValue(sys.executable, [script, *addresses], env={}, reactor=reactor)
        ready: Deferred[ReceivedEvent] = Deferred()

        async def told(event: ReceivedEvent, network: Network) -> None:
            ready.callback(event)

        network.subscribe("asyncio.ready", told)
        event = await ready
        self.assertEqual(event.payload, {"text": "Hello asyncio"})
        outcome = await network.send("asyncio", "SLEEP", {"name": "World"})
        self.assertEqual(outcome.payload, {"slept": "World"})
        await network.emit("asyncio.end", "END")
        output, errors, status = await ended
        self.assertEqual((errors, status), (b"", 0))
        figures = json.loads(output)
        self.assertEqual(figures["left"], [])
        self.assertEqual(figures["outcome"], "SUCCESS")


class TwistdTests(NetworkCase):
    """`twistd gandalf-connector`."""

    def program(self, *tables: str) -> Program:
        """The program, with these [[connectors]]."""
        aggregators = json.dumps(self.addresses)
        text = f'[connector]\ntenant = "tenant1"\naggregators = {aggregators}\n' + "\n".join(
            f"[[connectors]]\n{table}" for table in tables
        )
        program = Program("gandalf-connector", text)
        self.addCleanup(deferToThread, program.end)
        return program

    def directory(self) -> str:
        """A place for repositories."""
        return str(Path(self.mktemp()).absolute())

    async def test_connectors_of_a_file(self) -> None:
        """Each of them answers; one whose secret is refused does not end the other; SIGTERM ends with 0."""
        await self.network()
        self.member.refused.add("workflow1")
        network = await self.connector(asker(), "asker1")
        directory = self.directory()
        self.member.speakers["vcs"] = "git1"
        program = self.program(
            f'logical_name = "git1"\nuse = "gandalf.connector.git:program"\nsecret = "s"\n'
            f"options = {{ directory = {json.dumps(directory)} }}",
            f'logical_name = "workflow1"\nuse = "gandalf.connector.workflow:program"\nsecret = "s"\n'
            f"options = {{ directory = {json.dumps(str(HERE))} }}",
        ).start()
        await until(
            lambda: all(
                any(link.validated for link in instance.service.shoset.registry.named("c", "git1"))
                for instance in self.instances
            ),
            program.log,
        )
        outcome = await network.send("vcs", "CREATE_REPOSITORY", {"name": "demo"})
        self.assertEqual(outcome.final.event, "SUCCESS")
        await until(lambda: "secret is refused: revoked" in program.log, program.log)
        program.signal(signal.SIGTERM)
        self.assertEqual(await deferToThread(program.wait), 0, program.log)

    async def test_a_wrong_configuration(self) -> None:
        """It ends at once with status 1, and names the table and the key."""
        await self.network(1)
        program = self.program('logical_name = "x"\nsecret = "s"\nuse = "gandalf.connector.git:nothing"').start()
        self.assertEqual(await deferToThread(program.wait), 1)
        self.assertIn("connectors[0]: use is 'gandalf.connector.git:nothing': cannot be imported", program.log)
