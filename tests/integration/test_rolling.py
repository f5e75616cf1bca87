"""A rolling restart under load (protocol.md 5.2): each process ends in good order, and nothing is lost."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from gandalf.connector import Connector, ReceivedEvent
from gandalf.connector.connecting import connect
from tests.integration.programs import Program
from tests.integration.whole import Load, WholeNetworkCase

SUMMARIES = {
    "gandalf-cluster": r"drained: (\d+) of \1 pending commands and \d+ of \d+ events finished;"
    r" 0 commands and 0 records were given up",
    "gandalf-aggregator": r"drained: (\d+) of \1 pending commands and (\d+) of \2 events finished;"
    r" 0 commands and 0 events were given up",
    "gandalf-connector": r"stops: (\d+) of \1 commands at work finished, 0 were cancelled;"
    r" 0 events were not acknowledged",
}
"""What the log of each program says at its end, when nothing was left unfinished."""


class RollingRestartTests(WholeNetworkCase):
    """Two members, two instances and two processes of connectors, one after the other."""

    workers: ClassVar[list[list[str]]] = [["worker0", "worker1"], ["worker1", "worker0"]]

    def test_one_after_the_other(self) -> Deferred[None]:
        """Every command succeeds; every event is acknowledged, delivered and in the trace, once, and in order."""
        return ensureDeferred(self._one_after_the_other())

    async def _one_after_the_other(self) -> None:
        assert self.driver is not None
        heard: list[int] = []
        listener = Connector("listen", "test", [(1, 0)])

        @listener.on("load.tick")
        async def tick(event: ReceivedEvent, network: object) -> None:
            assert isinstance(event.payload, dict)
            heard.append(event.payload["number"])

        running = await connect(listener, self.network.account("listener1"), reactor=reactor)
        self.addCleanup(running.stop)
        load = Load(self.driver)
        load.start(0.01)
        self.addCleanup(load.stop)
        await deferLater(reactor, 0.5, lambda: None)
        for name, (program, ready) in self.processes.items():
            await self._restart(name, program, ready)
        await load.stop()
        slowest = sorted(seconds for _, seconds in load.took)[-3:]
        print(f"\n{load.summary()}; {len(heard)} events heard; the slowest commands took {slowest} s")
        self.assertEqual(load.ended, {"SUCCESS": load.commands})
        self.assertEqual(load.unacknowledged, 0)
        await deferToThread(self.check_trace, load)
        self.check_acts(load)
        self.assertEqual(dict.fromkeys(range(load.events), 1), Counter(heard))

    async def _restart(self, name: str, program: Program, ready: Callable[[], object]) -> None:
        said = len(program.log)
        program.signal(signal.SIGTERM)
        self.assertEqual(0, await deferToThread(program.wait), name)
        log = program.log[said:]
        self.assertTrue(re.search(SUMMARIES[program.plugin], log), f"{name}: {log[-2000:]}")
        self.assertNotIn("Traceback", log)
        program.start()
        await self.until(ready, name)
