"""An orderly end of an instance (protocol.md 5.2): nothing new comes, what is pending finishes."""

from __future__ import annotations

from contextlib import suppress
from typing import Final, TypeVar

import attrs
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.link import CLUSTER
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.link import ShosetLink
from gandalf.wire.control import STOPPING
from gandalf.wire.kinds import COMMAND

T = TypeVar("T")

PARTING: Final = 1.0
"""Seconds that connectors have to turn to our brothers and close, when nothing else keeps this instance: what they
sent before they heard our ``bye`` is carried as usual meanwhile."""


@attrs.frozen
class Drained:
    """What became of what was pending when the end began, and of the commands that still came."""

    commands: int
    commands_left: int
    events: int
    events_left: int

    def __str__(self) -> str:
        return (
            f"{self.commands - self.commands_left} of {self.commands} pending commands"
            f" and {self.events - self.events_left} of {self.events} events finished;"
            f" {self.commands_left} commands and {self.events_left} events were given up"
        )


class Ending:
    """Says ``bye`` to everybody, and waits.

    We go on sending after it: members are to give us no new commands, and get the answers to what they gave us and
    the events that connectors have sent; connectors get what members have sent.
    """

    def __init__(self, shoset: ShosetFactory, router: AggregatorRouter, clock: IReactorTime) -> None:
        self._shoset = shoset
        self._router = router
        self._clock = clock
        self._alone: Deferred[None] | None = None

    async def drain(self, within: float) -> Drained:
        """Done when nothing is pending and no connector is linked, after ``within`` seconds at the latest."""
        shoset, router = self._shoset, self._router
        end = self._clock.seconds() + within
        pending, events, came = router.pending, router.unsettled, router.counters[COMMAND]
        shoset.draining = True
        with shoset.batch:
            for link in shoset.registry:
                self.say_bye(link)
        await self._in_time(self._connectors_gone(), min(PARTING, within))
        await self._in_time(router.quiet(), end - self._clock.seconds())
        came = router.counters[COMMAND] - came
        return Drained(pending + came, router.pending, max(events, router.unsettled), router.unsettled)

    def say_bye(self, link: ShosetLink) -> None:
        """While it ends: ``link`` is there, or there again."""
        if link.type == CLUSTER:
            link.say_bye(STOPPING, "this instance stops", sends=True)
        else:
            link.say_bye("DRAINING", "this instance stops; use its brothers", sends=True)

    def link_down(self) -> None:
        """A connection is gone."""
        if self._alone is not None and not self._connected():
            alone, self._alone = self._alone, None
            alone.callback(None)

    def _connectors_gone(self) -> Deferred[None]:
        def forget(_: object) -> None:
            self._alone = None

        alone = self._alone = Deferred(forget)
        self.link_down()
        return alone

    def _connected(self) -> bool:
        return any(link.connected and link.type != CLUSTER for link in self._shoset.registry)

    async def _in_time(self, deferred: Deferred[T], seconds: float) -> None:
        deferred.addTimeout(max(seconds, 0.0), self._clock)
        with suppress(TimeoutError):
            await deferred
