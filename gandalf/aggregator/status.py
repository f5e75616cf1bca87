"""What an operator is shown of a running aggregator. Values are plain, for JSON; nothing secret is among them."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

import gandalf
from gandalf.aggregator.admission import Admission
from gandalf.aggregator.spool import Spool
from gandalf.aggregator.startup import Startup
from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.errors import readable
from gandalf.routing.fallthrough import Pending
from gandalf.routing.link import CLUSTER
from gandalf.shoset.description import describe_counters, describe_error, describe_errors, describe_link
from gandalf.shoset.diallers import Diallers
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.link import ShosetLink
from gandalf.store.errors import NotFound
from gandalf.wire.envelope import Frame

DISCONNECTED: Final = "DISCONNECTED"
"""The reason of the ``bye`` that an operator had sent."""


class AggregatorStatus:
    """What there is to see of an instance, and its connections to end. Durations in seconds, sizes in bytes."""

    def __init__(
        self,
        shoset: ShosetFactory,
        router: AggregatorRouter,
        startup: Startup,
        diallers: Diallers,
        admission: Admission | None,
        spool: Spool | None = None,
    ) -> None:
        self._shoset = shoset
        self._router = router
        self._startup = startup
        self._diallers = diallers
        self._admission = admission
        self._spool = spool
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
                    "software": dialler.link.software,
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
            "connections": describe_counters(shoset),
            "limits": None if self._admission is None else self._admission.describe(),
            "spool": None if self._spool is None else self._spool.describe(),
            "errors": dict(router.errors.counts),
            "recent_errors": describe_errors(router.errors),
        }

    def connections(self) -> list[dict[str, Any]]:
        """Every link, with its session and counters; for a connector also what its latest heartbeat says of it."""
        return [self._connection(link) for link in self._shoset.registry]

    def connection(self, session: str) -> dict[str, Any]:
        """The link of a session, which is given in hexadecimal digits.

        :raises NotFound: there is none.
        """
        link = self._link(session)
        if link is None:
            raise NotFound("there is no connection with this session")
        return self._connection(link)

    def disconnect(self, session: str) -> bool:
        """Say ``bye`` on the connection of a session and close it; False: there is no such session.

        The session is kept, and whoever dials may come again at once.
        """
        link = self._link(session)
        if link is None:
            return False
        link.dismiss(DISCONNECTED, "an operator ended this connection")
        return True

    def pending(self, limit: int = 1000) -> list[dict[str, Any]]:
        """Commands and requests on their way, those that began first before the others of their direction.

        ``tried`` is to how many it was sent, ``at`` and ``session`` tell who has it now, and ``seconds`` since when.
        """
        router = self._router
        directions = (
            ("to the cluster", router.from_connectors),
            ("to connectors", router.from_cluster),
            ("own request", router.own),
        )
        each = (
            self._pending(direction, pending, frame)
            for direction, table in directions
            for pending in table
            for frame in table.unanswered(pending).frames()
        )
        return list(islice(each, limit))

    def errors(self, limit: int = 100, code: str = "") -> list[dict[str, Any]]:
        """The latest error events made here, of one code or of all, the newest first; at most 1000 are known."""
        wanted = (error for error in reversed(self._router.errors.recent) if code in ("", error.code))
        return [describe_error(error) for error in islice(wanted, limit)]

    def _link(self, session: str) -> ShosetLink | None:
        try:
            return self._shoset.registry.session(bytes.fromhex(session))
        except ValueError:
            return None

    def _connection(self, link: ShosetLink) -> dict[str, Any]:
        shown = describe_link(link, self._shoset.clock.seconds())
        if link.type != CLUSTER:
            said = self._router.heartbeats.latest(link)
            shown |= {key: _text(said.get(key)) for key in ("connector_type", "product")}
            shown["versions"] = _versions(said.get("versions"))
            if self._admission is not None:
                shown |= self._admission.describe_link(link)
        return shown

    def _pending(self, direction: str, pending: Pending, frame: Frame) -> dict[str, Any]:
        link = pending.link
        seconds = None if link is None else self._shoset.clock.seconds() - pending.since
        command = readable(frame).get("command")
        return {
            "uuid": frame.uuid.hex(),
            "kind": frame.kind,
            "command": command if isinstance(command, str) else "",
            "target": frame.target,
            "direction": direction,
            "origin": self._shoset.identity.logical_name if pending.origin is None else pending.origin.logical_name,
            "at": "" if link is None else link.logical_name,
            "session": link.session.hex() if isinstance(link, ShosetLink) else "",
            "tried": pending.tried,
            "seconds": None if seconds is None else round(seconds, 3),
        }

    def _state(self) -> str:
        if self._shoset.draining:
            return "draining"
        return "ready" if self._startup.ready else f"starting: {self._startup.current}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _versions(value: object) -> list[dict[str, int]]:
    """What a heartbeat gives as versions, as far as it can be understood."""
    listed = value if isinstance(value, list) else []
    return [
        {"major": each["major"], "minor": each["minor"]}
        for each in listed
        if isinstance(each, dict) and type(each.get("major")) is int and type(each.get("minor")) is int
    ]
