"""A link: one session with a peer, and the connection it has at the moment (protocol.md 5)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs
from twisted.internet.interfaces import IDelayedCall

from gandalf.routing.charge import Charge
from gandalf.routing.topics import TopicFilter
from gandalf.shoset.kept import TRANCHE
from gandalf.shoset.lifecycle import Phase
from gandalf.shoset.session import Inbox, Kept, Outbox
from gandalf.shoset.settings import ACK_DELAY, ACK_FRAMES
from gandalf.wire import kinds
from gandalf.wire.control import STOPPING, AckBody, ByeBody
from gandalf.wire.envelope import Frame
from gandalf.wire.runs import Parcel, Run

if TYPE_CHECKING:
    from gandalf.shoset.factory import ShosetFactory
    from gandalf.shoset.protocol import ShosetProtocol

_PUMP_BYTES = 256 * 1024

CONGESTION = "congestion"
"""Why a peer is not read, unless another reason is given: what it brings cannot be carried on at the moment."""

OVERDUE = "overdue"
"""Why a peer is not read of which more frames do not count yet than a session may keep."""

EVICT_INTERVAL = 1.0
"""Seconds between two looks through a full outbox for frames that others have taken charge of."""


@attrs.define
class LinkCounters:
    """What passed over a link since it was made, in frames and bytes."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    resent: int = 0
    expired: int = 0
    overflowed: int = 0


