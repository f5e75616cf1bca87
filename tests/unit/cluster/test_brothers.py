"""Announcing a member, and telling who dials it whom else to dial."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cluster.brothers import Announced, Brothers, announce_txn
from gandalf.routing.link import AGGREGATOR, CLUSTER
from gandalf.routing.testing import TENANT, FakeLink
from gandalf.shoset.settings import Identity
from gandalf.store.errors import DatabaseUnavailable
from gandalf.store.presence import AggregatorInstance, Member
from gandalf.store.testing import FakeDatabase

INSTANCE = b"\1" * 16


class FakeRegistry:
    """The links of a shoset."""

    def __init__(self) -> None:
        self.links: list[FakeLink] = []

    def of_type(self, type: str) -> list[FakeLink]:
        """Those of one type."""
        return [link for link in self.links if link.type == type]


@attrs.define
class FakeShoset:
    """What is told to whom."""

    identity: Identity
    registry: FakeRegistry = attrs.field(factory=FakeRegistry)
    brothers: list[tuple[str, ...]] = attrs.field(factory=list)
    told: list[tuple[FakeLink, str, tuple[str, ...]]] = attrs.field(factory=list)

    def set_brothers(self, addresses: tuple[str, ...]) -> None:
        """The other members are these."""
        self.brothers.append(addresses)

    def tell_brothers(self, link: FakeLink, logical_name: str, addresses: tuple[str, ...]) -> None:
        """A link is told the addresses of a logical name."""
        self.told.append((link, logical_name, addresses))


class BrothersTest(SynchronousTestCase):
    """One announcement, and what follows from its answer."""

    def setUp(self) -> None:
        self.database = FakeDatabase()
        self.shoset = FakeShoset(Identity("cluster1", CLUSTER, "gandalf", INSTANCE, "h:1"))
        control: Any = self.database
        shoset: Any = self.shoset
        self.brothers = Brothers(control, shoset)
        self.link = self.add("aggregator1", "a:1")

    def add(self, name: str, address: str, tenant: str = TENANT, **more: Any) -> FakeLink:
        """A linked aggregator."""
        link: Any = FakeLink(AGGREGATOR, name, tenant=tenant, **more)
        link.bind_address = address
        self.shoset.registry.links.append(link)
        added: FakeLink = link
        return added

    def announce(
        self, members: tuple[tuple[str, str, str], ...] = (), aggregators: tuple[tuple[str, str, str], ...] = ()
    ) -> Any:
        """Announce once: these members and aggregators are alive. Returns what the database was asked."""
        done = ensureDeferred(self.brothers.announce())
        asked = self.database.asked.pop()
        asked.answer.callback(
            Announced(
                tuple(Member(*member, last_seen=0) for member in members),
                tuple(AggregatorInstance(*each, last_seen=0) for each in aggregators),
            )
        )
        self.successResultOf(done)
        return asked

    def test_announced(self) -> None:
        """This member, and the validated aggregators that listen and are linked now."""
        self.add("aggregator2", "")
        self.add("aggregator3", "a:3", validated=False)
        self.add("aggregator4", "a:4").disconnect()
        asked = self.announce()
        self.assertIs(asked.txn, announce_txn)
        self.assertEqual(asked.args, (Member(INSTANCE.hex(), "cluster1", "h:1", 0), {(TENANT, "aggregator1", "a:1")}))
        # No time of ours: members' clocks may differ.
        self.assertEqual(asked.kwargs, {})

    def test_members(self) -> None:
        """The others of this cluster's name are told; a process before at an address counts once, ours not."""
        self.announce(
            (("01" * 16, "cluster1", "h:1"), ("02", "cluster1", "h:2"), ("03", "cluster1", "h:2"), ("04", "x", "h:3"))
        )
        self.assertEqual(self.shoset.brothers, [("h:2",)])

    def test_aggregators(self) -> None:
        """An aggregator is told of the other instances of its name and tenant, and again when they change."""
        both = (
            (TENANT, "aggregator1", "a:1"),
            (TENANT, "aggregator1", "a:2"),
            (TENANT, "aggregator9", "a:9"),
            ("other", "aggregator1", "a:8"),
        )
        self.announce(aggregators=both)
        self.announce(aggregators=both)
        self.assertEqual(self.shoset.told, [(self.link, "aggregator1", ("a:2",))])
        self.announce(aggregators=both[:1])
        self.assertEqual(self.shoset.told[1:], [(self.link, "aggregator1", ())])

    def test_alone(self) -> None:
        """An aggregator that is not validated is told nothing; one that has no brothers hears it once: it may know of
        some that went while it was not linked."""
        self.link.validated = False
        self.announce(aggregators=((TENANT, "aggregator1", "a:2"),))
        self.assertEqual(self.shoset.told, [])
        self.link.validated = True
        for _ in range(2):
            self.announce(aggregators=((TENANT, "aggregator1", "a:1"),))
            self.assertEqual(self.shoset.told, [(self.link, "aggregator1", ())])

    def test_one_that_goes_while_a_link_is_down(self) -> None:
        """The connection that comes next is told that it is not there any more."""
        self.announce(aggregators=((TENANT, "aggregator1", "a:2"),))
        self.link.disconnect()
        self.announce()
        self.link.reconnect()
        link: Any = self.link
        self.brothers.link_up(link)
        self.assertEqual(self.shoset.told[1:], [(self.link, "aggregator1", ())])

    def test_nothing_is_known_yet(self) -> None:
        """Before the first announcement nobody is told that there are none."""
        link: Any = self.link
        self.brothers.link_up(link)
        self.assertEqual(self.shoset.told, [])

    def test_new_connection(self) -> None:
        """A link that is up again is told at once what is known."""
        self.announce(aggregators=((TENANT, "aggregator1", "a:2"),))
        link: Any = self.link
        self.brothers.link_up(link)
        self.assertEqual(self.shoset.told, [(self.link, "aggregator1", ("a:2",))] * 2)
        self.brothers.link_gone(link)
        self.link.validated = False
        self.brothers.link_up(link)
        self.assertEqual(len(self.shoset.told), 2)

    def test_database_away(self) -> None:
        """What was told stays as it was."""
        done: Deferred[None] = ensureDeferred(self.brothers.announce())
        self.database.asked.pop().answer.errback(DatabaseUnavailable("away"))
        self.failureResultOf(done, DatabaseUnavailable)
        self.assertEqual((self.shoset.brothers, self.shoset.told), ([], []))

    def test_leave(self) -> None:
        """The member is no longer announced."""
        done = ensureDeferred(self.brothers.leave())
        asked = self.database.asked.pop()
        self.assertEqual(asked.args, (INSTANCE.hex(),))
        asked.answer.callback(None)
        self.successResultOf(done)
