"""Connectors that do nothing: what one costs, and how fast all of them come back."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Final

from benchmarks.load.crowd import Crowd, CrowdProcess
from benchmarks.load.shared import Counters, cpu_seconds
from benchmarks.peers.crowds import Connectors, Subscribers
from benchmarks.peers.fan_out import Answering
from benchmarks.peers.gandalf import Aggregator
from benchmarks.peers.nats import Nats
from benchmarks.peers.process import Absent
from benchmarks.report import Report
from benchmarks.settings import Settings

NAME: Final = "idle"
HEARTBEAT: Final = 10_000
"""ms, the default of both sides: each connection carries a ping and a pong every ten seconds."""
ROUNDS: Final = 3
"""At the most: a round takes half a minute."""


def run(settings: Settings, report: Report) -> None:
    """Ours, and a NATS server with as many subscribers."""
    count = 1_000 if settings.quick else 10_000
    seconds = 4.0 if settings.quick else 20.0
    report.remark(
        NAME,
        "Memory is the resident set of the aggregator with all connections less that without, by their number; "
        "what the kernel keeps for a socket is not in it. The processor time is that of two intervals of the "
        "heartbeat: a ping and a pong on each connection in each. At most three rounds.",
    )
    report.remark(
        NAME,
        "'resumed': all connections were cut at once and come back with their sessions. 'new': all connectors come "
        "anew, and the member (a process that accepts every secret) validates each.",
    )
    for _ in range(min(settings.rounds, ROUNDS)):
        _gandalf(report, count, seconds)
        try:
            _nats(report, count, seconds)
        except Absent as reason:
            report.left_out[str(reason)] = "not measured"


def _gandalf(report: Report, count: int, seconds: float) -> None:
    add = functools.partial(_add, report, count, "gandalf", "a session each; a tenant's secrets validated")
    aggregator = Aggregator(heartbeat=HEARTBEAT)
    crowd = CrowdProcess(("127.0.0.1", aggregator.port), count, Connectors(count, HEARTBEAT), Counters())
    try:
        with Answering(aggregator):
            base = rss(aggregator.pids)
            taken, refused = crowd.do(Crowd.connect, True)
            add("new", taken, "s")
            _costs(add, crowd, lambda: aggregator.pids, base, count, seconds)
            crowd.do(Crowd.disconnect)
            time.sleep(0.5)
            taken, again = crowd.do(Crowd.connect, False)
            add("resumed", taken, "s")
            if refused or again:
                report.remark(NAME, f"gandalf: {refused} and {again} attempts were refused and tried again.")
    finally:
        crowd.close()
        aggregator.close()


def _nats(report: Report, count: int, seconds: float) -> None:
    servers = Nats()
    add = functools.partial(_add, report, count, "nats single", "a subscription each; pings every two minutes")
    crowd = CrowdProcess(("127.0.0.1", servers.hub_port), count, Subscribers("bench.all"), Counters())
    try:
        base = rss(servers.pids())
        taken, _ = crowd.do(Crowd.connect, True)
        add("new", taken, "s")
        _costs(add, crowd, servers.pids, base, count, seconds)
    finally:
        crowd.close()
        servers.close()


def _costs(
    add: Callable[..., None],
    crowd: CrowdProcess,
    pids: Callable[[], list[int]],
    base: int,
    count: int,
    seconds: float,
) -> None:
    crowd.do(Crowd.idle, 2.0)
    add("memory a connection", (rss(pids()) - base) / count / 1024, "KiB")
    crowd.ask(Crowd.idle, seconds)
    cpu, began = cpu_seconds(pids()), time.monotonic()
    crowd.answer()
    add("processor", (cpu_seconds(pids()) - cpu) / (time.monotonic() - began) * 100, "% of a core")


def _add(report: Report, count: int, subject: str, note: str, case: str, value: float, unit: str) -> None:
    report.add(NAME, f"{count:,} connections, {case}", subject, value, unit=unit, note=note, higher_is_better=False)


def rss(pids: list[int]) -> int:
    """Bytes of memory that the programs have now."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as file:  # noqa: PTH123  # the shortest way
            total += next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
    return total * 1024
