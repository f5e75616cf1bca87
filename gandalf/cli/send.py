"""`gandalf send`"""

from __future__ import annotations

import time

import click

from gandalf.cli import arguments
from gandalf.cli.errors import FAILED, REFUSED, CommandEnd


@click.command(
    "send",
    epilog="Example: gandalf send vcs.CREATE_REPOSITORY name=demo",
    short_help="Send a command, and wait for its outcome.",
)
@click.argument("command", metavar="TYPE.COMMAND")
@click.argument("pairs", metavar="[KEY=TEXT | KEY:=JSON]...", nargs=-1)
@click.option("--json", "text", metavar="JSON", help="The payload, to which the keys are added.")
@click.option(
    "--timeout",
    type=float,
    callback=arguments.seconds,
    default=10.0,
    show_default=True,
    metavar="S",
    help="How many seconds to wait for the outcome.",
)
@click.option("--target", default="", metavar="NAME", help="The connector to carry it out; any, by default.")
@click.pass_obj
def command(
    named: str | None, command: str, pairs: tuple[str, ...], text: str | None, timeout: float, target: str
) -> None:
    """Send COMMAND to a connector that speaks the pivot language TYPE, and print its receipt (TAKEN), its
    PROGRESS and its outcome: SUCCESS or FAILURE. Each KEY=TEXT, or KEY:=JSON, is a key of its payload.

    Exit status: 0 success, 1 failure, 2 a wrong command line, 3 refused or no outcome in time.
    """
    connector_type, _, name = command.rpartition(".")
    if not connector_type or not name:
        raise click.UsageError(f"{command!r}: allowed is TYPE.COMMAND, as in vcs.CREATE_REPOSITORY")
    payload = arguments.payload(pairs, text)

    from gandalf.cli.link import linked
    from gandalf.cli.output import compact, printable, word
    from gandalf.cli.running import run
    from gandalf.cli.settings import settings
    from gandalf.connector.network import CommandFailed, CommandRefused, OutcomeTimeout, ReceivedEvent

    config = settings(named)

    async def send(reactor: object) -> None:
        async with linked(config, reactor) as network:
            began = time.monotonic()

            def show(event: str, said: str) -> None:
                took = (time.monotonic() - began) * 1000
                click.echo(f"{word(event)} {took:6.0f} ms  {printable(said)}".rstrip())

            def answered(event: ReceivedEvent) -> None:
                if event.event == "TAKEN":
                    show("TAKEN", f"by {event.source}")
                elif event.event != "FAILURE":  # told with its code, below
                    show(event.event, compact(event.payload))

            network.on_answer = answered
            try:
                await network.send(connector_type, name, payload, target=target, timeout=timeout)
            except CommandFailed as failure:
                show("FAILURE", f"{failure} {compact(failure.details or None)}")
                raise SystemExit(FAILED) from None
            except (CommandRefused, OutcomeTimeout) as refusal:
                raise CommandEnd(str(refusal), REFUSED) from None

    run(send)
