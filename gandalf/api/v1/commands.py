"""Commands over HTTP: sent, waited for, looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from twisted.internet.defer import TimeoutError as NotInTime
from twisted.internet.interfaces import IReactorTime

from gandalf.api.errors import BadRequest, Undelivered
from gandalf.api.operation import Access, Call, Reply, operation
from gandalf.api.v1.network import Answer, Commands, Life
from gandalf.api.v1.payloads import Whole, payload_members, payload_text, uuid_bytes, uuid_text
from gandalf.api.v1.trace import TraceEntry, entry
from gandalf.routing.failures import RoutingFailure
from gandalf.store.database import Database
from gandalf.store.errors import DatabaseUnavailable, NotFound
from gandalf.store.trace import TraceRecord, search_txn
from gandalf.wire.kinds import COMMAND, EVENT

RECORDED_MOST: Final = 1000
"""How many of the events that refer to a command are looked at, the latest."""

PROGRESS_MOST: Final = 100
"""How many PROGRESS of a command that is known from the trace only are told, the latest."""


class CommandBody(BaseModel):
    """A command. Durations in ms. `type` or `target` has to say who it is for."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "anyOf": [{"required": [key], "properties": {key: {"minLength": 1}}} for key in ("type", "target")]
        },
    )

    type: str = Field(default="", max_length=256, description="The pivot that it is for, as vcs.")
    command: str = Field(min_length=1, max_length=256, description="What is to be done, as CREATE_REPOSITORY.")
    payload: Any = Field(default=None, description="Text is sent as it is, any other value as JSON.")
    target: str = Field(default="", max_length=256, description="The connector to carry it out; any, by default.")
    timeout: Whole = Field(
        default=0, ge=0, le=86_400_000, description="For the receipt; 0, or more than is allowed: as long as that."
    )
    outcome_timeout: Whole = Field(default=3_600_000, ge=1, le=604_800_000, description="For the outcome.")
    wait: Whole = Field(default=10_000, ge=0, le=600_000, description="For the end of it, before 202; 0: not at all.")


