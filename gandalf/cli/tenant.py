"""`gandalf tenant`"""

from __future__ import annotations

import json
import time

import click

from gandalf.cli.database import control_database, database_option, told


@click.group("tenant")
def command() -> None:
    """Create and list tenants and change their databases' passwords, in the control database."""


@command.command("create")
@click.argument("name")
@database_option
@click.pass_obj
def create(named: str | None, name: str, database: str | None) -> None:
    """Create a tenant with its database, and print the log-ins of its administrators as JSON, for the only
    time."""
    from gandalf.store import tenants

    with told():
        control = control_database(database, named)
        logins = tenants.create_tenant(control, name, now=int(time.time() * 1000))
    click.echo(json.dumps({"tenant": name, "login": logins.login, "password": logins.password}))


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@database_option
@click.pass_obj
def list_(named: str | None, as_json: bool, database: str | None) -> None:
    """List tenants by name."""
    import attrs

    from gandalf.cli.output import at, table
    from gandalf.store import tenants
    from gandalf.store.direct import transaction

    with told(), transaction(control_database(database, named), "tenant list") as connection:
        found = tenants.list_txn(connection)
    if as_json:
        for tenant in found:
            click.echo(json.dumps(attrs.asdict(tenant)))
        return
    table(
        ("tenant", "database", "created", "state"),
        (
            (
                tenant.name,
                tenant.database,
                at(tenant.created_at),
                "ready" if tenant.ready else "not created to the end",
            )
            for tenant in found
        ),
    )


@command.command("rotate")
@click.argument("name")
@database_option
@click.pass_obj
def rotate(named: str | None, name: str, database: str | None) -> None:
    """Give the role of a tenant's database another password; the members tell it to the tenant's aggregators."""
    from gandalf.store import tenants
    from gandalf.store.direct import transaction

    with told(), transaction(control_database(database, named), "tenant rotate") as connection:
        tenants.rotate_password_txn(connection, name)
    click.echo(f"The password of the database of {name} was changed. Its aggregators are told within seconds.")
