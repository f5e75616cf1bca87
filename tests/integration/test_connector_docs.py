"""docs/connectors.md: every example is run, on a network of this process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from gandalf.connector import CommandFailed, Connector, Network, ReceivedEvent, Runtime
from tests.integration.network import NetworkCase, until
from tests.integration.programs import ROOT

EXAMPLE = re.compile(r"^```(python|toml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> dict[str, str]:
    """The examples by the name of their file."""
    text = (ROOT / "docs" / "connectors.md").read_text()
    return {match[2]: match[3] for match in EXAMPLE.finditer(text)}


class DocumentationTests(NetworkCase):
    """Each example does what the text around it says."""

    def setUp(self) -> Any:
        self.directory = Path(self.mktemp()).absolute()
        return Deferred.fromCoroutine(self.prepare())

    async def prepare(self) -> None:
        """Write the examples, with the addresses of this network and a secret for each."""
        await self.network()
        (self.directory / "secrets").mkdir(parents=True)
        addresses = ", ".join(json.dumps(address) for address in self.addresses)
        for name, text in examples().items():
            (self.directory / name).write_text(text.replace('"127.0.0.1:9103"', addresses))
        for name in ("greeter1", "copier1", "projects1", "asker1", "counter1"):
            (self.directory / "secrets" / name).write_text("s\n")
        self.member.speakers.update(greeting="greeter1", copying="copier1", projects="projects1", counting="counter1")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A program in the examples' directory."""
        log = (self.directory / f"{arguments[-1]}.log").open("wb")
        self.addCleanup(log.close)
        process = subprocess.Popen(
            arguments,
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(self.directory)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        self.addCleanup(self.end, process)
        return process

    async def end(self, process: subprocess.Popen[bytes]) -> None:
        """For `addCleanup`."""
        if process.poll() is None:
            process.kill()
        await deferToThread(process.wait)

    def printed(self, name: str) -> str:
        """What a program has printed."""
        return (self.directory / f"{name}.log").read_text()

    async def python(self, name: str) -> subprocess.Popen[bytes]:
        """An example that is a connector, linked."""
        process = self.start(sys.executable, name)
        await self.linked(f"{Path(name).stem}1")
        return process

    async def linked(self, logical_name: str) -> None:
        """Wait for a connector."""
        services = [instance.service for instance in self.instances]
        await until(
            lambda: all(
                any(link.validated for link in service.shoset.registry.named("c", logical_name))
                for service in services
            ),
            f"{logical_name} is linked",
        )

    async def asker(self) -> Runtime:
        """A connector of this process."""
        return await self.connector(Connector(type="testing", product="plain", versions=[(1, 0)]), "tester1")

    async def finish(self, process: subprocess.Popen[bytes], name: str) -> None:
        """End a connector in good order."""
        process.send_signal(signal.SIGTERM)
        self.assertEqual(await deferToThread(process.wait), 0, self.printed(name))

    def test_every_example_is_run(self) -> None:
        """An example added to the page has to be added here."""
        connectors = {"greeter.py", "copier.py", "projects.py", "counter.py"}
        others = {"asker.py", "twisted_asker.py", "connectors.toml", "test_greeter.py"}
        self.assertEqual(set(examples()), connectors | others)

    async def test_commands_and_senders(self) -> None:
        """greeter.py and copier.py answer; asker.py and twisted_asker.py ask."""
        greeter = await self.python("greeter.py")
        copier = await self.python("copier.py")
        network = await self.asker()
        done: list[object] = []

        async def hear(event: ReceivedEvent, network: Network) -> None:
            done.append((event.topic, event.payload))

        network.subscribe("*.done", hear)
        await until(lambda: all(link.topics for link in network._ready_links()) and network._relinking is None)
        progress: list[Any] = []
        outcome = await network.send(
            "copying", "COPY", {"name": "abc"}, on_progress=lambda event: progress.append(event.payload)
        )
        self.assertEqual(outcome.payload, {"copied": 2, "greeting": {"text": "Hello abc"}})
        self.assertEqual(progress, [{"part": 1, "of": 2}, {"part": 2, "of": 2}])
        with self.assertRaises(CommandFailed) as failed:
            await network.send("copying", "COPY", {"name": "nothing"})
        self.assertEqual((failed.exception.code, failed.exception.details), ("NOT_FOUND", {"name": "nothing"}))
        outcome = await network.send("copying", "COPY_LATER", {"name": "abc"})
        self.assertEqual(outcome.payload["outcome"]["copied"], 2)  # type: ignore[index]
        for name, said in (
            ("asker.py", "greeter1 {'text': 'Hello World'}\n"),
            ("twisted_asker.py", "{'text': 'Hello Twisted'}\n"),
        ):
            self.assertEqual(await deferToThread(self.start(sys.executable, name).wait), 0, self.printed(name))
            self.assertEqual(self.printed(name), said)
        await until(lambda: len(done) == 2, f"two events: {done}")
        self.assertEqual(done, [("copying.done", {"name": "abc"}), ("greeting.done", {"name": "World"})])
        await self.finish(greeter, "greeter.py")
        await self.finish(copier, "copier.py")

    async def test_events(self) -> None:
        """projects.py reacts to one event with another."""
        projects = await self.python("projects.py")
        listener = Connector(type="testing", product="plain", versions=[(1, 0)])
        seen: list[object] = []

        @listener.on("projects.seen")
        async def hear(event: ReceivedEvent, network: Network) -> None:
            seen.append(event.payload)

        network = await self.connector(listener, "tester1")
        await network.emit("project.requested", "REQUESTED", {"name": "demo"})
        await until(lambda: seen == [{"topic": "project.requested", "payload": {"name": "demo"}}], f"{seen}")
        await self.finish(projects, "projects.py")

    async def test_under_twistd(self) -> None:
        """connectors.toml runs greeter.py and counter.py in one process."""
        twistd = str(Path(sys.executable).parent / "twistd")
        process = self.start(twistd, "--nodaemon", "--pidfile=", "gandalf-connector", "--config", "connectors.toml")
        await self.linked("greeter1")
        await self.linked("counter1")
        network = await self.asker()
        self.assertEqual((await network.send("counting", "COUNT", {"by": 5})).payload, 15)
        outcome = await network.send("greeting", "GREET", {"name": "twistd"})
        self.assertEqual(outcome.payload, {"text": "Hello twistd"})
        await self.finish(process, "connectors.toml")

    async def test_testing(self) -> None:
        """test_greeter.py passes without a network."""
        process = self.start(sys.executable, "test_greeter.py")
        self.assertEqual(await deferToThread(process.wait), 0, self.printed("test_greeter.py"))
        self.assertIn("Ran 2 tests", self.printed("test_greeter.py"))
