"""Whether the network serves: the aggregator says that it is ready, and its connectors are linked."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

from gandalf.local.errors import LocalError
from gandalf.local.plan import Plan
from gandalf.local.waiting import until

READY_WITHIN_S = 30.0
_ANSWER_WITHIN_S = 5.0


def missing(plan: Plan, connectors: Iterable[str]) -> str:
    """What the network is still without, in words; "" when it is ready and these connectors are linked."""
    status = _ask(plan, "/api/v1/status")
    if status is None:
        return f"the aggregator's API does not answer at {plan.api}"
    if status["logical_name"] not in {component.logical_name for component in plan.components}:
        return f"another aggregator, {status['logical_name']}, answers at {plan.api}"
    if not status["ready"]:
        return f"the aggregator is {status['state']}{_trouble(status)}"
    links = _ask(plan, "/api/v1/connections") or []
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


def _trouble(status: dict[str, Any]) -> str:
    troubles = [f"{step['step']}: {step['trouble']}" for step in status["startup"] if step["trouble"]]
    return f" ({'; '.join(troubles)})" if troubles else ""


def _ask(plan: Plan, path: str) -> Any:
    """What the API answers at `path`, None when it does not."""
    try:
        with urllib.request.urlopen(f"http://{plan.api}{path}", timeout=_ANSWER_WITHIN_S) as answer:
            return json.load(answer)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError):
        return None
