"""What the programs need before they can start: databases, the tenant, secrets, and a log-in for its user.

All of it can be done again: what is there stays as it is.
"""

from __future__ import annotations

import json
import secrets as random_secrets
from collections.abc import Callable

import psycopg2

from gandalf.local.errors import LocalError
from gandalf.local.places import write_private
from gandalf.local.plan import OPERATOR, Component, Plan
from gandalf.local.waiting import until
from gandalf.store import embedded, secrets, seed, tenants
from gandalf.store.direct import transaction
from gandalf.store.errors import Conflict

DATABASE_WITHIN_S = 90.0
"""How long the first start of PostgreSQL may take on a slow disk."""


def wait_for_database(plan: Plan, check: Callable[[], None]) -> None:
    """Wait until PostgreSQL lets us in. `check` is asked meanwhile, and raises when there is no hope."""
    trouble = ""

    def answers() -> bool:
        nonlocal trouble
        check()
        try:
            address = embedded.admin_dsn(plan.places.postgres, plan.postgres_port)
            psycopg2.connect(address, connect_timeout=5).close()
        except (FileNotFoundError, psycopg2.OperationalError) as error:
            trouble = str(error).strip()
            return False
        return True

    if not until(answers, DATABASE_WITHIN_S):
        raise LocalError(
            f"PostgreSQL did not answer within {DATABASE_WITHIN_S:.0f} s: {trouble};"
            f" its log is {plan.places.log / 'postgresql.log'}"
        )


def prepare(plan: Plan, now: int) -> None:
    """Make the control database, the tenant, the secrets of all components, and the settings that hold them.

    `now` is in ms since the epoch. Raises errors of `gandalf.store`.
    """
    places = plan.places
    admin = embedded.admin_dsn(places.postgres, plan.postgres_port)
    control = tenants.control_dsn(admin)
    tenants.bootstrap(admin, now=now)
    write_private(places.database, control + "\n")
    _make_tenant(plan, control, now)
    for component in plan.components:
        _make_secret(plan, control, component, now)
    write_private(places.operator, operator_settings(plan))


def _make_tenant(plan: Plan, control: str, now: int) -> None:
    """Make the tenant. Its log-in is told once only: if it is not kept, the administrators get new passwords."""
    places = plan.places
    try:
        logins = tenants.create_tenant(control, plan.tenant, now=now)
    except Conflict:
        if credentials_kept(plan):
            return
        with transaction(control, "local network") as connection:
            own = tenants.tenant_dsn_txn(connection, plan.tenant, control)
        with transaction(own, "local network") as connection:
            logins = seed.seed_txn(connection, tenant=plan.tenant, now=now)
    content = {
        "api": f"http://{plan.api}",
        "tenant": plan.tenant,
        "login": list(logins.login),
        "password": list(logins.password),
    }
    write_private(places.credentials, json.dumps(content, indent=2) + "\n")


def credentials_kept(plan: Plan) -> bool:
    """Whether there is a log-in of this tenant; its address is brought up to date."""
    places = plan.places
    try:
        content = json.loads(places.credentials.read_text())
    except (OSError, ValueError):
        return False
    if not isinstance(content, dict) or content.get("tenant") != plan.tenant:
        return False
    api = f"http://{plan.api}"
    if content.get("api") != api:
        write_private(places.credentials, json.dumps({**content, "api": api}, indent=2) + "\n")
    return True


def _make_secret(plan: Plan, control: str, component: Component, now: int) -> None:
    """Make a secret and let the cluster know it: first the file, so that none is known that nobody has."""
    path = component.secret_file
    if not path.exists():
        write_private(path, random_secrets.token_urlsafe(32) + "\n")
    with transaction(control, f"secret of {component.logical_name}") as connection:
        secrets.import_txn(
            connection,
            component.type,
            component.logical_name,
            plan.tenant,
            path.read_text().strip(),
            now=now,
        )


def operator_settings(plan: Plan) -> str:
    """The settings of the command `gandalf`, as conf/operator.toml tells them."""
    places = plan.places
    (own,) = (component for component in plan.components if component.logical_name == OPERATOR)
    settings = {
        "logical_name": OPERATOR,
        "tenant": plan.tenant,
        "aggregators": [str(plan.aggregator)],
        "secret_file": str(own.secret_file.relative_to(places.var)),
        "api": str(plan.api),
        "credentials_file": str(places.credentials.relative_to(places.var)),
        "database_file": str(places.database.relative_to(places.var)),
    }
    # JSON's texts and lists are TOML's too.
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    text = "# Made by `make run`, anew at each start.\n[operator]\n" + "\n".join(lines) + "\n"
    if plan.tls:
        files = {"ca": plan.tls.ca, "certificate": plan.tls.certificate, "key": plan.tls.key}
        text += "\n[tls]\n" + "".join(f"{key} = {json.dumps(str(path))}\n" for key, path in files.items())
    return text
