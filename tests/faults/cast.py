"""Who takes part in the load, and what is due to whom: known to those who make it and to those who check it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import attrs

ALL, SOME, AIMED, DIRECT = 0, 1, 2, 3
"""Streams of events: to everybody; to those who named its topic; to one; and from `DIRECT` on, to everybody by way of
the instance `stream - DIRECT`, which only a :mod:`tests.faults.peers` does."""

TOPICS: Final = {ALL: "all.load", SOME: "some.load", AIMED: "aimed.load"}
DIRECT_TOPIC: Final = "all.direct"
PIVOT: Final = "work"
COMMAND: Final = "WORK"

_LIFE_BITS: Final = 16


@attrs.frozen
class Player:
    """A connector. `peer`: one of :mod:`tests.faults.peers`, else one that is written with the connector library."""

    index: int
    name: str
    tenant: str
    process: str
    peer: bool = False

    def who(self, life: int) -> int:
        """This connector in the life number `life` of its process."""
        return self.index << _LIFE_BITS | life


def player_of(who: int) -> int:
    """The index of the connector that is `who`."""
    return who >> _LIFE_BITS


@attrs.frozen
class Cast:
    """All connectors, how much each of them does, and where the instances of each tenant are dialled.

    :param events: a second, from each connector.
    :param commands: a second, from each that is written with the library.
    """

    players: tuple[Player, ...]
    events: float
    commands: float
    instances: dict[str, tuple[str, ...]]

    def others(self, player: Player) -> list[Player]:
        """The other connectors of the tenant."""
        return [other for other in self.players if other.tenant == player.tenant and other.index != player.index]

    def workers(self, player: Player) -> list[Player]:
        """Those of the tenant that carry out commands."""
        return [other for other in self.players if other.tenant == player.tenant and not other.peer]

    def aim(self, player: Player, number: int) -> Player:
        """Whom the event `number` of the stream `AIMED` of `player` is for."""
        others = self.others(player)
        return others[number % len(others)]

    def target(self, player: Player, number: int) -> Player | None:
        """Who is to carry out the command `number` of `player`; None: whoever can."""
        workers = self.workers(player)
        return workers[number // 2 % len(workers)] if number % 2 else None

    def due(self, sender: int, stream: int, number: int, receiver: int) -> bool:
        """Whether an event of the connector `sender` is for the connector `receiver`; both are indices."""
        one, other = self.players[sender], self.players[receiver]
        if one.tenant != other.tenant or sender == receiver:
            return False
        if stream == SOME:
            return wants_some(receiver)
        return stream != AIMED or self.aim(one, number).index == receiver

    def save(self, path: Path) -> None:
        """For the load programs."""
        path.write_text(json.dumps(attrs.asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Cast:
        """What was saved."""
        values = json.loads(path.read_text())
        return cls(
            tuple(Player(**player) for player in values["players"]),
            values["events"],
            values["commands"],
            {tenant: tuple(addresses) for tenant, addresses in values["instances"].items()},
        )


def wants_some(index: int) -> bool:
    """Whether the connector of this index names the topic of the stream `SOME`."""
    return index % 2 == 0


def topics(index: int) -> list[str]:
    """What the connector of this index asks for."""
    return ["all.*", "some.*"] if wants_some(index) else ["all.*"]


def key(who: int, stream: int, number: int) -> str:
    """How an event is called: its place in the history."""
    return f"{who}.{stream}.{number}"


def read_key(text: str) -> tuple[int, int, int] | None:
    """Sender, stream and number of an event; None: nobody of the laboratory has made it."""
    try:
        who, stream, number = text.split(".")
        return int(who), int(stream), int(number)
    except ValueError:
        return None
