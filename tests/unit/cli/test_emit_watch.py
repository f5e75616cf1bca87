"""`gandalf emit` and `gandalf watch`"""

from __future__ import annotations

import json
from uuid import UUID

from twisted.internet.defer import ensureDeferred

from gandalf.connector.emitting import EventRefused
from gandalf.connector.network import ReceivedEvent
from tests.unit.cli.support import CommandCase


class Emit(CommandCase):
    """`gandalf emit`"""

    def test_an_event(self) -> None:
        """It is sent, and its recording awaited."""
        result = self.run_command("emit", "project.requested", "REQUESTED", "name=x", "--target", "git1")
        self.assertEqual((result.exit_code, result.output), (0, "recorded\n"))
        (emitted,) = self.network.emitted
        self.assertEqual(
            (emitted.topic, emitted.event, emitted.payload, emitted.target),
            ("project.requested", "REQUESTED", {"name": "x"}, "git1"),
        )
        self.assertTrue(self.network.left)

    def test_refused(self) -> None:
        """Status 3, with what the network says."""
        self.network.takes_charge = False
        self.network.then = lambda: self.network.emitted[-1].taken.errback(EventRefused("TOO_LARGE", "so long"))
        result = self.run_command("emit", "a", "B")
        self.assertEqual(result.exit_code, 3)
        self.assertIn("TOO_LARGE: so long", result.output)

    def test_not_recorded_in_time(self) -> None:
        """Status 3, and no promise that it was not."""
        self.network.takes_charge = False
        self.network.then = lambda: self.clock.callLater(0, lambda: None)
        self.patch(self, "waits", lambda: self.clock.advance(2.5))
        result = self.run_command("emit", "a", "B", "--timeout", "2.5")
        self.assertEqual(result.exit_code, 3)
        self.assertIn("2.5 s", result.output)

    def test_a_wrong_command_line(self) -> None:
        """Says what is allowed, and sends nothing."""
        self.assert_usage(self.run_command("emit", "a", "B", "c"), "KEY=TEXT")
        self.assert_usage(self.run_command("emit", "", "B"), "TOPIC")


class Watch(CommandCase):
    """`gandalf watch`"""

    event = ReceivedEvent(
        UUID(int=5), "vcs.push", "PUSHED", {"a": "é"}, "git1", "", reference=UUID(int=6), timestamp=1_700_000_000_000
    )

    def setUp(self) -> None:
        """While the command waits, `self.passing` pass."""
        super().setUp()
        self.passing: list[ReceivedEvent] = [self.event]

    def waits(self) -> None:
        """Give the events to the connector that was linked."""
        connector = self.linked_with[-1]
        for event in self.passing:
            for subscription in connector.subscriptions:
                if subscription.topics.matches(event.topic):
                    self.successResultOf(ensureDeferred(subscription.function(event, self.network)))

    def test_a_line_each(self) -> None:
        """Time, topic, event, source and payload; Ctrl-C is no failure."""
        result = self.run_command("watch")
        self.assertEqual(result.exit_code, 0)
        self.assertEqual(result.stdout, '2023-11-14T22:13:20.000Z vcs.push PUSHED   git1  {"a": "é"}\n')
        self.assertEqual(result.stderr, "watching >; Ctrl-C ends it\n")
        self.assertTrue(self.network.left)

    def test_json(self) -> None:
        """One object a line, with all that there is."""
        result = self.run_command("watch", "--json")
        self.assertEqual(
            json.loads(result.stdout),
            {
                "uuid": str(UUID(int=5)),
                "topic": "vcs.push",
                "event": "PUSHED",
                "source": "git1",
                "target": "",
                "reference": str(UUID(int=6)),
                "timestamp": 1_700_000_000_000,
                "payload": {"a": "é"},
            },
        )

    def test_patterns(self) -> None:
        """Only what matches one of them, and that once."""
        self.passing = [self.event, ReceivedEvent(UUID(int=7), "other", "X")]
        result = self.run_command("watch", "vcs.*", "*.push", "vcs.*")
        self.assertEqual(self.linked_with[0].topics, ["vcs.*", "*.push"])
        self.assertEqual(result.stdout.count("PUSHED"), 1)
        self.assertNotIn("other", result.stdout)

    def test_a_wrong_pattern(self) -> None:
        """Is named."""
        self.assert_usage(self.run_command("watch", ">.a"), "'>.a'")

    def test_what_a_peer_says_cannot_control_the_terminal(self) -> None:
        """Control characters are shown by their code."""
        self.passing = [ReceivedEvent(UUID(int=5), "a\x1b[2J", "\x07", "\x1b", "\x1b")]
        self.assertNotIn("\x1b", self.run_command("watch").stdout)
