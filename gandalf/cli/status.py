"""`gandalf status`"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from gandalf.cli.errors import FAILED

_TYPES = {"cl": "cluster", "a": "aggregator", "c": "connector"}


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="All there is, as one JSON object.")
@click.pass_obj
def command(named: str | None, as_json: bool) -> None:
    """Show an aggregator instance: its start-up steps, its connections, and its latest errors.

    Exit status: 0 it is ready, 1 it is not, 3 it does not answer.
    """
    from gandalf.cli.http import get
    from gandalf.cli.settings import settings

    api = str(settings(named).operator.api)
    status, connections = get(api, "/api/v1/status"), get(api, "/api/v1/connections")
    if as_json:
        click.echo(json.dumps({"status": status, "connections": connections}, indent=2))
    else:
        _show(status, connections)
    if not status["ready"]:
        raise SystemExit(FAILED)


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
    if status["recent_errors"]:
        click.echo()
        table(
            ("latest errors", "code", "of", "message"),
            (
                (error["at"], error["code"], error["origin"], error["message"])
                for error in status["recent_errors"][-5:]
            ),
        )


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
