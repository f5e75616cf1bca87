"""`gandalf watch`"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING
from uuid import UUID

import click

if TYPE_CHECKING:
    from gandalf.connector.network import ReceivedEvent


@click.command("watch", epilog="Example: gandalf watch 'vcs.*' project.ready")
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def command(named: str | None, patterns: tuple[str, ...], as_json: bool) -> None:
    """Print events as they pass, one a line, until Ctrl-C: those whose topic matches a PATTERN, by default all.

    In a pattern `*` is one word between dots, and `>` the rest, one word or more. Quote them for the shell.
    """
    from twisted.internet.defer import Deferred

    from gandalf.cli.link import declared, linked
    from gandalf.cli.running import run
    from gandalf.cli.settings import settings
    from gandalf.connector.network import Network

    config = settings(named)
    over: Deferred[None] = Deferred()
    shown: set[UUID] = set()

    async def show(event: ReceivedEvent, network: Network) -> None:
        if event.uuid in shown:
            return  # several patterns match: one call comes right after the other
        shown.clear()
        shown.add(event.uuid)
        try:
            click.echo(json.dumps(as_object(event), ensure_ascii=False) if as_json else as_line(event))
        except BrokenPipeError:  # whoever read it has ended
            if not over.called:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                over.callback(None)

    connector = declared()
    for pattern in dict.fromkeys(patterns or (">",)):
        try:
            connector.on(pattern)(show)
        except ValueError as error:
            raise click.UsageError(f"{pattern!r}: {error}") from None

    async def watch(reactor: object) -> None:
        async with linked(config, reactor, connector):
            click.echo(f"watching {' '.join(connector.topics)}; Ctrl-C ends it", err=True)
            await over

    run(watch, interrupted=0)


def as_line(event: ReceivedEvent) -> str:
    """An event in one line."""
    from gandalf.cli.output import at, compact, printable, word

    said = f"{printable(event.topic)} {word(printable(event.event))} {printable(event.source)}"
    return f"{at(event.timestamp)} {said}  {printable(compact(event.payload))}".rstrip()


def as_object(event: ReceivedEvent) -> dict[str, object]:
    """An event as one JSON object; uuids as text, times in ms since the epoch."""
    return {
        "uuid": str(event.uuid),
        "topic": event.topic,
        "event": event.event,
        "source": event.source,
        "target": event.target,
        "reference": None if event.reference is None else str(event.reference),
        "timestamp": event.timestamp,
        "payload": event.payload,
    }
