"""What an operator is shown of a running aggregator. Values are plain, for JSON; nothing secret is among them."""

from __future__ import annotations

from typing import Any

import gandalf
from gandalf.aggregator.startup import Startup
from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.link import CLUSTER
from gandalf.shoset.description import describe_counters, describe_errors, describe_link
from gandalf.shoset.diallers import Diallers
from gandalf.shoset.factory import ShosetFactory


class AggregatorStatus:
    """Implements :class:`gandalf.api.operations.Observed`. Durations in seconds, sizes in bytes."""

    def __init__(self, shoset: ShosetFactory, router: AggregatorRouter, startup: Startup, diallers: Diallers) -> None:
        self._shoset = shoset
        self._router = router
        self._startup = startup
        self._diallers = diallers
        self._since = shoset.clock.seconds()

    def status(self) -> dict[str, Any]:
        """Start-up, links, counters and the latest errors."""
        shoset, router, startup = self._shoset, self._router, self._startup
        return {
            "program": "gandalf-aggregator",
            "version": gandalf.__version__,
            "logical_name": shoset.identity.logical_name,
            "tenant": shoset.identity.tenant,
            "instance": shoset.identity.instance.hex(),
            "address": shoset.identity.bind_address,
            "state": self._state(),
            "ready": startup.ready and not shoset.draining,
            "uptime": round(shoset.clock.seconds() - self._since, 3),
            "startup": [
                {
                    "step": step.name,
                    "state": step.state,
                    "seconds": None if step.took is None else round(step.took, 3),
                    "attempts": step.attempts,
                    "trouble": step.trouble,
                }
                for step in startup.steps
            ],
            "cluster": [
                {
                    "address": dialler.address,
                    "linked": dialler.link.connected,
                    "validated": dialler.link.validated,
                    "trouble": dialler.trouble,
                }
                for dialler in self._diallers
            ],
            "brothers": list(shoset.brothers),
            "connectors": sum(1 for link in shoset.registry if link.type != CLUSTER and link.connected),
            "pending": {
                "to the cluster": len(router.from_connectors),
                "to connectors": len(router.from_cluster),
                "unacknowledged events": router.unsettled,
                "connections not read": router.paused,
            },
            "messages": dict(sorted(router.counters.items())),
            "connections": describe_counters(shoset.counters),
            "errors": dict(router.errors.counts),
            "recent_errors": describe_errors(router.errors),
        }

    def connections(self) -> list[dict[str, Any]]:
        """Every link, with its session and counters."""
        return [describe_link(link, self._shoset.clock.seconds()) for link in self._shoset.registry]

    def _state(self) -> str:
        if self._shoset.draining:
            return "draining"
        return "ready" if self._startup.ready else f"starting: {self._startup.current}"
