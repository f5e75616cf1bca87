"""Events on their way to the network, none of which is lost before an aggregator has acknowledged it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gandalf.connector.loop import Loop
from gandalf.connector.network import Promise
from gandalf.routing.charge import Charge
from gandalf.routing.failures import NOT_VALIDATED, OVERLOADED, TOO_LARGE
from gandalf.routing.fallthrough import accepts, is_free, length_of
from gandalf.routing.link import Link
from gandalf.shoset.settings import Limits
from gandalf.wire.envelope import Frame

STOPPED = "STOPPED"


class EventRefused(Exception):
    """An event was not sent, or the network did not carry it. `code` is for programs, `message` for people.

    Codes: those of protocol.md 6.6, and `STOPPED`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@attrs.define(eq=False)
class Emission:
    """An event that no aggregator has acknowledged yet."""

    frame: Frame
    topic: str
    prefer: Link | None
    promise: Promise[Any] | None
    charge: Charge = attrs.field(factory=Charge)
    link: Link | None = None
    """Over which it is on its way; None: it waits for one."""
    kept: set[Link] = attrs.field(factory=set)
    """The links that keep it until it is acknowledged, and send it again by themselves (protocol.md 5.3)."""


class Emitter:
    """Sends each event over one link; when that breaks before the acknowledgement, at once over another.

    Events of one topic take the same link while the links stay as they are, and so keep their order; the
    topics are spread over the links. Without a link that takes it an event waits here. What waits and what is
    not acknowledged is bounded together by `unacknowledged_frames` and `unacknowledged_bytes`.

    :param ready: the links that are validated and not about to leave.
    :param idle: called with a link over which nothing is on its way any more.
    """

    log = Logger()

    def __init__(
        self,
        loop: Loop,
        ready: Callable[[], Sequence[Link]],
        limits: Limits,
        *,
        idle: Callable[[Link], None] = lambda link: None,
    ) -> None:
        self.resent = 0
        """Events sent over a second link because the first broke."""
        self._loop = loop
        self._ready = ready
        self._limits = limits
        self._idle = idle
        self._bytes = 0
        self._pending: dict[bytes, Emission] = {}
        self._waiting: dict[bytes, Emission] = {}
        self._on: dict[Link, dict[bytes, Emission]] = {}
        self._idle_waiters: list[Deferred[None]] = []
        self._stopped = False

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def full(self) -> bool:
        """As much is unacknowledged as may be."""
        limits = self._limits
        return len(self._pending) >= limits.unacknowledged_frames or self._bytes >= limits.unacknowledged_bytes

    def emit(self, frame: Frame, topic: str) -> Promise[None]:
        """Send an event; fires when an aggregator has acknowledged it. Fails with `EventRefused`."""
        promise = self._loop.promise()
        if self._stopped:
            self._loop.reject(promise, EventRefused(STOPPED, "this connector has stopped"))
        elif self.full:
            message = f"{len(self._pending)} events, {self._bytes} bytes, wait for the network: no more are taken"
            self._loop.reject(promise, EventRefused(OVERLOADED, message))
        elif not self.fits(frame):
            self._loop.reject(promise, self._too_large(frame))
        else:
            self._add(Emission(frame, topic, None, promise))
        return promise

    def receipt(self, frame: Frame, topic: str, link: Link) -> None:
        """Send what answers a command, over `link` if that is possible. The bound is for the caller to keep:
        an outcome has to go out."""
        if not self._stopped:
            self._add(Emission(frame, topic, link, None))

    def fits(self, frame: Frame) -> bool:
        """Whether any link there is accepts so long a frame."""
        longest = max((link.max_frame for link in self._ready()), default=self._limits.max_frame)
        return length_of(frame) <= longest

    def refused(self, reference: bytes, code: str, message: str) -> bool:
        """Whether an error event about `reference` is about an event of ours."""
        emission = self._pending.get(reference)
        if emission is None:
            return False
        if code != NOT_VALIDATED:
            self._end(emission, EventRefused(code, message))
            return True
        # The frame will be acknowledged there, and was not transmitted: it has to go out again.
        if emission.link is not None:
            emission.kept.discard(emission.link)
            self._leave(emission)
        emission.charge = Charge()
        emission.charge.then(partial(self._taken, emission, emission.charge))
        self._waiting[reference] = emission
        self.flush()
        return True

    def link_lost(self, link: Link) -> None:
        """The connection broke: what is not acknowledged there goes out over another one."""
        lost = self._on.pop(link, None)
        if lost:
            for emission in lost.values():
                emission.link = None
            self._waiting = {**lost, **self._waiting}
            self.flush()

    def pending_on(self, link: Link) -> int:
        """How many events wait for their acknowledgement over `link`."""
        return len(self._on.get(link, ()))

    def flush(self) -> None:
        """A link takes events again: send what waits, in order."""
        while self._waiting:
            uuid, emission = next(iter(self._waiting.items()))
            link = self._choose(emission)
            if uuid not in self._waiting:
                continue
            if link is None:
                return
            del self._waiting[uuid]
            self._send(emission, link)

    def idle(self) -> Deferred[None]:
        """Fires when everything is acknowledged."""
        done: Deferred[None] = Deferred(self._idle_waiters.remove)
        self._idle_waiters.append(done)
        self._when_idle()
        return done

    def stop(self) -> None:
        """Whoever still waits learns that it was in vain."""
        self._stopped = True
        for emission in list(self._pending.values()):
            self._end(emission, EventRefused(STOPPED, "the connector stopped before the network had the event"))

    def _add(self, emission: Emission) -> None:
        uuid = emission.frame.uuid
        self._pending[uuid] = self._waiting[uuid] = emission
        self._bytes += len(emission.frame.raw)
        emission.charge.then(partial(self._taken, emission, emission.charge))
        self.flush()

    def _choose(self, emission: Emission) -> Link | None:
        ready = self._ready()
        fit = [link for link in ready if accepts(link, emission.frame)]
        if ready and not fit:
            self._end(emission, self._too_large(emission.frame))
        free = [link for link in fit if is_free(link)]
        if not free:
            return None
        if emission.prefer in free:
            return emission.prefer
        return free[zlib.crc32(emission.topic.encode()) % len(free)]

    def _send(self, emission: Emission, link: Link) -> None:
        emission.link = link
        self._on.setdefault(link, {})[emission.frame.uuid] = emission
        if link not in emission.kept:
            self.resent += bool(emission.kept)
            emission.kept.add(link)
            link.send(emission.frame, emission.charge)

    def _taken(self, emission: Emission, charge: Charge) -> None:
        if charge is emission.charge:
            self._end(emission, None)

    def _end(self, emission: Emission, error: EventRefused | None) -> None:
        uuid = emission.frame.uuid
        if self._pending.pop(uuid, None) is None:
            return
        self._waiting.pop(uuid, None)
        self._bytes -= len(emission.frame.raw)
        self._leave(emission)
        if emission.promise is None:
            if error is not None:
                self.log.error("an event {topic} was not carried: {error}", topic=emission.topic, error=str(error))
        elif error is None:
            self._loop.resolve(emission.promise, None)
        else:
            self._loop.reject(emission.promise, error)
        self._when_idle()

    def _leave(self, emission: Emission) -> None:
        link, emission.link = emission.link, None
        if link is not None:
            on = self._on[link]
            del on[emission.frame.uuid]
            if not on:
                del self._on[link]
                self._idle(link)

    def _when_idle(self) -> None:
        if self._idle_waiters and not self._pending:
            waiters, self._idle_waiters = self._idle_waiters, []
            for waiter in waiters:
                waiter.callback(None)

    def _too_large(self, frame: Frame) -> EventRefused:
        longest = max((link.max_frame for link in self._ready()), default=self._limits.max_frame)
        return EventRefused(TOO_LARGE, f"the event takes {length_of(frame)} bytes; the network accepts {longest}")
