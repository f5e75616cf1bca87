"""How long commands take when a member or an instance is killed: `python -m tests.integration.recovery [KILLS]`.

Two members, two instances, two processes of connectors. Each kill is a SIGKILL of a member or an instance in turn,
while a command is sent each 5 ms; what it measures is told at its end.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import ClassVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.trial import runner
from twisted.trial.reporter import VerboseTextReporter

from tests.integration.whole import Load, WholeNetworkCase

KILLS = 24
AROUND = 0.1
"""Seconds before and after a kill: commands sent then are those that it may delay."""


def quantiles(seconds: Sequence[float]) -> str:
    """p50, p99 and the largest, in ms."""
    ordered = sorted(seconds)
    p50, p99 = (ordered[min(math.ceil(len(ordered) * q) - 1, len(ordered) - 1)] for q in (0.5, 0.99))
    return f"p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, max {ordered[-1] * 1000:.1f} ms, n {len(ordered)}"


class Recovery(WholeNetworkCase):
    """Not a test: it is run by hand."""

    timeout = 1200
    workers: ClassVar[list[list[str]]] = [["worker0", "worker1"], ["worker1", "worker0"]]
    kills = KILLS

    def measure(self) -> Deferred[None]:
        """Kill, and look."""
        return ensureDeferred(self._measure())

    async def _measure(self) -> None:
        assert self.driver is not None
        load = Load(self.driver)
        load.start(0.005)
        self.addCleanup(load.stop)
        victims = [(name, *process) for name, process in self.processes.items() if "worker" not in name]
        first: dict[str, list[float]] = {"member": [], "aggregator": []}
        killed_at: list[float] = []
        for number in range(self.kills):
            await deferLater(reactor, 1.0, lambda: None)
            name, program, ready = victims[number % len(victims)]
            killed_at.append(time.monotonic())
            program.kill()
            first[name.split()[0]].append(await self.first_success(load))
            program.start()
            await self.until(ready, name)
        await load.stop()
        around = [took for at, took in load.took if any(-AROUND <= at - kill <= AROUND for kill in killed_at)]
        others = [took for at, took in load.took if not any(-1 <= at - kill <= 5 for kill in killed_at)]
        print(f"\n{load.summary()}")
        for name, seconds in first.items():
            print(f"first command after the loss of a {name}: {quantiles(seconds)}")
        print(f"commands sent within {AROUND} s of a kill: {quantiles(around)}")
        if others:
            print(f"all others: {quantiles(others)}")


if __name__ == "__main__":
    Recovery.kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    with tempfile.TemporaryDirectory() as directory:
        trial = runner.TrialRunner(VerboseTextReporter, workingDirectory=f"{directory}/trial")
        result = trial.run(Recovery("measure"))
    sys.exit(not result.wasSuccessful())
