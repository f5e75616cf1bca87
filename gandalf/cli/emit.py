"""`gandalf emit`"""

from __future__ import annotations

import click

from gandalf.cli import arguments
from gandalf.cli.errors import REFUSED, CommandEnd


@click.command("emit", epilog="Example: gandalf emit project.requested REQUESTED name=apollo")
@click.argument("topic")
@click.argument("event")
@click.argument("pairs", metavar="[KEY=TEXT | KEY:=JSON]...", nargs=-1)
@click.option("--json", "text", metavar="JSON", help="The payload, to which the keys are added.")
@click.option("--target", default="", metavar="NAME", help="The connector that it is for; all, by default.")
@click.option(
    "--timeout",
    type=float,
    callback=arguments.seconds,
    default=10.0,
    show_default=True,
    metavar="S",
    help="How many seconds to wait until the network has taken charge of it.",
)
@click.pass_obj
def command(
    named: str | None,
    topic: str,
    event: str,
    pairs: tuple[str, ...],
    text: str | None,
    target: str,
    timeout: float,
) -> None:
    """Send EVENT of TOPIC, and wait until the cluster has recorded it. Each KEY=TEXT, or KEY:=JSON, is a key of
    its payload.

    Exit status: 0 recorded, 2 a wrong command line, 3 refused or not recorded in time.
    """
    payload = arguments.payload(pairs, text)
    if not topic or not event:
        raise click.UsageError("TOPIC and EVENT must not be empty")

    from twisted.internet.defer import Deferred, ensureDeferred
    from twisted.internet.defer import TimeoutError as DeferredTimeout

    from gandalf.cli.link import linked
    from gandalf.cli.running import run
    from gandalf.cli.settings import settings
    from gandalf.connector.emitting import EventRefused

    config = settings(named)

    async def emit(reactor: object) -> None:
        async with linked(config, reactor) as network:

            async def taken() -> None:
                await network.emit(topic, event, payload, target=target)

            waiting: Deferred[None] = ensureDeferred(taken())
            waiting.addTimeout(timeout, reactor)  # type: ignore[arg-type]
            try:
                await waiting
            except EventRefused as refusal:
                raise CommandEnd(str(refusal), REFUSED) from None
            except DeferredTimeout:
                message = f"not acknowledged within {timeout:g} s; it may have been recorded all the same"
                raise CommandEnd(message, REFUSED) from None

    run(emit)
    click.echo("recorded")
