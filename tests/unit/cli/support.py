"""Running the command `gandalf` without a network, a database or a reactor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import gandalf.cli.link
import gandalf.cli.running
from gandalf.cli.main import main
from gandalf.connector.testing import MemoryNetwork

SETTINGS = """
[operator]
tenant = "tenant1"
aggregators = ["127.0.0.1:9103"]
secret = "the secret of the operator"
"""


class CommandNetwork(MemoryNetwork):
    """Calls `then` for each event or command that is given to it."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[], object] = lambda: None
        self.on_answer: Callable[[Any], object] = lambda event: None
        self.left = False

    def emit(self, topic: str, event: str, payload: object = None, *, target: str = "") -> Deferred[None]:
        """See `MemoryNetwork`."""
        taken = super().emit(topic, event, payload, target=target)
        self.then()
        return taken

    def send(self, *arguments: Any, **options: Any) -> Deferred[Any]:
        """See `MemoryNetwork`."""
        outcome = super().send(*arguments, **options)
        self.then()
        return outcome


class CommandCase(SynchronousTestCase):
    """`self.run_command` runs `gandalf`; the network that it joins is `self.network`."""

    def setUp(self) -> None:
        """Settings, and a network."""
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.settings = self.directory / "operator.toml"
        self.settings.write_text(SETTINGS)
        self.network = CommandNetwork()
        self.clock = Clock()
        self.linked_with: list[Any] = []
        self.patch(gandalf.cli.link, "linked", self.linked)
        self.patch(gandalf.cli.running, "run", self.run_at_once)

    @asynccontextmanager
    async def linked(
        self, config: object, reactor: object, connector: object = None
    ) -> AsyncIterator[CommandNetwork]:
        """Stands in for `gandalf.cli.link.linked`."""
        self.linked_with.append(connector)
        try:
            yield self.network
        finally:
            self.network.left = True

    def run_at_once(
        self, work: Callable[[Any], Coroutine[Deferred[Any], Any, None]], *, interrupted: int = 130
    ) -> None:
        """Stands in for `gandalf.cli.running.run`; what does not end at once is interrupted."""
        running = ensureDeferred(work(self.clock))
        if not running.called:
            self.waits()
        if not running.called:
            running.addErrback(lambda failure: None)
            running.cancel()
            raise SystemExit(interrupted)
        failures: list[Any] = []
        running.addErrback(failures.append)
        if failures:
            failures[0].raiseException()

    def waits(self) -> None:
        """Called when the command waits for something: a test's own doing."""

    def run_command(self, *arguments: str, environment: dict[str, str] | None = None) -> Result:
        """Run `gandalf --settings ... ARGUMENTS`."""
        result = CliRunner().invoke(main, ["--settings", str(self.settings), *arguments], env=environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def assert_usage(self, result: Result, *said: str) -> None:
        """The command line was refused, with words that say why, and nothing was done."""
        self.assertEqual(result.exit_code, 2, result.output)
        for words in said:
            self.assertIn(words, result.output)
        self.assertEqual(self.linked_with, [])
