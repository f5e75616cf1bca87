"""What an aggregator does with a routed frame (protocol.md 6): one method a rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from gandalf.routing import failures
from gandalf.routing.charge import Charge
from gandalf.routing.duplicates import DuplicateWindow
from gandalf.routing.errors import ErrorEvents, MakeFrame, readable
from gandalf.routing.failures import RoutingFailure
from gandalf.routing.fallthrough import FallThrough, Rotation, validated
from gandalf.routing.link import CLUSTER, CONNECTOR, Link, Links
from gandalf.routing.recent import RecentMap
from gandalf.wire import kinds
from gandalf.wire.envelope import LENGTH, Frame

ASKED = 100_000
"""Requests whose asker is remembered, at the least."""

HELD = 1000
"""Frames of one connector that wait for start-up before it is read no more."""


class EventCharge(Charge):
    """An event from a connector: settled when one cluster member has acknowledged it (protocol.md 5.3)."""

    __slots__ = ("_safe", "origin", "uuid")

    def __init__(self, uuid: bytes, origin: Link, safe: Callable[[bytes], None]) -> None:
        super().__init__()
        self.uuid = uuid
        self.origin = origin
        self._safe = safe

    def settle(self) -> None:
        """One member has it."""
        if not self.settled:
            super().settle()
            self._safe(self.uuid)


class AggregatorRouter:
    """Routes frames between the connectors and the cluster of one tenant.

    :param database: told of a ``configurationDatabase`` frame that came unasked (protocol.md 6.4b).
    :param max_timeout: seconds, upper bound of a command's budget (protocol.md 6.2).
    """

    log = Logger()

    def __init__(
        self,
        tenant: str,
        links: Links,
        make_frame: MakeFrame,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        max_timeout: float,
        duplicate_window: int,
        database: Callable[[Frame], None],
    ) -> None:
        self.tenant = tenant
        self.errors = ErrorEvents(make_frame, now)
        self.counters: Counter[str] = Counter()
        self.from_connectors = FallThrough(clock, idle=self._idle)
        """Commands on their way to the cluster."""
        self.from_cluster = FallThrough(clock, idle=self._idle)
        """Commands on their way to connectors."""
        self.own = FallThrough(clock)
        """Requests of the aggregator's own, on their way to the cluster."""
        self._links = links
        self._max_timeout = max_timeout
        self._database = database
        self._rotation = Rotation()
        # A command comes back from the cluster under its own uuid, resolved: what the cluster sends has a window of
        # its own. An event does not come back; whoever brings it again is not heard.
        self._seen = DuplicateWindow(duplicate_window)
        self._seen_from_cluster = DuplicateWindow(duplicate_window)
        self._unsettled: dict[bytes, EventCharge] = {}
        self._asked: RecentMap[Link] = RecentMap(ASKED)
        self._held: list[tuple[Frame, Link, Charge]] | None = []
        self._held_of: Counter[Link] = Counter()
        self._paused: set[Link] = set()
        self._leaving: set[Link] = set()
        self._quiet_waiters: list[Deferred[None]] = []
        self._rules: dict[str, Callable[[Frame, Link], Charge | None]] = {
            kinds.EVENT: self._event,
            kinds.COMMAND: self._command,
            kinds.CONFIG: self._config,
            kinds.CONFIGURATION: self._request,
            kinds.LOGICAL_CONFIGURATION: self._request,
            kinds.SECRET: self._request,
            kinds.CONFIGURATION_DATABASE: self._configuration_database,
            kinds.HEARTBEAT: self._heartbeat,
        }

    # Frames.

    def route(self, frame: Frame, origin: Link) -> Charge | None:
        """Do with ``frame`` what the rules say. None: it is taken charge of now (protocol.md 5.3)."""
        if origin.type == CONNECTOR and self._held is not None and frame.kind != kinds.SECRET:
            return self._hold(frame, origin)
        return self._route(frame, origin)

    def open(self) -> None:
        """The logical configuration is there: the connectors' frames wait no longer (protocol.md 8)."""
        held, self._held = self._held or [], None
        self._held_of.clear()
        for frame, origin, charge in held:
            routed = self._route(frame, origin)
            if routed is None:
                charge.settle()
            else:
                routed.then(charge.settle)
        self._resume()

    def _route(self, frame: Frame, origin: Link) -> Charge | None:
        if frame.kind in _TENANT_RULE and frame.tenant != self.tenant:
            self._wrong_tenant(frame, origin)
            return None
        if origin.type == CONNECTOR and not origin.validated and frame.kind != kinds.SECRET:
            message = "the secret of this connection's component has not been accepted; only secret may be sent"
            self.answer(frame, origin, failures.NOT_VALIDATED, message)
            return None
        window = self._seen
        if origin.type == CLUSTER and frame.kind != kinds.EVENT:
            window = self._seen_from_cluster
        if window.seen(frame.uuid):
            self.counters["duplicates"] += 1
            # Not yet safe with the cluster: it counts when it is.
            return self._unsettled.get(frame.uuid)
        self.counters[frame.kind] += 1
        return self._rules[frame.kind](frame, origin)

    def _hold(self, frame: Frame, origin: Link) -> Charge:
        """Before the logical configuration is there, a connector's frames wait (protocol.md 8)."""
        assert self._held is not None
        charge = Charge()
        self._held.append((frame, origin, charge))
        self._held_of[origin] += 1
        if self._held_of[origin] >= HELD:
            self._pause(origin)
        return charge

    # The tenant rule (protocol.md 6).

    def _wrong_tenant(self, frame: Frame, origin: Link) -> None:
        message = f"the message is of tenant {frame.tenant!r}; this aggregator serves {self.tenant!r}"
        error = self._error(frame, origin, failures.WRONG_TENANT, message)
        if error is not None:
            for link in dict.fromkeys([origin, *self._links.of_type(CLUSTER)]):
                link.send(error)

    # 6.1 Event

    def _event(self, frame: Frame, origin: Link) -> Charge | None:
        if frame.reference is not None:
            self.from_cluster.answer(frame)
            self.from_connectors.answer(frame)
        if origin.type == CLUSTER:
            self._event_from_cluster(frame, origin)
            return None
        length = len(frame.raw) - LENGTH.size
        members = [member for member in self._links.of_type(CLUSTER) if length <= member.max_frame]
        if not members:
            self.answer(frame, origin, failures.TOO_LARGE, f"{length} bytes is more than any cluster member accepts")
            return None
        charge = self._unsettled[frame.uuid] = EventCharge(frame.uuid, origin, self._safe)
        for member in members:
            member.send(frame, charge)
        self._to_connectors(frame, origin)
        if not self._cluster_takes(members):
            self._pause(origin)
        return charge

    def _event_from_cluster(self, frame: Frame, origin: Link) -> None:
        if frame.target and not self._links.named(CONNECTOR, frame.target):
            self.counters["events for nobody here"] += 1
            return
        for member in self._links.of_type(CLUSTER):
            if member is not origin:
                member.send(frame)
        self._to_connectors(frame, origin)

    def _to_connectors(self, frame: Frame, origin: Link) -> None:
        if frame.target:
            for link in self._links.named(CONNECTOR, frame.target):
                if link is not origin and link.validated:
                    link.send(frame)
            return
        topic: str | None = None
        for link in self._links.of_type(CONNECTOR):
            if link is origin or not link.validated:
                continue
            if link.filters:
                if topic is None:
                    topic = str(readable(frame).get("topic", ""))
                if not link.wants(topic):
                    continue
            link.send(frame)

    # 6.2 Command

    def _command(self, frame: Frame, origin: Link) -> None:
        budget = min(frame.timeout / 1000 or self._max_timeout, self._max_timeout)
        table = self.from_cluster if origin.type == CLUSTER else self.from_connectors
        if frame.uuid in table:
            # Pending for longer than the window remembers.
            self.counters["duplicates"] += 1
            return
        if origin.type == CLUSTER:
            connectors = self._connectors(frame.target)
            result = table.send(frame, f"connector {frame.target!r}", connectors, budget, origin)
        else:
            result = table.send(frame, "the cluster", self._members(), budget, origin)
        result.addErrback(self._not_answered, frame, origin)
        result.addErrback(self._unexpected)

    def _not_answered(self, failure: Failure, frame: Frame, origin: Link) -> None:
        reason = failure.value
        if not isinstance(reason, RoutingFailure):
            failure.raiseException()
        else:
            self.answer(frame, origin, reason.code, str(reason))

    # 6.3 Config

    def _config(self, frame: Frame, origin: Link) -> None:
        if origin.type == CLUSTER:
            self._send_once(frame, origin, f"connector {frame.target!r}", self._connectors(frame.target))
        else:
            self._send_once(frame, origin, "the cluster", self._members())

    # 6.4 Configuration, logicalConfiguration, secret

    def _request(self, frame: Frame, origin: Link) -> None:
        if frame.reference is not None:
            self._reply(frame, origin)
        elif origin.type == CLUSTER:
            self._ask(self._own_tenant(frame), origin, f"connector {frame.target!r}", self._connectors(frame.target))
        else:
            asked = frame.replace(tenant=self.tenant, target=origin.logical_name)
            self._ask(asked, origin, "the cluster", self._members())

    def _ask(self, frame: Frame, origin: Link, group: str, candidates: list[Link]) -> None:
        self._asked.put(frame.uuid, origin)
        self._send_once(frame, origin, group, candidates)

    def _reply(self, frame: Frame, origin: Link) -> None:
        assert frame.reference is not None
        if origin.type == CLUSTER and self.own.answer(frame):
            return
        asker = self._asked.pop(frame.reference)
        if asker is None:
            self.counters["replies that nobody asked for"] += 1
            return
        receiver = self._present(asker)
        if receiver is None:
            self.counters["replies whose asker is gone"] += 1
            return
        receiver.send(self._own_tenant(frame))
        if frame.kind == kinds.SECRET and asker.type == CONNECTOR:
            self._read_validation(frame, asker)

    def _present(self, asker: Link) -> Link | None:
        """Who takes a reply: the connection that asked, or if that is gone another of the same logical name."""
        if asker.connected:
            return asker
        for brother in self._links.named(asker.type, asker.logical_name):
            if brother.available:
                return brother
        return asker if asker in self._links else None

    def _read_validation(self, frame: Frame, asker: Link) -> None:
        """The cluster's word on a connector's secret passes by."""
        body = readable(frame)
        if body.get("command") != "VALIDATION_REPLY":
            return
        if body.get("payload") in ("true", b"true"):
            asker.validated = True
            self.log.info("{name} is validated", name=asker.logical_name)
        elif body.get("payload") in ("false", b"false"):
            context = body.get("context")
            reason = str(context.get("reason", "")) if isinstance(context, dict) else ""
            self.log.warn("the secret of {name} is refused: {reason}", name=asker.logical_name, reason=reason)
            self.counters["secrets refused"] += 1
            asker.dismiss(failures.NOT_VALIDATED, reason or "the cluster does not accept the secret")
            asker.forget()

    # 6.4b configurationDatabase

    def _configuration_database(self, frame: Frame, origin: Link) -> None:
        if origin.type == CONNECTOR:
            message = "configurationDatabase is between the cluster and the aggregator only"
            self.answer(frame, origin, failures.NOT_AUTHORISED, message)
        elif frame.reference is None or not self.own.answer(frame):
            self._database(frame)

    # 6.4c Heartbeat

    def _heartbeat(self, frame: Frame, origin: Link) -> None:
        if origin.type == CONNECTOR:
            for member in self._members():
                if member.available:
                    member.send(frame)

    # 6.6 Error events

    def answer(self, frame: Frame, origin: Link, code: str, message: str) -> None:
        """Tell the origin of ``frame`` why it was not carried."""
        error = self._error(frame, origin, code, message)
        if error is not None:
            origin.send(error)

    def _error(self, frame: Frame, origin: Link, code: str, message: str) -> Frame | None:
        self.log.debug("{code} for {name}: {message}", code=code, name=origin.logical_name, message=message)
        error = self.errors.about(frame, origin, code, message)
        if error is not None:
            # It may come back from the cluster by way of a brother: it is not for anybody here then.
            self._seen.seen(error.uuid)
        return error

    # What happens to links.

    def link_up(self, link: Link) -> None:
        """``link`` is there again: whoever waited for the cluster is read again."""
        self._leaving.discard(link)
        self._resume()

    def link_lost(self, link: Link) -> None:
        """The connection of ``link`` broke."""
        self._leaving.discard(link)
        for table in (self.from_connectors, self.from_cluster, self.own):
            table.link_lost(link)

    def link_gone(self, link: Link) -> None:
        """The session of ``link`` is forgotten."""
        self._paused.discard(link)

    def relieved(self) -> None:
        """A link takes frames again (protocol.md 6.7)."""
        self._resume()

    def leaving(self, link: Link, finish: Callable[[], None]) -> None:
        """The peer said bye: ``finish`` once nothing is pending there."""
        if self._pending_on(link):
            self._leaving.add(link)
        else:
            finish()

    def expired(self, frame: Frame, charge: Charge | None) -> None:
        """``frame`` waited too long for a link that was broken (protocol.md 5.3)."""
        if isinstance(charge, EventCharge) and not charge.settled:
            message = "the message was not delivered to the cluster within its timeout"
            self.answer(frame, charge.origin, failures.EXPIRED, message)
            charge.settle()

    # For whoever ends the process, or looks at it.

    @property
    def pending(self) -> int:
        """Commands on their way."""
        return len(self.from_connectors) + len(self.from_cluster)

    @property
    def unsettled(self) -> int:
        """Events from connectors that no cluster member has acknowledged yet."""
        return len(self._unsettled)

    @property
    def paused(self) -> int:
        """Connections that are not read because the cluster takes no more."""
        return len(self._paused)

    def quiet(self) -> Deferred[None]:
        """Fires when no command is on its way and every event is safe."""
        done: Deferred[None] = Deferred(self._quiet_waiters.remove)
        self._quiet_waiters.append(done)
        self._when_quiet()
        return done

    def _when_quiet(self) -> None:
        if self._quiet_waiters and not self.pending and not self._unsettled:
            waiters, self._quiet_waiters = self._quiet_waiters, []
            for waiter in waiters:
                waiter.callback(None)

    def _safe(self, uuid: bytes) -> None:
        self._unsettled.pop(uuid, None)
        self._when_quiet()

    def _idle(self, link: Link) -> None:
        self._when_quiet()
        if link in self._leaving and not self._pending_on(link):
            self._leaving.discard(link)
            link.dismiss("DONE", "nothing is pending any more")

    def _pending_on(self, link: Link) -> int:
        return self.from_connectors.pending_on(link) + self.from_cluster.pending_on(link)

    # Helpers of the rules.

    def _members(self) -> list[Link]:
        return validated(self._links.of_type(CLUSTER))

    def _connectors(self, target: str) -> list[Link]:
        return validated(self._links.named(CONNECTOR, target))

    def _own_tenant(self, frame: Frame) -> Frame:
        return frame if frame.tenant == self.tenant else frame.replace(tenant=self.tenant)

    def _send_once(self, frame: Frame, origin: Link, group: str, candidates: list[Link]) -> None:
        """To one connection, and no waiting (protocol.md 6.3)."""
        try:
            self._rotation.order(group, candidates, frame)[0].send(frame)
        except RoutingFailure as failure:
            self.answer(frame, origin, failure.code, str(failure))

    def _pause(self, origin: Link) -> None:
        """Read no more from who feeds a cluster that is congested or absent (protocol.md 6.7)."""
        if origin not in self._paused:
            self._paused.add(origin)
            origin.pause()

    def _resume(self) -> None:
        if self._paused and self._held is None and self._cluster_takes(self._links.of_type(CLUSTER)):
            paused, self._paused = self._paused, set()
            for link in paused:
                link.resume()

    @staticmethod
    def _cluster_takes(members: Iterable[Link]) -> bool:
        return any(
            member.available and member.validated and not member.congested and not member.full for member in members
        )

    def _unexpected(self, failure: Failure) -> None:
        self.log.failure("a rule failed", failure)


_TENANT_RULE = frozenset({kinds.EVENT, kinds.COMMAND, kinds.CONFIG, kinds.HEARTBEAT})
"""Kinds for which the tenant rule comes first (protocol.md 6); a heartbeat is sent on once its tenant is right."""
