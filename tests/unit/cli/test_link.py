"""Joining the network as the operator, when that does not succeed; the rest is tested with a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import gandalf.cli.link
from gandalf.cli.errors import REFUSED, USAGE, CommandEnd
from gandalf.cli.link import LINKED_WITHIN, OperatorRuntime, linked
from gandalf.cli.settings import settings
from gandalf.wire import kinds
from tests.unit.cli.support import SETTINGS
from tests.unit.connector import support
from tests.unit.connector.support import RuntimeCase


class Link(SynchronousTestCase):
    """`linked`"""

    def setUp(self) -> None:
        """Settings, and a network where nobody listens."""
        self.clock = Clock()
        self.settings = Path(self.mktemp())
        self.settings.write_text(SETTINGS)
        self.patch(gandalf.cli.link, "dials", lambda reactor, credentials: self.refuse)

    def refuse(self, address: str, factory: object) -> Deferred[Any]:
        """Stands in for dialling."""
        return fail(ConnectionRefusedError())

    def join(self) -> Deferred[None]:
        """Join, and leave at once."""

        async def join() -> None:
            async with linked(settings(str(self.settings), {}), self.clock):
                self.fail("it was joined")

        return ensureDeferred(join())

    def test_nobody_listens(self) -> None:
        """After some seconds the end says who was dialled, and why in vain; no timer is left."""
        joining = self.join()
        self.clock.pump([0.1] * int(LINKED_WITHIN * 10 - 1))
        self.assertNoResult(joining)
        self.clock.advance(0.2)
        end = self.failureResultOf(joining, CommandEnd).value
        self.assertEqual(end.exit_code, REFUSED)
        for words in ("make run", "127.0.0.1:9103", "refused"):
            self.assertIn(words, end.message)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_interrupted(self) -> None:
        """Given up, it leaves no timer."""
        joining = self.join()
        joining.addErrback(lambda failure: None)
        joining.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_certificates_that_cannot_be_used(self) -> None:
        """The file is named; nobody is dialled."""
        for name in ("ca", "certificate", "key"):
            self.settings.with_name(f"{name}.pem").write_text("nothing of the kind")
        tls = '[tls]\nca = "ca.pem"\ncertificate = "certificate.pem"\nkey = "key.pem"\n'
        self.settings.write_text(SETTINGS + tls)
        end = self.failureResultOf(self.join(), CommandEnd).value
        self.assertEqual(end.exit_code, USAGE)
        self.assertIn(".pem", end.message)


class Answers(RuntimeCase):
    """`OperatorRuntime`"""

    def test_an_answer_that_cannot_be_read(self) -> None:
        """It is passed over as by any connector: the link is as good as before, and what comes next is told."""
        self.patch(support, "Runtime", OperatorRuntime)
        runtime: Any = self.start()
        told: list[str] = []
        runtime.on_answer = lambda event: told.append(event.event)
        outcome = runtime.send("vcs", "X")
        self.network.settle()
        (command,) = self.first.heard(kinds.COMMAND)
        self.first.say(kinds.EVENT, b"no map", reference=command.uuid, target="git1")
        self.first.answer(command, "TAKEN")
        self.first.answer(command, "SUCCESS")
        self.assertEqual(told, ["TAKEN", "SUCCESS"])
        self.assertEqual(self.successResultOf(outcome).receipt.event, "TAKEN")
        self.assertEqual(len(self.network.cables), 1)
        self.assertTrue(self.first.link.available)
