"""Runs the checks of this project, and says in its last line how many passed.

    python tests/run.py                    everything, and the bound on coverage; what `make test` does
    python tests/run.py lint types         some of: lint, types, unit, integration, faults

Each test counts as one, and so do each static check, each seed of the fault laboratory and the bound on
coverage. Static checks and the laboratory run beside the unit tests, which go by clocks of their own; the
integration tests, some of which measure times, have the machine to themselves. The last line also goes to
build/test-counts.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"

STATIC = {
    "lint": [["ruff", "check"], ["ruff", "format", "--check"]],
    "types": [["mypy"]],
}
TRIAL = {"unit": "tests.unit", "integration": "tests.integration"}
JOBS: dict[str, list[str]] = {"unit": ["-j2"], "integration": []}
FAULTS = "faults"

_SUMMARY = re.compile(r"^(?:PASSED|FAILED)(?: \((?P<counts>.*)\))?$", re.MULTILINE)
_COUNT = re.compile(r"(\w+)=(\d+)")


@attrs.frozen
class Result:
    """How many passed, failed and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Result) -> Result:
        return Result(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed"
        return f"{text}, {self.skipped} skipped" if self.skipped else text


def counted(output: str, status: int) -> Result:
    """What trial says at its end; one failure when it failed, or ran nothing, without saying so."""
    summaries = list(_SUMMARY.finditer(output))
    counts = {name: int(count) for name, count in _COUNT.findall(summaries[-1]["counts"] or "")} if summaries else {}
    result = Result(
        counts.get("successes", 0) + counts.get("expectedFailures", 0),
        counts.get("failures", 0) + counts.get("errors", 0) + counts.get("unexpectedSuccesses", 0),
        counts.get("skips", 0),
    )
    silent = (status and not result.failed) or not (result.passed or result.failed)
    return result + Result(failed=1) if silent else result


def run_tool(command: list[str]) -> Result:
    """Run a tool that counts as one test, and show what it says when it finds something."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    verdict = "failed" if done.returncode else "passed"
    said = done.stdout + done.stderr if done.returncode else ""
    print(f"== {' '.join(command)}: {verdict} in {time.monotonic() - started:.0f} s\n{said}", end="", flush=True)
    return Result(failed=1) if done.returncode else Result(passed=1)


def run_tests(check: str) -> Result:
    """Run a package of tests under coverage."""
    command = ["coverage", "run", "-m", "twisted.trial", *JOBS[check]]
    command += ["--reporter=text", f"--temp-directory={BUILD / 'trial' / check}", TRIAL[check]]
    return run_shown(f"trial {TRIAL[check]}", command)


def run_faults() -> Result:
    """Run the fault laboratory, and show what it says when it has ended."""
    started = time.monotonic()
    command = [sys.executable, "-b", "-m", "tests.faults.short"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(f"== the fault laboratory, in {time.monotonic() - started:.0f} s\n{done.stdout}", end="", flush=True)
    return counted(done.stdout, done.returncode)


def run_shown(name: str, arguments: list[str]) -> Result:
    """Run a module that counts as trial does, and show what it says as it comes."""
    print(f"== {name}", flush=True)
    command = [sys.executable, "-b", "-m", *arguments]
    output = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            print(line, end="", flush=True)
    return counted("".join(output), process.returncode)


def run_checks(checks: list[str]) -> Result:
    """Run some checks; all of them together are held to the bound on coverage."""
    whole = set(checks) >= TRIAL.keys()
    subprocess.run([sys.executable, "-m", "coverage", "erase"], cwd=ROOT, check=True)
    shutil.rmtree(BUILD / "trial", ignore_errors=True)
    (BUILD / "trial").mkdir(parents=True)
    tools = [command for check in checks for command in STATIC.get(check, [])]
    result = Result()
    with ThreadPoolExecutor(max_workers=2) as beside:
        running = [beside.submit(run_tool, command) for command in tools]
        if FAULTS in checks:
            running.append(beside.submit(run_faults))
        if "unit" in checks:
            result += run_tests("unit")
        result = sum((each.result() for each in running), result)
    if "integration" in checks:
        result += run_tests("integration")
    if whole:
        subprocess.run([sys.executable, "-m", "coverage", "combine", "--quiet"], cwd=ROOT, check=False)
        result += run_tool(["coverage", "report"])
    return result


def main(checks: list[str]) -> int:
    """Run `checks`, all by default; returns the exit status."""
    known = [*STATIC, *TRIAL, FAULTS]
    for check in checks:
        if check not in known:
            print(f"unknown check {check!r}; allowed: {', '.join(known)}", file=sys.stderr)
            return 2
    started = time.monotonic()
    BUILD.mkdir(exist_ok=True)
    result = run_checks(checks or known)
    (BUILD / "test-counts").write_text(f"{result}\n")
    print(f"in {time.monotonic() - started:.0f} s\n{result}", flush=True)
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
