"""Presence on a real server."""

from __future__ import annotations

import time

from twisted.trial.unittest import TestCase

from gandalf.cluster.brothers import LIVE, announce_txn
from gandalf.store import presence
from gandalf.store.migrate import migrate
from gandalf.store.presence import AggregatorInstance, Member
from gandalf.store.times import database_time_txn

from . import postgres


class PresenceTests(TestCase):
    """Members and aggregator instances come, stay and go."""

    def setUp(self) -> None:
        dsn = postgres.create_database()
        migrate(dsn, "cluster")
        transaction = postgres.transaction(dsn)
        self.connection = transaction.__enter__()
        self.addCleanup(transaction.__exit__, None, None, None)

    def test_members(self) -> None:
        """Who was seen lately is alive, at the address said last; who has left is not."""
        see = presence.member_seen_txn
        see(self.connection, "aa", "cluster", "h:1", now=100)
        see(self.connection, "bb", "cluster", "h:2", now=200)
        see(self.connection, "aa", "cluster", "h:3", now=300)
        both = [Member("bb", "cluster", "h:2", 200), Member("aa", "cluster", "h:3", 300)]
        self.assertEqual(presence.live_members_txn(self.connection, 200), both)
        self.assertEqual(presence.live_members_txn(self.connection, 201), both[1:])
        presence.member_gone_txn(self.connection, "aa")
        presence.member_gone_txn(self.connection, "aa")
        self.assertEqual(presence.live_members_txn(self.connection, 0), both[:1])

    def test_aggregators(self) -> None:
        """Instances are told apart by tenant, name and address."""
        see = presence.aggregator_seen_txn
        see(self.connection, "t1", "agg", "h:2", now=100)
        see(self.connection, "t1", "agg", "h:1", now=200)
        see(self.connection, "t2", "agg", "h:1", now=300)
        one, two = AggregatorInstance("t1", "agg", "h:1", 200), AggregatorInstance("t1", "agg", "h:2", 100)
        other = AggregatorInstance("t2", "agg", "h:1", 300)
        live = presence.live_aggregators_txn
        self.assertEqual(live(self.connection, 0), [one, two, other])
        self.assertEqual(live(self.connection, 0, "t1"), [one, two])
        self.assertEqual(live(self.connection, 150), [one, other])
        presence.aggregator_gone_txn(self.connection, "t1", "agg", "h:1")
        self.assertEqual(live(self.connection, 0), [two, other])

    def test_an_older_sight_does_not_set_it_back(self) -> None:
        """Members' clocks differ: the latest time counts, whatever the order."""
        for now in (300, 200):
            presence.member_seen_txn(self.connection, "aa", "cluster", "h:1", now=now)
            presence.aggregator_seen_txn(self.connection, "t", "agg", "h:1", now=now)
        self.assertEqual(presence.live_members_txn(self.connection, 0)[0].last_seen, 300)
        self.assertEqual(presence.live_aggregators_txn(self.connection, 0)[0].last_seen, 300)

    def test_forgotten(self) -> None:
        """Who was last seen long ago is removed."""
        presence.member_seen_txn(self.connection, "aa", "cluster", "h:1", now=100)
        presence.member_seen_txn(self.connection, "bb", "cluster", "h:2", now=200)
        presence.aggregator_seen_txn(self.connection, "t", "agg", "h:1", now=100)
        presence.forget_txn(self.connection, 200)
        self.assertEqual([each.instance for each in presence.live_members_txn(self.connection, 0)], ["bb"])
        self.assertEqual(presence.live_aggregators_txn(self.connection, 0), [])

    def test_announced_by_the_databases_clock(self) -> None:
        """Two members see each other whatever their own clocks say; one that has not been seen for long is gone."""
        began = database_time_txn(self.connection)
        presence.member_seen_txn(self.connection, "cc", "cluster", "h:3", now=began - LIVE - 1)
        one, other = (Member(name, "cluster", f"h:{name}", 0) for name in ("aa", "bb"))
        announce_txn(self.connection, one, [("t", "agg", "h:9")])
        alive = announce_txn(self.connection, other, [])
        self.assertEqual([member.instance for member in alive.members], ["aa", "bb"])
        self.assertEqual([each.address for each in alive.aggregators], ["h:9"])
        seen = [each.last_seen for each in alive.members] + [each.last_seen for each in alive.aggregators]
        self.assertTrue(began <= min(seen) <= max(seen) <= database_time_txn(self.connection))
        self.assertLess(abs(began / 1000 - time.time()), 60)
