"""What a cluster member does with a routed frame (protocol.md 9): one method a rule."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from gandalf.cluster.presence import Presence
from gandalf.cluster.recorder import Record, RecordedEvents, connector_type, read_record, read_records
from gandalf.cluster.resolution import Resolution, Resolver
from gandalf.cluster.routes import Route
from gandalf.routing import failures
from gandalf.routing.charge import SETTLED, Charge
from gandalf.routing.duplicates import DuplicateWindow
from gandalf.routing.errors import ERROR_TOPIC, LONGEST_NAME, ErrorEvents, MakeFrame, error_message
from gandalf.routing.failures import RoutingFailure
from gandalf.routing.fallthrough import FallThrough, Pending, Rotation, accepts, budget_of
from gandalf.routing.link import Link
from gandalf.store.trace import TraceRecord
from gandalf.wire import kinds
from gandalf.wire.body import take, unpack_body
from gandalf.wire.envelope import Frame
from gandalf.wire.errors import Malformed
from gandalf.wire.runs import Parcel, Run

CODES: Final = frozenset(
    {
        failures.WRONG_TENANT,
        failures.NOT_VALIDATED,
        failures.NOT_AUTHORISED,
        failures.NO_ROUTE,
        failures.TIMEOUT,
        failures.EXPIRED,
        failures.OVERLOADED,
        failures.MALFORMED,
        failures.TOO_LARGE,
    }
)
"""What the events are called that are error events (protocol.md 6.6)."""


class ClusterRouter:
    """Routes frames between the aggregators of each tenant, and records them.

    :param record: told each event and command, and the error events made here.
    :param request: told each request that the member answers by itself.
    :param member: what the trace calls this member.
    :param pending_bytes: of commands that are on their way, and of those for which is looked up who can take them.
    :param max_timeout: seconds, upper bound of a command's budget (protocol.md 6.2).
    """

    log = Logger()

    def __init__(
        self,
        make_frame: MakeFrame,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        max_timeout: float,
        duplicate_window: int,
        presence: Presence,
        resolver: Resolver,
        record: Record,
        request: Callable[[Frame, Link], None],
        member: str,
        pending_bytes: int = sys.maxsize,
    ) -> None:
        self.errors = ErrorEvents(make_frame, now)
        self.counters: Counter[str] = Counter()
        self.commands = FallThrough(clock, idle=self._idle, max_bytes=pending_bytes)
        """Commands on their way to aggregators; the candidates are routes."""
        self._clock = clock
        self._now = now
        self._max_timeout = max_timeout
        self._presence = presence
        self._resolver = resolver
        self._record = record
        self._member = member
        self._rotation = Rotation()
        self._seen = DuplicateWindow(duplicate_window)
        self._recorded = RecordedEvents(record, self.answer, self._when_quiet)
        self._resolving: dict[bytes, tuple[Charge, Link]] = {}
        self._resolving_bytes = 0
        self._pending_bytes = pending_bytes
        self._reason: RoutingFailure | None = None
        self._of_tenant: defaultdict[str, dict[Link, None]] = defaultdict(dict)
        self._held: set[str] = set()
        self._leaving: dict[Link, Callable[[], None]] = {}
        self._quiet_waiters: list[Deferred[None]] = []
        self._rules: dict[str, Callable[[Frame, Link], Charge | None]] = {
            kinds.EVENT: self._event,
            kinds.COMMAND: self._command,
            kinds.CONFIG: self._config,
            kinds.HEARTBEAT: self._heartbeat,
        }
        self._request = request

    # Frames.

    def route(self, frame: Frame, origin: Link) -> Charge | None:
        """Do with ``frame`` what the rules say. None: it is taken charge of now (protocol.md 5.3)."""
        if frame.tenant != origin.tenant:
            message = f"the message is of tenant {frame.tenant!r}; this connection serves {origin.tenant!r}"
            self.answer(frame, origin, failures.WRONG_TENANT, message)
            return None
        if not origin.validated and (frame.kind != kinds.SECRET or frame.target):
            message = "the secret of this aggregator has not been accepted; only its own secret may be sent"
            self.answer(frame, origin, failures.NOT_VALIDATED, message)
            return None
        # An event may wait for the trace, and a command for the components, for longer than the window remembers.
        uuid = frame.uuid
        if self._seen.seen(uuid) or uuid in self._resolving or self._recorded.unsettled.has_any((uuid,)):
            self.counters["duplicates"] += 1
            # Not yet recorded, or not yet pending: it counts when it is.
            charge, _ = self._resolving.get(uuid, (None, None))
            return charge or self._recorded.unsettled.get(uuid)
        self.counters[frame.kind] += 1
        try:
            return self._rules.get(frame.kind, self._asked)(frame, origin)
        except Malformed as error:
            self.answer(frame, origin, failures.MALFORMED, str(error))
            return None

    def route_run(self, run: Run, origin: Link) -> Charge | None:
        """As :meth:`route`, for all frames of ``run`` at once. None: each is to be routed by itself.

        So it is unless the rules let all of them pass, and nobody on the way could tell one from the other.
        """
        theirs = self._of_tenant.get(origin.tenant, ())
        if run.tenant != origin.tenant or not origin.validated or not all(accepts(link, run) for link in theirs):
            return None
        try:
            records = read_records(run, now=self._milliseconds(), member=self._member)
        except Malformed:
            return None
        return (self._events if run.kind == kinds.EVENT else self._commands)(run, records, origin)

    def _seen_now(self, run: Run) -> bool:
        """Whether none of ``run`` was seen before; it is counted then."""
        new = self._seen.all_new(run.uuids)
        if new:
            self.counters[run.kind] += run.count
        return new

    def _events(self, run: Run, records: list[TraceRecord], origin: Link) -> Charge | None:
        if (
            any(map(_is_error, records))
            or self._recorded.unsettled.has_any(run.uuids)
            or not self._theirs(run, origin)
        ):
            return None
        if not self._seen_now(run):
            return None
        charge = self._recorded.record(records, run, origin)
        if run.references:
            self.commands.answer(run)
        self._distribute(run, origin)
        return charge

    def _theirs(self, run: Run, origin: Link) -> bool:
        """Whether what ``run`` answers, as far as it is pending, is of the origin's tenant."""
        routes = map(self._at, run.references or ())
        return all(route is None or route.link.tenant == origin.tenant for route in routes)

    def _commands(self, run: Run, records: list[TraceRecord], origin: Link) -> Charge | None:
        pivot = records[0].connector_type
        if (
            self.commands.has_any(run.uuids)
            or not self._resolving.keys().isdisjoint(run.uuids)
            or any(record.connector_type != pivot for record in records)
        ):
            return None
        found = self._resolver.resolve(origin.tenant, run.target, pivot)
        candidates: Any = found.routes
        if not self._resolver.settled(origin.tenant, run.target, pivot, found):
            return None
        if not all(accepts(route, run) for route in candidates) or not self._seen_now(run):
            return None
        for record in records:
            self._record(origin.tenant, record, _nothing)
        failed = partial(self._no_answer, run, origin)
        if candidates:
            self.commands.send_run(run, found.group, candidates, budget_of(run, self._max_timeout), origin, failed)
        else:
            failed(RoutingFailure(failures.NO_ROUTE, found.reason))
        return SETTLED

    # Event

    def _event(self, frame: Frame, origin: Link) -> Charge | None:
        body = unpack_body(frame.body)
        record = read_record(frame, body, now=self._milliseconds(), member=self._member)
        # First, so that there is no moment at which nothing is pending and it is not yet to be recorded.
        charge = self._recorded.record([record], frame, origin)
        if _is_error(record):
            self._error_event(frame, origin, record)
        else:
            self._answered(frame, origin)
            self._distribute(frame, origin)
        return charge

    def _answered(self, frame: Frame, origin: Link) -> None:
        """The first event that refers to a command ends it (protocol.md 6.2), whichever aggregator brings it."""
        if frame.reference is not None:
            route = self._at(frame.reference)
            if route is not None and route.link.tenant == origin.tenant:
                self.commands.answer(frame)

    def _distribute(self, parcel: Parcel, origin: Link) -> None:
        """To every validated aggregator connection of the tenant but the origin."""
        for link in list(self._of_tenant.get(origin.tenant, ())):
            if link is not origin and link.validated:
                link.send(parcel)

    def _error_event(self, frame: Frame, origin: Link, record: TraceRecord) -> None:
        """From the link that has the command: it cannot, so the next is tried. It goes no further than here: error
        events are for whoever sent what they are about, and here that is this member (protocol.md 6.6)."""
        assert frame.reference is not None
        route = self._at(frame.reference)
        if route is None or route.link is not origin:
            self.counters["late errors"] += 1
            return
        message = error_message(record.payload) or "no reason was given"
        self._reason = RoutingFailure(record.event, f"{origin.logical_name} about {route.target}: {message}")
        self.commands.pass_over(frame.reference)
        self._reason = None

    # Command and config

    def _command(self, frame: Frame, origin: Link) -> Charge | None:
        body = unpack_body(frame.body)
        record = read_record(frame, body, now=self._milliseconds(), member=self._member)
        if frame.uuid in self.commands:
            # Pending for longer than the window remembers.
            self.counters["duplicates"] += 1
            return None
        self._record(origin.tenant, record, _nothing)
        return self._resolve(frame, origin, record.connector_type, budget_of(frame, self._max_timeout), self._send)

    def _config(self, frame: Frame, origin: Link) -> Charge | None:
        pivot = connector_type(unpack_body(frame.body))
        return self._resolve(frame, origin, pivot, self._max_timeout, self._send_once)

    def _resolve(
        self,
        frame: Frame,
        origin: Link,
        pivot: str,
        budget: float,
        then: Callable[[Frame, Link, Resolution, float], None],
    ) -> Charge | None:
        found = self._resolver.resolve(origin.tenant, frame.target, pivot)
        if self._resolver.settled(origin.tenant, frame.target, pivot, found):
            then(frame, origin, found, budget)
            return None
        if self._resolving_bytes >= self._pending_bytes:
            self.answer(frame, origin, failures.OVERLOADED, "too much waits for the database to say who can take it")
            return None
        self._resolving_bytes += len(frame.raw)
        deadline = self._clock.seconds() + budget
        charge = Charge()
        self._resolving[frame.uuid] = charge, origin

        def resolved(found: Resolution) -> None:
            then(frame, origin, found, max(deadline - self._clock.seconds(), 0.0))

        def ended(result: object) -> object:
            del self._resolving[frame.uuid]
            self._resolving_bytes -= len(frame.raw)
            charge.settle()
            self._when_quiet()
            self._finish_if_idle(origin)
            return result

        anew = self._resolver.resolve_anew(origin.tenant, pivot, budget)
        anew.addCallback(resolved).addBoth(ended).addErrback(self._unexpected)
        return charge

    def _send(self, frame: Frame, origin: Link, found: Resolution, budget: float) -> None:
        """To one component after the other, over one connection after the other (protocol.md 6.2)."""
        if not found.routes:
            self.answer(frame, origin, failures.NO_ROUTE, found.reason)
            return
        candidates: Any = found.routes
        result = self.commands.send(frame, found.group, candidates, budget, origin)
        result.addErrback(self._not_answered, frame, origin)
        result.addErrback(self._unexpected)

    def _not_answered(self, failure: Failure, frame: Frame, origin: Link) -> None:
        failure.trap(RoutingFailure)
        self._no_answer(frame, origin, failure.value)  # type: ignore[arg-type]  # trapped

    def _no_answer(self, parcel: Parcel, origin: Link, failure: RoutingFailure) -> None:
        """None has answered: tell why the last one could not, if it said so."""
        reason = self._reason or failure
        for frame in (failure.parcel or parcel).frames():
            self.answer(frame, origin, reason.code, str(reason))

    def _send_once(self, frame: Frame, origin: Link, found: Resolution, budget: float) -> None:
        """To one connection, and no waiting (protocol.md 6.3)."""
        if not found.routes:
            self.answer(frame, origin, failures.NO_ROUTE, found.reason)
            return
        candidates: Any = found.routes
        try:
            self._rotation.order(found.group, candidates, frame)[0].send(frame)
        except RoutingFailure as failure:
            self.answer(frame, origin, failure.code, str(failure))

    # Heartbeat

    def _heartbeat(self, frame: Frame, origin: Link) -> None:
        """A connector's, relayed, says that it is behind this link; an aggregator is there as long as its link is."""
        context = take(unpack_body(frame.body), "context", dict, {})
        logical_name = frame.target or take(context, "logical_name", str, "")
        pivot = take(context, "connector_type", str, "")
        if len(logical_name) > LONGEST_NAME or len(pivot) > LONGEST_NAME:
            raise Malformed(f"body: a name in context has more than {LONGEST_NAME} characters")
        if take(context, "component_type", str, "") == "connector" and logical_name:
            self._presence.seen(origin, logical_name, pivot)

    # Requests

    def _asked(self, frame: Frame, origin: Link) -> None:
        """Answered by the member itself. It asks nothing, so replies are not for it."""
        if frame.reference is not None:
            self.counters["replies that nobody asked for"] += 1
        else:
            try:
                self._request(frame, origin)
            except RoutingFailure as failure:
                self.answer(frame, origin, failure.code, str(failure))

    # Error events (protocol.md 6.6)

    def answer(self, frame: Frame, origin: Link, code: str, message: str) -> None:
        """Tell the origin of ``frame`` why it was not carried."""
        self.log.debug("{code} for {name}: {message}", code=code, name=origin.logical_name, message=message)
        error = self.errors.about(frame, origin, code, message)
        if error is None:
            return
        error = error.replace(tenant=origin.tenant)
        # It may come back by way of a brother of the origin: it is not for anybody here then.
        self._seen.seen(error.uuid)
        self.present(origin).send(error)
        if origin.validated:
            now = self._milliseconds()
            record = read_record(error, unpack_body(error.body), now=now, member=self._member)
            self._record(origin.tenant, record, _nothing)

    def present(self, asker: Link) -> Link:
        """Who takes an answer: the connection that asked, or if that is gone another of the same logical name."""
        if asker.connected:
            return asker
        for brother in self._of_tenant.get(asker.tenant, ()):
            if brother.logical_name == asker.logical_name and brother.available and brother.validated:
                return brother
        return asker

    def reply(self, asker: Link, reply: Frame) -> None:
        """Give ``reply`` to whoever asked over a link.

        A brother that takes it in the asker's place need not know the question. So it also waits for the asker, as
        long as its session is kept: that it is not connected at the moment may be over in another.
        """
        receiver = self.present(asker)
        receiver.send(reply)
        if receiver is not asker and asker in self._of_tenant[asker.tenant]:
            asker.send(reply)

    # What happens to links.

    def link_up(self, link: Link) -> None:
        """``link`` is there, or there again."""
        self._leaving.pop(link, None)
        self._of_tenant[link.tenant][link] = None
        if link.tenant in self._held:
            link.pause()

    def link_lost(self, link: Link) -> None:
        """The connection of ``link`` broke: what waits there goes elsewhere at once."""
        self._leaving.pop(link, None)
        lost: dict[Any, None] = dict.fromkeys(
            route for pending in self.commands if (route := _route(pending)) and route.link is link
        )
        for route in lost:
            self.commands.link_lost(route)

    def link_gone(self, link: Link) -> None:
        """The session of ``link`` is forgotten."""
        self._presence.gone(link)
        links = self._of_tenant[link.tenant]
        links.pop(link, None)
        if not links:
            del self._of_tenant[link.tenant]

    def leaving(self, link: Link, finish: Callable[[], None]) -> None:
        """The peer said bye: ``finish`` once nothing is pending there."""
        self._leaving[link] = finish
        self._finish_if_idle(link)

    def hold(self, tenant: str, hold: bool) -> None:
        """Read no more from the aggregators of ``tenant``, whose trace cannot keep up; or read again."""
        if hold:
            self._held.add(tenant)
        else:
            self._held.discard(tenant)
        for link in self._of_tenant.get(tenant, ()):
            if hold:
                link.pause()
            else:
                link.resume()

    # For whoever ends the process, or looks at it.

    @property
    def pending(self) -> int:
        """Commands on their way."""
        return len(self.commands) + len(self._resolving)

    @property
    def unsettled(self) -> int:
        """Events that are not recorded yet."""
        return len(self._recorded.unsettled)

    @property
    def held(self) -> frozenset[str]:
        """Tenants whose aggregators are not read, because the trace cannot keep up."""
        return frozenset(self._held)

    def quiet(self) -> Deferred[None]:
        """Fires when no command is on its way and every event is recorded."""
        done: Deferred[None] = Deferred(self._quiet_waiters.remove)
        self._quiet_waiters.append(done)
        self._when_quiet()
        return done

    def _when_quiet(self) -> None:
        if self._quiet_waiters and not self.pending and not self._recorded.unsettled:
            waiters, self._quiet_waiters = self._quiet_waiters, []
            for waiter in waiters:
                waiter.callback(None)

    def _idle(self, candidate: Link) -> None:
        self._when_quiet()
        if self._leaving:
            # What the table calls a link is a route, or the origin of a command.
            self._finish_if_idle(candidate.link if isinstance(candidate, Route) else candidate)

    def _finish_if_idle(self, link: Link) -> None:
        if link in self._leaving and not self._pending_on(link):
            self._leaving.pop(link)()

    def _pending_on(self, link: Link) -> bool:
        return any(origin is link for _, origin in self._resolving.values()) or any(
            pending.origin is link or ((route := _route(pending)) is not None and route.link is link)
            for pending in self.commands
        )

    def _at(self, uuid: bytes) -> Route | None:
        candidate: Any = self.commands.at(uuid)
        route: Route | None = candidate
        return route

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)

    def _unexpected(self, failure: Failure) -> None:
        self.log.failure("a rule failed", failure)


def _route(pending: Pending) -> Route | None:
    """Where it is now; nowhere while it goes from one candidate to the next."""
    candidate: Any = pending.link
    route: Route | None = candidate
    return route


def _is_error(record: TraceRecord) -> bool:
    """Whether it is an error event (protocol.md 6.6)."""
    return record.topic == ERROR_TOPIC and record.reference is not None and record.event in CODES


def _nothing(error: Exception | None) -> None:
    """Nobody waits for the record."""
