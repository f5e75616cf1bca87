"""What an operator is shown of a running member. Values are plain, for JSON; nothing secret is among them."""

from __future__ import annotations

from typing import Any

import gandalf
from gandalf.cluster.presence import Presence
from gandalf.cluster.requests import Requests
from gandalf.cluster.router import ClusterRouter
from gandalf.cluster.tenants import Tenants
from gandalf.cluster.validation import Validation
from gandalf.routing.link import AGGREGATOR
from gandalf.shoset.description import describe_counters, describe_errors, describe_link
from gandalf.shoset.factory import ShosetFactory


class MemberStatus:
    """Implements :class:`gandalf.api.health.Observed`. Durations in seconds, sizes in bytes.

    :param database: the control database as it may be shown, without its password.
    """

    def __init__(
        self,
        shoset: ShosetFactory,
        router: ClusterRouter,
        tenants: Tenants,
        presence: Presence,
        requests: Requests,
        validation: Validation,
        *,
        database: str,
    ) -> None:
        self.state = "starting"
        self.trouble = ""
        """Why it is not all as it should be at the moment."""
        self._shoset = shoset
        self._router = router
        self._tenants = tenants
        self._presence = presence
        self._requests = requests
        self._validation = validation
        self._database = database
        self._since = shoset.clock.seconds()

    def status(self) -> dict[str, Any]:
        """State, tenants, links, counters and the latest errors."""
        shoset, router = self._shoset, self._router
        return {
            "program": "gandalf-cluster",
            "version": gandalf.__version__,
            "logical_name": shoset.identity.logical_name,
            "instance": shoset.identity.instance.hex(),
            "address": shoset.identity.bind_address,
            "state": self.state,
            "ready": self.state == "ready",
            "trouble": self.trouble,
            "uptime": round(shoset.clock.seconds() - self._since, 3),
            "database": self._database,
            "brothers": list(shoset.brothers),
            "tenants": sorted(self._tenants.names),
            "traces": {
                tenant.name: {
                    "records that wait": tenant.writer.queued,
                    "bytes that wait": tenant.recorder.bytes,
                    "aggregators are read": not tenant.recorder.holding,
                }
                for tenant in self._tenants
            },
            "aggregators": sum(1 for link in shoset.registry.of_type(AGGREGATOR) if link.connected),
            "connectors": len(self._presence),
            "pending": {
                "commands": router.pending,
                "events not recorded": router.unsettled,
                "requests": len(self._requests),
            },
            "messages": dict(sorted(router.counters.items())),
            "secrets": dict(self._validation.counters),
            "connections": describe_counters(shoset),
            "errors": dict(router.errors.counts),
            "recent_errors": describe_errors(router.errors),
        }

    def connections(self) -> list[dict[str, Any]]:
        """Every link, and the connectors behind it."""
        now = self._shoset.clock.seconds()
        return [
            {**describe_link(link, now), "connectors": sorted(self._presence.behind(link))}
            for link in self._shoset.registry
        ]
