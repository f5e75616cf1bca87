"""The two ends of a session by themselves (protocol.md 5.3), driven at random over a link that loses."""

from __future__ import annotations

from collections import Counter, deque

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.charge import SETTLED, Charge
from gandalf.routing.testing import run_of
from gandalf.shoset.session import Inbox, Kept, Outbox
from gandalf.shoset.testing import unique
from gandalf.wire.envelope import Frame, make_frame
from gandalf.wire.errors import Malformed
from gandalf.wire.kinds import COMMAND, EVENT
from gandalf.wire.runs import Parcel
from tests.unit.wire.support import EXAMPLES

MAX_TIMEOUT = 10.0


def frame_of(kind: str = EVENT, timeout: int = 0) -> Frame:
    """A frame; ``timeout`` in ms."""
    return make_frame(kind, unique(), "t", "", None, timeout, 1_700_000_000_000, b"\x80")


class OutboxTest(SynchronousTestCase):
    """What a sender keeps."""

    def setUp(self) -> None:
        self.outbox = Outbox(MAX_TIMEOUT)

    def test_counts_are_between_acknowledged_and_last(self) -> None:
        """Anything else is malformed, and changes nothing."""
        for _ in range(3):
            self.outbox.sent(frame_of(), 0.0, None)
        self.outbox.wait(frame_of(), 0.0, None)
        self.outbox.acknowledge(1)
        for received in (0, 4, 2**64 - 1):
            with self.assertRaises(Malformed) as raised:
                self.outbox.resume(received, 0.0)
            self.assertIn(f"between 1 and 3, not {received}", str(raised.exception))
        self.assertEqual(
            (1, 3, 3, 1), (self.outbox.acknowledged, self.outbox.last, len(self.outbox), self.outbox.unsent)
        )

    def test_timeouts_of_what_waits(self) -> None:
        """Commands: at most max_timeout, 0 means that. All else: as it says, 0 means for ever."""
        for kind, timeout, limit in (
            (COMMAND, 0, 10.0),
            (COMMAND, 60_000, 10.0),
            (COMMAND, 2_000, 2.0),
            (EVENT, 60_000, 60.0),
            (EVENT, 2_000, 2.0),
        ):
            outbox = Outbox(MAX_TIMEOUT)
            frame = frame_of(kind, timeout)
            outbox.wait(frame, 5.0, None)
            self.assertEqual([], outbox.resume(0, 5.0 + limit))
            self.assertEqual([frame], [kept[0] for kept in outbox.resume(0, 5.1 + limit)])
            self.assertEqual((0, 0, 0), (len(outbox), outbox.bytes, outbox.unsent_bytes))
        self.outbox.wait(frame_of(), 0.0, None)
        self.assertEqual([], self.outbox.resume(0, 1e9))

    def test_next_of_nothing(self) -> None:
        """There is none."""
        self.assertIsNone(self.outbox.next())

    def test_discard_settled_leaves_what_was_sent(self) -> None:
        """It has its number with the peer."""
        settled = Charge()
        settled.settle()
        self.outbox.sent(frame_of(), 0.0, settled)
        self.outbox.wait(frame_of(), 0.0, settled)
        keep = frame_of()
        self.outbox.wait(keep, 0.0, None)
        self.assertEqual(1, self.outbox.discard_settled())
        self.assertEqual((2, len(keep.raw)), (len(self.outbox), self.outbox.unsent_bytes))
        self.assertEqual(2 * len(keep.raw), self.outbox.bytes)

    def test_clear(self) -> None:
        """Nothing is there any more, by any count: what is sent later is the first of all."""
        frames = [frame_of(EVENT, 0) for _ in range(3)]
        self.outbox.sent(run_of(frames), 0.0, Charge(3))
        self.outbox.acknowledge(1)
        self.outbox.wait(frame_of(), 0.0, None)
        self.outbox.clear()
        self.assertEqual(
            (0, 0, 0, 0), (len(self.outbox), self.outbox.unsent, self.outbox.bytes, self.outbox.unsent_bytes)
        )
        self.assertEqual([], list(self.outbox))
        self.assertEqual(self.outbox.acknowledged, self.outbox.last)
        self.outbox.sent(frame_of(), 0.0, None)
        self.outbox.acknowledge(self.outbox.last)
        self.assertEqual(0, len(self.outbox))

    def test_a_charge_that_sends_while_it_settles(self) -> None:
        """An acknowledgement may bring a new frame to the same outbox."""
        charge = Charge()
        charge.then(lambda: self.outbox.sent(frame_of(), 0.0, None))
        self.outbox.sent(frame_of(), 0.0, charge)
        self.outbox.acknowledge(1)
        self.assertEqual((1, 2, 1), (self.outbox.acknowledged, self.outbox.last, len(self.outbox)))


