"""What the two ends of a session count and keep (protocol.md 5.3). Pure: no network, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from gandalf.routing.charge import SETTLED, Charge
from gandalf.wire.envelope import Frame
from gandalf.wire.errors import Malformed
from gandalf.wire.kinds import COMMAND


class Inbox:
    """Counts the routed frames taken charge of, from the session's first on and without a gap.

    :param countable: called when :attr:`received` has grown later than the frame's arrival.
    """

    def __init__(self, countable: Callable[[], None]) -> None:
        self.received = 0
        self._countable = countable
        self._open: deque[Charge] = deque()

    def take(self, charge: Charge | None) -> None:
        """A frame has come in; ``charge`` None: it is taken charge of already."""
        if charge is None or charge.settled:
            if self._open:
                self._open.append(SETTLED)
            else:
                self.received += 1
        else:
            self._open.append(charge)
            charge.then(self._advance)

    @property
    def open(self) -> int:
        """Frames received that do not count yet."""
        return len(self._open)

    def _advance(self) -> None:
        waiting = self._open
        before = self.received
        while waiting and waiting[0].settled:
            waiting.popleft()
            self.received += 1
        if self.received != before:
            self._countable()

    def resume(self) -> None:
        """The peer sends again what does not count yet."""
        self._open.clear()

    def restart(self) -> None:
        """The session is new on the other side: count from its first frame."""
        self._open.clear()
        self.received = 0


Kept = tuple[Frame, float, Charge | None]
"""A frame, the second at which it came here, and what its acknowledgement settles."""


class Outbox:
    """Keeps what was sent until it is acknowledged, and what cannot be sent yet.

    Expiry counts from when the frame came here, in seconds of the clock whose ``now`` is given.

    :param max_timeout: seconds that a command with timeout 0 is worth waiting for.
    """

    def __init__(self, max_timeout: float) -> None:
        self.acknowledged = 0
        self.bytes = 0
        self.unsent_bytes = 0
        self._max_timeout = max_timeout
        self._sent: deque[Kept] = deque()
        self._unsent: deque[Kept] = deque()

    def __len__(self) -> int:
        return len(self._sent) + len(self._unsent)

    def __iter__(self) -> Iterator[Kept]:
        yield from self._sent
        yield from self._unsent

    @property
    def last(self) -> int:
        """The number of the frame sent last, as the peer counts."""
        return self.acknowledged + len(self._sent)

    @property
    def unsent(self) -> int:
        """Frames that wait to be sent."""
        return len(self._unsent)

    def sent(self, frame: Frame, now: float, charge: Charge | None) -> None:
        """``frame`` goes out at once."""
        self._sent.append((frame, now, charge))
        self.bytes += len(frame.raw)

    def wait(self, frame: Frame, now: float, charge: Charge | None) -> None:
        """``frame`` goes out after those that wait already."""
        self._unsent.append((frame, now, charge))
        self.bytes += len(frame.raw)
        self.unsent_bytes += len(frame.raw)

    def next(self) -> Frame | None:
        """The first frame that waits; it counts as sent."""
        if not self._unsent:
            return None
        kept = self._unsent.popleft()
        self._sent.append(kept)
        self.unsent_bytes -= len(kept[0].raw)
        return kept[0]

    def acknowledge(self, received: int) -> None:
        """The peer has taken charge of ``received`` frames, from the session's first on.

        :raises Malformed: it counts backwards, or more than was sent.
        """
        if not self.acknowledged <= received <= self.last:
            raise Malformed(f"body: received must be between {self.acknowledged} and {self.last}, not {received}")
        sent = self._sent
        count = received - self.acknowledged
        self.acknowledged = received
        for _ in range(count):
            frame, _, charge = sent.popleft()
            self.bytes -= len(frame.raw)
            if charge is not None:
                charge.settle()

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

    def clear(self) -> None:
        """The session is forgotten: nothing of it is kept, whoever still knows of it."""
        self._sent.clear()
        self._unsent.clear()
        self.bytes = self.unsent_bytes = 0

    def discard_settled(self) -> int:
        """Drop what was never sent here and another peer has taken charge of; returns how many frames."""
        before = len(self._unsent)
        self._unsent = deque(kept for kept in self._unsent if not _settled(kept))
        self._weigh()
        return before - len(self._unsent)

    def _wait_again(self, now: float, settled_before: float = float("-inf")) -> list[Kept]:
        waiting: deque[Kept] = deque()
        expired: list[Kept] = []
        for kept in self:
            frame, arrived, _ = kept
            timeout = self._timeout(frame)
            if timeout is not None and now - arrived > timeout:
                expired.append(kept)
            elif arrived >= settled_before or not _settled(kept):
                waiting.append(kept)
        self._sent.clear()
        self._unsent = waiting
        self._weigh()
        return expired

    def _weigh(self) -> None:
        self.unsent_bytes = sum(len(kept[0].raw) for kept in self._unsent)
        self.bytes = self.unsent_bytes + sum(len(kept[0].raw) for kept in self._sent)

    def _timeout(self, frame: Frame) -> float | None:
        """Seconds that ``frame`` is worth waiting for (protocol.md 2, element 5); None: no limit."""
        if frame.kind == COMMAND:
            return min(frame.timeout / 1000 or self._max_timeout, self._max_timeout)
        return frame.timeout / 1000 if frame.timeout else None


def _settled(kept: Kept) -> bool:
    charge = kept[2]
    return charge is not None and charge.settled
