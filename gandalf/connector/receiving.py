"""What comes in: commands are carried out, events cause reactions; each acts once (protocol.md 6.5 and 7)."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from gandalf.connector import payloads
from gandalf.connector.execution import Executor
from gandalf.connector.job import Report
from gandalf.connector.loop import Loop
from gandalf.connector.messages import read_command, read_event
from gandalf.connector.network import Command, CommandFailed, ReceivedEvent
from gandalf.routing.charge import Charge
from gandalf.routing.duplicates import DuplicateWindow
from gandalf.routing.link import Link
from gandalf.wire.envelope import Frame
from gandalf.wire.errors import Malformed

MAX_JOBS = 1000
"""Commands carried out at a time; the next ones fail with `OVERLOADED`."""

MAX_REACTIONS = 1000
"""Events being reacted to at a time; the next ones wait, unacknowledged."""

_OVERLOADED = CommandFailed("OVERLOADED", f"the connector carries out {MAX_JOBS} commands already; try again later")


class Receiver:
    """Drops duplicates, and starts jobs and reactions.

    A command counts as taken charge of when its `TAKEN` is on its way, an event when its reactions have begun
    (protocol.md 5.3): what is sent again after a broken connection is then known here and acts once.

    :param reporter: makes, from a command and the link on which it came, what sends its receipts.
    :param takes: whether there is room for the receipts of one more command.
    """

    log = Logger()

    def __init__(
        self,
        executor: Executor,
        loop: Loop,
        clock: IReactorTime,
        *,
        duplicate_window: int,
        max_timeout: float,
        reporter: Callable[[Command, Link], Report],
        takes: Callable[[], bool],
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._executor = executor
        self._loop = loop
        self._clock = clock
        self._max_timeout = max_timeout
        self._reporter = reporter
        self._takes = takes
        # A command sent to oneself comes back under its own uuid: only events of our own are known beforehand.
        self._commands = DuplicateWindow(duplicate_window)
        self._events = DuplicateWindow(duplicate_window)
        self._open: dict[bytes, Charge] = {}
        self._jobs: dict[bytes, Callable[[], object]] = {}
        self._reacting = 0
        self._queue: deque[tuple[ReceivedEvent, Charge]] = deque()
        self._going_on = False
        self._idle_waiters: list[Deferred[None]] = []
        self._ended_waiters: list[Deferred[None]] = []
        self._closed = False

    @property
    def jobs(self) -> int:
        """Commands being carried out."""
        return len(self._jobs)

    def own(self, uuid: bytes) -> None:
        """An event of our own: when it comes back by way of another instance, it is not heard."""
        self._events.seen(uuid)

    def first(self, frame: Frame) -> ReceivedEvent | None:
        """The event in `frame`; None if it came before or cannot be read."""
        if self._events.seen(frame.uuid):
            self.counters["duplicates"] += 1
            return None
        try:
            return read_event(frame)
        except Malformed as error:
            self._malformed(frame, error)
            return None

    def charge_of(self, uuid: bytes) -> Charge | None:
        """The charge of what came before and does not count yet."""
        return self._open.get(uuid)

    def react(self, event: ReceivedEvent) -> Charge | None:
        """Start the reactions to `event`, now or when others have ended."""
        if self._closed or not any(
            subscription.topics.matches(event.topic) for subscription in self._executor.connector.subscriptions
        ):
            return None
        if self._reacting < MAX_REACTIONS:
            self._begin(event)
            return None
        charge = self._open[event.uuid.bytes] = Charge()
        self._queue.append((event, charge))
        return charge

    def command(self, frame: Frame, link: Link) -> Charge | None:
        """Carry out the command in `frame`, which came over `link`."""
        if self._closed:
            # Never acknowledged: when the link closes, it goes to a brother at once (protocol.md 6.2).
            return Charge()
        if not self._takes():
            self.counters["commands not taken"] += 1
            return None
        if self._commands.seen(frame.uuid):
            self.counters["duplicates"] += 1
            return self._open.get(frame.uuid)
        try:
            command = read_command(frame, self._clock.seconds(), self._max_timeout)
        except Malformed as error:
            self._malformed(frame, error)
            return None
        report = self._reporter(command, link)
        if len(self._jobs) >= MAX_JOBS:
            self.counters["commands refused"] += 1
            report("TAKEN", "")
            report("FAILURE", payloads.dump(_OVERLOADED.payload()))
            return None
        return self._start(command, report)

    def idle(self) -> Deferred[None]:
        """Fires when nothing is being carried out or reacted to."""
        done: Deferred[None] = Deferred(self._idle_waiters.remove)
        self._idle_waiters.append(done)
        self._when_idle()
        return done

    def ended(self) -> Deferred[None]:
        """Fires when no command is being carried out."""
        done: Deferred[None] = Deferred(self._ended_waiters.remove)
        self._ended_waiters.append(done)
        self._when_idle()
        return done

    def close(self) -> None:
        """Take nothing new."""
        self._closed = True
        self._queue.clear()

    def cancel(self) -> None:
        """End what is being carried out: each command fails with `CANCELLED`."""
        for cancel in list(self._jobs.values()):
            cancel()

    def _start(self, command: Command, report: Report) -> Charge | None:
        uuid = command.uuid.bytes
        charge = self._open[uuid] = Charge()

        def reported(event: str, text: str) -> None:
            report(event, text)
            if event == "TAKEN":
                self._open.pop(uuid, None)
                charge.settle()

        async def carry_out() -> None:
            try:
                await self._executor.execute(command, reported)
            finally:
                self._jobs.pop(uuid, None)
                ended.append(True)
                self._when_idle()

        ended: list[bool] = []
        cancel = self._loop.launch(carry_out())
        if not ended:
            self._jobs[uuid] = cancel
        return None if charge.settled else charge

    def _begin(self, event: ReceivedEvent) -> None:
        for reaction in self._executor.deliver(event):
            self._reacting += 1
            self._loop.start(self._react(reaction))

    async def _react(self, reaction: object) -> None:
        try:
            await reaction  # type: ignore[misc]
        finally:
            self._reacting -= 1
            self._next()

    def _next(self) -> None:
        if self._going_on:
            # A reaction that was begun below has ended at once: each would begin the next inside itself.
            return
        self._going_on = True
        try:
            while self._queue and self._reacting < MAX_REACTIONS:
                event, charge = self._queue.popleft()
                self._begin(event)
                del self._open[event.uuid.bytes]
                charge.settle()
        finally:
            self._going_on = False
        self._when_idle()

    def _when_idle(self) -> None:
        waiters: list[Deferred[None]] = []
        if not self._jobs:
            waiters, self._ended_waiters = self._ended_waiters, []
            if not self._reacting:
                waiters += self._idle_waiters
                self._idle_waiters = []
        for waiter in waiters:
            waiter.callback(None)

    def _malformed(self, frame: Frame, error: Malformed) -> None:
        self.counters["malformed"] += 1
        self.log.warn(
            "{kind} {uuid} cannot be read: {error}", kind=frame.kind, uuid=frame.uuid.hex(), error=str(error)
        )