class CommandsQuery(BaseModel):
    """Which of them."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=100, ge=1, le=1000, description="So many at most.")


class AnswerView(BaseModel):
    """An event that answered; `at` in ms since 1970."""

    uuid: str
    event: str
    at: int
    source: str
    payload: Any
    payload_encoding: str = Field(description="json: a value; text; base64: bytes that are no text.")


class RefusalView(BaseModel):
    """Why there is no outcome; `at` in ms since 1970."""

    code: str
    message: str
    at: int
    source: str


class LifeView(BaseModel):
    """A command as it is known now. Moments in ms since 1970, durations in ms.

    `timeout` is for the receipt and `outcome_timeout` for the outcome; null when the command is known from the trace
    only. `progress` are the latest, and `progress_dropped` the number of earlier ones.
    """

    uuid: str
    command: str
    connector_type: str
    target: str
    sent_at: int
    timeout: int | None
    outcome_timeout: int | None
    state: str = Field(description="SENT, TAKEN, SUCCESS, FAILURE, ERROR or OUTCOME_TIMEOUT.")
    ended: bool
    receipt: AnswerView | None
    progress: list[AnswerView]
    progress_dropped: int
    outcome: AnswerView | None
    error: RefusalView | None
    ended_at: int | None


class RecordedLifeView(LifeView):
    """The same with what the trace has of it, oldest first; null while the database cannot be asked."""

    recorded: list[TraceEntry] | None


class LifePage(BaseModel):
    """Commands, the newest first."""

    items: list[LifeView]


class CommandsAPI:
    """Commands to connectors.

    :param database: the tenant's database as it is now; raises `DatabaseUnavailable`.
    :param base: the path of this face, for `Location`.
    """

    def __init__(
        self, commands: Commands, database: Callable[[], Database], clock: IReactorTime, *, base: str = "/api/v1"
    ) -> None:
        self._commands = commands
        self._database = database
        self._clock = clock
        self._base = base

    @operation(
        "POST",
        "/commands",
        Access.WRITER,
        "Send a command.",
        tag="commands",
        body=CommandBody,
        answers={200: LifeView, 202: LifeView},
        errors=(RoutingFailure,),
    )
    async def send(self, call: Call) -> Reply:
        """200 with its life when it has ended in time; else 202, and where to look."""
        body: CommandBody = call.body
        try:
            life = self._commands.send(
                body.type,
                body.command,
                payload_text(body.payload),
                target=body.target,
                timeout_ms=body.timeout,
                outcome_timeout_ms=body.outcome_timeout,
            )
        except ValueError as error:
            raise BadRequest(str(error)) from None
        if body.wait and not life.ended:
            life = await self._waited(life, body.wait / 1000)
        place = {"Location": f"{self._base}/commands/{uuid_text(life.uuid)}"}
        if life.error is not None:
            about = {"uuid": str(UUID(bytes=life.uuid))}
            raise Undelivered(life.error.code, life.error.message, about, place)
        return Reply(life_members(life), 200 if life.ended else 202, place)

    async def _waited(self, life: Life, seconds: float) -> Life:
        """The life at its end, or when the time is over. Who does not wait any longer cancels the waiting only."""
        ended = self._commands.ended(life.uuid)
        ended.addTimeout(seconds, self._clock)
        try:
            known: Life = await ended
            return known
        except NotInTime:
            return self._commands.get(life.uuid)
        except RoutingFailure:
            # This instance stops. The command is on its way, so nothing may sound like "try again".
            return life

    @operation(
        "GET",
        "/commands",
        Access.READER,
        "List the latest commands.",
        tag="commands",
        query=CommandsQuery,
        answers={200: LifePage},
    )
    async def latest(self, call: Call) -> Reply:
        """Those that were sent over HTTP through this instance."""
        return Reply({"items": [life_members(life) for life in self._commands.latest(call.query.limit)]})

    @operation(
        "GET",
        "/commands/<uuid>",
        Access.READER,
        "See a command.",
        tag="commands",
        answers={200: RecordedLifeView},
    )
    async def life(self, call: Call, uuid: str) -> Reply:
        """What is known here of any command that passed, from whomever."""
        try:
            id = uuid_bytes(uuid, "the id")
        except BadRequest as error:
            raise NotFound(str(error)) from None
        try:
            known = life_members(self._commands.get(id))
        except NotFound:
            records = await self._recorded(id)
            return Reply({**life_of_records(id, records), "recorded": [entry(record) for record in records]})
        try:
            records = await self._recorded(id)
        except DatabaseUnavailable:
            return Reply({**known, "recorded": None})
        return Reply({**known, "recorded": [entry(record) for record in records]})

    async def _recorded(self, uuid: bytes) -> list[TraceRecord]:
        """The command and the events that refer to it, oldest first."""
        database = self._database()
        records = await database.run("command", search_txn, uuid=uuid, kind=COMMAND, limit=1)
        answers = await database.run("answers", search_txn, reference=uuid, kind=EVENT, limit=RECORDED_MOST)
        return [*records, *reversed(answers)]


def life_members(life: Life) -> dict[str, Any]:
    """A life as clients see it."""
    error = life.error
    return {
        "uuid": uuid_text(life.uuid),
        "command": life.command,
        "connector_type": life.connector_type,
        "target": life.target,
        "sent_at": life.sent_at,
        "timeout": life.timeout,
        "outcome_timeout": life.outcome_timeout,
        "state": str(life.state),
        "ended": life.ended,
        "receipt": _answer(life.receipt),
        "progress": [_answer(answer) for answer in life.progress],
        "progress_dropped": life.progress_dropped,
        "outcome": _answer(life.outcome),
        "error": None
        if error is None
        else {"code": error.code, "message": error.message, "at": error.at, "source": error.source},
        "ended_at": life.ended_at,
    }


def _answer(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    return {
        "uuid": uuid_text(answer.uuid),
        "event": answer.event,
        "at": answer.at,
        "source": answer.source,
        **payload_members(answer.payload),
    }


def life_of_records(uuid: bytes, records: Sequence[TraceRecord]) -> dict[str, Any]:
    """The life of a command put together from the trace, oldest first. Its first end counts.

    :raises NotFound: the command is not among them.
    """
    if not records or records[0].kind != COMMAND:
        raise NotFound("no command with this id is known to this instance or recorded in the trace")
    command, *answers = records
    life: dict[str, Any] = {
        "uuid": uuid_text(uuid),
        "command": command.command,
        "connector_type": command.connector_type,
        "target": command.target,
        "sent_at": command.timestamp,
        "timeout": None,
        "outcome_timeout": None,
        "state": "SENT",
        "ended": False,
        "receipt": None,
        "progress": [],
        "progress_dropped": 0,
        "outcome": None,
        "error": None,
        "ended_at": None,
    }
    for record in answers:
        if life["ended"]:
            break
        _go_on(life, record)
    dropped = max(len(life["progress"]) - PROGRESS_MOST, 0)
    return {**life, "progress": life["progress"][dropped:], "progress_dropped": dropped}


def _go_on(life: dict[str, Any], record: TraceRecord) -> None:
    if record.topic == "error":
        if life["receipt"] is not None:
            return  # it says only that another who was tried could not
        life["error"] = {
            "code": record.event,
            "message": _message(record.payload),
            "at": record.received_at,
            "source": record.source,
        }
        life.update(state="ERROR", ended=True, ended_at=record.received_at)
        return
    answer = {
        "uuid": uuid_text(record.uuid),
        "event": record.event,
        "at": record.received_at,
        "source": record.source,
        **payload_members(record.payload),
    }
    life["receipt"] = life["receipt"] or answer
    if record.event in ("SUCCESS", "FAILURE"):
        life.update(state=record.event, outcome=answer, ended=True, ended_at=record.received_at)
        return
    life["state"] = "TAKEN"
    if record.event != "TAKEN":
        life["progress"].append(answer)


def _message(payload: bytes) -> str:
    """What an error event says to people (protocol.md 6.6)."""
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return ""
    message = said.get("message") if isinstance(said, Mapping) else None
    return message if isinstance(message, str) else ""
