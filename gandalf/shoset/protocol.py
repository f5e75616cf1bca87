"""A connection between two shosets (protocol.md 5): bytes in, bytes out; everything else is the link's."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gandalf.shoset.kernel import innermost, unanswered
from gandalf.shoset.lifecycle import Phase, new_life
from gandalf.shoset.settings import DEAD_INTERVALS, LINGER, READ_BYTES, SHORTEST_INTERVAL, SLOWEST
from gandalf.shoset.writing import write_at_once, writes_at_once
from gandalf.wire import kinds
from gandalf.wire.control import AckBody, BrothersBody, ByeBody, RefusedBody
from gandalf.wire.envelope import Frame
from gandalf.wire.errors import WireError
from gandalf.wire.framing import FrameReader
from gandalf.wire.runs import Parcel, Run

if TYPE_CHECKING:
    from gandalf.shoset.factory import ShosetFactory
    from gandalf.shoset.link import ShosetLink


def _nowhere(data: bytes) -> None:
    """There is no transport yet."""


@implementer(IPushProducer)
class ShosetProtocol(Protocol, metaclass=ABCMeta):
    """What both ends of a connection do alike; the handshake is the subclasses'.

    Frames to send are gathered while a chunk is worked on, and written once.
    """

    log = Logger()
    link: ShosetLink | None = None

    def __init__(self, factory: ShosetFactory) -> None:
        self.shoset = factory
        self.life = new_life(self)
        self.phase = Phase.GREETING
        self.writable = True
        """Whether the transport takes more; else frames wait in the link's outbox."""
        self.bytes_in = self.bytes_out = 0
        self._reader = FrameReader(factory.limits.handshake_max_frame)
        self._handle: Callable[[Frame], None] = self.handshake
        self._feed: Callable[[bytes], Iterable[Parcel]] = self._reader.feed
        self._pieces: list[bytes] | None = None
        self._outgoing: list[bytes] = []
        self._interval = factory.limits.heartbeat
        self._last_received = self._last_sent = 0.0
        self._frame_since = 0.0
        self._seen = (0, 0)
        self._timer: IDelayedCall | None = None
        self._write: Callable[[bytes], object] = _nowhere
        self._paused = False
        self._late_brothers: dict[str, BrothersBody] | None = None
        self.said_bye = False
        self._finishing: IDelayedCall | None = None

    # What the transport tells.

    def connectionMade(self) -> None:
        """The handshake has so many seconds (protocol.md 2)."""
        transport: Any = self.transport
        self._write = partial(write_at_once, transport) if writes_at_once(transport) else transport.write
        transport.registerProducer(self, True)
        self.read_at_most(READ_BYTES)
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        self._last_received = self._last_sent = self.shoset.clock.seconds()
        self._timer = self.shoset.clock.callLater(self.shoset.limits.handshake_timeout, self._handshake_timeout)
        self.shoset.opened(self)
        self.begin()

    def dataReceived(self, data: bytes) -> None:
        """Work on a whole chunk, then write once to each destination."""
        if self._pieces is not None:
            self._pieces.append(data)
            return
        self._last_received = self.shoset.clock.seconds()
        self.bytes_in += len(data)
        with self.shoset.batch:
            while data and self.phase is Phase.GREETING:
                # Behind the first frame longer ones may come, so that one is cut off by itself.
                wanted = self._reader.wanted
                self._work(data[:wanted])
                data = data[wanted:]
            if data:
                self._work(data)
            if self.link is not None:
                self.link.acknowledge_if_many()

    def gather(self) -> None:
        """Only keep what comes from now on: it belongs together, and is :meth:`gathered`."""
        self._pieces = []

    def gathered(self) -> None:
        """Work on what came since, in one piece."""
        pieces, self._pieces = self._pieces, None
        if pieces:
            self.dataReceived(b"".join(pieces))

    def _work(self, data: bytes) -> None:
        if self.phase is Phase.CLOSING:
            return
        reader = self._reader
        for parcel in self._feed(data):
            try:
                if type(parcel) is Run:
                    self._handle_run(parcel)
                else:
                    self._handle(parcel)  # type: ignore[arg-type]  # there are no others
            except WireError as error:
                self.life.refuse(error.code, str(error))
        if reader.error is not None:
            self.life.refuse(reader.error.code, str(reader.error))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The link is told; its session may go on."""
        self.life.lost()

    def pauseProducing(self) -> None:
        """The transport's buffer is full: frames wait in the outbox."""
        self.writable = False

    def resumeProducing(self) -> None:
        """The transport's buffer is empty again."""
        self.writable = True
        if self._late_brothers is not None:
            late, self._late_brothers = self._late_brothers, None
            for brothers in late.values():
                self.tell_brothers(brothers)
        if self.link is not None:
            self.link.acknowledge_if_many()
            self.link.pump()

    def stopProducing(self) -> None:
        """The transport will take nothing more."""
        self.writable = False

    # What the subclasses say.

    def begin(self) -> None:
        """The transport is there: a dialler speaks first."""

    @abstractmethod
    def handshake(self, frame: Frame) -> None:
        """A frame came before the handshake was done."""

    def gone(self) -> None:
        """The connection is no more, and the link knows: a dialler dials again."""

    # What is sent.

    def queue(self, raw: bytes) -> None:
        """Send ``raw`` with all else that the present chunk brings."""
        if not self._outgoing:
            self.shoset.batch.wrote(self)
        self._outgoing.append(raw)

    def flush(self) -> None:
        """Write what was queued."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        if data and self.transport is not None:
            self._last_sent = self.shoset.clock.seconds()
            self.bytes_out += len(data)
            self._write(data)

    def say(self, kind: str, body: bytes) -> None:
        """Send a frame of link control; nothing follows the last word."""
        if self.phase in (Phase.CLOSING, Phase.CLOSED):
            return
        with self.shoset.batch:
            self.queue(self.shoset.control_frame(kind, body).raw)

    def tell_brothers(self, brothers: BrothersBody) -> None:
        """Send ``brothers``; while the transport takes nothing more, the latest of each name are kept for later.

        A peer that does not read must not make us keep all that it was to be told meanwhile.
        """
        if self.writable:
            self.say(kinds.BROTHERS, brothers.pack())
            return
        if self._late_brothers is None:
            self._late_brothers = {}
        self._late_brothers[brothers.logical_name] = brothers

    def show_life(self, kind: str) -> None:
        """Send a ping or a pong, unless the transport takes nothing more: bytes are on their way then."""
        if self.writable and self.phase not in (Phase.CLOSING, Phase.CLOSED):
            with self.shoset.batch:
                self.queue(self.shoset.sign_of_life(kind))

    def stop_reading(self) -> None:
        """Take nothing more from the peer for now."""
        if not self._paused:
            self._paused = True
            transport: Any = self.transport
            transport.pauseProducing()

    def start_reading(self) -> None:
        """Take from the peer again; its silence counts from now."""
        if self._paused:
            self._paused = False
            self._last_received = self.shoset.clock.seconds()
            transport: Any = self.transport
            transport.resumeProducing()

    def read_at_most(self, size: int) -> None:
        """Take no more than so many bytes from the peer at a time, so that others have their turn soon."""
        innermost(self.transport).bufferSize = size

    def finish_within(self, seconds: float) -> None:
        """Close in good order, unless the peer has done so by then."""
        if self._finishing is None:
            self._finishing = self.shoset.clock.callLater(seconds, self.life.finished)

    # Conduct: what the machine asks for.

    def establish(self) -> None:
        """Read everything, in frames of full length, and watch for silence."""
        self.phase = Phase.ESTABLISHED
        self._handle = self._read
        self._feed = self._reader.feed_parcels
        self._reader.max_frame = self.shoset.limits.max_frame
        self._watch()

    def leave(self) -> None:
        """Finish what is pending."""
        self.phase = Phase.LEAVING

    def say_refused(self, code: str, message: str) -> None:
        """Tell the peer why, and the operator."""
        self.log.warn(
            "refused {name} at {peer}: {code}: {message}",
            name=self.peer_name,
            peer=self.peer,
            code=code,
            message=message,
        )
        self.shoset.counters.refused[code] += 1
        if self.link is not None:
            self.link.acknowledge_now()
        self.say(kinds.REFUSED, RefusedBody(code, message).pack())

    def close(self) -> None:
        """Half-close, so that unread input does not cost the peer our last words; cut after a moment."""
        self.phase = Phase.CLOSING
        self._handle = self._ignore
        self.flush()
        transport: Any = self.transport
        transport.unregisterProducer()
        self.writable = False
        if self._paused:
            self._paused = False
            transport.resumeProducing()
        self._reset_timer(LINGER, self._linger_over)
        if hasattr(transport, "loseWriteConnection") and not self.shoset.encrypted(transport):
            transport.loseWriteConnection()
        else:
            transport.loseConnection()

    def cut(self) -> None:
        """Close at once."""
        self.phase = Phase.CLOSING
        self._handle = self._ignore
        transport: Any = self.transport
        transport.abortConnection()

    def cleanup(self) -> None:
        """Nothing of this connection is left behind."""
        self.phase = Phase.CLOSED
        self._handle = self._ignore
        self._outgoing.clear()
        self.writable = False
        self._stop_timer()
        if self._finishing is not None and self._finishing.active():
            self._finishing.cancel()
        if self.link is not None:
            self.link.connection_lost(self)
        self.gone()
        self.shoset.closed(self)

    # Frames, once the handshake is done.

    def _read(self, frame: Frame) -> None:
        control = _CONTROL.get(frame.kind)
        if control is None:
            self.link.deliver(frame)  # type: ignore[union-attr]  # established: there is a link
        else:
            control(self, frame)

    def _handle_run(self, run: Run) -> None:
        if self.phase is Phase.ESTABLISHED or self.phase is Phase.LEAVING:
            self.link.deliver_run(run)  # type: ignore[union-attr]  # established: there is a link

    def _ignore(self, frame: Frame) -> None:
        """What comes after the last word is not read."""

    def _ack(self, frame: Frame) -> None:
        self.link.acknowledged(AckBody.parse(frame.body).received)  # type: ignore[union-attr]

    def _ping(self, frame: Frame) -> None:
        self.show_life(kinds.PONG)

    def _pong(self, frame: Frame) -> None:
        """That something came is all it says."""

    def _bye(self, frame: Frame) -> None:
        bye = ByeBody.parse(frame.body)
        self.log.info(
            "{name} leaves: {reason} {message}", name=self.peer_name, reason=bye.reason, message=bye.message
        )
        self.life.farewell()
        self.link.peer_leaves(bye)  # type: ignore[union-attr]

    def _brothers(self, frame: Frame) -> None:
        self.shoset.host.brothers_received(BrothersBody.parse(frame.body), self.link)  # type: ignore[arg-type]

    def _refused(self, frame: Frame) -> None:
        refused = RefusedBody.parse(frame.body)
        self.log.error(
            "{name} refused a frame of ours: {code}: {message}",
            name=self.peer_name,
            code=refused.code,
            message=refused.message,
        )
        self.life.finished()

    def _out_of_place(self, frame: Frame) -> None:
        self.life.refuse("MALFORMED", f"a second {frame.kind} frame on one connection")

    # Time.

    def set_interval(self, peers_heartbeat: int) -> None:
        """The peer sends something every ``peers_heartbeat`` ms (0: it does not say): expect that."""
        if peers_heartbeat:
            self._interval = min(self.shoset.limits.heartbeat, max(peers_heartbeat / 1000, SHORTEST_INTERVAL))

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _reset_timer(self, delay: float, call: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self.shoset.clock.callLater(delay, call)

    def _handshake_timeout(self) -> None:
        timeout = self.shoset.limits.handshake_timeout
        self.life.refuse("HANDSHAKE_TIMEOUT", f"no handshake within {timeout:g} s")

    def _linger_over(self) -> None:
        self.life.died()

    def _watch(self) -> None:
        """Ping when nothing was sent for an interval or nothing came; dead after three of silence."""
        now = self.shoset.clock.seconds()
        # A peer that is not read gets no answer to its pings, and may expect something sooner than we promised.
        heartbeat = self._interval if self._paused else self.shoset.limits.heartbeat
        # What a paused peer says is not read; but its kernel acknowledges our pings, if it is there.
        silence = unanswered(self.transport) if self._paused else now - self._last_received
        if silence >= DEAD_INTERVALS * self._interval:
            self.log.warn("{name} was silent for {silence:.1f} s", name=self.peer_name, silence=silence)
            self._dead()
            return
        coming = self._frame_coming(now)
        patience = DEAD_INTERVALS * self._interval + self._reader.held / SLOWEST - coming
        if patience <= 0:
            self.log.warn(
                "{name} has not completed a frame in {coming:.1f} s, of which {held} bytes came",
                name=self.peer_name,
                coming=coming,
                held=self._reader.held,
            )
            self._dead()
            return
        quiet = now - self._last_sent
        if quiet >= heartbeat or silence >= self._interval:
            self.show_life(kinds.PING)
            quiet = 0.0
        due = min(heartbeat - quiet, self._interval, DEAD_INTERVALS * self._interval - silence, patience)
        self._reset_timer(max(due, 0.001), self._watch)

    def _frame_coming(self, now: float) -> float:
        """Seconds for which one and the same frame has been seen to come in, and we read it."""
        held, read = self._reader.held, self.bytes_in
        held_before, read_before = self._seen
        self._seen = held, read
        # All that came since the last look belongs to it, if nothing was completed meanwhile.
        if self._paused or not held_before or held - held_before != read - read_before:
            self._frame_since = now
        return now - self._frame_since

    def _dead(self) -> None:
        self.shoset.counters.dead += 1
        self.life.died()

    # For the operator.

    @property
    def peer(self) -> str:
        """The peer's address, as the transport gives it."""
        transport: Any = self.transport
        address = transport.getPeer()
        return f"{getattr(address, 'host', address)}:{getattr(address, 'port', '')}"

    @property
    def peer_name(self) -> str:
        """The peer's logical name once it is known, else its address."""
        return self.link.logical_name if self.link is not None else self.peer


_CONTROL: Final[dict[str, Callable[[ShosetProtocol, Frame], None]]] = {
    kinds.ACK: ShosetProtocol._ack,
    kinds.PING: ShosetProtocol._ping,
    kinds.PONG: ShosetProtocol._pong,
    kinds.BYE: ShosetProtocol._bye,
    kinds.BROTHERS: ShosetProtocol._brothers,
    kinds.REFUSED: ShosetProtocol._refused,
    kinds.LINK: ShosetProtocol._out_of_place,
    kinds.LINKED: ShosetProtocol._out_of_place,
}
"""What is done with link control (protocol.md 4); all else is the link's."""
