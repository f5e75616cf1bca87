"""What an operator is shown of a shoset. Values are plain, for JSON; nothing secret is among them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gandalf.routing.errors import ErrorEvents, ErrorRecord
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.link import ShosetLink

SHOWN_ERRORS = 20


def describe_link(link: ShosetLink, now: float) -> dict[str, Any]:
    """A link, with its session and counters; sizes in bytes. ``now`` in seconds of the shoset's clock."""
    connection = link.connection
    return {
        "session": link.session.hex(),
        "logical_name": link.logical_name,
        "type": link.type,
        "tenant": link.tenant,
        "instance": link.instance.hex(),
        "software": link.software,
        "address": link.bind_address,
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


def describe_counters(shoset: ShosetFactory) -> dict[str, Any]:
    """What happened to the connections since the process started, and how many wait to be heard."""
    counters = shoset.counters
    return {
        "accepted": counters.accepted,
        "resumed": counters.resumed,
        "refused": dict(counters.refused),
        "dead": counters.dead,
        "slow consumers": counters.slow_consumers,
        "frames dropped beyond a broken session's bound": counters.overflowed,
        "sessions forgotten": counters.forgotten,
        "frames forgotten with them": counters.forgotten_frames,
        "sessions given up for want of room": counters.crowded_out,
        "waiting for their handshake": len(shoset.arrivals),
    }


def describe_errors(errors: ErrorEvents) -> list[dict[str, Any]]:
    """The latest error events made here."""
    return [describe_error(error) for error in list(errors.recent)[-SHOWN_ERRORS:]]


def describe_error(error: ErrorRecord) -> dict[str, Any]:
    """An error event that was made here; its time in RFC 3339."""
    return {
        "at": datetime.fromtimestamp(error.at, UTC).isoformat(timespec="milliseconds"),
        "code": error.code,
        "message": error.message,
        "uuid": error.uuid.hex(),
        "kind": error.kind,
        "tenant": error.tenant,
        "target": error.target,
        "origin": error.origin,
    }