@attrs.define(eq=False)
class Receiver:
    """One process at the other end: what it got, and what it has taken charge of."""

    inbox: Inbox
    got: list[Frame] = attrs.field(factory=list)
    charges: dict[bytes, Charge] = attrs.field(factory=dict)

    def number(self, uuid: bytes) -> int:
        """How many frames of its charge came before the one of ``uuid``."""
        charge = self.charges[uuid]
        return [each for each, its in self.charges.items() if its is charge].index(uuid)

    def taken(self) -> set[bytes]:
        """What it has taken charge of."""
        number: Counter[Charge] = Counter()
        taken = set()
        for uuid, charge in self.charges.items():
            number[charge] += 1
            if number[charge] <= charge.done:
                taken.add(uuid)
        return taken


class SessionMachine(RuleBasedStateMachine):
    """An outbox and an inbox, joined by two lines that a cut empties.

    The sender drops nothing that is neither acknowledged nor expired; per connection everything arrives in order;
    both count alike. In the end, everything that did not expire has been delivered.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.outbox = Outbox(MAX_TIMEOUT)
        self.receivers: list[Receiver] = []
        self.frames: dict[bytes, Frame] = {}
        self.expired: set[bytes] = set()
        self.sent_at: dict[bytes, float] = {}
        self.acknowledged: set[bytes] = set()
        self.forward: deque[Frame] = deque()
        self.back: deque[int] = deque()
        self.connection: list[bytes] = []
        """What the outbox has put on the line since the session was last resumed, in order."""
        self.linked = True
        self.new_receiver()

    @property
    def receiver(self) -> Receiver:
        """The process at the other end now."""
        return self.receivers[-1]

    def new_receiver(self) -> None:
        """Another process at the other end."""
        self.receivers.append(Receiver(Inbox(lambda: None)))

    # The sender.

    @initialize(count=st.integers(0, 3))
    def already_waiting(self, count: int) -> None:
        """Frames that came before the first connection."""
        for _ in range(count):
            self.send(EVENT, 0, at_once=False)

    @rule(kind=st.sampled_from([EVENT, COMMAND]), timeout=st.sampled_from([0, 3000]), at_once=st.booleans())
    def send(self, kind: str, timeout: int, at_once: bool) -> None:
        """A frame comes: it goes out at once, or waits."""
        frame = frame_of(kind, timeout)
        self.frames[frame.uuid] = frame
        self.sent_at[frame.uuid] = self.now
        charge = Charge()
        charge.then(lambda: self.acknowledged.add(frame.uuid))
        if at_once and self.linked and not self.outbox.unsent:
            self.outbox.sent(frame, self.now, charge)
            self.put(frame)
        else:
            self.outbox.wait(frame, self.now, charge)

    @rule(count=st.integers(2, 5), at_once=st.booleans())
    def send_run(self, count: int, at_once: bool) -> None:
        """Events alike come in one piece."""
        frames = [frame_of(EVENT, 0) for _ in range(count)]
        for frame in frames:
            self.frames[frame.uuid] = frame
            self.sent_at[frame.uuid] = self.now
        run, charge = run_of(frames), Charge(count)
        charge.then(lambda: self.acknowledged.update(run.uuids[: charge.done]))
        if at_once and self.linked and not self.outbox.unsent:
            self.outbox.sent(run, self.now, charge)
            self.put(run)
        else:
            self.outbox.wait(run, self.now, charge)

    @precondition(lambda self: self.linked)
    @rule(count=st.integers(1, 5))
    def pump(self, count: int) -> None:
        """The socket takes some of what waits."""
        for _ in range(count):
            parcel = self.outbox.next()
            if parcel is not None:
                self.put(parcel)

    def put(self, parcel: Parcel) -> None:
        """Onto the line."""
        self.forward.extend(parcel.frames())
        self.connection.extend(parcel.uuids)

    # The receiver.

    @precondition(lambda self: self.forward)
    @rule(count=st.integers(1, 5), charged=st.booleans())
    def arrive(self, count: int, charged: bool) -> None:
        """Some frames arrive; a duplicate counts when the first does."""
        receiver = self.receiver
        for _ in range(min(count, len(self.forward))):
            frame = self.forward.popleft()
            known = receiver.charges.get(frame.uuid)
            charge = known.of(receiver.number(frame.uuid)) if known is not None else Charge()
            if known is None:
                receiver.charges[frame.uuid] = charge
            if known is None and not charged:
                charge.settle()
            receiver.got.append(frame)
            receiver.inbox.take(charge)

    @precondition(lambda self: self.forward)
    @rule(count=st.integers(2, 5), charged=st.booleans())
    def arrive_as_run(self, count: int, charged: bool) -> None:
        """Some frames that are new arrive in one piece."""
        receiver = self.receiver
        frames = list(self.forward)[:count]
        if any(frame.uuid in receiver.charges for frame in frames):
            return
        charge = Charge(len(frames))
        for frame in frames:
            self.forward.popleft()
            receiver.charges[frame.uuid] = charge
            receiver.got.append(frame)
        if not charged:
            charge.settle()
        receiver.inbox.take(SETTLED if charge.settled else charge, len(frames))

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Any of the open frames is finished, in whatever order; a run from its first on."""
        open_ = [charge for charge in self.receiver.charges.values() if not charge.settled]
        if open_:
            charge = data.draw(st.sampled_from(open_))
            charge.advance(data.draw(st.integers(charge.done + 1, charge.count)))

    @precondition(lambda self: self.linked)
    @rule()
    def acknowledge(self) -> None:
        """The receiver tells its count."""
        self.back.append(self.receiver.inbox.received)

    @precondition(lambda self: self.back)
    @rule()
    def acknowledgement_arrives(self) -> None:
        """And the sender hears it."""
        self.outbox.acknowledge(self.back.popleft())

    # The line.

    @rule()
    def cut(self) -> None:
        """What is on the line, in both directions, is lost."""
        self.linked = False
        self.forward.clear()
        self.back.clear()

    @precondition(lambda self: not self.linked)
    @rule()
    def resume(self) -> None:
        """The same session over another connection."""
        self.receiver.inbox.resume()
        self.up(self.outbox.resume(self.receiver.inbox.received, self.now))

    @precondition(lambda self: not self.linked)
    @rule(remembers=st.booleans())
    def restart(self, remembers: bool) -> None:
        """Another process at the other end, or one that has forgotten the session but not what it did."""
        if remembers:
            self.receiver.inbox.restart()
        else:
            self.new_receiver()
        self.up(self.outbox.restart(self.now, float("-inf")))

    def up(self, expired: list[Kept]) -> None:
        """A handshake is through."""
        for parcel, arrived, _ in expired:
            (frame,) = parcel.frames()
            limit = frame.timeout / 1000 or (MAX_TIMEOUT if frame.kind == COMMAND else float("inf"))
            assert self.now - arrived > limit
            assert arrived == self.sent_at[frame.uuid]
            self.expired.add(frame.uuid)
        self.linked = True
        self.connection = []

    @rule(seconds=st.sampled_from([0.5, 4.0, 11.0]))
    def pass_time(self, seconds: float) -> None:
        """Frames grow old."""
        self.now += seconds

    # What always holds.

    @invariant()
    def nothing_is_dropped_that_nobody_has(self) -> None:
        """Each frame is kept, acknowledged or expired; what is acknowledged, someone took charge of."""
        kept = [uuid for parcel, _, _ in self.outbox for uuid in parcel.uuids]
        assert len(set(kept)) == len(kept)
        assert set(kept) | self.acknowledged | self.expired == set(self.frames)
        assert not set(kept) & (self.acknowledged | self.expired)
        taken = {uuid for each in self.receivers for uuid in each.taken()}
        assert self.acknowledged <= taken

    @invariant()
    def kept_in_order(self) -> None:
        """What is kept goes out in the order in which it came."""
        kept = [uuid for parcel, _, _ in self.outbox for uuid in parcel.uuids]
        assert kept == sorted(kept)

    @invariant()
    def counters_agree(self) -> None:
        """The receiver never counts more than was sent, nor less than was acknowledged; bytes are right."""
        if self.linked:
            inbox = self.receiver.inbox
            assert self.outbox.acknowledged <= inbox.received <= self.outbox.last
            assert inbox.received + inbox.open + len(self.forward) == self.outbox.last
        frames = [len(frame.raw) for parcel, _, _ in self.outbox for frame in parcel.frames()]
        assert len(self.outbox) == len(frames)
        assert self.outbox.unsent_bytes == sum(frames[len(frames) - self.outbox.unsent :])
        # A run weighs what it weighed until all of it is acknowledged.
        first = next((parcel for parcel, _, _ in self.outbox), None)
        begun = 0 if first is None else first.offset * len(first.raw) // first.count
        assert 0 <= self.outbox.bytes - sum(frames) <= begun

    @invariant()
    def in_order_per_connection(self) -> None:
        """What goes onto the line of one connection is sent in the order in which it came, and once."""
        assert self.connection == sorted(set(self.connection))

    def teardown(self) -> None:
        """When the line holds and the receiver finishes its work, all that did not expire is delivered."""
        if not self.linked:
            self.resume()
        self.pump(len(self.outbox) or 1)
        if self.forward:
            self.arrive(len(self.forward), charged=False)
        for charge in self.receiver.charges.values():
            charge.settle()
        self.outbox.acknowledge(self.receiver.inbox.received)
        assert (len(self.outbox), self.outbox.bytes, self.receiver.inbox.open) == (0, 0, 0)
        got = {frame.uuid for each in self.receivers for frame in each.got}
        assert got >= set(self.frames) - self.expired
        assert self.acknowledged == set(self.frames) - self.expired
        for each in self.receivers:
            for frame in each.got:
                assert frame.raw == self.frames[frame.uuid].raw


class SessionMachineTest(SynchronousTestCase):
    """The machine under trial."""

    def test_sessions_over_a_lossy_link(self) -> None:
        """Every frame is delivered at least once, whatever is cut when."""
        run_state_machine_as_test(
            SessionMachine,
            settings=settings(EXAMPLES, max_examples=200, stateful_step_count=40),
        )
