"""Which faults happen when: drawn from a seed, the same each time."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Final

import attrs

PROCESS, ROLE, LINK, LISTENER, DATABASE = "process", "role", "link", "listener", "database"

GRACE: Final = 4.0
"""Seconds after a process's fault in which none of its role gets another: it starts, or catches up."""


@attrs.frozen
class Fault:
    """One fault: from second `at` of the run for `duration` seconds.

    `alone`: what has one fault at a time, this one: the processes of a role, a link, a listener, the database.
    `subject`: a process, a role whose processes are all meant, a link "dialler>listener", a process that listens, or
    "database". `value`: a random number from 0 to 1, for what else there is to choose.
    """

    at: float
    kind: str
    subject: str
    duration: float
    value: float
    alone: str

    @property
    def until(self) -> float:
        """When it is over."""
        return self.at + self.duration


@attrs.frozen
class _Kind:
    name: str
    scope: str
    shortest: float
    longest: float
    roles: tuple[str, ...] = ("member", "instance")
    """Of the process."""


KINDS: Final = (
    _Kind("kill member", PROCESS, 0.0, 2.0, ("member",)),
    _Kind("kill instance", PROCESS, 0.0, 2.0, ("instance",)),
    _Kind("kill connector", PROCESS, 0.0, 2.0, ("connector",)),
    _Kind("stop member", PROCESS, 0.3, 5.0, ("member",)),
    _Kind("stop instance", PROCESS, 0.3, 5.0, ("instance",)),
    _Kind("stop connector", PROCESS, 0.3, 5.0, ("connector",)),
    _Kind("drain member", PROCESS, 2.0, 4.0, ("member",)),
    _Kind("drain instance", PROCESS, 2.0, 4.0, ("instance",)),
    _Kind("drain connector", PROCESS, 2.0, 4.0, ("connector",)),
    _Kind("drain over the API", PROCESS, 2.0, 4.0, ("instance",)),
    _Kind("kill all members", ROLE, 0.0, 1.0, ("member",)),
    _Kind("kill all members without database", ROLE, 0.5, 1.5, ("member",)),
    _Kind("kill all instances", ROLE, 0.0, 1.0, ("instance",)),
    _Kind("restart database, fast", DATABASE, 0.2, 2.0),
    _Kind("restart database, immediate", DATABASE, 0.2, 2.0),
    _Kind("rotate password", DATABASE, 0.5, 0.5),
    _Kind("cut database", DATABASE, 0.2, 1.5),
    _Kind("cut link", LINK, 0.1, 0.1),
    _Kind("reset link", LINK, 0.1, 0.1),
    _Kind("half-close link", LINK, 0.1, 0.1),
    _Kind("half-open link", LINK, 1.0, 6.0),
    _Kind("black hole", LINK, 0.5, 5.0),
    _Kind("delay", LINK, 1.0, 5.0),
    _Kind("throttle", LINK, 1.0, 4.0),
    _Kind("byte by byte", LINK, 0.5, 3.0),
    _Kind("reorder chunks", LINK, 1.0, 6.0),
    _Kind("flap", LINK, 1.0, 4.0),
    _Kind("cut process", LISTENER, 0.1, 0.1),
    _Kind("flap process", LISTENER, 1.0, 3.0),
    _Kind("refuse", LISTENER, 0.5, 3.0),
    _Kind("disconnect over the API", LISTENER, 0.1, 0.1, ("instance",)),
)
"""All faults there are."""

NAMES: Final = tuple(kind.name for kind in KINDS)


@attrs.frozen
class Stage:
    """What there is to be broken: processes by role, links, and listeners with a proxy."""

    members: tuple[str, ...]
    instances: tuple[str, ...]
    connectors: tuple[str, ...]
    links: tuple[str, ...]
    spared: tuple[str, ...] = ()
    """Processes that are never ended, though all else befalls them: their memory can be watched for long."""

    def processes(self, role: str) -> tuple[str, ...]:
        """Those of a role; none of what is no role."""
        return {"member": self.members, "instance": self.instances, "connector": self.connectors}.get(role, ())

    def mortal(self, role: str) -> tuple[str, ...]:
        """Those of a role that may be ended."""
        return tuple(name for name in self.processes(role) if name not in self.spared)


def plan(seed: int, seconds: float, pause: float, stage: Stage) -> list[Fault]:
    """The faults of a run of so many seconds, one every `pause` seconds on the average; all are over at its end.

    Kinds come in turns, in a random order each time. Of processes of one role only one is broken at a time, so that
    there is a brother, unless all of a role are killed at once; of links as many as it happens.
    """
    dice = random.Random(seed)
    kinds = _turns(dice)
    free: dict[str, float] = {}
    faults = []
    now = dice.uniform(0, pause)
    while now < seconds - 1:
        kind = next(kinds)
        duration = min(dice.uniform(kind.shortest, kind.longest), seconds - now)
        subject = _subject(kind, stage, dice.choice)
        lock = _lock(kind, subject)
        at = max(now, free.get(lock, 0.0))
        value = dice.random()
        if at + duration <= seconds:
            faults.append(Fault(round(at, 3), kind.name, subject, round(duration, 3), round(value, 4), lock))
            free[lock] = at + duration + (GRACE if kind.scope in (PROCESS, ROLE) else 0.0)
        now += dice.uniform(0.5, 1.5) * pause
    return sorted(faults, key=lambda fault: fault.at)


def _turns(dice: random.Random) -> Iterator[_Kind]:
    return itertools.chain.from_iterable(dice.sample(KINDS, len(KINDS)) for _ in itertools.count())


def _subject(kind: _Kind, stage: Stage, choose: Callable[[tuple[str, ...]], str]) -> str:
    if kind.scope == ROLE:
        return kind.roles[0]
    if kind.scope == LINK:
        return choose(stage.links)
    if kind.scope == DATABASE:
        return "database"
    ends = kind.scope == PROCESS and not kind.name.startswith("stop")
    among = stage.mortal if ends else stage.processes
    return choose(tuple(name for role in kind.roles for name in among(role)))


def _lock(kind: _Kind, subject: str) -> str:
    return kind.roles[0] if kind.scope in (PROCESS, ROLE) else subject
