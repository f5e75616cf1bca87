"""What must hold of a history, whatever the faults were. Pure: the same findings from the same history.

An event is *owed* to a connector to which it is addressed when one of these held from before it was sent until
`SETTLE` seconds after it was acknowledged, sessions that broke and were resumed included:

- the connector had a session with the instance by way of which the event came in (known of the streams `DIRECT`);
- it had a session with every instance of its tenant;
- it had a session with one instance, neither that one nor a member ended, and since the latest end of one before that
  the network had been seen to be whole: what came in by way of another, which may be gone by then, the member that
  has acknowledged it brings there, and the two have to be linked for that.

Otherwise the processes that knew of the event may all have ended before one of them could deliver it: the protocol
promises no more than that the trace has it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from tests.faults.cast import AIMED, DIRECT, SOME, Cast, player_of, wants_some
from tests.faults.history import ACKED, REFUSED, SENT, History, Session, Span, Stream
from tests.faults.records import CODES

SETTLE: Final = 20.0
"""Seconds in which whatever is late must have come: a dialler waits for 10 s at the most, a fault lasts for 6."""

SAMPLE: Final = 100
"""One event in so many is looked at to tell how many are owed at all."""

ENDS: Final = 30.0
"""Seconds after which a command has ended at its sender, who waits for 8 s, and may be stopped for 5."""

ANSWERED: Final = 60.0
"""Seconds after which an event is acknowledged, whatever was broken meanwhile."""

OWN_REFUSALS: Final = frozenset({"OVERLOADED", "STOPPED"})
"""With which the library of connectors itself refuses an event."""

MAX_TOLD: Final = 20
"""Violations of one kind that are told in full."""

LOST = "lost"
NO_ANSWER = "event never acknowledged"
NOT_TAKEN = "event refused"
UNTRACED = "not in the trace"
TWICE = "delivered twice"
MISDELIVERED = "misdelivered"
CROSSED = "crossed tenants"
ACTED_TWICE = "acted on twice"
DISORDER = "out of order"
NOT_RESUMED = "session not resumed"
MADE_UP = "never sent"
NO_END = "command without an end"
TWO_ENDS = "command with two ends"
NO_ACT = "success without an act"
NOT_HEALED = "failed when nothing was broken"
NOT_OWED = "not owed"

KINDS: Final = (
    LOST,
    NO_ANSWER,
    NOT_TAKEN,
    UNTRACED,
    TWICE,
    MISDELIVERED,
    CROSSED,
    ACTED_TWICE,
    DISORDER,
    NOT_RESUMED,
    MADE_UP,
    NO_END,
    TWO_ENDS,
    NO_ACT,
    NOT_HEALED,
)


Trace = Mapping[str, Mapping[tuple[int, int], bytes | bytearray]]
"""Of each tenant, by sender and stream: 1 at the numbers that are there."""


@attrs.define
class Findings:
    """Violations by kind, some of them and of what was not owed in words, and what else was counted."""

    violations: Counter[str] = attrs.field(factory=Counter)
    told: dict[str, list[str]] = attrs.field(factory=dict)
    delivered: int = 0
    not_owed: int = 0
    """Events that did not come to a connector to which they were not owed."""
    due: int = 0
    owed: int = 0
    """Of a sample of what was acknowledged: how often it was for a connector that was there, and owed to it. What was
    not could have been lost unnoticed."""
    arrived_twice: int = 0
    """Frames that came again over a link: each acted once."""

    def violated(self, kind: str, text: str) -> None:
        """Count it."""
        self.violations[kind] += 1
        self.tell(kind, text)

    def tell(self, kind: str, text: str) -> None:
        """The first ones."""
        told = self.told.setdefault(kind, [])
        if len(told) < MAX_TOLD:
            told.append(text)


@attrs.frozen
class Circumstances:
    """What is known beside the records.

    :param instances: the processes of each tenant's instances, in the order of the cast's addresses.
    :param members: the processes of the members.
    :param spans: the lives of all processes.
    :param end: when everything was settled.
    :param calm: from when to when nothing was broken and commands were sent.
    :param whole: when all links were seen to be there.
    """

    cast: Cast
    instances: Mapping[str, Sequence[str]]
    members: Sequence[str]
    spans: Sequence[Span]
    end: float
    calm: tuple[float, float]
    whole: Sequence[float]

    def linked(self, processes: Iterable[str], time: float) -> bool:
        """Whether they were all linked to each other then: each was there when all links last were."""
        wanted = set(processes)
        latest = max((span.ended for span in self.spans if span.process in wanted and span.ended < time), default=0.0)
        return any(latest < whole <= time for whole in self.whole)

    def ended(self, processes: Iterable[str], since: float, until: float) -> bool:
        """Whether one of these processes ended then."""
        wanted = set(processes)
        return any(span.process in wanted and since <= span.ended <= until for span in self.spans)

    def life(self, process: str, time: float) -> Span | None:
        """Who was there then."""
        return next(
            (span for span in self.spans if span.process == process and span.began <= time <= span.ended), None
        )

    def in_calm(self, time: float) -> bool:
        """Whether nothing was broken then."""
        return self.calm[0] <= time <= self.calm[1]

    def span_of(self, who: int) -> Span:
        """The process of a load program."""
        name = self.cast.players[player_of(who)].process
        lives = [span for span in self.spans if span.process == name]
        return lives[(who & 0xFFFF) - 1]


def check(history: History, given: Circumstances, trace: Trace) -> Findings:
    """All invariants."""
    findings = Findings()
    _check_answers(history, given, findings)
    _check_trace(history, given, trace, findings)
    _check_strangers(history, given, findings)
    _check_deliveries(history, given, findings)
    _check_order(history, findings)
    _check_sessions(history, given, findings)
    _check_commands(history, given, findings)
    for fault in history.faults:
        findings.violated(MADE_UP, fault)
    for who, count in history.strays.items():
        findings.violated(MISDELIVERED, f"{who} had {count} messages that were not for it")
    return findings


def _name(given: Circumstances, who: int) -> str:
    player = given.cast.players[player_of(who)]
    return f"{player.tenant}/{player.name} life {who & 0xFFFF}"


# 1. Every event that its sender saw acknowledged is in the trace, and reached whoever it is owed to.


def _acknowledged(history: History) -> Iterator[tuple[int, int, Stream, int]]:
    for (sender, stream), sent in history.streams.items():
        for number, state in enumerate(sent.state):
            if state == ACKED:
                yield sender, stream, sent, number


def _check_answers(history: History, given: Circumstances, findings: Findings) -> None:
    """Nothing waits for ever, and the network refuses no event: who sends it may, at its bound and at its end."""
    for (sender, stream), sent in history.streams.items():
        ended = min(given.span_of(sender).ended, given.end)
        for number, state in enumerate(sent.state):
            if state == ACKED:
                continue
            time = sent.times[number]
            what = f"{stream}.{number} of {_name(given, sender)}, sent at {time:.3f}"
            if state == SENT and time < ended - ANSWERED:
                findings.violated(NO_ANSWER, what)
            elif state == REFUSED and given.in_calm(time):
                findings.violated(NOT_HEALED, f"{what}: refused")
    for reason, count in history.refusals.items():
        if reason not in OWN_REFUSALS:
            findings.violated(NOT_TAKEN, f"{count} times: {reason}")


def _check_trace(
    history: History,
    given: Circumstances,
    trace: Trace,
    findings: Findings,
) -> None:
    for sender, stream, _, number in _acknowledged(history):
        bag = trace[given.cast.players[player_of(sender)].tenant].get((sender, stream), b"")
        if number >= len(bag) or not bag[number]:
            findings.violated(UNTRACED, f"{stream}.{number} of {_name(given, sender)}")
    for tenant, bags in trace.items():
        for sender, stream in bags:
            if given.cast.players[player_of(sender)].tenant != tenant:
                findings.violated(CROSSED, f"stream {stream} of {_name(given, sender)} is in the trace of {tenant}")


def _check_deliveries(history: History, given: Circumstances, findings: Findings) -> None:
    receivers: dict[int, list[int]] = {}
    for who in history.sessions:
        receivers.setdefault(player_of(who), []).append(who)
    for (sender, stream), sent in history.streams.items():
        for index in range(len(given.cast.players)):
            for receiver in receivers.get(index, ()):
                life = given.span_of(receiver)
                came = history.delivered.get((receiver, sender, stream), b"")
                for number in _missing(sent, came, life.began, life.ended):
                    if given.cast.due(player_of(sender), stream, number, index):
                        _miss(history, given, findings, (receiver, sender, stream, number))
                for number in range(0, len(sent.state), SAMPLE):
                    if sent.state[number] == ACKED and given.cast.due(player_of(sender), stream, number, index):
                        _measure(history, given, findings, (receiver, sender, stream, number))


def _missing(sent: Stream, came: bytes | bytearray, began: float, ended: float) -> Iterator[int]:
    """The numbers of what was sent between these times, acknowledged, and did not come."""
    state = sent.state
    for number in range(bisect_left(sent.times, began), bisect_left(sent.times, ended)):
        if state[number] == ACKED and (number >= len(came) or not came[number]):
            yield number


def _miss(history: History, given: Circumstances, findings: Findings, place: tuple[int, int, int, int]) -> None:
    receiver, sender, stream, number = place
    sent = history.streams[sender, stream]
    since, acked = sent.times[number], sent.acked[number]
    if given.span_of(receiver).ended < acked:
        # Not there throughout: not even to be counted.
        return
    text = f"{stream}.{number} of {_name(given, sender)}, sent at {since:.3f} and acknowledged at {acked:.3f}"
    text += f", did not come to {_name(given, receiver)}"
    if owed(history, given, receiver, stream, since, acked):
        findings.violated(LOST, text)
    elif any(session.began < since for session in history.sessions[receiver]):
        findings.not_owed += 1
        findings.tell(NOT_OWED, text)


def _measure(history: History, given: Circumstances, findings: Findings, place: tuple[int, int, int, int]) -> None:
    """Whether its loss would be noticed, whether it came or not."""
    receiver, sender, stream, number = place
    sent = history.streams[sender, stream]
    since, acked = sent.times[number], sent.acked[number]
    there = any(session.began < since for session in history.sessions[receiver])
    if there and acked <= given.span_of(receiver).ended:
        findings.due += 1
        findings.owed += owed(history, given, receiver, stream, since, acked)


def owed(history: History, given: Circumstances, receiver: int, stream: int, since: float, acked: float) -> bool:
    """Whether an event for `receiver` that was sent and acknowledged then is owed to it."""
    until = min(acked + SETTLE, given.end)
    if given.span_of(receiver).ended <= until:
        return False
    tenant = given.cast.players[player_of(receiver)].tenant
    instances = given.instances[tenant]
    steady = [_steady(history, given, receiver, link, name, since, until) for link, name in enumerate(instances)]
    if stream >= DIRECT and steady[stream - DIRECT]:
        return True
    for there, name in zip(steady, instances, strict=True):
        path = [name, *given.members]
        if there and given.linked(path, since) and not given.ended(path, since, until):
            return True
    return all(steady)


def _steady(
    history: History, given: Circumstances, receiver: int, link: int, process: str, since: float, until: float
) -> bool:
    """Whether a session with an instance was there before `since`, and both went on beyond `until`."""
    life = given.life(process, since)
    if life is None or life.ended <= until:
        return False
    sessions: list[Session] = [session for session in history.sessions.get(receiver, ()) if session.link == link]
    before = [session for session in sessions if life.began <= session.began < since]
    anew = any(since <= session.began <= until for session in sessions)
    return bool(before) and not anew


# 2, 3. What came must have been sent, to whom it came, and once.


def _check_strangers(history: History, given: Circumstances, findings: Findings) -> None:
    for (receiver, sender, stream), counts in history.delivered.items():
        sent = history.streams.get((sender, stream))
        for number, count in enumerate(counts):
            if not count:
                continue
            findings.delivered += 1
            what = f"{stream}.{number} of {_name(given, sender)} came to {_name(given, receiver)}"
            if count > 1:
                findings.violated(TWICE, f"{what} {count} times")
            if sent is None or number >= len(sent.state):
                findings.violated(MADE_UP, what)
            if not _meant(given.cast, sender, stream, number, receiver):
                findings.violated(_astray(given, sender, receiver), what)


def _meant(cast: Cast, sender: int, stream: int, number: int, receiver: int) -> bool:
    """Whether it may come to ``receiver``. Another life of the sender is another connection, and no origin."""
    if player_of(sender) == player_of(receiver) and sender != receiver:
        return wants_some(player_of(receiver)) if stream == SOME else stream != AIMED
    return cast.due(player_of(sender), stream, number, player_of(receiver))


def _charged(cast: Cast, sender: int, number: int, who: int) -> bool:
    """Whether ``who`` may carry out this command."""
    one = cast.players[player_of(sender)]
    target = cast.target(one, number)
    return player_of(who) in [other.index for other in ([target] if target else cast.workers(one))]


def _astray(given: Circumstances, sender: int, receiver: int) -> str:
    one, other = given.cast.players[player_of(sender)], given.cast.players[player_of(receiver)]
    return MISDELIVERED if one.tenant == other.tenant else CROSSED


# 4. Order on a link.


def _check_order(history: History, findings: Findings) -> None:
    """What a peer sends over its session with a process comes in that order over another's session with that process.

    An event that was sent before the sender had a session with this very process may have come by way of the cluster
    first, and is left out.
    """
    for (receiver, sender, stream), parts in history.arrivals.items():
        sent = history.streams.get((sender, stream))
        sessions = history.sessions.get(sender, ())
        for process, numbers in parts:
            began = [one.began for one in sessions if one.process == process and one.link == stream - DIRECT]
            if sent is None or not began:
                continue
            _check_sequence(findings, sent, numbers, min(began), f"stream {stream} of {sender} to {receiver}")


def _check_sequence(findings: Findings, sent: Stream, numbers: Sequence[int], began: float, what: str) -> None:
    latest = -1
    seen = bytearray(len(sent.times))
    for number in numbers:
        if number >= len(sent.times) or sent.times[number] < began:
            continue
        if seen[number]:
            findings.arrived_twice += 1
        elif number < latest:
            findings.violated(DISORDER, f"{what}: {number} after {latest}")
        seen[number] = 1
        latest = max(latest, number)


# 5. Sessions.


def _check_sessions(history: History, given: Circumstances, findings: Findings) -> None:
    """A session goes on for as long as both processes do: no link is away for longer than it is kept.

    What a new one makes up for is not owed, so that all could be lost that is on its way when a link breaks.
    """
    for who, sessions in history.sessions.items():
        known: set[tuple[int, int]] = set()
        for session in sessions:
            if (session.link, session.process) in known:
                what = f"{_name(given, who)} with instance {session.link}, anew at {session.began:.3f}"
                findings.violated(NOT_RESUMED, what)
            known.add((session.link, session.process))


# 6. Commands.


def _check_commands(history: History, given: Circumstances, findings: Findings) -> None:
    acted: Counter[tuple[int, int]] = Counter()
    whole: set[int] = set()
    for who, acts in history.acts.items():
        for (sender, number), count in acts.items():
            acted[sender, number] += count
            what = f"command {number} of {_name(given, sender)} by {_name(given, who)}"
            if count > 1:
                findings.violated(ACTED_TWICE, f"{what}, {count} times")
            if number not in history.commands.get(sender, {}):
                findings.violated(MADE_UP, what)
            if not _charged(given.cast, sender, number, who):
                findings.violated(_astray(given, sender, who), what)
    for sender, commands in history.commands.items():
        span = given.span_of(sender)
        for number, sent in commands.items():
            what = f"command {number} of {_name(given, sender)}, sent at {sent.time:.3f}"
            # Who was killed hears of nothing any more; what had its time before is no excuse.
            if not sent.ends and not (span.killed and span.ended < sent.time + ENDS):
                findings.violated(NO_END, what)
            if sent.ends > 1:
                findings.violated(TWO_ENDS, what)
            if sent.ends and CODES[sent.code] == "SUCCESS" and not acted[sender, number]:
                findings.violated(NO_ACT, what)
            if given.in_calm(sent.time) and sent.ends:
                if CODES[sent.code] == "SUCCESS":
                    whole.add(player_of(sender))
                else:
                    findings.violated(NOT_HEALED, f"{what}: {CODES[sent.code]}")
    for player in given.cast.players:
        if given.cast.commands and not player.peer and player.index not in whole:
            findings.violated(NOT_HEALED, f"no command of {player.tenant}/{player.name} succeeded")
