"""Members know each other by the control database, and tell who dials them whom else to dial (protocol.md 5.2, 9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import attrs
from sqlalchemy import Connection

from gandalf.routing.link import AGGREGATOR
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.link import ShosetLink
from gandalf.store.database import Database
from gandalf.store.presence import (
    AggregatorInstance,
    Member,
    aggregator_seen_txn,
    forget_txn,
    live_aggregators_txn,
    live_members_txn,
    member_gone_txn,
    member_seen_txn,
)
from gandalf.store.times import database_time_txn

INTERVAL: Final = 2.0
"""Seconds between two announcements."""

LIVE: Final = 15_000
"""ms since its last announcement for which a process is taken to be alive."""

FORGOTTEN: Final = 24 * 3600 * 1000
"""ms after which nothing is left of a process that never said that it leaves."""


@attrs.frozen
class Announced:
    """Who is alive."""

    members: tuple[Member, ...]
    aggregators: tuple[AggregatorInstance, ...]


def announce_txn(connection: Connection, me: Member, linked: Iterable[tuple[str, str, str]]) -> Announced:
    """Say that ``me`` is alive, and the aggregator instances ``linked`` (tenant, logical name, address).

    By the database's clock: that of each member may be hours wrong, and nobody must seem dead for that.
    """
    now = database_time_txn(connection)
    member_seen_txn(connection, me.instance, me.logical_name, me.address, now=now)
    # In order, so that two members do not wait for each other.
    for tenant, logical_name, address in sorted(linked):
        aggregator_seen_txn(connection, tenant, logical_name, address, now=now)
    forget_txn(connection, now - FORGOTTEN)
    since = now - LIVE
    return Announced(tuple(live_members_txn(connection, since)), tuple(live_aggregators_txn(connection, since)))


class Brothers:
    """Announces this member and the aggregators linked to it, and passes on who else is there."""

    def __init__(self, control: Database, shoset: ShosetFactory) -> None:
        self._control = control
        self._shoset = shoset
        self._aggregators: dict[tuple[str, str], tuple[str, ...]] | None = None
        """None: nobody has been asked yet."""
        self._told: dict[ShosetLink, tuple[str, ...]] = {}

    async def announce(self) -> None:
        """Once; raises as `Database.run`."""
        identity = self._shoset.identity
        me = Member(identity.instance.hex(), identity.logical_name, identity.bind_address, 0)
        linked = {
            (link.tenant, link.logical_name, link.bind_address)
            for link in self._links()
            if link.validated and link.bind_address
        }
        alive = await self._control.run("announce a member", announce_txn, me, linked)
        self._shoset.set_brothers(
            tuple(
                dict.fromkeys(
                    member.address
                    for member in alive.members
                    if member.logical_name == me.logical_name and member.address != me.address
                )
            )
        )
        aggregators: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for each in alive.aggregators:
            aggregators[each.tenant, each.logical_name].append(each.address)
        self._aggregators = {key: tuple(addresses) for key, addresses in aggregators.items()}
        for link in self._links():
            if link.validated:
                self._tell(link)

    async def leave(self) -> None:
        """This member is alive no more; raises as `Database.run`."""
        await self._control.run("a member leaves", member_gone_txn, self._shoset.identity.instance.hex())

    def link_up(self, link: ShosetLink) -> None:
        """A new connection has heard nothing yet."""
        self._told.pop(link, None)
        if link.validated:
            self._tell(link)

    def link_gone(self, link: ShosetLink) -> None:
        """Nothing is to be told there any more."""
        self._told.pop(link, None)

    def _tell(self, link: ShosetLink) -> None:
        if self._aggregators is None:
            return
        known = self._aggregators.get((link.tenant, link.logical_name), ())
        addresses = tuple(address for address in known if address != link.bind_address)
        # Over a new connection also that there are none: the peer may know of some that went meanwhile.
        if addresses != self._told.get(link):
            self._told[link] = addresses
            self._shoset.tell_brothers(link, link.logical_name, addresses)

    def _links(self) -> list[ShosetLink]:
        return [link for link in self._shoset.registry.of_type(AGGREGATOR) if link.connected]
