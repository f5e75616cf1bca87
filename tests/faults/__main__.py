"""python -m tests.faults --seed 7 --seconds 60: one run, its table, and whether all that must hold did."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from tests.faults import report
from tests.faults.laboratory import Laboratory, Settings

reactor: Any = global_reactor


def arguments(argv: list[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the schedule of faults (default: 1)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of faults (default: 60)")
    parser.add_argument("--pause", type=float, default=2.5, help="seconds between two faults, on the average")
    parser.add_argument("--events", type=float, default=36.0, help="a second from each connector")
    parser.add_argument("--commands", type=float, default=8.0, help="a second from each connector of the library")
    parser.add_argument("--spare", default="", help="processes that are never ended, as m2,a2, to watch their memory")
    parser.add_argument("--report", type=Path, help="where the table goes as JSON")
    parser.add_argument("--keep", type=Path, help="where logs and histories stay; removed otherwise")
    parser.add_argument("--quiet", action="store_true", help="only the table")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run once; returns the exit status: 0 when everything held, 2 when there was nothing to judge."""
    asked = arguments(argv)
    directory = (asked.keep or Path(tempfile.mkdtemp(prefix="gandalf-faults-"))).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        result = run(asked, directory)
    finally:
        if asked.keep is None:
            shutil.rmtree(directory)
    if not isinstance(result, dict):
        print(result, file=sys.stderr)
        return 2
    print(report.table(result), flush=True)
    if asked.report is not None:
        asked.report.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if report.failures(result) else 0


def run(asked: argparse.Namespace, directory: Path) -> dict[str, Any] | str:
    """What the run has shown, or why there was none."""
    started = time.monotonic()
    results: list[Any] = []

    def say(text: str) -> None:
        if not asked.quiet:
            print(f"{time.monotonic() - started:8.2f} {text}", flush=True)

    spared = tuple(filter(None, asked.spare.split(",")))
    settings = Settings(asked.seed, asked.seconds, asked.pause, asked.events, asked.commands, spared)
    laboratory = Laboratory(settings, directory, reactor, say)

    def begin() -> None:
        ensureDeferred(laboratory.run()).addBoth(results.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    # Also when somebody has enough of it: nothing is left running.
    reactor.addSystemEventTrigger("before", "shutdown", laboratory.break_off)
    reactor.run()
    if not results:
        return "the run was broken off"
    (result,) = results
    if isinstance(result, Failure):
        return result.getTraceback()
    told: dict[str, Any] = result
    return told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
