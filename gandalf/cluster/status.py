"""What an operator is shown of a running member. Values are plain, for JSON; nothing secret is among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gandalf
from gandalf.routing.link import AGGREGATOR
from gandalf.shoset.description import describe_counters, describe_errors, describe_link
from gandalf.store.dsn import masked

if TYPE_CHECKING:
    from gandalf.cluster.member import ClusterMember


def status(member: ClusterMember) -> dict[str, Any]:
    """State, tenants, links, counters and the latest errors. Durations in seconds, times in RFC 3339."""
    shoset, router = member.shoset, member.router
    return {
        "program": "gandalf-cluster",
        "version": gandalf.__version__,
        "logical_name": shoset.identity.logical_name,
        "instance": shoset.identity.instance.hex(),
        "address": shoset.identity.bind_address,
        "state": member.state,
        "ready": member.state == "ready",
        "trouble": member.trouble,
        "uptime": round(member.clock.seconds() - member.started, 3),
        "database": masked(member.control.dsn),
        "brothers": list(shoset.brothers),
        "tenants": sorted(member.tenants.names),
        "traces": {
            tenant.name: {
                "records that wait": tenant.writer.queued,
                "bytes that wait": tenant.recorder.bytes,
                "aggregators are read": not tenant.recorder.holding,
            }
            for tenant in member.tenants
        },
        "aggregators": sum(1 for link in shoset.registry.of_type(AGGREGATOR) if link.connected),
        "connectors": len(member.presence),
        "pending": {
            "commands": router.pending,
            "events not recorded": router.unsettled,
            "requests": len(member.requests),
        },
        "messages": dict(sorted(router.counters.items())),
        "secrets": dict(member.validation.counters),
        "connections": describe_counters(shoset.counters),
        "errors": dict(router.errors.counts),
        "recent_errors": describe_errors(router.errors),
    }


def connections(member: ClusterMember) -> list[dict[str, Any]]:
    """Every link, and the connectors behind it."""
    now = member.clock.seconds()
    return [
        {**describe_link(link, now), "connectors": sorted(member.presence.behind(link))}
        for link in member.shoset.registry
    ]
