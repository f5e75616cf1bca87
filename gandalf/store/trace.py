"""The trace: every message that a cluster member recorded, in its tenant's database.

Times are milliseconds since the epoch: `timestamp` is the sender's, `received_at` the member's. Searching
and paging go by `received_at`, since the clocks of senders need not agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any
from uuid import UUID

import attrs
from psycopg2.errors import UniqueViolation
from sqlalchemy import Connection, Dialect, Row, and_, or_, select
from sqlalchemy.dialects import postgresql

from .tenant_schema import trace

_LARGEST = 2**63 - 1  # of a bigint; the wire's integers reach 2**64 - 1


@attrs.frozen
class TraceRecord:
    """One message, as recorded. `uuid` and `reference` are 16 bytes; `payload` is as sent, text in UTF-8."""

    uuid: bytes
    kind: str
    topic: str = ""
    command: str = ""
    event: str = ""
    reference: bytes | None = None
    source: str = ""
    target: str = ""
    tenant: str = ""
    connector_type: str = ""
    payload: bytes = b""
    timestamp: int = 0
    received_at: int = 0
    member: str = ""


@attrs.frozen
class Cursor:
    """A place in the trace: after the row with these values."""

    received_at: int
    uuid: bytes
    kind: str


_COLUMNS = tuple(attribute.name for attribute in attrs.fields(TraceRecord))
_INTO = f"trace ({', '.join(_COLUMNS)})"
_COPY = f"COPY {_INTO} FROM STDIN"
# Whole columns as arrays: one statement for any number of rows, at a fifth of the time of SQLAlchemy's batches.
_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
_ARRAYS = ", ".join(f"%s::{trace.c[name].type.compile(_DIALECT)}[]" for name in _COLUMNS)
_INSERT = f"INSERT INTO {_INTO} SELECT * FROM unnest({_ARRAYS}) ON CONFLICT DO NOTHING"


def append_txn(connection: Connection, records: Sequence[TraceRecord]) -> None:
    """Record messages, in one statement. One that is recorded already, by uuid and kind, stays as it is."""
    if not records:
        return
    try:
        with connection.begin_nested():
            _copy(connection, records)
    except UniqueViolation:
        # Copying costs a fifth, here and in the database, but it knows only all or nothing.
        columns = [list(column) for column in zip(*map(_row, records), strict=True)]
        connection.exec_driver_sql(_INSERT, tuple(columns))


def _copy(connection: Connection, records: Iterable[TraceRecord]) -> None:
    driver: Any = connection.connection
    with driver.cursor() as cursor:
        cursor.copy_expert(_COPY, StringIO("".join(map(_line, records))))


def search_txn(
    connection: Connection,
    *,
    uuid: bytes | None = None,
    reference: bytes | None = None,
    topic: str | None = None,
    command: str | None = None,
    kind: str | None = None,
    since: int | None = None,
    until: int | None = None,
    limit: int = 100,
    before: Cursor | None = None,
) -> list[TraceRecord]:
    """The newest messages that fit everything given, newest first, at most `limit`.

    `since` <= received_at < `until`. To read on, give `before` = `cursor` of the last one.
    """
    columns = trace.c
    query = select(*(columns[name] for name in _COLUMNS))
    for column, wanted in ((columns.uuid, uuid), (columns.reference, reference)):
        if wanted is not None:
            query = query.where(column == UUID(bytes=wanted))
    for column, text in ((columns.topic, topic), (columns.command, command), (columns.kind, kind)):
        if text is not None:
            query = query.where(column == _storable(text))
    if since is not None:
        query = query.where(columns.received_at >= since)
    if until is not None:
        query = query.where(columns.received_at < until)
    if before is not None:
        # Not a comparison of rows: CockroachDB would not use the index for one in descending order.
        last = UUID(bytes=before.uuid)
        same_time = columns.received_at == before.received_at
        query = query.where(
            columns.received_at <= before.received_at,
            or_(
                columns.received_at < before.received_at,
                and_(same_time, columns.uuid < last),
                and_(same_time, columns.uuid == last, columns.kind < before.kind),
            ),
        )
    query = query.order_by(columns.received_at.desc(), columns.uuid.desc(), columns.kind.desc()).limit(limit)
    return [_record(row) for row in connection.execute(query)]


def after_txn(
    connection: Connection, place: Cursor, *, kind: str | None = None, limit: int = 100
) -> list[TraceRecord]:
    """The messages after `place`, of one kind or of all, the oldest first, at most `limit`.

    To read on, give the `cursor` of the last one. What is recorded late, by a slow member, can come to stand
    before a place that was read already.
    """
    columns = trace.c
    last = UUID(bytes=place.uuid)
    same_time = columns.received_at == place.received_at
    query = select(*(columns[name] for name in _COLUMNS)).where(
        columns.received_at >= place.received_at,
        or_(
            columns.received_at > place.received_at,
            and_(same_time, columns.uuid > last),
            and_(same_time, columns.uuid == last, columns.kind > place.kind),
        ),
    )
    if kind is not None:
        query = query.where(columns.kind == kind)
    query = query.order_by(columns.received_at, columns.uuid, columns.kind).limit(limit)
    return [_record(row) for row in connection.execute(query)]


def place_txn(connection: Connection, uuid: bytes, kind: str) -> Cursor | None:
    """Where the message of this `uuid` and `kind` stands; None: the trace does not have it."""
    columns = trace.c
    query = select(columns.received_at).where(columns.uuid == UUID(bytes=uuid), columns.kind == kind)
    received_at = connection.execute(query).scalar_one_or_none()
    return None if received_at is None else Cursor(received_at, uuid, kind)


def beginning(received_at: int) -> Cursor:
    """The place before everything that was received at `received_at` or later."""
    return Cursor(received_at, bytes(16), "")


def cursor(record: TraceRecord) -> Cursor:
    """Where to read on after `record`."""
    return Cursor(record.received_at, record.uuid, record.kind)


def _record(row: Row[Any]) -> TraceRecord:
    return TraceRecord(
        **{
            **row._mapping,
            "uuid": row.uuid.bytes,
            "reference": row.reference.bytes if row.reference else None,
            "payload": bytes(row.payload),
        }
    )


def _line(record: TraceRecord) -> str:
    """A record as a line of PostgreSQL's COPY."""
    texts = (
        f"{record.kind}\t{record.topic}\t{record.command}\t{record.event}",
        f"{record.source}\t{record.target}\t{record.tenant}\t{record.connector_type}",
        record.member,
    )
    if sum(text.count("\t") for text in texts) != 6 or any(map(_special, texts)):
        texts = (
            "\t".join(map(_escaped, (record.kind, record.topic, record.command, record.event))),
            "\t".join(map(_escaped, (record.source, record.target, record.tenant, record.connector_type))),
            _escaped(record.member),
        )
    reference = record.reference.hex() if record.reference else "\\N"
    return (
        f"{record.uuid.hex()}\t{texts[0]}\t{reference}\t{texts[1]}\t\\\\x{record.payload.hex()}"
        f"\t{min(record.timestamp, _LARGEST)}\t{min(record.received_at, _LARGEST)}\t{texts[2]}\n"
    )


_special = re.compile(r"[\0\\\n\r]").search


def _escaped(text: str) -> str:
    return _storable(text).translate(_ESCAPES)


_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _row(record: TraceRecord) -> tuple[object, ...]:
    return (
        record.uuid.hex(),
        _storable(record.kind),
        _storable(record.topic),
        _storable(record.command),
        _storable(record.event),
        record.reference.hex() if record.reference else None,
        _storable(record.source),
        _storable(record.target),
        _storable(record.tenant),
        _storable(record.connector_type),
        record.payload,
        min(record.timestamp, _LARGEST),
        min(record.received_at, _LARGEST),
        _storable(record.member),
    )


def _storable(text: str) -> str:
    """`text` without the one character that PostgreSQL cannot hold: no message may be left out of the trace."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in text else text
