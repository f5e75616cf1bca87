"""What an operator is shown of a running aggregator. Values are plain, for JSON; nothing secret is among them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import gandalf
from gandalf.routing.link import CLUSTER
from gandalf.shoset.link import ShosetLink

if TYPE_CHECKING:
    from gandalf.aggregator.service import AggregatorService


def status(aggregator: AggregatorService) -> dict[str, Any]:
    """Start-up, links, counters and the latest errors. Durations in seconds, times in RFC 3339."""
    shoset, router, startup = aggregator.shoset, aggregator.router, aggregator.startup
    links = list(shoset.registry)
    counters = shoset.counters
    return {
        "program": "gandalf-aggregator",
        "version": gandalf.__version__,
        "logical_name": shoset.identity.logical_name,
        "tenant": shoset.identity.tenant,
        "instance": shoset.identity.instance.hex(),
        "address": shoset.identity.bind_address,
        "state": "draining" if shoset.draining else "ready" if startup.ready else f"starting: {startup.current}",
        "ready": startup.ready and not shoset.draining,
        "uptime": round(aggregator.clock.seconds() - aggregator.started, 3),
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
            for dialler in aggregator.diallers
        ],
        "brothers": list(shoset.brothers),
        "connectors": sum(1 for link in links if link.type != CLUSTER and link.connected),
        "pending": {
            "to the cluster": len(router.from_connectors),
            "to connectors": len(router.from_cluster),
            "unacknowledged events": router.unsettled,
            "connections not read": router.paused,
        },
        "messages": dict(sorted(router.counters.items())),
        "connections": {
            "accepted": counters.accepted,
            "resumed": counters.resumed,
            "refused": dict(counters.refused),
            "dead": counters.dead,
            "slow consumers": counters.slow_consumers,
            "frames dropped beyond a broken session's bound": counters.overflowed,
            "sessions forgotten": counters.forgotten,
        },
        "errors": dict(router.errors.counts),
        "recent_errors": [
            {
                "at": datetime.fromtimestamp(error.at, UTC).isoformat(timespec="milliseconds"),
                "code": error.code,
                "message": error.message,
                "uuid": error.uuid.hex(),
                "kind": error.kind,
                "target": error.target,
                "origin": error.origin,
            }
            for error in list(router.errors.recent)[-20:]
        ],
    }


def connections(aggregator: AggregatorService) -> list[dict[str, Any]]:
    """Every link, with its session and counters; sizes in bytes."""
    clock = aggregator.clock
    return [_connection(link, clock.seconds()) for link in aggregator.shoset.registry]


def _connection(link: ShosetLink, now: float) -> dict[str, Any]:
    connection = link.connection
    return {
        "session": link.session.hex(),
        "logical_name": link.logical_name,
        "type": link.type,
        "instance": link.instance.hex(),
        "peer": connection.peer if connection is not None else "",
        "state": connection.phase.value if connection is not None else "broken",
        "seconds_in_state": round(now - link.since, 3),
        "validated": link.validated,
        "topics": None if link.topics is None else list(link.topics),
        "frames_in": link.counters.frames_in,
        "frames_out": link.counters.frames_out,
        "bytes_in": link.counters.bytes_in,
        "resent": link.counters.resent,
        "dropped": link.counters.overflowed,
        "taken_charge_of": link.inbox.received,
        "not_counted_yet": link.inbox.open,
        "unacknowledged": len(link.outbox),
        "unacknowledged_bytes": link.outbox.bytes,
        "unsent_bytes": link.outbox.unsent_bytes,
        "congested": link.congested,
    }
