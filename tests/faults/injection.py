"""Makes the faults of the schedule happen to the network."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread

from tests.faults.network import DATABASE, INSTANCES, Network
from tests.faults.pipe import Weather
from tests.faults.process import Process
from tests.faults.proxy import Pair
from tests.faults.schedule import Fault

FLAP_INTERVAL = 0.2
TAKES_PART_WITHIN = 8.0
"""Seconds that are waited for a program that was started; other faults may keep it from its work for longer."""

DRAINED_WITHIN = 20.0
"""Seconds in which a program that was told to end must have ended."""


class Missed(Exception):
    """There is nothing that a fault could befall."""


@attrs.define
class Done:
    """A fault that was injected; times in seconds of the monotonic clock.

    `until`: when the process ran again, or the links were let alone.
    """

    fault: Fault
    began: float
    until: float = 0.0


class Injector:
    """Injects faults, and remembers when.

    :param say: told each fault, for whoever watches.
    """

    def __init__(self, network: Network, reactor: Any, say: Callable[[str], object]) -> None:
        self.done: list[Done] = []
        self.whole: list[float] = []
        """When every link was seen to be there."""
        self.missed: list[Fault] = []
        """Faults that have met nothing: a link, say, of a process that was not there."""
        self.troubles: list[str] = []
        """What went wrong with the injecting itself, or with a program that did not end as it should."""
        self._network = network
        self._reactor = reactor
        self._say = say
        self._locks: defaultdict[str, DeferredLock] = defaultdict(DeferredLock)
        self._kinds: dict[str, Callable[[Fault], Any]] = {
            "kill member": self._kill,
            "kill instance": self._kill,
            "kill connector": self._kill,
            "stop member": self._stop,
            "stop instance": self._stop,
            "stop connector": self._stop,
            "drain member": self._drain,
            "drain instance": self._drain,
            "drain connector": self._drain,
            "drain over the API": self._drain_over_api,
            "kill all members without database": self._lose_both,
            "kill all members": self._kill,
            "kill all instances": self._kill,
            "restart database, fast": lambda fault: self._restart_database(fault, signal.SIGINT),
            "restart database, immediate": lambda fault: self._restart_database(fault, signal.SIGQUIT),
            "rotate password": self._rotate,
            "cut database": lambda fault: self._away(DATABASE, fault.duration),
            "cut link": self._each(lambda pair, fault: pair.cut()),
            "reset link": self._each(lambda pair, fault: pair.reset()),
            "half-close link": self._each(lambda pair, fault: pair.half_close(listener=fault.value < 0.5)),
            "half-open link": self._each(_forget),
            "black hole": self._weather(lambda value: Weather(hold=True)),
            "delay": self._weather(lambda value: Weather(delay=0.02 + value * 0.5)),
            "throttle": self._weather(lambda value: Weather(rate=4_000 + value * 60_000)),
            "byte by byte": self._weather(lambda value: Weather(rate=10 ** (3.3 * value), piece=1)),
            "reorder chunks": self._weather(lambda value: Weather(shuffle=0.005 + value * 0.1)),
            "flap": self._flap,
            "cut process": self._each(lambda pair, fault: pair.cut()),
            "flap process": self._flap,
            "refuse": lambda fault: self._away(fault.subject, fault.duration),
            "disconnect over the API": self._disconnect,
        }

    async def inject(self, fault: Fault) -> None:
        """Do it, and return when it is over. What it is to befall may still be busy with the one before."""
        async with self._locks[fault.alone]:
            await self._inject(fault)

    async def _inject(self, fault: Fault) -> None:
        done = Done(fault, time.monotonic())
        self.done.append(done)
        self._say(f"{fault.kind}: {fault.subject} for {fault.duration:.1f} s")
        try:
            await self._kinds[fault.kind](fault)
        except Missed:
            self._say(f"{fault.kind}: {fault.subject} is not there")
            self.done.remove(done)
            self.missed.append(fault)
        except Exception as error:
            self.troubles.append(f"{fault.kind} of {fault.subject}: {type(error).__name__}: {error}")
        done.until = time.monotonic()

    # Processes.

    def _processes(self, subject: str) -> list[Process]:
        """A process, or all of a role that may be ended."""
        mortal = self._network.stage.mortal(subject)
        return [self._network.processes[name] for name in mortal or (subject,)]

    async def _kill(self, fault: Fault) -> None:
        processes = self._processes(fault.subject)
        for process in processes:
            process.kill()
        await self._wait(fault.duration)
        await self._start(processes)

    async def _start(self, processes: list[Process]) -> None:
        """Start them again. Their roles are left in peace until they take part again, so that there are brothers."""
        for process in processes:
            process.start()
        deadline = time.monotonic() + TAKES_PART_WITHIN
        while time.monotonic() < deadline:
            if not await deferToThread(self.trouble):
                return
            await self._wait(0.1)

    def trouble(self) -> str:
        """What is not as it should be when nothing is broken; "" when all is, which is remembered. Blocks."""
        # Who ends while one after the other is asked may have been asked before.
        now = time.monotonic()
        trouble = self._network.whole()
        if not trouble:
            self.whole.append(now)
        return trouble

    async def _stop(self, fault: Fault) -> None:
        (process,) = self._processes(fault.subject)
        process.send(signal.SIGSTOP)
        await self._wait(fault.duration)
        process.send(signal.SIGCONT)

    async def _drain(self, fault: Fault) -> None:
        (process,) = self._processes(fault.subject)
        process.ask("SIGTERM", signal.SIGTERM)
        await self._ended(process)

    async def _drain_over_api(self, fault: Fault) -> None:
        """As an operator would; by SIGTERM where nobody can log in, because the database is away."""
        (process,) = self._processes(fault.subject)
        process.asked("API")
        if not await deferToThread(self._network.drain, fault.subject):
            process.send(signal.SIGTERM)
        await self._ended(process)

    async def _ended(self, process: Process) -> None:
        """Start it again when it has finished."""
        deadline = time.monotonic() + DRAINED_WITHIN
        while process.running:
            if time.monotonic() > deadline:
                self.troubles.append(f"{process.name} did not end within {DRAINED_WITHIN:.0f} s, told to drain")
                process.kill()
            await self._wait(0.05)
        await self._start([process])

    # The database.

    async def _restart_database(self, fault: Fault, how: signal.Signals) -> None:
        database = self._network.database
        await deferToThread(database.stop, how)
        await self._wait(fault.duration)
        await deferToThread(database.start)

    async def _lose_both(self, fault: Fault) -> None:
        """What the members have not recorded yet dies with them."""
        processes = self._processes(fault.subject)
        proxy = self._network.proxies[DATABASE]
        proxy.cut_off()
        await self._wait(fault.duration / 2)
        for process in processes:
            process.kill()
        await self._wait(fault.duration / 2)
        proxy.refuse(False)
        await self._start(processes)

    async def _rotate(self, fault: Fault) -> None:
        tenants = list(INSTANCES)
        tenant = tenants[int(fault.value * len(tenants))]
        await deferToThread(self._network.database.rotate, tenant)

    # Links.

    def _each(self, action: Callable[[Pair, Fault], object]) -> Callable[[Fault], Any]:
        async def inject(fault: Fault) -> None:
            pairs = self._pairs(fault.subject)
            for pair in pairs:
                action(pair, fault)
            await self._wait(fault.duration)
            self._met(bool(pairs))

        return inject

    def _weather(self, make: Callable[[float], Weather]) -> Callable[[Fault], Any]:
        async def inject(fault: Fault) -> None:
            dialler, _, listener = fault.subject.partition(">")
            # Who has not said yet who it is has no bad weather; it says so with its first frame.
            entry = (lambda one, other: (one, other) == (dialler, listener)), make(fault.value)
            self._network.weather.append(entry)
            self._network.weather_changed()
            before = self._pairs(fault.subject)
            await self._wait(fault.duration)
            self._network.weather.remove(entry)
            self._network.weather_changed()
            self._met(bool(before or self._pairs(fault.subject)))

        return inject

    async def _flap(self, fault: Fault) -> None:
        met = False

        def cut() -> None:
            nonlocal met
            for pair in self._pairs(fault.subject):
                met = True
                pair.reset() if fault.value < 0.5 else pair.cut()

        loop = LoopingCall(cut)
        loop.clock = self._reactor
        loop.start(FLAP_INTERVAL)
        await self._wait(fault.duration)
        loop.stop()
        self._met(met)

    async def _disconnect(self, fault: Fault) -> None:
        """An operator ends one of an instance's connections, if the instance can be asked."""
        self._met(await deferToThread(self._network.disconnect, fault.subject, fault.value))

    async def _away(self, listener: str, seconds: float) -> None:
        """Its links are cut, and it cannot be dialled."""
        proxy = self._network.proxies[listener]
        proxy.cut_off()
        await self._wait(seconds)
        proxy.refuse(False)

    @staticmethod
    def _met(something: bool) -> None:
        """A fault is over; it counts if there was something that it has befallen."""
        if not something:
            raise Missed

    def _pairs(self, subject: str) -> list[Pair]:
        """The connections of a link "dialler>listener", or all of a process."""
        dialler, arrow, listener = subject.partition(">")
        if arrow:
            return [pair for pair in self._network.proxies[listener].pairs if pair.dialler == dialler]
        proxies = self._network.proxies.values()
        return [pair for proxy in proxies for pair in proxy.pairs if subject in (pair.dialler, proxy.listener)]

    def _wait(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds)


def _forget(pair: Pair, fault: Fault) -> None:
    pair.forget(dialler=fault.value < 0.5, after=fault.duration)
