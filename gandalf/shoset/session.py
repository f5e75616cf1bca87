"""What the two ends of a session count and keep (protocol.md 5.3). Pure: no network, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from gandalf.routing.charge import Charge
from gandalf.routing.fallthrough import budget_of
from gandalf.wire.envelope import LENGTH, Frame
from gandalf.wire.errors import Malformed
from gandalf.wire.kinds import COMMAND
from gandalf.wire.runs import Parcel, Run


class Inbox:
    """Counts the routed frames taken charge of, from the session's first on and without a gap.

    :param countable: called when :attr:`received` has grown later than the frame's arrival.
    """

    def __init__(self, countable: Callable[[], None]) -> None:
        self.received = 0
        self._countable = countable
        self._open: deque[Charge] = deque()
        self._counted = 0
        """Of the first of those, how many frames are counted."""
        self._open_frames = 0

    def take(self, charge: Charge | None, count: int = 1) -> None:
        """Frames have come in; ``charge`` None: they are taken charge of already."""
        settled = charge is None or charge.settled
        if settled and not self._open:
            self.received += count
            return
        self._open_frames += count
        if charge is None or (settled and charge.count != count):
            charge = Charge(count)
            charge.settle()
        self._open.append(charge)
        if not settled:
            charge.then(self._advance)
            if charge.done:
                self._advance()

    @property
    def open(self) -> int:
        """Frames received that do not count yet."""
        return self._open_frames

    def _advance(self) -> None:
        waiting = self._open
        before = self.received
        while waiting:
            charge = waiting[0]
            more = charge.done - self._counted
            self.received += more
            if not charge.settled:
                self._counted = charge.done
                break
            waiting.popleft()
            self._counted = 0
        if self.received != before:
            self._open_frames -= self.received - before
            self._countable()

    def resume(self) -> None:
        """The peer sends again what does not count yet."""
        self._open.clear()
        self._counted = self._open_frames = 0

    def restart(self) -> None:
        """The session is new on the other side: count from its first frame."""
        self.resume()
        self.received = 0


Kept = tuple[Parcel, float, Charge | None]
"""A frame or a run, the second at which it came here, and what its acknowledgement settles."""

KeptFrame = tuple[Frame, float, Charge | None]
"""The same of one frame."""


class Outbox:
    """Keeps what was sent until it is acknowledged, and what cannot be sent yet.

    Expiry counts from when the frame came here, in seconds of the clock whose ``now`` is given.

    :param max_timeout: seconds that a command with timeout 0 is worth waiting for.
    """

    def __init__(self, max_timeout: float) -> None:
        self.acknowledged = 0
        self.bytes = 0
        """Bytes kept; a run counts until all of it is acknowledged."""
        self.unsent_bytes = 0
        self.unsent = 0
        """Frames that wait to be sent."""
        self._max_timeout = max_timeout
        self._sent: deque[Kept] = deque()
        self._unsent: deque[Kept] = deque()
        self._in_flight = 0
        """Frames sent that are not acknowledged."""
        self._begun = 0
        """Frames of the first in ``_sent`` that are acknowledged."""

    def __len__(self) -> int:
        return self._in_flight + self.unsent

    def __iter__(self) -> Iterator[Kept]:
        """What is not acknowledged."""
        sent = iter(self._sent)
        if self._begun:
            run, arrived, charge = next(sent)
            assert isinstance(run, Run)
            yield run.tail(self._begun), arrived, charge
        yield from sent
        yield from self._unsent

    @property
    def last(self) -> int:
        """The number of the frame sent last, as the peer counts."""
        return self.acknowledged + self._in_flight

    def sent(self, parcel: Parcel, now: float, charge: Charge | None) -> None:
        """``parcel`` goes out at once."""
        self._sent.append((parcel, now, charge))
        self._in_flight += parcel.count
        self.bytes += len(parcel.raw)

    def wait(self, parcel: Parcel, now: float, charge: Charge | None) -> None:
        """``parcel`` goes out after those that wait already."""
        self._unsent.append((parcel, now, charge))
        self.unsent += parcel.count
        self.bytes += len(parcel.raw)
        self.unsent_bytes += len(parcel.raw)

    def next(self, *, answer: bool = False) -> Parcel | None:
        """The first that waits, if it is an ``answer`` where only such are wanted; it counts as sent."""
        if not self._unsent or (answer and self._unsent[0][0].reference is None):
            return None
        kept = self._unsent.popleft()
        self._sent.append(kept)
        parcel = kept[0]
        self.unsent -= parcel.count
        self._in_flight += parcel.count
        self.unsent_bytes -= len(parcel.raw)
        return parcel

    def answers_first(self) -> bool:
        """Of what waits, what refers to something goes before the rest, each in order; returns whether any does."""
        answers = [kept for kept in self._unsent if kept[0].reference is not None]
        if answers:
            self._unsent = deque(answers + [kept for kept in self._unsent if kept[0].reference is None])
        return bool(answers)

    def acknowledge(self, received: int) -> None:
        """The peer has taken charge of ``received`` frames, from the session's first on.

        :raises Malformed: it counts backwards, or more than was sent.
        """
        if not self.acknowledged <= received <= self.last:
            raise Malformed(f"body: received must be between {self.acknowledged} and {self.last}, not {received}")
        sent = self._sent
        count = received - self.acknowledged
        self.acknowledged = received
        self._in_flight -= count
        count += self._begun
        self._begun = 0
        while count:
            parcel, _, charge = sent[0]
            if count < parcel.count:
                self._begun = count
                if charge is not None:
                    charge.advance(parcel.offset + count)
                break
            count -= parcel.count
            sent.popleft()
            self.bytes -= len(parcel.raw)
            if charge is not None:
                charge.advance(parcel.offset + parcel.count)

    def resume(self, received: int, now: float) -> list[Kept]:
        """The same session goes on: what the peer has not taken charge of waits again, in order.

        Returns what was dropped because it has waited longer than its timeout.

        :raises Malformed: as :meth:`acknowledge`.
        """
        self.acknowledge(received)
        return self._wait_again(now)

    def restart(self, now: float, settled_before: float = float("-inf")) -> list[Kept]:
        """The session is new on the other side: all that is not acknowledged waits again, in order.

        What another peer has taken charge of, and came here before ``settled_before``, is not sent again: it
        would come long after its time. Returns what was dropped because it has waited longer than its
        timeout.
        """
        self.acknowledged = 0
        return self._wait_again(now, settled_before)

    def let_go_of_longer(self, length: int) -> list[Kept]:
        """Of what waits, drop frames whose envelopes are longer than ``length`` bytes, and return them.

        Frames of a run are short: a peer that does not accept even those refuses them.
        """
        waiting: deque[Kept] = deque()
        too_long: list[Kept] = []
        for kept in self._unsent:
            parcel = kept[0]
            longer = isinstance(parcel, Frame) and len(parcel.raw) - LENGTH.size > length
            (too_long if longer else waiting).append(kept)
        if too_long:
            self._unsent = waiting
            self._weigh()
        return too_long

    def clear(self) -> None:
        """The session is forgotten: nothing of it is kept, whoever still knows of it."""
        self._sent.clear()
        self._unsent.clear()
        self._begun = 0
        self._weigh()

    def discard_settled(self) -> int:
        """Drop what was never sent here and another peer has taken charge of; returns how many frames."""
        before = self.unsent
        self._unsent = deque(kept for kept in self._unsent if not _settled(kept))
        self._weigh()
        return before - self.unsent

    def _wait_again(self, now: float, settled_before: float = float("-inf")) -> list[Kept]:
        waiting: deque[Kept] = deque()
        expired: list[Kept] = []
        for kept in self:
            parcel, arrived, _ = kept
            timeout = self._timeout(parcel)
            if timeout is not None and now - arrived > timeout:
                expired.append(kept)
            elif arrived >= settled_before or not _settled(kept):
                waiting.append(kept)
        self._sent.clear()
        self._begun = 0
        self._unsent = waiting
        self._weigh()
        return expired

    def _weigh(self) -> None:
        sent, unsent = [kept[0] for kept in self._sent], [kept[0] for kept in self._unsent]
        self.unsent = sum(parcel.count for parcel in unsent)
        self._in_flight = sum(parcel.count for parcel in sent) - self._begun
        self.unsent_bytes = sum(len(parcel.raw) for parcel in unsent)
        self.bytes = self.unsent_bytes + sum(len(parcel.raw) for parcel in sent)

    def _timeout(self, parcel: Parcel) -> float | None:
        """Seconds that ``parcel`` is worth waiting for (protocol.md 2, element 5); None: no limit."""
        if parcel.kind == COMMAND:
            return budget_of(parcel, self._max_timeout)
        return parcel.timeout / 1000 if parcel.timeout else None


def _settled(kept: Kept) -> bool:
    charge = kept[2]
    return charge is not None and charge.settled
