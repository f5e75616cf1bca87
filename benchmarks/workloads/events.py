"""One-way events, from a connector over one aggregator to the cluster."""

from __future__ import annotations

from benchmarks.load import one_way
from benchmarks.peers.crossbar import Crossbar
from benchmarks.peers.gandalf import Gandalf
from benchmarks.peers.mosquitto import Mosquitto
from benchmarks.peers.nats import Nats
from benchmarks.peers.rabbitmq import RabbitMq
from benchmarks.peers.relay import NullRelay
from benchmarks.report import Report
from benchmarks.settings import Settings, opened

NAME = "events"
MANY = 2_000
"""Messages of the check that everything arrives."""


def run(settings: Settings, report: Report) -> None:
    """Whoever can, side by side."""
    report.remark(
        NAME,
        f"A source keeps at most {one_way.IN_FLIGHT:,} messages or {one_way.IN_FLIGHT_BYTES >> 20} MiB ahead of the "
        "sink, whoever carries them. Before each timing the identifiers of what was sent and what arrived are "
        "compared by their sum; after it, the counts.",
    )
    report.remark(
        NAME,
        "'pinned': the programs under test have one core and the load generators the other. NATS leaf to hub are two "
        "programs and then share one core, while otherwise they have two.",
    )
    report.remark(NAME, "null relay: a process that only passes bytes on; what it carries, the generators can.")
    report.remark(NAME, "Pinned, the shortest payload and NATS only.")
    others = [
        lambda: Mosquitto(0),
        lambda: Mosquitto(1),
        lambda: Mosquitto(1, bridged=True),
        RabbitMq,
        lambda: Crossbar(settings.crossbar),
    ]
    with opened(report, Gandalf, lambda: Nats(1), Nats, NullRelay, *others) as systems:
        for payload in settings.payloads:
            lanes = [(system, system.one_way(payload)) for system in systems]
            for _, lane in lanes:
                one_way.verify(lane, MANY)
            for _ in range(settings.rounds):
                for pinned in (False, True) if payload == settings.payloads[0] else (False,):
                    for system, lane in lanes:
                        if pinned and not isinstance(system, Gandalf | Nats | NullRelay):
                            continue
                        found = one_way.measure(lane, seconds=settings.seconds, warm=settings.warm, pinned=pinned)
                        case = f"{payload} B" + (", pinned" if pinned else "")
                        report.add(
                            NAME, case, system.name, found.rate, unit="msg/s", note=system.note, cpu_us=found.cpu_us
                        )
