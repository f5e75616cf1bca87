"""Commands over HTTP."""

from __future__ import annotations

import json
from typing import Any, cast
from uuid import UUID

import attrs
from twisted.python.failure import Failure

from gandalf.api.v1.commands import PROGRESS_MOST, CommandsAPI
from gandalf.routing.failures import RoutingFailure
from gandalf.store.errors import DatabaseUnavailable
from gandalf.store.trace import TraceRecord
from tests.unit.api.v1.support import (
    COMMAND,
    COMMAND_TEXT,
    SUCCESS,
    FakeAnswer,
    FakeCommands,
    FakeLife,
    FakeRefusal,
    Later,
    OperationsCase,
)

SENT = TraceRecord(COMMAND, "cmd", command="CREATE", connector_type="vcs", source="flow1", timestamp=4, received_at=5)
PLACE = f"/api/v1/commands/{COMMAND_TEXT}"


def said(event: str, payload: bytes = b"", *, topic: str = "CREATE", at: int = 9) -> TraceRecord:
    """An event that refers to the command."""
    return TraceRecord(
        UUID(int=at).bytes,
        "evt",
        topic=topic,
        event=event,
        reference=COMMAND,
        source="git1",
        payload=payload,
        received_at=at,
    )


class CommandsCase(OperationsCase):
    """Commands that a test ends."""

    def subject(self) -> CommandsAPI:
        """See `OperationsCase`."""
        self.commands = FakeCommands()
        return CommandsAPI(self.commands, self.database_now, cast(Any, Later(self)))

    def database_now(self) -> Any:
        """The tenant's database."""
        return self.database

    def send(self, **more: Any) -> Any:
        """`POST /commands`"""
        return self.ask("POST", "/commands", json.dumps({"type": "vcs", "command": "CREATE", **more}).encode())