class ShosetLink:
    """Implements :class:`gandalf.routing.link.Link` over connections that come and go.

    :param sheds: what happens when as much is kept as may be: True, the peer is a slow consumer and is closed
        (protocol.md 6.7); False, the floor above stops reading from whoever feeds it (protocol.md 5.3).
    """

    logical_name = ""
    type = ""
    tenant = ""
    bind_address = ""
    instance = b""
    software = ""
    """The peer's program and its version, as far as it says."""
    address = ""
    """For a link that is dialled: the address dialled."""
    over = False
    """The peer has said that its process ends: there is nobody to keep the session for."""
    forgotten = False
    """The session is not resumed any more: nothing is kept for it."""

    def __init__(self, shoset: ShosetFactory, session: bytes, *, sheds: bool) -> None:
        self.shoset = shoset
        self.session = session
        self._validated = False
        self.max_frame = shoset.limits.max_frame
        self.counters = LinkCounters()
        self.connection: ShosetProtocol | None = None
        self.since = shoset.clock.seconds()
        self.outbox = Outbox(shoset.max_timeout)
        self.inbox = Inbox(self._countable)
        self._sheds = sheds
        self._reported = 0
        self._ack_timer: IDelayedCall | None = None
        self.filter: TopicFilter | None = None
        """What the peer wants; None: all."""
        self._paused_for: set[str] = set()
        self.reserved = TRANCHE if sheds else sys.maxsize
        """Bytes up to which the outbox may grow before :class:`gandalf.shoset.kept.KeptBytes` is asked."""
        self.weighed = 0
        """Bytes that it counts there."""
        self._strained = False
        self._evict_at = 0.0
        self._parting = False
        """Whether the connection is closed as soon as no answer waits any more."""

    def __repr__(self) -> str:
        return f"<link {self.type or '?'} {self.logical_name or self.address} {self.session.hex()[:8]}>"

    # routing.link.Link

    @property
    def connected(self) -> bool:
        """Has a connection whose handshake is done."""
        return self.connection is not None

    @property
    def available(self) -> bool:
        """Connected, and neither side has said bye."""
        return self.connection is not None and self.connection.phase is Phase.ESTABLISHED

    @property
    def validated(self) -> bool:
        """Whether the cluster has accepted the component's secret (protocol.md 1).

        A link that was dialled sends nothing but ``secret`` before; the rest waits.
        """
        return self._validated

    @validated.setter
    def validated(self, validated: bool) -> None:
        self._validated = validated
        if validated:
            self.pump()

    @property
    def congested(self) -> bool:
        """More than the high-water mark is unsent (protocol.md 6.7).

        What waits for our own secret to be accepted does not count: the connection is free for it.
        """
        return self.outbox.unsent_bytes > self.shoset.limits.high_water and not self._gated

    @property
    def full(self) -> bool:
        """As much is kept unacknowledged as may be (protocol.md 5.3); as for :attr:`congested`."""
        return self._at_bound and not self._gated

    @property
    def _at_bound(self) -> bool:
        limits = self.shoset.limits
        outbox = self.outbox
        return outbox.bytes >= limits.unacknowledged_bytes or len(outbox) >= limits.unacknowledged_frames

    @property
    def filters(self) -> bool:
        """Whether the peer named the topics that it wants."""
        return self.filter is not None

    @property
    def topics(self) -> tuple[str, ...] | None:
        """The patterns that the peer named; None: it wants all."""
        return None if self.filter is None else self.filter.patterns

    def wants(self, topic: str) -> bool:
        """Whether the peer asked for events of ``topic`` (protocol.md 6.1)."""
        return self.filter is None or self.filter.matches(topic)

    def send(self, parcel: Parcel, charge: Charge | None = None) -> None:
        """Keep ``parcel`` until it is acknowledged; send it now if that can be.

        A peer that is gone, or takes too little, and has as much waiting as may be kept: see ``sheds``. For one that
        is gone for good nothing is kept: what answers its last commands would stay, and be counted, for ever.
        """
        now = self.shoset.clock.seconds()
        connection = self.connection
        outbox = self.outbox
        if connection is not None and self._may_go_now(connection, parcel):
            if self._strained and self._sheds and self._at_bound:
                # It has linked again with as much unacknowledged as may be, and has acknowledged nothing since.
                self._overflow(parcel.count)
                self._shed()
                return
            outbox.sent(parcel, now, charge)
            self.counters.frames_out += parcel.count
            connection.queue(parcel.raw)
            if not self.shoset.batch.open:
                self.shoset.batch.flush()
        elif not self.forgotten and self._has_room(now):
            outbox.wait(parcel, now, charge)
        else:
            self._overflow(parcel.count)
            return
        if outbox.bytes > self.reserved:
            self.shoset.kept.reserve(self)
        if self.congested or self._at_bound:
            self._strained = True
            self._shed()

    def _overflow(self, frames: int) -> None:
        self.counters.overflowed += frames
        self.shoset.counters.overflowed += frames

    def _shed(self) -> None:
        if self._sheds and self._at_bound and self.available:
            self.shoset.counters.slow_consumers += 1
            self.dismiss("SLOW_CONSUMER", "too much is waiting for you; link again to catch up")

    def _has_room(self, now: float) -> bool:
        """Whether one more frame may wait; when full, what others have taken charge of makes room."""
        if self._at_bound and now >= self._evict_at:
            self._evict_at = now + EVICT_INTERVAL
            self.outbox.discard_settled()
        return not (self._sheds and self._at_bound)

    def _may_go_now(self, connection: ShosetProtocol, parcel: Parcel) -> bool:
        if not connection.writable:
            return False
        if self._gated:
            return parcel.kind == kinds.SECRET and connection.phase is Phase.ESTABLISHED
        if connection.phase is Phase.ESTABLISHED:
            return not self.outbox.unsent and self._window_open
        # After a bye only what finishes something pending is sent (protocol.md 5.2).
        return connection.phase is Phase.LEAVING and parcel.reference is not None

    @property
    def _window_open(self) -> bool:
        """Whether a peer that was dialled may be sent more: it takes, and may take charge of nothing."""
        if self._sheds or not self._strained:
            return True
        limits, outbox = self.shoset.limits, self.outbox
        return (
            outbox.bytes - outbox.unsent_bytes < limits.unacknowledged_bytes
            and len(outbox) - outbox.unsent < limits.unacknowledged_frames
        )

    @property
    def _gated(self) -> bool:
        """The other side would refuse everything but our secret."""
        return not self._validated and bool(self.address)

    def pause(self, reason: str = CONGESTION) -> None:
        """Stop reading from the peer, over later connections too, until :meth:`resume` for every ``reason``."""
        self._paused_for.add(reason)
        if self.connection is not None:
            self.connection.stop_reading()

    def resume(self, reason: str = CONGESTION) -> None:
        """Read from the peer again, unless there is another reason not to."""
        self._paused_for.discard(reason)
        if self.connection is not None and not self._paused_for:
            self.connection.start_reading()

    def dismiss(self, reason: str, message: str) -> None:
        """Say ``bye``, unless one of the two has, and close; the session is kept."""
        self.say_bye(reason, message)
        self.finish()

    def say_bye(self, reason: str, message: str, *, sends: bool = False) -> None:
        """Say ``bye``, and go on with what is pending until :meth:`finish` (protocol.md 5.2).

        :param sends: the peer is to send nothing new here, but we still do: what others have given us for it.
        """
        connection = self.connection
        if connection is not None and self.available:
            self.acknowledge_now()
            if not connection.said_bye:
                connection.said_bye = True
                connection.say(kinds.BYE, ByeBody(reason, message).pack())
            if not sends:
                connection.life.farewell()

    def part(self) -> None:
        """The peer said ``bye``, and nothing is pending here any more: close.

        A peer that dialled and whose process ends may still have something to do: it closes by itself, and has as
        long as a session is kept. So long has any other to take the answers that wait for it.
        """
        connection = self.connection
        if connection is None:
            return
        leaves_first = self.over and not self.address
        self._parting = not leaves_first and not self._gated and self.outbox.answers_first()
        if leaves_first or self._parting:
            connection.finish_within(self.shoset.limits.session_keep)
        else:
            self.finish()

    def finish(self) -> None:
        """Nothing is pending any more: close in good order."""
        if self.connection is not None:
            self.acknowledge_now()
            self.connection.life.finished()

    def forget(self) -> None:
        """The session is not to be resumed; a connection that it has is closed."""
        if self.connection is not None:
            self.connection.life.finished()
        self.shoset.forget(self)

    # What the connection tells.

    def attach(self, connection: ShosetProtocol) -> None:
        """``connection`` has shaken hands; an older one of the session, which must be dead, is cut."""
        old, self.connection = self.connection, connection
        if old is not None:
            self.counters.bytes_out += old.bytes_out
            old.link = None
            old.life.died()
        connection.link = self
        self.over = self._parting = False
        self.since = self.shoset.clock.seconds()
        self._reported = self.inbox.received
        self._paused_for.discard(OVERDUE)  # what does not count yet comes again
        if self._paused_for:
            connection.stop_reading()

    def renew(self) -> None:
        """The two ends cannot agree on what the session was: dial with another; everything is sent again.

        It is known as before, so that what is routed until then waits for it.
        """
        registry = self.shoset.registry
        known = self in registry
        registry.remove(self)
        self.session = self.shoset.random(16)
        if known:
            registry.add(self)
        self.instance = b""
        self.inbox.restart()

    def deliver(self, frame: Frame) -> None:
        """A routed frame came in."""
        self.counters.frames_in += 1
        self.counters.bytes_in += len(frame.raw)
        self.inbox.take(self.shoset.host.frame_received(frame, self))

    def deliver_run(self, run: Run) -> None:
        """Routed frames alike came in; those whom it makes no difference take them one by one."""
        charge = self.shoset.host.run_received(run, self)
        if charge is None:
            for frame in run.frames():
                self.deliver(frame)
            return
        self.counters.frames_in += run.count
        self.counters.bytes_in += len(run.raw)
        self.inbox.take(charge, run.count)

    def acknowledged(self, received: int) -> None:
        """The peer has taken charge of so many frames.

        :raises Malformed: the count is impossible.
        """
        outbox = self.outbox
        outbox.acknowledge(received)
        if self._sheds:
            if self.reserved > TRANCHE and outbox.bytes < self.reserved // 2:
                self.shoset.kept.release(self)
        elif self._strained and outbox.unsent:
            self.pump()
        self._relieve()

    def pump(self) -> None:
        """Send what waits, as far as the transport takes it; after a bye only what finishes something pending."""
        connection, outbox = self.connection, self.outbox
        if connection is None or self._gated:
            return
        leaving = connection.phase is Phase.LEAVING
        if leaving:
            outbox.answers_first()
        with self.shoset.batch:
            while connection.writable and outbox.unsent and (leaving or (self.available and self._window_open)):
                size = 0
                while size < _PUMP_BYTES and (parcel := outbox.next(answer=leaving)) is not None:
                    connection.queue(parcel.raw)
                    self.counters.frames_out += parcel.count
                    size += len(parcel.raw)
                if not size:
                    break
                connection.flush()
        self._relieve()
        if self._parting and not outbox.answers_first():
            self._parting = False
            self.finish()

    def expired(self, expired: list[Kept]) -> None:
        """These waited for longer than their timeout, or are too long now: dropped when the link came up again."""
        for parcel, arrived, charge in expired:
            self.counters.expired += parcel.count
            for frame in parcel.frames():
                self.shoset.host.frame_expired((frame, arrived, charge), self)

    def peer_leaves(self, bye: ByeBody) -> None:
        """The peer said bye."""
        self.over = bye.reason == STOPPING
        self.pump()
        self.shoset.host.link_leaving(self)

    def connection_lost(self, connection: ShosetProtocol) -> None:
        """``connection`` is gone; the session is kept."""
        self.counters.bytes_out += connection.bytes_out
        self.connection = None
        self._parting = False
        self.since = self.shoset.clock.seconds()
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        self.shoset.link_down(self)

    # Acknowledgements (protocol.md 5.3).

    def acknowledge_if_many(self) -> None:
        """After a chunk: acknowledge at once when 64 frames count, else soon.

        Later while the transport takes nothing more: one acknowledgement then does for all. Nothing more is read
        while more than may be kept does not count yet, as when a peer sends the same again and again.
        """
        limit, overdue = self.shoset.limits.unacknowledged_frames, OVERDUE in self._paused_for
        if self.inbox.open >= limit and not overdue:
            self.pause(OVERDUE)
        elif overdue and self.inbox.open < limit // 2:
            self.resume(OVERDUE)
        count = self.inbox.received - self._reported
        if not count or self.connection is None or not self.connection.writable:
            return
        if count >= ACK_FRAMES:
            self.acknowledge_now()
        elif self._ack_timer is None:
            self._ack_timer = self.shoset.clock.callLater(ACK_DELAY, self._ack_late)

    def _countable(self) -> None:
        self.acknowledge_if_many()

    def _ack_late(self) -> None:
        self._ack_timer = None
        if self.connection is not None and self.connection.writable:
            self.acknowledge_now()

    def acknowledge_now(self) -> None:
        """Tell the peer how much counts, if it does not know."""
        if self.connection is not None and self.inbox.received != self._reported:
            self._reported = self.inbox.received
            self.connection.say(kinds.ACK, AckBody(self._reported).pack())

    def _relieve(self) -> None:
        if self._strained and not self.congested and not self.full:
            self._strained = False
            self.shoset.host.link_relieved(self)
