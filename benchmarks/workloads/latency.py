"""How long one command at a time takes, with nothing beside it and under load."""

from __future__ import annotations

from typing import Final

from benchmarks.load import latency, round_trip
from benchmarks.peers.gandalf import Gandalf
from benchmarks.peers.nats import Nats
from benchmarks.report import Report
from benchmarks.settings import Settings, opened

NAME = "latency"
QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


def run(settings: Settings, report: Report) -> None:
    """Ours and NATS's, each alone and with the same load beside it."""
    payload = settings.payloads[0]
    with opened(report, Gandalf, lambda: Nats(1), Nats) as systems:
        lanes = [(system, system.round_trip(payload)) for system in systems]
        found = [round_trip.measure(lanes[0][1], seconds=settings.seconds, warm=settings.warm).rate for _ in range(3)]
        half = sorted(found)[1] / 2
        report.remark(
            NAME,
            f"Under load: {half:,.0f} other messages a second, which is half of what Gandalf's aggregator carried "
            "just before; the same for all, by another connection, answered by the same responder.",
        )
        for _ in range(settings.rounds):
            for rate, case in ((0.0, "unloaded"), (half, "under load")):
                for system, lane in lanes:
                    took = latency.measure(lane, seconds=3 * settings.seconds, rate=rate)
                    for name, q in QUANTILES.items():
                        report.add(
                            NAME,
                            f"{case}, {name}",
                            system.name,
                            took.quantile(q),
                            unit="µs",
                            note=system.note,
                            higher_is_better=False,
                        )
