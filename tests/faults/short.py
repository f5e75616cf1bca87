"""The short run, part of `make test`: `python -m tests.faults.short`. Its last line is as that of trial."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

SEEDS: Final = {
    1: "all instances die at once; with 9 and 21 every kind of fault",
    9: "all members die at once, once without their database",
    21: "what the two others lack",
}
"""What is run, and why: a seed that found a fault of the programs stays, with what it found."""

SECONDS, PAUSE = 15, 0.8


def run(command: Sequence[str]) -> int:
    """The exit status of a program. It is told to end when this one is, and waited for: it has others to end."""
    with subprocess.Popen(command) as program:
        try:
            return program.wait()
        except BaseException:
            program.terminate()
            program.wait()
            raise


def main() -> int:
    """Run all seeds, one after the other; returns the exit status."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    failed = 0
    for seed in SEEDS:
        command = [sys.executable, "-m", "tests.faults", "--seed", str(seed), "--quiet"]
        command += ["--seconds", str(SECONDS), "--pause", str(PAUSE)]
        failed += run(command) != 0
    counts = f"failures={failed}, " if failed else ""
    print(f"{'FAILED' if failed else 'PASSED'} ({counts}successes={len(SEEDS) - failed})", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
