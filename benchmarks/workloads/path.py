"""The whole path of a command and its receipt, recorded on the way."""

from __future__ import annotations

import time
from typing import Any, Final

from benchmarks.load import round_trip
from benchmarks.peers.path import GandalfPath, NatsPath, NatsPlainPath
from benchmarks.report import Report
from benchmarks.settings import Settings, opened

NAME = "path"
WINDOW: Final = 5_000
UNDER_WAY: Final = 3 << 20
"""Bytes: less than the high-water mark of a link, above which commands are refused."""


def run(settings: Settings, report: Report) -> None:
    """Ours, and NATS with and without a stream."""
    report.remark(
        NAME,
        f"{WINDOW:,} commands wait for their answer at a time, or {UNDER_WAY >> 20} MiB of them. gandalf: connector, "
        "aggregator, member (trace in PostgreSQL), aggregator, connector; the receipt goes from the aggregator to "
        "the sender directly and to the member for the trace. nats: leaf, hub, leaf, and back the same way. Neither "
        "PostgreSQL nor JetStream forces its files to disk. CPU: without PostgreSQL's.",
    )
    makers: list[Any] = [GandalfPath, NatsPath]
    if not settings.quick:
        makers.append(NatsPlainPath)
    with opened(report, *makers) as systems:
        names = [f"{system.name}, recording" if isinstance(system, NatsPath) else system.name for system in systems]
        for payload in settings.payloads:
            lanes = [system.lane(payload) for system in systems]
            before = [system.recorded() for system in systems]
            sent = [0] * len(systems)
            most = min(WINDOW, UNDER_WAY // payload)
            for _ in range(settings.rounds):
                for number, lane in enumerate(lanes):
                    found = round_trip.measure(lane, seconds=settings.seconds, warm=settings.warm, most=most)
                    sent[number] += found.sent
                    report.add(
                        NAME,
                        f"{payload} B",
                        names[number],
                        found.rate,
                        unit="trips/s",
                        note=systems[number].note,
                        cpu_us=found.cpu_us,
                    )
            for system, name, first, trips in zip(systems, names, before, sent, strict=True):
                if not isinstance(system, NatsPlainPath):
                    on_record = _settled(system, first + 2 * trips) - first
                    report.remark(NAME, f"{payload} B, {name}: {2 * trips:,} messages sent, {on_record:,} on record.")


def _settled(system: Any, wanted: int) -> int:
    """What is on record once all is there, or nothing more comes."""
    found, quiet = system.recorded(), 0
    while found < wanted and quiet < 4:
        time.sleep(0.5)
        before, found = found, system.recorded()
        quiet = quiet + 1 if found == before else 0
    return int(found)
