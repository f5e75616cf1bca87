"""One run: start the network, break it while load goes on, let it heal, and check what happened."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread

from tests.faults import report
from tests.faults.cast import read_key
from tests.faults.history import History, Span, traced
from tests.faults.injection import Injector
from tests.faults.invariants import Circumstances, check
from tests.faults.network import INSTANCES, MEMBERS, NORTH, Network
from tests.faults.records import Kind, last, read
from tests.faults.recovery import recoveries
from tests.faults.schedule import plan

SAMPLE_INTERVAL = 5.0
STARTS_WITHIN = 60.0

TOLD_AFTER = 5.0
"""Seconds after which is told what is waited for."""

BROTHER_THERE = 1.0
"""Seconds before and after a loss in which a brother must have been there, and nothing else broken down."""


@attrs.frozen
class Settings:
    """How a run is made.

    :param seconds: of faults.
    :param pause: seconds between two faults, on the average.
    :param events: a second, from each connector.
    :param commands: a second, from each connector that is written with the library.
    :param spared: processes that are never ended.
    :param heals_within: seconds after the last fault in which everything must be whole again.
    :param calm: seconds in which everything must succeed then.
    """

    seed: int
    seconds: float
    pause: float
    events: float
    commands: float
    spared: tuple[str, ...] = ()
    heals_within: float = 60.0
    calm: float = 2.0


class Laboratory:
    """Runs once.

    :param say: for whoever watches.
    """

    def __init__(self, settings: Settings, directory: Path, reactor: Any, say: Callable[[str], object]) -> None:
        self._settings = settings
        self._directory = directory
        self._reactor = reactor
        self._say = say
        self._not_healed = ""
        self._network = Network(
            directory,
            reactor,
            events=settings.events,
            commands=settings.commands,
            seed=settings.seed,
            spared=settings.spared,
        )
        self._injector = Injector(self._network, reactor, say)

    async def run(self) -> dict[str, Any]:
        """What the run has shown."""
        sampling = LoopingCall(self._sample)
        sampling.clock = self._reactor
        try:
            await self._start()
            sampling.start(SAMPLE_INTERVAL)
            began = time.monotonic()
            await self._break()
            healed = await self._heal()
            calm = time.monotonic()
            await self._wait(self._settings.calm)
            calm_ended = time.monotonic()
            await self._settle()
            ended = time.monotonic()
            self._say("settled")
            sampling.stop()
            await self._end_programs()
            self._say("all programs have ended")
            shown = await deferToThread(self._judge, (calm, calm_ended), ended)
            shown |= {"load seconds": calm_ended - began, "healed s": round(healed, 2)}
            return shown
        finally:
            if sampling.running:
                sampling.stop()
            self.kill()

    async def _start(self) -> None:
        network = self._network
        await deferToThread(network.prepare)
        self._say("the database is there")
        network.listen()
        await deferToThread(network.configure)
        self._say("the network is configured")
        for process in network.processes.values():
            process.start()
        await self._until(self._injector.trouble, STARTS_WITHIN, "the network does not start")
        if self._not_healed:
            raise RuntimeError(self._not_healed)
        self._say("the network is there")

    async def _break(self) -> None:
        """Every fault at its time; done when the last is over."""
        settings = self._settings
        faults = plan(settings.seed, settings.seconds, settings.pause, self._network.stage)
        injecting = []
        for fault in faults:
            injecting.append(deferLater(self._reactor, fault.at, ensureDeferred, self._injector.inject(fault)))
        await self._wait(settings.seconds)
        await DeferredList(injecting)

    async def _heal(self) -> float:
        """Seconds that it took."""
        began = time.monotonic()
        await self._until(self._injector.trouble, self._settings.heals_within, "not whole")
        healed = time.monotonic() - began
        self._say(f"whole again after {healed:.2f} s")
        return healed

    async def _settle(self) -> None:
        """No more load: all that is on its way must end."""
        (self._directory / "stop").touch()
        await self._until(self._working, self._settings.heals_within, "not settled")
        await self._until(self._network.pending, self._settings.heals_within, "not settled")
        await self._wait(0.5)

    def _working(self) -> str:
        """Who is not idle yet; "" when all are."""
        for player in self._network.cast.players:
            who = player.who(self._network.processes[player.process].life.number)
            if not self._idle(self._directory / f"{who}.history"):
                return f"{player.tenant}/{player.name} has something on its way"
        return ""

    def _idle(self, path: Path) -> bool:
        return any(record.kind == Kind.IDLE for record in last(path, 2000)) if path.exists() else False

    async def _until(self, trouble: Callable[[], str], within: float, what: str) -> None:
        """Wait until there is no trouble; what is left of it after so many seconds is remembered."""
        deadline = time.monotonic() + within
        before = ""
        while left := await deferToThread(trouble):
            if left != before and time.monotonic() > deadline - within + TOLD_AFTER:
                self._say(f"still {left}")
                before = left
            if time.monotonic() > deadline:
                self._not_healed = self._not_healed or f"{what} within {within:.0f} s: {left}"
                self._say(self._not_healed)
                return
            await self._wait(0.05)

    async def _end_programs(self) -> None:
        """Connectors, instances, members: each in good order."""
        processes = list(self._network.processes.values())
        for process in reversed(processes):
            process.ask("SIGTERM", signal.SIGTERM)
        deadline = time.monotonic() + 20
        while any(process.running for process in processes) and time.monotonic() < deadline:
            await self._wait(0.05)
        for process in processes:
            if process.running:
                self._injector.troubles.append(f"{process.name} did not end when told to")

    def kill(self) -> None:
        """Leave nothing running, whatever a thread or a fault is about to start; nor a socket after the reactor's
        next turn."""
        for process in self._network.processes.values():
            process.end()
        self._network.database.end()
        for proxy in self._network.proxies.values():
            proxy.cut_off()

    def break_off(self) -> Deferred[None]:
        """Somebody has enough of it."""
        self.kill()
        return self._wait(0)

    def _sample(self) -> None:
        for process in self._network.processes.values():
            process.sample()

    # What came of it.

    def _judge(self, calm: tuple[float, float], ended: float) -> dict[str, Any]:
        network = self._network
        history = History()
        for path in sorted(self._directory.glob("*.history")):
            history.add(read(path))
        trace = {
            tenant: traced(place for event in network.database.trace(tenant) if (place := read_key(event)))
            for tenant in INSTANCES
        }
        spans = self._spans(ended)
        given = Circumstances(network.cast, INSTANCES, MEMBERS, spans, ended, calm, self._injector.whole)
        findings = check(history, given, trace)
        recovered = recoveries(history, network.cast, self._losses(spans))
        return report.summary(
            history,
            findings,
            self._injector.done,
            recovered,
            list(network.processes.values()),
            {
                "seed": self._settings.seed,
                "seconds": self._settings.seconds,
                "alarms": report.alarms(sorted(self._directory.glob("*.log"))),
                "troubles": self._injector.troubles,
                "faults that met nothing": len(self._injector.missed),
                "not healed": self._not_healed,
            },
        )

    def _spans(self, ended: float) -> list[Span]:
        """The lives of all processes; who was there when all was settled has no end."""
        return [
            Span(
                process.name,
                life.began,
                life.ended if life.ended < ended else float("inf"),
                life.asked == "SIGKILL",
            )
            for process in self._network.processes.values()
            for life in process.lives
        ]

    def _losses(self, spans: list[Span]) -> list[tuple[str, float, str]]:
        """Members and instances that were killed while nothing else was wrong: their brothers were there."""
        found = []
        for brothers in (MEMBERS, INSTANCES[NORTH]):
            for span in spans:
                if span.process not in brothers or not span.killed or self._trouble_at(span.ended):
                    continue
                since, until = span.ended - BROTHER_THERE, span.ended + BROTHER_THERE
                if any(
                    other.process in brothers and other.began < since and until < other.ended
                    for other in spans
                    if other is not span
                ):
                    found.append((span.process, span.ended, NORTH))
        return found

    def _trouble_at(self, time: float) -> bool:
        """Whether another fault of a process or of the database was going on, or just over."""
        for done in self._injector.done:
            if done.began + 0.001 < time < done.until + BROTHER_THERE and done.fault.subject in _TAKEN_DOWN:
                return True
        return False

    def _wait(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds)


_TAKEN_DOWN = frozenset({*MEMBERS, *INSTANCES[NORTH], "member", "instance", "database"})
