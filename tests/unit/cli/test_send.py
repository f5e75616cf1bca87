"""`gandalf send`"""

from __future__ import annotations

from uuid import UUID

from gandalf.connector.network import CommandFailed, CommandRefused, OutcomeTimeout, ReceivedEvent
from tests.unit.cli.support import CommandCase


def answer(event: str, payload: object = None) -> ReceivedEvent:
    """A receipt as it comes in."""
    return ReceivedEvent(UUID(int=1), "CREATE_REPOSITORY", event, payload, source="git1")


class Send(CommandCase):
    """`gandalf send`"""

    def answered_by(self, error: Exception | None, *answers: ReceivedEvent) -> None:
        """Let the next command be answered so."""

        def then() -> None:
            for each in answers:
                self.network.on_answer(each)
            if error is None:
                self.network.sent[-1].succeed()
            else:
                self.network.sent[-1].outcome.errback(error)

        self.network.then = then

    def test_a_success(self) -> None:
        """Receipt, progress and outcome are printed as they come, and the network is left."""
        self.answered_by(None, answer("TAKEN"), answer("PROGRESS", {"message": "x"}), answer("SUCCESS", {"url": "u"}))
        result = self.run_command("send", "vcs.CREATE_REPOSITORY", "name=demo", "--target", "git1", "--timeout", "3")
        self.assertEqual(result.exit_code, 0, result.output)
        lines = [line.split(maxsplit=3) for line in result.output.splitlines()]
        self.assertEqual(
            [(line[0], line[3]) for line in lines],
            [("TAKEN", "by git1"), ("PROGRESS", '{"message": "x"}'), ("SUCCESS", '{"url": "u"}')],
        )
        (sent,) = self.network.sent
        self.assertEqual(
            (sent.connector_type, sent.command, sent.payload, sent.target, sent.timeout),
            ("vcs", "CREATE_REPOSITORY", {"name": "demo"}, "git1", 3.0),
        )
        self.assertTrue(self.network.left)

    def test_a_type_with_dots(self) -> None:
        """The command is the last word."""
        self.answered_by(None)
        self.run_command("send", "a.b.C")
        self.assertEqual((self.network.sent[0].connector_type, self.network.sent[0].command), ("a.b", "C"))
        self.assertIsNone(self.network.sent[0].payload)

    def test_a_failure(self) -> None:
        """Its code, message and details once; status 1."""
        failure = CommandFailed("ALREADY_EXISTS", "there is one", {"name": "demo"})
        self.answered_by(failure, answer("TAKEN"), answer("FAILURE", failure.payload()))
        result = self.run_command("send", "vcs.CREATE_REPOSITORY", "name=demo")
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(result.output.count("FAILURE"), 1)
        self.assertIn('ALREADY_EXISTS: there is one {"name": "demo"}', result.output)
        self.assertTrue(self.network.left)

    def test_refused(self) -> None:
        """An error event, or no outcome in time: status 3."""
        for error in (CommandRefused("NO_ROUTE", "nobody speaks it"), OutcomeTimeout("too late")):
            self.answered_by(error)
            result = self.run_command("send", "vcs.X")
            self.assertEqual(result.exit_code, 3)
            self.assertIn(str(error), result.output)

    def test_interrupted(self) -> None:
        """Ctrl-C gives the command up, and leaves the network: status 130."""
        result = self.run_command("send", "vcs.X")
        self.assertEqual(result.exit_code, 130)
        self.assertTrue(self.network.left)

    def test_what_a_peer_says_cannot_control_the_terminal(self) -> None:
        """Control characters are shown by their code."""
        self.answered_by(CommandFailed("X", "\x1b[2J"))
        self.assertIn("\\x1b[2J", self.run_command("send", "vcs.X").output)

    def test_a_wrong_command_line(self) -> None:
        """Says what is allowed, and sends nothing."""
        for name in ("X", ".X", "vcs.", ""):
            self.assert_usage(self.run_command("send", name), repr(name), "TYPE.COMMAND")
        self.assert_usage(self.run_command("send", "vcs.X", "name"), "KEY=TEXT")
        for timeout in ("0", "-1", "nan", "inf", "x"):
            self.assert_usage(self.run_command("send", "vcs.X", "--timeout", timeout), "--timeout")

    def test_wrong_settings(self) -> None:
        """Say which key, and send nothing."""
        self.settings.write_text("[operator]\n")
        self.assert_usage(self.run_command("send", "vcs.X"), "operator.tenant")
