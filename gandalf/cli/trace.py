"""`gandalf trace`"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from gandalf.cli import arguments
from gandalf.cli.database import control_database, database_option, told

if TYPE_CHECKING:
    from gandalf.store.trace import TraceRecord

_SHOWN = 120
"""Characters of a payload that are shown in the table."""


@click.command("trace", epilog="Example: gandalf trace --topic vcs.push --since 2h")
@click.option("--uuid", type=click.UUID, help="The message with this uuid.")
@click.option("--reference", type=click.UUID, help="What answers the message with this uuid.")
@click.option("--topic", help="Events of this topic.")
@click.option("--command", "command_name", metavar="NAME", help="Commands of this name.")
@click.option("--since", metavar="TIME", help="Recorded then or later: 15m (ago), 2h, 3d, or an ISO date or time.")
@click.option("--until", metavar="TIME", help="Recorded before then.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="So many, the newest.")
@click.option("--tenant", metavar="TENANT", help="Of this tenant. Default: that of the settings.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@database_option
@click.pass_obj
def command(
    named: str | None,
    uuid: UUID | None,
    reference: UUID | None,
    topic: str | None,
    command_name: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    tenant: str | None,
    as_json: bool,
    database: str | None,
) -> None:
    """Search the messages that the cluster recorded, and print those that fit all that is given, the newest
    last."""
    now = datetime.now(UTC)
    first = None if since is None else arguments.moment(since, now)
    last = None if until is None else arguments.moment(until, now)

    from gandalf.cli.output import table
    from gandalf.cli.settings import settings
    from gandalf.store import tenants, trace
    from gandalf.store.direct import transaction

    with told():
        control = control_database(database, named)
        name = tenant or settings(named).operator.tenant
        with transaction(control, "trace") as connection:
            own = tenants.tenant_dsn_txn(connection, name, control)
        with transaction(own, "trace") as connection:
            found = trace.search_txn(
                connection,
                uuid=uuid.bytes if uuid else None,
                reference=reference.bytes if reference else None,
                topic=topic,
                command=command_name,
                since=first,
                until=last,
                limit=limit,
            )
    found.reverse()
    if as_json:
        for record in found:
            click.echo(json.dumps(as_object(record), ensure_ascii=False))
        return
    table(("recorded", "uuid", "message", "from", "to", "answers", "payload"), map(_row, found))


def as_object(record: TraceRecord) -> dict[str, object]:
    """A record as one JSON object; uuids as text, times in ms since the epoch."""
    import attrs

    reference = record.reference
    return {
        **attrs.asdict(record),
        "uuid": str(UUID(bytes=record.uuid)),
        "reference": None if reference is None else str(UUID(bytes=reference)),
        "payload": record.payload.decode("utf-8", "backslashreplace"),
    }


def _row(record: TraceRecord) -> tuple[object, ...]:
    from gandalf.cli.output import at

    payload = record.payload.decode("utf-8", "backslashreplace")
    return (
        at(record.received_at),
        UUID(bytes=record.uuid),
        " ".join(filter(None, (record.topic, record.event, record.command))) or record.kind,
        record.source,
        record.target,
        "" if record.reference is None else UUID(bytes=record.reference),
        payload if len(payload) <= _SHOWN else payload[: _SHOWN - 1] + "…",
    )
