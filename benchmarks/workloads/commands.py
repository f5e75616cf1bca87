"""Commands and their receipts over one aggregator, many under way."""

from __future__ import annotations

from benchmarks.load import round_trip
from benchmarks.peers.crossbar import Crossbar
from benchmarks.peers.gandalf import Gandalf
from benchmarks.peers.nats import Nats
from benchmarks.peers.relay import NullRelay
from benchmarks.report import Report
from benchmarks.settings import Settings, opened

NAME = "commands"


def run(settings: Settings, report: Report) -> None:
    """Whoever can, side by side."""
    report.remark(
        NAME,
        f"{round_trip.WINDOW:,} messages wait for their answer at a time (fewer of long ones: 32 MiB of them). The "
        "answer bears a payload of the same length. Gandalf's aggregator knows of each command who is to answer it, "
        "and tries the next when nobody does; NATS leaves that to the requester.",
    )
    with opened(report, Gandalf, lambda: Nats(1), Nats, NullRelay, lambda: Crossbar(settings.crossbar)) as systems:
        for payload in settings.payloads:
            lanes = [(system, system.round_trip(payload)) for system in systems]
            for _ in range(settings.rounds):
                for pinned in (False, True) if payload == settings.payloads[0] else (False,):
                    for system, lane in lanes:
                        if pinned and isinstance(system, Crossbar):
                            continue
                        found = round_trip.measure(lane, seconds=settings.seconds, warm=settings.warm, pinned=pinned)
                        case = f"{payload} B" + (", pinned" if pinned else "")
                        report.add(
                            NAME, case, system.name, found.rate, unit="trips/s", note=system.note, cpu_us=found.cpu_us
                        )
