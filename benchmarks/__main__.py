"""Measure, print tables, and keep results.json, tables and plots.

python -m benchmarks [WORKLOAD ...] [--rounds 5] [--quick] [--payloads 100,1024,16384]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.limits import raise_open_files
from benchmarks.plot import plot
from benchmarks.report import Report, machine
from benchmarks.settings import Settings
from benchmarks.workloads import commands, events, fanout, growth, idle, latency, path, reads, start

WORKLOADS: dict[str, tuple[Callable[[Settings, Report], None], float]] = {
    events.NAME: (events.run, 270),
    commands.NAME: (commands.run, 160),
    latency.NAME: (latency.run, 110),
    path.NAME: (path.run, 100),
    fanout.NAME: (fanout.run, 240),
    idle.NAME: (idle.run, 195),
    start.NAME: (start.run, 15),
    reads.NAME: (reads.run, 40),
    growth.NAME: (growth.run, 200),
}
"""What each does, and how many seconds it takes with five rounds."""


def main() -> None:
    """Run what the command line names; everything if it names nothing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Gandalf beside others.")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of: {' '.join(WORKLOADS)}; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="how often those compared take turns")
    parser.add_argument("--quick", action="store_true", help="short stretches, two rounds, one payload")
    parser.add_argument("--payloads", default="100,1024,16384", help="bytes")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="where to")
    parser.add_argument(
        "--crossbar",
        default=os.environ.get("CROSSBAR_ENV"),
        help="the environment that Crossbar.io is installed in (also CROSSBAR_ENV); default: where PATH finds it",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.workloads) - set(WORKLOADS):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}; there are: {' '.join(WORKLOADS)}")
    quick = arguments.quick
    settings = Settings(
        rounds=min(arguments.rounds, 2) if quick else arguments.rounds,
        payloads=[int(size) for size in arguments.payloads.split(",")][: 1 if quick else None],
        seconds=0.4 if quick else 1.0,
        warm=0.2 if quick else 0.4,
        quick=quick,
        crossbar=arguments.crossbar,
    )
    raise_open_files()
    chosen = arguments.workloads or list(WORKLOADS)
    expected = sum(WORKLOADS[name][1] for name in chosen) * (0.2 if quick else arguments.rounds / 5)
    told = machine()
    print(f"{told['processor']}, {told['cores']} cores, Python {told['python']}; load {told['load_average'][0]:.2f}")
    print(f"{', '.join(chosen)}: about {expected / 60:.0f} min")
    report = Report(settings.rounds)
    for name in chosen:
        began = time.monotonic()
        WORKLOADS[name][0](settings, report)
        print(report.table(name), flush=True)
        print(f"\n({time.monotonic() - began:.0f} s)", flush=True)
        report.save(arguments.results)
        (arguments.results / f"{name}.md").write_text(report.table(name) + "\n")
        plot(report, name, arguments.results)
    for name, reason in report.left_out.items():
        print(f"{name}: {reason}")


if __name__ == "__main__":
    main()
