"""`gandalf status`"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gandalf.cli.errors import FAILED, REFUSED, USAGE, CommandEnd

if TYPE_CHECKING:
    from gandalf.rest import RestClient

_NOT_SERVING = 503
_TYPES = {"cl": "cluster", "a": "aggregator", "c": "connector"}


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="All there is, as one JSON object.")
@click.pass_obj
def command(named: str | None, as_json: bool) -> None:
    """Show an aggregator instance: its start-up steps, its connections, and its latest errors. While nobody can log
    in, because it starts, only the steps.

    Exit status: 0 it is ready, 1 it is not, 3 it does not answer.
    """
    from gandalf.cli.settings import settings

    own = settings(named).operator
    shown = _looked_at(str(own.api), own.credentials_file)
    if as_json:
        click.echo(json.dumps(shown, indent=2))
    elif "status" in shown:
        _show(shown["status"], shown["connections"])
    else:
        _show_readiness(shown["readiness"], own.credentials_file)
    if not (shown.get("status") or shown["readiness"])["ready"]:
        raise SystemExit(FAILED)


def _looked_at(api: str, credentials: Path | None) -> dict[str, Any]:
    """Status and connections, or what anybody may see when nobody can log in. Raises `CommandEnd`."""
    from gandalf.rest import RestClient, RestError, log_in_of

    client = RestClient(api)
    try:
        if credentials is not None:
            client.login, client.password = log_in_of(credentials)
            try:
                return {key: client.get(f"/api/v1/{key}") for key in ("status", "connections")}
            except RestError as error:
                if error.status != _NOT_SERVING:
                    raise
        return {"readiness": _readiness(client)}
    except (OSError, ValueError) as error:
        raise CommandEnd(f"no log-in in the credentials_file {credentials}: {error}", USAGE) from None
    except RestError as error:
        hint = "" if error.status else "; is the aggregator running (`make run`)?"
        raise CommandEnd(f"no answer from {error}{hint}", REFUSED) from None


def _readiness(client: RestClient) -> Mapping[str, Any]:
    from gandalf.rest import RestError

    try:
        found: Mapping[str, Any] = client.get("/readyz", open=True)
    except RestError as error:
        if error.status != _NOT_SERVING or not isinstance(error.body, dict):
            raise
        found = error.body
    return found


def _show_readiness(readiness: Mapping[str, Any], credentials: Path | None) -> None:
    from gandalf.cli.output import table

    colour = "green" if readiness["ready"] else "yellow"
    click.echo(f"the aggregator: {click.style(readiness['state'], fg=colour, bold=True)}\n")
    table(
        ("start-up", "state", "attempts", "trouble"),
        (tuple(step[key] for key in ("step", "state", "attempts", "trouble")) for step in readiness["startup"]),
    )
    if credentials is None:
        click.echo("\nmore is shown to those who log in: set credentials_file in the settings")


def _show(status: Mapping[str, Any], connections: list[Mapping[str, Any]]) -> None:
    from gandalf.cli.output import table

    colour = "green" if status["ready"] else "yellow"
    state = click.style(status["state"], fg=colour, bold=True)
    click.echo(f"aggregator {status['logical_name']} of {status['tenant']} at {status['address']}: {state}")
    click.echo(f"up for {_duration(status['uptime'])}, version {status['version']}, instance {status['instance']}\n")
    table(
        ("start-up", "state", "took", "attempts", "trouble"),
        (
            (
                step["step"],
                step["state"],
                "" if step["seconds"] is None else _duration(step["seconds"]),
                step["attempts"],
                step["trouble"],
            )
            for step in status["startup"]
        ),
    )
    click.echo()
    table(
        ("connection", "kind", "peer", "state", "for", "in", "out", "waiting"),
        (
            (
                link["logical_name"],
                _TYPES.get(link["type"], link["type"]),
                link["peer"],
                link["state"] if link["validated"] else f"{link['state']}, not validated",
                _duration(link["seconds_in_state"]),
                link["frames_in"],
                link["frames_out"],
                link["unacknowledged"],
            )
            for link in sorted(connections, key=lambda link: (link["type"] != "cl", link["logical_name"]))
        ),
    )
    for dialled in status["cluster"]:
        if not dialled["linked"]:
            click.echo(f"no link to the cluster member {dialled['address']}: {dialled['trouble'] or 'dialling'}")
    _show_bounds(status.get("limits"), status.get("spool"))
    if status["recent_errors"]:
        click.echo()
        table(
            ("latest errors", "code", "of", "message"),
            (
                (error["at"], error["code"], error["origin"], error["message"])
                for error in status["recent_errors"][-5:]
            ),
        )


def _show_bounds(limits: Mapping[str, Any] | None, spool: Mapping[str, Any] | None) -> None:
    """What the limits on connectors have done, and what waits on disk; nothing of what is switched off."""
    if limits is not None:
        click.echo("over the limits: " + ", ".join(f"{count} {what}" for what, count in limits.items()))
    if spool is not None:
        age = "" if spool["oldest"] is None else f", the oldest for {_duration(spool['oldest'])}"
        trouble = f": {spool['trouble']}" if spool["trouble"] else ""
        waiting = f"{spool['frames']} events, {spool['bytes']} of {spool['max_bytes']} bytes{age}"
        click.echo(f"spool {spool['state']}, on disk {waiting}{trouble}")


def _duration(seconds: float) -> str:
    """In the two largest units that are not zero."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"
