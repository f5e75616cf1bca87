"""One event to thousands of connectors."""

from __future__ import annotations

import functools

import attrs

from benchmarks.load import fan_out
from benchmarks.peers.fan_out import gandalf, nats, null
from benchmarks.report import Report
from benchmarks.settings import Settings, opened

NAME = "fanout"
TEN = 10


def run(settings: Settings, report: Report) -> None:
    """Ours, NATS's, and a process that only writes."""
    report.remark(
        NAME, "Events of 100 B. gandalf: from the cluster. nats leaf-hub: published at the hub, received at a leaf."
    )
    report.remark(
        NAME,
        "Protocol.md 5.3 lets a connector acknowledge after 64 events or 200 ms after the last. The row "
        "'acknowledged every 200 ms' has each connector acknowledge five times a second all the while.",
    )
    for count in (1_000,) if settings.quick else (1_000, 10_000):
        makers = [functools.partial(make, count) for make in (gandalf, functools.partial(nats, leaves=1))]
        makers += [functools.partial(nats, count, leaves=0), functools.partial(null, count)]
        with opened(report, *makers) as found:
            subjects = []
            for one in found:
                subjects.append(one)
                if one.name == "gandalf":
                    often = attrs.evolve(one, name="gandalf, acknowledged every 200 ms", every=0.2)
                    subjects.append(often)
            for _ in range(settings.rounds):
                for window, case in ((1, "one at a time"), (TEN, "ten under way")):
                    for one in subjects:
                        rate = fan_out.measure(
                            one.crowd,
                            one.source,
                            one.outgoing,
                            one.size,
                            one.pids,
                            seconds=settings.seconds,
                            warm=settings.warm,
                            window=window,
                            every=one.every,
                        )
                        report.add(
                            NAME,
                            f"{count:,} connectors, {case}",
                            one.name,
                            rate.rate,
                            unit="deliveries/s",
                            note=one.note,
                            cpu_us=rate.cpu_us,
                        )
