"""A running connector: one shoset that dials every instance of its aggregator (protocol.md 5 and 7)."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from gandalf.connector import payloads
from gandalf.connector.account import Account
from gandalf.connector.declare import Connector, Program
from gandalf.connector.emitting import Emitter, EventRefused
from gandalf.connector.execution import Executor
from gandalf.connector.job import Report
from gandalf.connector.loop import Loop
from gandalf.connector.messages import error_text, is_error, read_event
from gandalf.connector.network import (
    DEFAULT_TIMEOUT,
    Command,
    EventHandler,
    Outcome,
    Progress,
    Promise,
    ReceivedEvent,
)
from gandalf.connector.receiving import Receiver
from gandalf.connector.sending import Sender
from gandalf.connector.validation import SecretRefused, Validation
from gandalf.routing.charge import Charge
from gandalf.routing.failures import NOT_VALIDATED, TOO_LARGE
from gandalf.routing.link import AGGREGATOR, CONNECTOR, Link
from gandalf.shoset.dialler import Connect
from gandalf.shoset.diallers import Diallers
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.host import Refusal
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.session import KeptFrame
from gandalf.shoset.settings import Identity
from gandalf.wire import kinds
from gandalf.wire.control import STOPPING, BrothersBody, LinkBody
from gandalf.wire.envelope import Frame
from gandalf.wire.runs import Run

HEARTBEAT_INTERVAL = 60.0
"""Seconds between heartbeats on each link."""

MAX_TIMEOUT = 10.0
"""Seconds that a receipt may take at most, and that a command without a timeout is worth waiting for."""

LAST_WORDS = 1.0
"""Seconds that the outcomes of what was ended have to be acknowledged."""

NOTHING = ("error",)
"""The topics of one who subscribed to nothing: a list that is empty could be read as "all" (protocol.md 6.1).
Receipts and error events have a target, and come whatever the topics."""


class Runtime:
    """Runs one connector. Implements `Network`, and :class:`gandalf.shoset.host.Host`.

    :param connect: how addresses are dialled.
    :param reactor: time; and whatever the program's `beside` makes of it.
    :param now: seconds since the epoch.
    :param random: as ``os.urandom``.
    :param jitter: a random number from 0 to 1.
    :param stopped: called at the very end.
    """

    log = Logger()

    def __init__(
        self,
        program: Connector | Program,
        account: Account,
        loop: Loop,
        *,
        reactor: Any,
        connect: Connect,
        now: Callable[[], float],
        random: Callable[[int], bytes],
        jitter: Callable[[], float],
        stopped: Callable[[], object] = lambda: None,
    ) -> None:
        program = program if isinstance(program, Program) else Program(program)
        # Subscriptions made while it runs are this runtime's own.
        self.connector = copy.copy(program.connector)
        self.connector.subscriptions = list(self.connector.subscriptions)
        self.account = account
        self.state = "linking"
        """`linking`, `ready`, `refused` (the secret), `stopping` or `stopped`."""
        self.trouble = ""
        """Why the secret is refused."""
        self.counters: Counter[str] = Counter()
        self._program = program
        self._reactor = reactor
        self._loop = loop
        self._stopped = stopped
        limits = account.limits
        self.shoset = ShosetFactory(
            Identity(account.logical_name, CONNECTOR, account.tenant, random(16), account.bind_address),
            limits,
            self,
            clock=reactor,
            now=now,
            random=random,
            max_timeout=MAX_TIMEOUT,
        )
        self.diallers = Diallers(self.shoset, connect, jitter=jitter, topics=self._topics())
        self.emitter = Emitter(loop, self._ready_links, limits, idle=self._finish_if_leaving)
        self.sender = Sender(
            account.logical_name,
            self.shoset.frame,
            loop,
            reactor,
            self._ready_links,
            MAX_TIMEOUT,
            idle=self._finish_if_leaving,
        )
        self.receiver = Receiver(
            Executor(self.connector, self, loop, incident=lambda: random(4).hex()),
            loop,
            reactor,
            duplicate_window=limits.duplicate_window,
            max_timeout=MAX_TIMEOUT,
            reporter=self._reporter,
            takes=lambda: not self.emitter.full,
        )
        self.validation = Validation(
            {**self._self_description(), "secret": account.secret, "instance": self.shoset.identity.instance},
            self.shoset.frame,
            reactor,
            jitter,
            accepted=self._accepted,
            refused=self._refused,
        )
        self._beside: Any = None
        self._leaving: set[ShosetLink] = set()
        self._first: list[Deferred[None]] = []
        self._heartbeat = LoopingCall(self._beat)
        self._heartbeat.clock = reactor
        self._relinking: IDelayedCall | None = None
        self._stopping: Deferred[None] | None = None
        self._deadline = math.inf
        self._awaited: Deferred[None] | None = None
        self._when_stopped: list[Promise[None]] = []

    # Start and end.

    def start(self) -> None:
        """Dial. On the loop's thread, as everything here."""
        self.diallers.start(self.account.aggregators)
        self._heartbeat.start(HEARTBEAT_INTERVAL, now=False)

    def ready(self) -> Deferred[None]:
        """Fires when a first link is validated.

        Fails with `SecretRefused` when the cluster does not accept the secret; the runtime goes on trying.
        """
        first: Deferred[None] = Deferred(self._first.remove)
        self._first.append(first)
        self._tell_first()
        return first

    def stop(self, within: float | None = None) -> Promise[None]:
        """End in good order: take no more commands, let those at work finish and events be acknowledged, for
        `within` seconds (by default the account's `drain_timeout`) at most; then say `bye`. What is not
        finished then fails with `CANCELLED`. Asked again, the shorter time counts."""
        promise = self._loop.promise()
        self._when_stopped.append(promise)
        deadline = self._reactor.seconds() + (self.account.drain_timeout if within is None else within)
        self._deadline = min(self._deadline, deadline)
        if self._awaited is not None:
            self._awaited.cancel()
        if self._stopping is None:
            self._stopping = ensureDeferred(self._stop())
            self._stopping.addErrback(lambda failure: self.log.failure("stopping failed", failure))
            self._stopping.addCallback(lambda none: self._tell_stopped())
        elif self.state == "stopped":
            self._tell_stopped()
        return promise

    # Network

    def emit(self, topic: str, event: str, payload: object = None, *, target: str = "") -> Promise[None]:
        """Send an event; fires when an aggregator has taken charge of it (protocol.md 5.3).

        Fails with `EventRefused`. Raises ValueError for a payload that JSON cannot say, or without a topic.
        """
        if not topic:
            raise ValueError("topic is empty: must be words separated by dots")
        frame = self.shoset.frame(
            kinds.EVENT, {"topic": topic, "event": event, "payload": payloads.dump(payload)}, target=target
        )
        self.receiver.own(frame.uuid)
        return self.emitter.emit(frame, topic)

    def send(
        self,
        connector_type: str,
        command: str,
        payload: object = None,
        *,
        target: str = "",
        timeout: float = DEFAULT_TIMEOUT,
        on_progress: Progress | None = None,
    ) -> Promise[Outcome]:
        """See `Network.send`. Raises ValueError for a payload that JSON cannot say, and a timeout that is none."""
        return self.sender.send(connector_type, command, payload, target, timeout, on_progress)

    def subscribe(self, pattern: str, handler: EventHandler) -> None:
        """See `Network.subscribe`. A new pattern opens the links anew, which loses nothing (protocol.md 5.3)."""
        self.connector.on(pattern)(handler)
        topics = self._topics()
        if topics != self.diallers.topics:
            self.diallers.topics = topics
            if self._relinking is None:
                self._relinking = self._reactor.callLater(0, self._relink)

    # gandalf.shoset.host.Host

    def admit(self, hello: LinkBody, tenant: str) -> Refusal | None:
        """Never asked: a connector does not listen."""
        return Refusal("WRONG_TYPE", "a connector is not dialled")

    def link_up(self, link: ShosetLink, resumed: bool) -> None:
        """Prove the secret, unless the session that goes on has."""
        self._leaving.discard(link)
        if self.diallers.same_instance(link):
            return
        if self.state == "stopping":
            self._say_bye(link)
        if link.validated:
            self._accepted(link)
        else:
            self.validation.start(link)

    def link_leaving(self, link: ShosetLink) -> None:
        """The aggregator stops: its brothers get what is new; what is pending there finishes (protocol.md 5.2)."""
        self._leaving.add(link)
        self._finish_if_leaving(link)

    def link_down(self, link: ShosetLink) -> None:
        """What waits there goes elsewhere."""
        self._leaving.discard(link)
        self.validation.forget(link)
        self.sender.link_lost(link)
        self.emitter.link_lost(link)
        if self.state == "ready" and not self._ready_links():
            self.state = "linking"

    def link_gone(self, link: ShosetLink) -> None:
        """Nothing more is known of it."""
        self.link_down(link)

    def link_relieved(self, link: ShosetLink) -> None:
        """Events that waited go on."""
        self.emitter.flush()

    def frame_received(self, frame: Frame, link: ShosetLink) -> Charge | None:
        """Protocol.md 7."""
        if frame.kind == kinds.EVENT:
            return self._event(frame, link)
        if frame.kind == kinds.COMMAND:
            return self.receiver.command(frame, link)
        if frame.kind != kinds.SECRET or not self.validation.reply(frame):
            self.counters["frames of no use"] += 1
        return None

    def run_received(self, run: Run, link: ShosetLink) -> Charge | None:
        """Each message is for the program, by itself."""
        return None

    def frame_expired(self, kept: KeptFrame, link: ShosetLink) -> None:
        """Commands, heartbeats and validations that are too old; whoever waits has a timer of their own."""
        self.counters["expired"] += 1

    def brothers_received(self, brothers: BrothersBody, link: ShosetLink) -> None:
        """Other instances of the aggregator (protocol.md 5.2)."""
        if brothers.logical_name == link.logical_name:
            self.diallers.told(link.address, brothers.addresses)

    # Events.

    def _event(self, frame: Frame, link: ShosetLink) -> Charge | None:
        event = self.receiver.first(frame)
        if event is None:
            return self.receiver.charge_of(frame.uuid)
        if frame.reference is not None:
            if is_error(event):
                self._error_event(event, frame.reference, link)
            self.sender.answer(event, frame, link)
        return self.receiver.react(event)

    def _error_event(self, event: ReceivedEvent, reference: bytes, link: ShosetLink) -> None:
        """Protocol.md 6.6: about a validation, or an event of ours; a command's is the sender's to hear."""
        if self.validation.error(reference, f"{event.event}: {error_text(event)}"):
            return
        if event.event == NOT_VALIDATED and link.validated:
            link.validated = False
            self.validation.again(link, f"{NOT_VALIDATED}: {error_text(event)}")
        self.emitter.refused(reference, event.event, error_text(event))

    def _reporter(self, command: Command, link: Link) -> Report:
        def report(event: str, text: str) -> None:
            if event == "PROGRESS" and self.emitter.full:
                self.counters["progress dropped"] += 1
                return
            frame = self._receipt(command, event, text)
            if not self.emitter.fits(frame):
                self.counters["receipts too large"] += 1
                if event == "PROGRESS":
                    return
                message = f"the outcome, a {event} of {len(text)} bytes, is longer than the network accepts"
                failure = payloads.dump({"code": TOO_LARGE, "message": message})
                frame = self._receipt(command, "FAILURE", failure)
            self.receiver.own(frame.uuid)
            self.emitter.receipt(frame, command.name, link)
            if command.uuid.bytes in self.sender:
                # Sent by ourselves: no aggregator brings an event back to its origin.
                self.sender.answer(read_event(frame), frame)

        return report

    def _receipt(self, command: Command, event: str, text: str) -> Frame:
        return self.shoset.frame(
            kinds.EVENT,
            {"topic": command.name, "event": event, "payload": text},
            target=command.source,
            reference=command.uuid.bytes,
        )

    # Links.

    def _ready_links(self) -> list[ShosetLink]:
        return [link for link in self.shoset.registry.of_type(AGGREGATOR) if link.validated and link.available]

    def _accepted(self, link: Link) -> None:
        if self.state in ("linking", "refused"):
            self.log.info("{name} is ready, by way of {link}", name=self.account.logical_name, link=link)
            self.state, self.trouble = "ready", ""
        self._send_heartbeat(link)
        if self._beside is None and self._program.beside is not None and self._stopping is None:
            self._start_beside()
        self.emitter.flush()
        self.sender.link_ready()
        self._tell_first()

    def _refused(self, reason: str) -> None:
        if self.state == "linking":
            self.state, self.trouble = "refused", reason
        self._tell_first()

    def _tell_first(self) -> None:
        if self.state not in ("ready", "refused"):
            return
        waiters, self._first = self._first, []
        for waiter in waiters:
            if self.state == "ready":
                waiter.callback(None)
            else:
                waiter.errback(SecretRefused(f"{self.account.logical_name}: the secret is refused: {self.trouble}"))

    def _finish_if_leaving(self, link: Link) -> None:
        if not isinstance(link, ShosetLink) or link not in self._leaving:
            return
        if not self.sender.pending_on(link) and not self.emitter.pending_on(link):
            self._leaving.discard(link)
            link.finish()

    def _relink(self) -> None:
        """Name the topics anew: the sessions go on, so that nothing is lost."""
        self._relinking = None
        for dialler in self.diallers:
            dialler.ask_for(self._topics())

    def _topics(self) -> tuple[str, ...]:
        return tuple(self.connector.topics) or NOTHING

    # Heartbeats (protocol.md 4 and 6.4c).

    def _self_description(self) -> dict[str, object]:
        return {
            "component_type": "connector",
            "logical_name": self.account.logical_name,
            "bind_address": self.account.bind_address,
        }

    def _send_heartbeat(self, link: Link) -> None:
        connector = self.connector
        context: dict[str, object] = {
            **self._self_description(),
            "connector_type": connector.type,
            "product": connector.product,
            "versions": [{"major": major, "minor": minor} for major, minor in connector.versions],
        }
        body: dict[str, object] = {"event": "HEARTBEAT", "context": context}
        link.send(self.shoset.frame(kinds.HEARTBEAT, body, timeout=int(HEARTBEAT_INTERVAL * 1000)))

    def _beat(self) -> None:
        for link in self._ready_links():
            self._send_heartbeat(link)

    # The end.

    def _start_beside(self) -> None:
        assert self._program.beside is not None
        try:
            self._beside = self._program.beside(self._reactor, self, self._loop)
            self._beside.startService()
        except Exception:
            self.log.failure("what runs beside {name} could not be started", name=self.account.logical_name)

    async def _stop_beside(self) -> None:
        """It is waited for as all else is; whatever it does, the commands at work have their end."""
        stopping = maybeDeferred(self._beside.stopService)
        name = self.account.logical_name
        stopping.addErrback(lambda f: self.log.failure("what runs beside {name} could not be stopped", f, name=name))

        def over() -> Deferred[None]:
            waiter: Deferred[None] = Deferred()
            stopping.addCallback(lambda _: None if waiter.called else waiter.callback(None))
            return waiter

        if not await self._in_time(over):
            self.log.error("what runs beside {name} did not stop in time", name=name)

    async def _stop(self) -> None:
        self.state = "stopping"
        for link in self.shoset.registry:
            self._say_bye(link)
        if self._beside is not None and self._beside.running:
            await self._stop_beside()
        jobs = self.receiver.jobs
        cancelled = 0
        # What was on its way is carried out; the aggregator gives us nothing new.
        if not await self._in_time(self.receiver.idle):
            cancelled = self.receiver.jobs
            self.receiver.close()
            self.receiver.cancel()
            self._deadline += LAST_WORDS
            # On asyncio a task ends when the loop comes to it.
            await self._in_time(self.receiver.ended)
            self._deadline = max(self._deadline, self._reactor.seconds() + LAST_WORDS)
        self.receiver.close()
        await self._in_time(self.emitter.idle)
        self.diallers.stop()
        if self._relinking is not None:
            self._relinking.cancel()
            self._relinking = None
        self.validation.stop()
        if self._heartbeat.running:
            self._heartbeat.stop()
        self.log.info(
            "{name} stops: {finished} of {jobs} commands at work finished, {cancelled} were cancelled;"
            " {events} events were not acknowledged, {sent} commands sent had no outcome yet",
            name=self.account.logical_name,
            finished=max(jobs - cancelled, 0),
            jobs=jobs,
            cancelled=cancelled,
            events=len(self.emitter),
            sent=len(self.sender),
        )
        self.sender.stop()
        self.emitter.stop()
        for link in self.shoset.registry:
            link.finish()
        await self.shoset.close()
        self.shoset.stop()
        self.state = "stopped"
        for first in self._first:
            first.errback(EventRefused("STOPPED", "this connector stopped before it was ready"))
        self._first = []
        self._stopped()

    def _say_bye(self, link: ShosetLink) -> None:
        """We stop: no new commands, but we still send what comes of those at work."""
        link.say_bye(STOPPING, "this connector stops", sends=True)

    async def _in_time(self, idle: Callable[[], Deferred[None]]) -> bool:
        """Wait for `idle` until the deadline, which may come nearer; whether it was in time."""
        while True:
            self._awaited = idle()
            self._awaited.addTimeout(max(self._deadline - self._reactor.seconds(), 0), self._reactor)
            try:
                await self._awaited
            except TimeoutError:
                return False
            except CancelledError:
                continue
            finally:
                self._awaited = None
            return True

    def _tell_stopped(self) -> None:
        waiting, self._when_stopped = self._when_stopped, []
        for promise in waiting:
            self._loop.resolve(promise, None)
