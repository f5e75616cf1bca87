"""Searching the tenant's trace."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from gandalf.api.errors import BadRequest
from gandalf.api.operation import Access, Call, Reply, operation
from gandalf.api.v1.payloads import payload_members, uuid_text
from gandalf.store.database import Database
from gandalf.store.trace import Cursor, TraceRecord, cursor, search_txn

_LARGEST: Final = 2**63 - 1


def moment(value: object) -> int:
    """Ms since the epoch, of a number of them or of an RFC 3339 time. :raises ValueError: it is neither."""
    text = str(value)
    if text.isascii() and text.isdigit() and len(text) < 20:
        number = int(text)
        if number <= _LARGEST:
            return number
    try:
        # A "+" that was not escaped in a query arrives as a space.
        at = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        if at.tzinfo is not None:
            return int(at.timestamp() * 1000)
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a time as 2026-01-31T12:00:00Z, or milliseconds since 1970")


Moment = Annotated[
    int,
    BeforeValidator(moment),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}]}),
]
Name = Annotated[str, Field(max_length=256)]


class TraceQuery(BaseModel):
    """What a message has to fit, all of it."""

    model_config = ConfigDict(extra="forbid")

    uuid: UUID | None = Field(default=None, description="The message with this id.")
    reference: UUID | None = Field(default=None, description="What answers the message with this id.")
    topic: Name | None = Field(default=None, description="Events of this topic.")
    command: Name | None = Field(default=None, description="Commands of this name.")
    kind: Name | None = Field(default=None, description="evt: events; cmd: commands.")
    since: Moment | None = Field(default=None, description="Recorded then or later: RFC 3339, or ms since 1970.")
    until: Moment | None = Field(default=None, description="Recorded before then.")
    limit: int = Field(default=100, ge=1, le=1000, description="So many at most.")
    cursor: str | None = Field(default=None, max_length=512, description="`next` of the page before.")


class TraceEntry(BaseModel):
    """A message as the cluster recorded it. Times in ms since 1970: `timestamp` by its sender's clock, `received_at`
    by the member's."""

    uuid: str
    kind: str
    topic: str
    command: str
    event: str
    reference: str | None
    source: str
    target: str
    tenant: str
    connector_type: str
    payload: Any
    payload_encoding: str = Field(description="json: a value; text; base64: bytes that are no text.")
    timestamp: int
    received_at: int
    member: str


class TracePage(BaseModel):
    """Messages, the newest first; `next` is the cursor of the page that follows."""

    items: list[TraceEntry]
    next: str | None


class Trace:
    """The messages that passed.

    :param database: the tenant's database as it is now; raises `DatabaseUnavailable`.
    """

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database

    @operation(
        "GET", "/trace", Access.READER, "Search the trace.", query=TraceQuery, answers={200: TracePage}, tag="trace"
    )
    async def search(self, call: Call) -> Reply:
        """Newest first, in pages."""
        query: TraceQuery = call.query
        found = await self._database().run(
            "trace",
            search_txn,
            uuid=None if query.uuid is None else query.uuid.bytes,
            reference=None if query.reference is None else query.reference.bytes,
            topic=query.topic,
            command=query.command,
            kind=query.kind,
            since=query.since,
            until=query.until,
            limit=query.limit + 1,
            before=None if query.cursor is None else _place(query.cursor),
        )
        shown = found[: query.limit]
        follows = _text(cursor(shown[-1])) if len(found) > query.limit else None
        return Reply({"items": [entry(record) for record in shown], "next": follows})


def entry(record: TraceRecord) -> dict[str, Any]:
    """A record as clients see it."""
    return {
        "uuid": uuid_text(record.uuid),
        "kind": record.kind,
        "topic": record.topic,
        "command": record.command,
        "event": record.event,
        "reference": uuid_text(record.reference),
        "source": record.source,
        "target": record.target,
        "tenant": record.tenant,
        "connector_type": record.connector_type,
        **payload_members(record.payload),
        "timestamp": record.timestamp,
        "received_at": record.received_at,
        "member": record.member,
    }


def _text(place: Cursor) -> str:
    text = f"{place.received_at}.{place.uuid.hex()}.{place.kind}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(text: str) -> Cursor:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        at, uuid, kind = base64.b64decode(padded, altchars=b"-_", validate=True).decode().split(".", 2)
        place = Cursor(int(at), UUID(hex=uuid).bytes, kind.replace("\0", ""))
    except (ValueError, binascii.Error):
        place = None
    if place is None or not 0 <= place.received_at <= _LARGEST:
        raise BadRequest("cursor: must be `next` of the page before")
    return place
