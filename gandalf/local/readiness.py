"""Whether the network serves: the aggregator says that it is ready, and its connectors are linked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http.client import UNAUTHORIZED

from gandalf.local.errors import LocalError
from gandalf.local.plan import Plan
from gandalf.local.waiting import until
from gandalf.rest import RestClient, RestError, log_in_of

READY_WITHIN_S = 30.0


def missing(plan: Plan, connectors: Iterable[str]) -> str:
    """What the network is still without, in words; "" when it is ready and these connectors are linked."""
    client = RestClient(str(plan.api))
    try:
        client.get("/readyz", open=True)
    except RestError as error:
        if isinstance(error.body, dict) and "state" in error.body:
            trouble = error.body.get("trouble")
            return f"the aggregator is {error.body['state']}" + (f" ({trouble})" if trouble else "")
        return f"the aggregator's API does not answer at {plan.api}"
    try:
        client.login, client.password = log_in_of(plan.places.credentials)
        links = client.get("/api/v1/connections")
    except RestError as error:
        # Whoever works with the network may have changed the password: then nobody can look from here.
        return "" if error.status == UNAUTHORIZED else f"the aggregator does not tell its connections: {error}"
    except (OSError, ValueError) as error:
        return f"there is no log-in: {error}"
    there = {link["logical_name"] for link in links if link["type"] == "c" and link["validated"]}
    absent = [name for name in connectors if name not in there]
    return f"not linked to the aggregator: {', '.join(absent)}" if absent else ""


def wait_until_ready(plan: Plan, connectors: Iterable[str], check: Callable[[], None]) -> None:
    """Wait until nothing is missing. `check` is asked meanwhile, and raises when there is no hope."""
    lacking = ""

    def ready() -> bool:
        nonlocal lacking
        check()
        lacking = missing(plan, connectors)
        return not lacking

    if not until(ready, READY_WITHIN_S):
        raise LocalError(f"not ready within {READY_WITHIN_S:.0f} s: {lacking}; the logs are in {plan.places.log}")
