"""The whole network: two cluster members, two aggregator instances, eight connectors, killed in turn under load."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater

from tests.integration.whole import Load, WholeNetworkCase


class NetworkTests(WholeNetworkCase):
    """Every process is killed once with SIGKILL while commands and events flow."""

    timeout = 240

    def test_killed_in_turn(self) -> Deferred[None]:
        """Every command ends in an outcome or a clear error, no acknowledged event is missing from the trace, no
        process acts twice on one command."""
        return ensureDeferred(self._killed_in_turn())

    async def _killed_in_turn(self) -> None:
        assert self.driver is not None
        load = Load(self.driver)
        load.start()
        self.addCleanup(load.stop)
        await deferLater(reactor, 1.0, lambda: None)
        recoveries = {}
        for name, (program, ready) in self.processes.items():
            program.kill()
            recoveries[name] = await self.first_success(load)
            await deferLater(reactor, 0.5, lambda: None)
            program.start()
            await self.until(ready, name)
        await deferLater(reactor, 1.0, lambda: None)
        await load.stop()
        print(f"\n{load.summary()}; until the next success: { {k: round(v, 3) for k, v in recoveries.items()} }")
        of_routers = {name: took for name, took in recoveries.items() if "worker" not in name}
        self.assertLess(sorted(of_routers.values())[len(of_routers) // 2], 0.3, recoveries)
        self.assertGreater(load.ended["SUCCESS"], 500)
        self.assertEqual(sum(load.ended.values()), load.commands)
        self.assertEqual(set(load.ended) - {"SUCCESS", "TIMEOUT", "NO_ROUTE", "OVERLOADED", "OUTCOME_TIMEOUT"}, set())
        self.assertEqual(load.unacknowledged, 0)
        self.check_trace(load)
        self.check_acts(load)
        for program, _ in self.processes.values():
            self.assertNotIn("Traceback", program.log)
            self.assertNotIn("Unhandled", program.log)
