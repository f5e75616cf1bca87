"""What becomes of the rate when there are more connectors, more pending commands, more topics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from benchmarks.load import fan_out, growing, one_way, round_trip
from benchmarks.load.crowd import CrowdProcess
from benchmarks.load.shape import Cycle, Shape, Stamp, Template
from benchmarks.peers.crowds import Connectors, name_of
from benchmarks.peers.fan_out import connected
from benchmarks.peers.gandalf import (
    HEARTBEAT,
    PREFIX,
    Aggregator,
    Gandalf,
    answering,
    command,
    event,
    receipt,
    stamped,
)
from benchmarks.report import Report
from benchmarks.settings import Settings

NAME: Final = "growth"
PAYLOAD: Final = 100
TOPICS: Final = 10
"""Connectors that share the topics among them."""
SUBJECT: Final = "gandalf"
AHEAD: Final = 4_000
"""Events under way at the most, since each may cost much when there are many connectors."""


def run(settings: Settings, report: Report) -> None:
    """One curve after the other; 100 B, `settings.rounds` values at each point."""
    report.remark(
        NAME,
        "connectors sending: commands of all of them by turns, 16 at a time, answered by the member. connectors "
        "beside: events of one to the member, while the others named topics that do not match. pending: round trips "
        "beside so many commands that are acknowledged and not answered. topics: events of so many topics from the "
        f"cluster to {TOPICS} connectors that each named their share; each goes to one.",
    )
    most = 1_000 if settings.quick else 10_000
    points = [count for count in (10, 100, 1_000, 10_000) if count <= most]
    for count in points:
        _connectors_sending(settings, report, count)
    for count in points:
        _connectors_beside(settings, report, count)
    _pending(settings, report, 10_000 if settings.quick else 1_000_000)
    for count in points:
        _topics(settings, report, count)


def _add(report: Report, family: str, at: int, rate: one_way.Rate, unit: str) -> None:
    report.add(NAME, f"{family} {at:,}", SUBJECT, rate.rate, unit=unit, cpu_us=rate.cpu_us, at=at)


def _connectors_sending(settings: Settings, report: Report, count: int) -> None:
    script = Connectors(count, HEARTBEAT)
    asked, answered = command(PAYLOAD, name_of(0)), receipt(name_of(0), PAYLOAD)
    script.answer = Shape.of(answered, PREFIX)
    script.outgoing, script.name_at = stamped(asked), asked.index(name_of(0).encode())
    with contextlib.closing(Aggregator()) as aggregator, _crowd(aggregator, script, count) as crowd:
        lane = answering(aggregator, asked, answered, name_of(0))
        for _ in range(settings.rounds):
            rate = growing.commands_by_turns(crowd, lane, seconds=settings.seconds, warm=settings.warm)
            _add(report, "connectors sending", count, rate, "trips/s")


def _connectors_beside(settings: Settings, report: Report, count: int) -> None:
    script = Connectors(count, HEARTBEAT, [["nothing.here"]] * count)
    with contextlib.closing(Aggregator()) as aggregator, _crowd(aggregator, script, count):
        lane = Gandalf(aggregator).one_way(PAYLOAD)
        for _ in range(settings.rounds):
            rate = one_way.measure(lane, seconds=settings.seconds, warm=settings.warm, most=AHEAD)
            _add(report, "connectors beside", count, rate, "msg/s")


def _pending(settings: Settings, report: Report, most: int) -> None:
    aggregator = Aggregator(max_timeout=3_600_000)
    try:
        lane = Gandalf(aggregator).round_trip(PAYLOAD)
        there = 0
        for wanted in (1, 1_000, 10_000, 100_000, 1_000_000):
            if wanted > most:
                break
            growing.leave_pending(lane, wanted - there)
            there = wanted
            for _ in range(settings.rounds):
                rate = round_trip.measure(lane, seconds=settings.seconds, warm=settings.warm)
                _add(report, "pending", wanted, rate, "trips/s")
    finally:
        # In good order it would wait for what is pending.
        aggregator.program.kill()
        aggregator.close()


def _topics(settings: Settings, report: Report, count: int) -> None:
    share = count // TOPICS
    topics = [[_topic(number * share + each) for each in range(share)] for number in range(TOPICS)]
    script = Connectors(TOPICS, HEARTBEAT, topics)
    message = event(PAYLOAD, topic=_topic(0))
    numbers = Cycle(count)
    template = Template(
        message, (*stamped(message).stamps, Stamp(message.index(_topic(0).encode()) + 2, numbers.width, numbers))
    )
    with contextlib.closing(Aggregator()) as aggregator, _crowd(aggregator, script, TOPICS) as crowd:
        for _ in range(settings.rounds):
            rate = fan_out.measure(
                crowd,
                aggregator.member.sock,
                template,
                len(message),
                lambda: aggregator.pids,
                seconds=settings.seconds,
                warm=settings.warm,
                window=2_000,
                receivers=1,
            )
            _add(report, "topics", count, rate, "msg/s")


def _topic(number: int) -> str:
    return f"t.{number:05}"


@contextlib.contextmanager
def _crowd(aggregator: Aggregator, script: Connectors, count: int) -> Iterator[CrowdProcess]:
    crowd = connected(aggregator, script, count)
    try:
        yield crowd
    finally:
        crowd.close()
