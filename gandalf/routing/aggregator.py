"""What an aggregator does with a routed frame (protocol.md 6): one method a rule."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from gandalf.routing import failures
from gandalf.routing.audience import Audience
from gandalf.routing.charge import SETTLED, Charge, SentOnce
from gandalf.routing.cluster_events import ClusterEvents
from gandalf.routing.duplicates import DuplicateWindow
from gandalf.routing.endings import Endings
from gandalf.routing.errors import ErrorEvents, MakeFrame
from gandalf.routing.failures import RoutingFailure
from gandalf.routing.fallthrough import FallThrough, Rotation, accepts, budget_of, length_of, validated
from gandalf.routing.feeders import Feeders
from gandalf.routing.heartbeats import Heartbeats
from gandalf.routing.held import HeldFrames
from gandalf.routing.keeper import Keeper
from gandalf.routing.link import CLUSTER, CONNECTOR, Link, Links
from gandalf.routing.requests import RequestRules
from gandalf.wire import kinds
from gandalf.wire.envelope import Frame
from gandalf.wire.runs import Parcel, Run


class AggregatorRouter:
    """Routes frames between the connectors and the cluster of one tenant.

    :param database: told of a ``configurationDatabase`` frame that came unasked (protocol.md 6.4b).
    :param max_timeout: seconds, upper bound of a command's budget (protocol.md 6.2).
    :param pending_bytes: of commands that are on their way in either direction; more is ``OVERLOADED``.
    :param keeper: takes charge of events while the whole cluster is away; None: nobody does.
    :param logical_name: under which this process itself takes events, by a tap; no connector has to bear it.
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
        logical_name: str = "",
        pending_bytes: int = sys.maxsize,
        keeper: Keeper | None = None,
    ) -> None:
        self.tenant = tenant
        self.taps: list[Callable[[Frame], None]] = []
        """Each is told of every event that is routed, once, wherever it comes from and whoever it is for."""
        self.errors = ErrorEvents(make_frame, now)
        self.counters: Counter[str] = Counter()
        self._endings = Endings(self._pending_on, lambda: bool(self.pending or self.unsettled))
        self.from_connectors = FallThrough(clock, idle=self._endings.idle, max_bytes=pending_bytes)
        """Commands on their way to the cluster."""
        self.from_cluster = FallThrough(clock, idle=self._endings.idle, max_bytes=pending_bytes)
        """Commands on their way to connectors."""
        self.own = FallThrough(clock, idle=self._endings.idle)
        """Requests of the aggregator's own, on their way to the cluster."""
        self._clock = clock
        self._links = links
        self._max_timeout = max_timeout
        self._logical_name = logical_name
        self._rotation = Rotation()
        # A command comes back from the cluster under its own uuid, resolved: what the cluster sends has a window of
        # its own. An event does not come back; whoever brings it again is not heard.
        self._seen = DuplicateWindow(duplicate_window)
        self._seen_from_cluster = DuplicateWindow(duplicate_window)
        self.to_cluster = ClusterEvents(links, keeper, self.answer, self._endings.check)
        """Events on their way to the cluster."""
        self._audience = Audience(links)
        self._requests = requests = RequestRules(
            tenant, links, self.own, self._send_once, self.answer, self.counters, database, self._audience.changed
        )
        self._held: HeldFrames | None = HeldFrames(clock)
        self._feeders = Feeders()
        self.heartbeats = Heartbeats(make_frame)
        self._rules: dict[str, Callable[[Any, Link], Charge | None]] = {
            kinds.EVENT: self._event,
            kinds.COMMAND: self._command,
            kinds.CONFIG: self._config,
            kinds.CONFIGURATION: requests.request,
            kinds.LOGICAL_CONFIGURATION: requests.request,
            kinds.SECRET: requests.request,
            kinds.CONFIGURATION_DATABASE: requests.configuration_database,
            kinds.HEARTBEAT: self._heartbeat,
        }

    # Frames.

    def route(self, frame: Frame, origin: Link) -> Charge | None:
        """Do with ``frame`` what the rules say. None: it is taken charge of now (protocol.md 5.3)."""
        if self._held is not None and origin.type == CONNECTOR and frame.kind != kinds.SECRET:
            charge = self._held.hold(frame, origin)
            if self._held.enough(origin):
                self._feeders.pause(origin)
            return charge
        return self._route(frame, origin)

    def open(self) -> None:
        """The logical configuration is there: the connectors' frames wait no longer (protocol.md 8)."""
        if self._held is None:
            return
        held, self._held = self._held.release(), None
        now = self._clock.seconds()
        for each in held:
            routed = self._route(each.frame, each.origin, now - each.since)
            if routed is None:
                each.charge.settle()
            else:
                routed.then(each.charge.settle)
        self._resume()

    def _route(self, frame: Frame, origin: Link, waited: float = 0.0) -> Charge | None:
        if frame.tenant != self.tenant and frame.kind in _TENANT_RULE:
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
            return self.to_cluster.unsettled.get(frame.uuid)
        self.counters[frame.kind] += 1
        if waited:
            return self._route_late(frame, origin, waited)
        return self._rules[frame.kind](frame, origin)

    def route_run(self, run: Run, origin: Link) -> Charge | None:
        """As :meth:`route`, for all frames of ``run`` at once. None: each is to be routed by itself.

        So it is unless the rules let all of them pass, and nobody on the way could tell one from the other.
        """
        of_cluster = origin.type == CLUSTER
        window, table = self._seen, self.from_cluster if of_cluster else self.from_connectors
        if run.kind == kinds.COMMAND:
            if table.has_any(run.uuids):
                return None
            if of_cluster:
                window = self._seen_from_cluster
        if (
            run.tenant == self.tenant
            and (of_cluster or (origin.validated and self._held is None))
            and self._all_accept(run)
            and window.all_new(run.uuids)
        ):
            self.counters[run.kind] += run.count
            return self._rules[run.kind](run, origin) or SETTLED
        return None

    def _all_accept(self, run: Run) -> bool:
        """Whether each of those whom ``run`` may go to, of whom there are some, reads frames as long as all of it."""
        members = self._links.of_type(CLUSTER)
        receivers = chain(members, self._links.named(CONNECTOR, run.target))
        return bool(members) and all(accepts(link, run) for link in receivers)

    def _route_late(self, frame: Frame, origin: Link, waited: float) -> Charge | None:
        """The time that ``frame`` is worth has been running since it came (protocol.md 2)."""
        worth = (
            budget_of(frame, self._max_timeout) if frame.kind == kinds.COMMAND else frame.timeout / 1000 or math.inf
        )
        if waited >= worth:
            message = f"waited {waited:.1f} s for this aggregator to start, which is longer than its timeout"
            self.answer(frame, origin, failures.EXPIRED, message)
            return None
        if frame.kind != kinds.COMMAND:
            return self._rules[frame.kind](frame, origin)
        self._command(frame, origin, worth - waited)
        return None

    # The tenant rule (protocol.md 6).

    def _wrong_tenant(self, frame: Frame, origin: Link) -> None:
        message = f"the message is of tenant {frame.tenant!r}; this aggregator serves {self.tenant!r}"
        error = self._error(frame, origin, failures.WRONG_TENANT, message)
        if error is None:
            return
        charge = Charge()
        for link in dict.fromkeys([origin, *self._links.of_type(CLUSTER)]):
            link.send(error, charge if link.type == CLUSTER else None)
        self._pause_if_cluster_does_not_take(origin)

    # 6.1 Event

    def _event(self, parcel: Parcel, origin: Link) -> Charge | None:
        charge = None
        if origin.type == CLUSTER:
            self._event_from_cluster(parcel, origin)
        else:
            charge = self._event_from_connector(parcel, origin)
        if parcel.reference is not None:
            # Last, for a connection that waits for this alone is closed when it ends.
            self.from_cluster.answer(parcel)
            self.from_connectors.answer(parcel)
        return charge

    def _event_from_connector(self, parcel: Parcel, origin: Link) -> Charge:
        charge, reached = self.to_cluster.send(parcel, origin)
        if reached:
            if self.taps:
                self._tell_taps(parcel)
            self._audience.send(parcel, origin)
            self._pause_if_cluster_does_not_take(origin)
        return charge

    def _event_from_cluster(self, parcel: Parcel, origin: Link) -> None:
        if self.taps:
            self._tell_taps(parcel)
        if parcel.target and not any(link.validated for link in self._links.named(CONNECTOR, parcel.target)):
            if parcel.target != self._logical_name:
                self.counters["events for nobody here"] += parcel.count
            return
        for member in self._links.of_type(CLUSTER):
            if member is not origin and accepts(member, parcel):
                # The cluster has it: where it cannot be sent soon, it need not be kept.
                member.send(parcel, SETTLED)
        self._audience.send(parcel, origin)

    def _tell_taps(self, parcel: Parcel) -> None:
        for frame in parcel.frames():
            for tap in tuple(self.taps):
                try:
                    tap(frame)
                except Exception:
                    self.log.failure("whoever listens to {uuid} failed", uuid=frame.uuid.hex())

    # 6.2 Command

    def _command(self, parcel: Parcel, origin: Link, budget: float | None = None) -> None:
        budget = budget_of(parcel, self._max_timeout) if budget is None else budget
        table = self.from_cluster if origin.type == CLUSTER else self.from_connectors
        if parcel.uuids[0] in table:
            # Pending for longer than the window remembers.
            self.counters["duplicates"] += 1
            return
        if origin.type == CLUSTER:
            group, candidates = f"connector {parcel.target!r}", self._connectors(parcel.target)
        else:
            group, candidates = "the cluster", self._members()
        if isinstance(parcel, Run):
            table.send_run(parcel, group, candidates, budget, origin, partial(self._no_answer, parcel, origin))
            return
        result = table.send(parcel, group, candidates, budget, origin)
        result.addErrback(self._not_answered, parcel, origin)
        result.addErrback(self._unexpected)

    def _not_answered(self, failure: Failure, frame: Frame, origin: Link) -> None:
        reason = failure.value
        if not isinstance(reason, RoutingFailure):
            failure.raiseException()
        else:
            self._no_answer(frame, origin, reason)

    def _no_answer(self, parcel: Parcel, origin: Link, reason: RoutingFailure) -> None:
        for frame in (reason.parcel or parcel).frames():
            self.answer(frame, origin, reason.code, str(reason))

    def _unexpected(self, failure: Failure) -> None:
        self.log.failure("a rule failed", failure)

    # 6.3 Config

    def _config(self, frame: Frame, origin: Link) -> None:
        if origin.type == CLUSTER:
            self._send_once(frame, origin, f"connector {frame.target!r}", self._connectors(frame.target))
        else:
            self._send_once(frame, origin, "the cluster", self._members())

    # 6.4c Heartbeat

    def _heartbeat(self, frame: Frame, origin: Link) -> None:
        if origin.type == CLUSTER:
            return
        if frame.tenant != self.tenant:
            self._wrong_tenant(frame, origin)
            return
        self.heartbeats.spread(frame, origin, self._members())

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
        self._endings.stay(link)
        self._audience.changed()
        if link.type == CLUSTER:
            self.to_cluster.member_up()
        self._resume()

    def link_lost(self, link: Link) -> None:
        """The connection of ``link`` broke."""
        self._endings.stay(link)
        for table in (self.from_connectors, self.from_cluster, self.own):
            table.link_lost(link)
        self._left(link)

    def introduce(self, member: Link) -> None:
        """A member that has just accepted our secret is told who is here: each connector's latest heartbeat."""
        self.heartbeats.introduce(member)

    def link_gone(self, link: Link) -> None:
        """The session of ``link`` is forgotten."""
        self.to_cluster.member_gone(link)
        self._audience.changed()
        self._requests.forget(link)
        self._feeders.forget(link)
        self.heartbeats.forget(link)
        if self._held is not None:
            self._held.drop(link)

    def let_go(self, frame: Frame, charge: Charge | None, link: Link) -> None:
        """``frame`` is kept for ``link``, which was broken, no more: it waited too long (protocol.md 5.3), or is
        longer than the peer accepts by now.

        A command has a timer of its own; what was sent to a connector is its brothers' too.
        """
        if not isinstance(charge, SentOnce):
            self.to_cluster.let_go(frame, charge, link)
        elif accepts(link, frame):
            message = "the connection that it was sent on broke, and was not back within its timeout"
            self.answer(frame, charge.origin, failures.EXPIRED, message)
        else:
            message = f"{length_of(frame)} bytes is more than {link.logical_name} accepts by now"
            self.answer(frame, charge.origin, failures.TOO_LARGE, message)

    def relieved(self) -> None:
        """A link takes frames again (protocol.md 6.7)."""
        self.to_cluster.relieved()
        self._resume()

    def leaving(self, link: Link, finish: Callable[[], None]) -> None:
        """The peer said bye: ``finish`` once nothing is pending there."""
        self._endings.leave(link, finish)
        self._left(link)

    def _left(self, link: Link) -> None:
        if link.type == CLUSTER:
            self.to_cluster.member_left()

    def read_again(self) -> None:
        """Whoever keeps events takes more, or has sent the cluster all."""
        self._resume()

    # For whoever ends the process, or looks at it.

    @property
    def pending(self) -> int:
        """Commands on their way."""
        return len(self.from_connectors) + len(self.from_cluster)

    @property
    def unsettled(self) -> int:
        """Events from connectors that no cluster member has acknowledged yet."""
        return len(self.to_cluster.unsettled)

    @property
    def paused(self) -> int:
        """Connections that are not read because the cluster takes no more."""
        return len(self._feeders)

    def quiet(self) -> Deferred[None]:
        """Fires when no command is on its way and every event is safe."""
        return self._endings.quiet()

    def _pending_on(self, link: Link) -> int:
        return sum(table.pending_on(link) for table in (self.from_connectors, self.from_cluster, self.own))

    # Helpers of the rules.

    def _members(self) -> list[Link]:
        return validated(self._links.of_type(CLUSTER))

    def _connectors(self, target: str) -> list[Link]:
        return validated(self._links.named(CONNECTOR, target))

    def _send_once(self, frame: Frame, origin: Link, group: str, candidates: Sequence[Link]) -> None:
        """To one connection, and no waiting (protocol.md 6.3)."""
        try:
            self._rotation.order(group, candidates, frame)[0].send(frame, SentOnce(origin))
        except RoutingFailure as failure:
            self.answer(frame, origin, failure.code, str(failure))

    def _pause_if_cluster_does_not_take(self, origin: Link) -> None:
        if origin.type == CONNECTOR and not self.to_cluster.taken:
            self._feeders.pause(origin)

    def _resume(self) -> None:
        if self._feeders and self._held is None and self.to_cluster.taken:
            self._feeders.resume()


_TENANT_RULE = frozenset({kinds.EVENT, kinds.COMMAND, kinds.CONFIG})
"""Kinds for which the tenant rule comes first (protocol.md 6)."""
