"""`gandalf secret`"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from uuid import UUID

import click

from gandalf.cli.database import control_database, database_option, told
from gandalf.cli.errors import USAGE, CommandEnd


@click.group("secret")
def command() -> None:
    """Create, list and revoke the secrets with which components prove themselves, in the control database."""


@command.command("create", epilog="Example: gandalf secret create connector git1 --file secrets/git1")
@click.argument("component_type", metavar="[TYPE]", type=click.Choice(["aggregator", "connector"]), required=False)
@click.argument("logical_name", metavar="[NAME]", required=False)
@click.option("--open", "is_open", is_flag=True, help="For whoever uses it first, instead of TYPE and NAME.")
@click.option("--tenant", metavar="TENANT", help="Its tenant. Default: that of the settings.")
@click.option("--file", "path", metavar="FILE", type=click.Path(path_type=Path), help="Write it here, not to stdout.")
@database_option
@click.pass_obj
def create(
    named: str | None,
    component_type: str | None,
    logical_name: str | None,
    is_open: bool,
    tenant: str | None,
    path: Path | None,
    database: str | None,
) -> None:
    """Make a secret for the component of this TYPE (aggregator or connector) and logical NAME. It is told now
    and never again. One that listens on an address needs a secret for each instance: a secret is bound to the
    address of its first use. An open secret is nobody's yet: its first use makes it that component's, for good."""
    from gandalf.cli.settings import settings
    from gandalf.store import secrets
    from gandalf.store.direct import transaction

    if is_open != (component_type is None) or is_open != (logical_name is None):
        raise click.UsageError("give either TYPE and NAME, or --open")
    with told(), transaction(control_database(database, named), "secret create") as connection:
        owner, now = tenant or settings(named).operator.tenant, int(time.time() * 1000)
        if component_type is not None and logical_name is not None:
            secret = secrets.create_txn(connection, component_type, logical_name, owner, now=now).secret
        else:
            secret = secrets.create_open_txn(connection, owner, now=now).secret
        if path is not None:
            _write(path, secret)  # within the transaction: a secret that nobody has is not kept
    if path is None:
        click.echo(secret)


def _write(path: Path, secret: str) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secret + "\n")
    except OSError as error:
        raise CommandEnd(f"{path} cannot be made: {error.strerror}; no secret was created", USAGE) from None


@command.command("list")
@click.option("--tenant", metavar="TENANT", help="Only those of this tenant.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@database_option
@click.pass_obj
def list_(named: str | None, tenant: str | None, as_json: bool, database: str | None) -> None:
    """List secrets, the oldest first; never the secrets themselves."""
    import attrs

    from gandalf.cli.output import at, table
    from gandalf.store import secrets
    from gandalf.store.direct import transaction

    with told(), transaction(control_database(database, named), "secret list") as connection:
        found = secrets.list_txn(connection, tenant)
    if as_json:
        for info in found:
            click.echo(json.dumps({**attrs.asdict(info), "id": str(info.id)}))
        return
    table(
        ("id", "tenant", "type", "name", "bound to", "created", "last used", "revoked"),
        (
            (
                info.id,
                info.tenant,
                info.component_type or "open",
                info.logical_name or "whoever uses it first",
                info.bind_address,
                at(info.created_at),
                at(info.used_at),
                at(info.revoked_at),
            )
            for info in found
        ),
    )


@command.command("revoke")
@click.argument("id", type=click.UUID)
@database_option
@click.pass_obj
def revoke(named: str | None, id: UUID, database: str | None) -> None:
    """Let nobody in any more with the secret of this ID (see `secret list`). Who is in stays in until the
    connection breaks."""
    from gandalf.store import secrets
    from gandalf.store.direct import transaction

    with told(), transaction(control_database(database, named), "secret revoke") as connection:
        secrets.revoke_txn(connection, id, now=int(time.time() * 1000))
    click.echo(f"revoked {id}")
