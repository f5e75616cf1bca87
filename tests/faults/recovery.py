"""How long after the loss of a process commands succeeded again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import attrs

from tests.faults.cast import Cast, player_of
from tests.faults.history import History
from tests.faults.records import CODES

WITHIN: Final = 60.0
"""Seconds after which nothing is recovery any more: no success within them counts as so many."""


@attrs.frozen
class Recovery:
    """After the end of `process` at `time`: seconds until the first command that was sent afterwards succeeded, and
    until one had at every connector of the tenant."""

    process: str
    time: float
    first: float
    every: float


def recoveries(history: History, cast: Cast, ends: Sequence[tuple[str, float, str]]) -> list[Recovery]:
    """Of each end (process, time, the tenant whose commands are looked at). One that nothing followed is left out;
    a sender that has gone on for longer than `WITHIN` in vain counts with that."""
    senders = [
        (cast.players[player_of(who)].tenant, [commands[number] for number in sorted(commands)])
        for who, commands in history.commands.items()
    ]
    found = []
    for process, time, tenant in ends:
        firsts = []
        for whose, commands in senders:
            begin = bisect_left(commands, time, key=lambda sent: sent.time)
            # A life that began later says nothing of this.
            if whose != tenant or not begin:
                continue
            until = bisect_left(commands, time + WITHIN, key=lambda sent: sent.time)
            succeeded = [
                sent.ended - time for sent in commands[begin:until] if sent.ends and CODES[sent.code] == "SUCCESS"
            ]
            if succeeded:
                firsts.append(min(succeeded))
            elif until < len(commands):
                firsts.append(WITHIN)
        if firsts:
            found.append(Recovery(process, time, min(firsts), max(firsts)))
    return found


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
