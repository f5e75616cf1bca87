"""What happened, from the records of all load programs: compact, since there are millions of them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

import attrs

from tests.faults.cast import DIRECT
from tests.faults.records import CODES, Kind, Record

SENT, ACKED, REFUSED = 1, 2, 3


@attrs.frozen
class Span:
    """The life of a process, in seconds of the monotonic clock; what is alive at the end has no end."""

    process: str
    began: float
    ended: float = float("inf")
    killed: bool = False
    """By SIGKILL, rather than by a SIGTERM that lets it finish."""


@attrs.define
class Session:
    """A session of a connector with an instance: `link` is the instance's place in the tenant's list."""

    link: int
    process: int
    """Stands for the instance's process."""
    began: float


@attrs.define
class Stream:
    """What one life of a connector has sent of one stream, by number: when, and what became of it."""

    times: array[float] = attrs.field(factory=lambda: array("d"))
    acked: array[float] = attrs.field(factory=lambda: array("d"))
    state: bytearray = attrs.field(factory=bytearray)

    def sent(self, number: int, time: float) -> bool:
        """Whether it is the next number."""
        if number != len(self.times):
            return False
        self.times.append(time)
        self.acked.append(0.0)
        self.state.append(SENT)
        return True


@attrs.define
class Sent:
    """A command: when it was sent and ended, how often it ended, and the last code."""

    time: float
    ended: float = 0.0
    ends: int = 0
    code: int = 0


Bag = dict[tuple[int, int, int], bytearray]
"""How often, by number; the key is receiver, sender, stream."""


@attrs.define
class History:
    """Filled by :meth:`add`, the records of each file in their order."""

    streams: dict[tuple[int, int], Stream] = attrs.field(factory=dict)
    """By sender and stream."""
    delivered: Bag = attrs.field(factory=dict)
    commands: dict[int, dict[int, Sent]] = attrs.field(factory=dict)
    acts: dict[int, Counter[tuple[int, int]]] = attrs.field(factory=dict)
    """By who acted: how often on which command (sender, number)."""
    sessions: dict[int, list[Session]] = attrs.field(factory=dict)
    idle: set[int] = attrs.field(factory=set)
    refusals: Counter[str] = attrs.field(factory=Counter)
    strays: Counter[int] = attrs.field(factory=Counter)
    faults: list[str] = attrs.field(factory=list)
    """Records that cannot be: a fault of the laboratory."""
    arrivals: dict[tuple[int, int, int], list[tuple[int, array[int]]]] = attrs.field(factory=dict)
    """By receiver, sender, stream: the numbers that came over the link to the stream's own instance, in the order in
    which they came; in parts, one for each process of that instance."""
    frames: int = 0
    """Everything that was sent by or came to a connector."""

    def add(self, records: Iterable[Record]) -> None:
        """The records of one file."""
        for record in records:
            self._add(record)

    def _add(self, record: Record) -> None:
        time, kind, stream, link, who, other, number = record
        if kind == Kind.DELIVERED:
            self.frames += 1
            self._count(self.delivered, (who, other, stream), number)
        elif kind == Kind.ARRIVED:
            if link == stream - DIRECT:
                self._arrived(who, other, stream, number)
        elif kind == Kind.SEND:
            self.frames += 1
            if not self.streams.setdefault((who, stream), Stream()).sent(number, time):
                self.faults.append(f"{who} sent {stream}.{number} out of turn")
        elif kind == Kind.ACKED or kind == Kind.REFUSED:
            self._answered(record)
        elif kind == Kind.COMMAND:
            self.frames += 1
            self.commands.setdefault(who, {})[number] = Sent(time)
        elif kind == Kind.ENDED:
            self.frames += 2 if CODES[link] == "SUCCESS" else 1
            sent = self.commands[who][number]
            sent.ends += 1
            sent.ended, sent.code = time, link
        elif kind == Kind.ACT:
            # The command came; its receipt, its progress and its outcome went.
            self.frames += 4
            self.acts.setdefault(who, Counter())[other, number] += 1
        elif kind == Kind.SESSION:
            self.sessions.setdefault(who, []).append(Session(link, other, time))
        elif kind == Kind.IDLE:
            self.idle.add(who)
        elif kind == Kind.STRAY:
            self.strays[who] += 1

    def _answered(self, record: Record) -> None:
        stream = self.streams.get((record.who, record.stream))
        if stream is None or record.number >= len(stream.state):
            self.refusals["an error event about something else"] += 1
        elif record.kind == Kind.ACKED:
            stream.state[record.number] = ACKED
            stream.acked[record.number] = record.time
        else:
            self.refusals[CODES[record.link]] += 1
            stream.state[record.number] = REFUSED

    def _arrived(self, who: int, sender: int, stream: int, number: int) -> None:
        process = self.present(who, stream - DIRECT)
        parts = self.arrivals.setdefault((who, sender, stream), [])
        if not parts or parts[-1][0] != process:
            parts.append((process, array("I")))
        parts[-1][1].append(number)

    def present(self, who: int, link: int) -> int:
        """The instance's process with which `who` has its latest session; 0 when it had none."""
        for session in reversed(self.sessions.get(who, ())):
            if session.link == link:
                return session.process
        return 0

    @staticmethod
    def _count(bag: Bag, key: tuple[int, int, int], number: int) -> None:
        counts = bag.get(key)
        if counts is None:
            counts = bag[key] = bytearray()
        if number >= len(counts):
            counts.extend(bytes(number + 1 - len(counts) + 256))
        if counts[number] < 255:
            counts[number] += 1


def traced(events: Iterable[tuple[int, int, int]]) -> dict[tuple[int, int], bytearray]:
    """What the trace has, by sender and stream."""
    bags: dict[tuple[int, int], bytearray] = {}
    for who, stream, number in events:
        bag = bags.setdefault((who, stream), bytearray())
        if number >= len(bag):
            bag.extend(bytes(number + 1 - len(bag) + 256))
        bag[number] = 1
    return bags