class Sending(CommandsCase):
    """`POST /commands`"""

    def test_its_end_in_time(self) -> None:
        """200 with the whole life."""
        self.assertIsNone(self.send(payload={"name": "demo"}, target="git1", timeout=500, outcome_timeout=900))
        arguments, options = self.commands.sent[0]
        self.assertEqual(arguments, ("vcs", "CREATE", '{"name":"demo"}'))
        self.assertEqual(options, {"target": "git1", "timeout_ms": 500, "outcome_timeout_ms": 900})
        self.commands.end(SUCCESS)
        answer = self.answered()
        life = json.loads(answer.body)
        self.assertEqual((answer.status, answer.headers["Location"]), (200, PLACE))
        self.assertEqual((life["uuid"], life["state"], life["ended"]), (COMMAND_TEXT, "SUCCESS", True))
        self.assertEqual((life["receipt"]["event"], life["outcome"]["payload"]), ("TAKEN", {"url": "u"}))

    def test_a_failure_is_an_end_too(self) -> None:
        """What the connector says of it is in the life: the command was carried to it."""
        self.send()
        self.commands.end(attrs.evolve(SUCCESS, state="FAILURE", outcome=FakeAnswer("FAILURE", b'{"code":"NO"}')))
        answer = self.answered()
        self.assertEqual((answer.status, json.loads(answer.body)["outcome"]["payload"]), (200, {"code": "NO"}))

    def test_it_takes_longer(self) -> None:
        """202 after the wait, with the place to look, and nobody waits any longer."""
        self.assertIsNone(self.send(wait=2000))
        self.clock.advance(1.9)
        self.assertIsNone(self.answered())
        self.commands.known = FakeLife(state="TAKEN", receipt=FakeAnswer("TAKEN"))
        self.clock.advance(0.2)
        answer = self.answered()
        self.assertEqual((answer.status, answer.headers["Location"]), (202, PLACE))
        self.assertEqual((json.loads(answer.body)["state"], self.commands.left), ("TAKEN", 1))

    def test_ten_seconds_unless_said_otherwise(self) -> None:
        """The wait by default."""
        self.send()
        self.clock.advance(9.9)
        self.assertIsNone(self.answered())
        self.clock.advance(0.1)
        self.assertEqual(self.answered().status, 202)

    def test_no_wait(self) -> None:
        """202 at once."""
        self.assertEqual(self.send(wait=0).status, 202)
        self.assertEqual(self.commands.waiters, [])

    def test_the_client_leaves(self) -> None:
        """The waiting ends with it; the command goes on."""
        self.send()
        self.exchange.protocol.connectionLost(Failure(ConnectionError()))
        self.assertEqual(self.commands.left, 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_the_instance_stops_meanwhile(self) -> None:
        """202: the command is on its way, and must not be sent again."""
        self.send()
        self.commands.waiters[0].errback(RoutingFailure("DRAINING", "this instance stops"))
        self.assertEqual(self.answered().status, 202)

    def test_errors_of_the_network(self) -> None:
        """Each code has its status; the problem tells the code, and which command it was."""
        for code, status in (
            ("NO_ROUTE", 404),
            ("TIMEOUT", 504),
            ("EXPIRED", 504),
            ("OUTCOME_TIMEOUT", 504),
            ("OVERLOADED", 503),
            ("DRAINING", 503),
            ("TOO_LARGE", 413),
            ("NOT_AUTHORISED", 403),
            ("SOMETHING", 502),
        ):
            self.commands.known = FakeLife(state="ERROR", error=FakeRefusal(code), ended_at=6)
            answer = self.send()
            problem = json.loads(answer.body)
            self.assertEqual((answer.status, problem["code"], problem["status"]), (status, code, status))
            self.assertEqual((problem["detail"], problem["uuid"]), ("nobody is there", COMMAND_TEXT))
            self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
            self.assertEqual((answer.headers["Location"], "Retry-After" in answer.headers), (PLACE, status == 503))

    def test_not_sent_at_all(self) -> None:
        """Overload is a 503 with its code, what can never be sent a 400."""
        self.commands.refusal = RoutingFailure("OVERLOADED", "later")
        answer = self.send()
        self.assertEqual((answer.status, json.loads(answer.body)["code"]), (503, "OVERLOADED"))
        self.assertNotIn("Location", answer.headers)
        self.commands.refusal = ValueError("one of them must say who the command is for")
        answer = self.send()
        self.assertEqual(answer.status, 400)
        self.assertIn("who the command is for", json.loads(answer.body)["detail"])

    def test_bad_bodies(self) -> None:
        """Unknown keys, other types, and times out of bounds; nothing is sent."""
        for more in ({"command": ""}, {"wait": -1}, {"wait": "5"}, {"wait": 600_001}, {"colour": 1}, {"type": None}):
            self.assertEqual(self.send(**more).status, 400, more)
        self.assertEqual(self.ask("POST", "/commands", b"{").status, 400)
        self.assertEqual(self.commands.sent, [])

    def test_who_may(self) -> None:
        """Writers send, readers look."""
        self.assert_needs("writing", "POST", "/commands", b'{"type": "vcs", "command": "C"}')
        self.assert_needs("reading", "GET", "/commands")
        self.assert_needs("reading", "GET", f"/commands/{COMMAND_TEXT}")
        self.assertEqual(self.commands.sent, [])


class Looking(CommandsCase):
    """`GET /commands`, `GET /commands/{uuid}`"""

    def look(self, uuid: str = COMMAND_TEXT, *, command: Any = SENT, answers: Any = ()) -> Any:
        """The answer, with what the trace has."""
        self.ask("GET", f"/commands/{uuid}")
        self.asked().answer.callback([command] if command else [])
        self.assertEqual(self.asked().kwargs["reference"], COMMAND)
        self.asked().answer.callback(list(reversed(answers)))
        return self.answered()

    def from_trace(self, *answers: TraceRecord) -> Any:
        """The life of a command that was sent by somebody else."""
        self.commands.known = FakeLife(uuid=b"o" * 16)
        answer = self.look(answers=answers)
        self.assertEqual(answer.status, 200)
        return json.loads(answer.body)

    def test_latest(self) -> None:
        """In pages of what is asked for."""
        answer = self.ask("GET", "/commands?limit=1")
        self.assertEqual([life["uuid"] for life in json.loads(answer.body)["items"]], [COMMAND_TEXT])
        self.assertEqual(self.ask("GET", "/commands?limit=0").status, 400)

    def test_one_that_is_known(self) -> None:
        """Its life, and what was recorded, oldest first; ids go with dashes and without."""
        self.commands.known = SUCCESS
        for uuid in (COMMAND_TEXT, COMMAND.hex()):
            answer = self.look(uuid, answers=[said("TAKEN", at=6), said("SUCCESS", at=7)])
            life = json.loads(answer.body)
            self.assertEqual((life["state"], life["timeout"]), ("SUCCESS", 10_000))
            self.assertEqual([each["received_at"] for each in life["recorded"]], [5, 6, 7])

    def test_the_database_is_away(self) -> None:
        """What is known here is told all the same; 503 for a command that is not."""
        self.ask("GET", f"/commands/{COMMAND_TEXT}")
        self.asked().answer.errback(DatabaseUnavailable("away"))
        self.assertIsNone(json.loads(self.answered().body)["recorded"])
        self.commands.known = FakeLife(uuid=b"o" * 16)
        self.ask("GET", f"/commands/{COMMAND_TEXT}")
        self.asked().answer.errback(DatabaseUnavailable("away"))
        self.assertEqual(self.answered().status, 503)

    def test_put_together_from_the_trace(self) -> None:
        """Receipt, progress and outcome of a command that another instance sent."""
        life = self.from_trace(
            said("TAKEN", at=6), said("PROGRESS", b'{"done":1}', at=7), said("FAILURE", b"no", at=8)
        )
        self.assertEqual((life["command"], life["connector_type"], life["sent_at"]), ("CREATE", "vcs", 4))
        self.assertEqual((life["state"], life["ended"], life["ended_at"]), ("FAILURE", True, 8))
        self.assertEqual((life["receipt"]["at"], life["outcome"]["payload"]), (6, "no"))
        self.assertEqual([each["payload"] for each in life["progress"]], [{"done": 1}])
        self.assertEqual((life["timeout"], len(life["recorded"])), (None, 4))

    def test_errors_in_the_trace(self) -> None:
        """An error event ends what has no receipt; after one it says only that another could not."""
        error = said("NO_ROUTE", b'{"message":"nobody"}', topic="error", at=7)
        life = self.from_trace(error)
        self.assertEqual((life["state"], life["error"]["message"], life["ended_at"]), ("ERROR", "nobody", 7))
        self.assertEqual(self.from_trace(said("TAKEN", at=6), error)["state"], "TAKEN")
        self.assertEqual(self.from_trace(said("X", b"[", topic="error"))["error"]["message"], "")
        self.assertEqual(self.from_trace()["state"], "SENT")

    def test_an_end_is_an_end(self) -> None:
        """What comes later is among what was recorded only."""
        life = self.from_trace(said("SUCCESS", at=6), said("FAILURE", at=7))
        self.assertEqual((life["state"], life["ended_at"], len(life["recorded"])), ("SUCCESS", 6, 3))

    def test_much_progress(self) -> None:
        """The latest is told, and how much was not."""
        many = [said("PROGRESS", b"%d" % number, at=10 + number) for number in range(PROGRESS_MOST + 5)]
        life = self.from_trace(*many)
        self.assertEqual((len(life["progress"]), life["progress_dropped"]), (PROGRESS_MOST, 5))
        self.assertEqual(life["progress"][0]["payload"], 5)

    def test_unknown(self) -> None:
        """404, also when only answers are there; 400 for what is no id."""
        self.commands.known = FakeLife(uuid=b"o" * 16)
        self.assertEqual(self.look(command=None).status, 404)
        self.assertEqual(self.look(command=None, answers=[said("TAKEN")]).status, 404)
        self.assertEqual(self.ask("GET", "/commands/x").status, 404)
