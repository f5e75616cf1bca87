"""Listening that is resumed, from the trace of a real server."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from gandalf.aggregator import replay as replaying
from gandalf.aggregator.event_queue import Event
from gandalf.aggregator.events import Events
from gandalf.aggregator.local import LocalOrigin
from gandalf.aggregator.replay import PAGE, Replays
from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.link import CLUSTER
from gandalf.routing.testing import TENANT, FakeLink, FakeLinks, FrameMaker
from gandalf.store.database import Database
from gandalf.store.trace import TraceRecord, append_txn
from gandalf.wire.envelope import Frame

from . import postgres

reactor: Any = global_reactor


class ReplayTests(TestCase):
    """`Replays` with a database in threads."""

    timeout = 60

    def setUp(self) -> None:
        self.database = Database(postgres.create_tenant_tables(), reactor=reactor)
        self.addCleanup(self.database.close)
        self.make = FrameMaker("git1")
        self.member = FakeLink(CLUSTER, "cluster")
        clock = Clock()
        self.router = AggregatorRouter(
            TENANT,
            FakeLinks(self.member),
            self.make,
            clock=clock,
            now=clock.seconds,
            max_timeout=10.0,
            duplicate_window=10_000,
            database=lambda frame: None,
        )
        self.events = Events(self.router, LocalOrigin("aggregator1", TENANT, 1 << 20), self.make, now=clock.seconds)

    async def record(self, *frames: Frame) -> None:
        """Put events into the trace, a millisecond apart."""
        records = [
            TraceRecord(frame.uuid, "evt", "a.b", payload=b"\xff", received_at=number)
            for number, frame in enumerate(frames, 1)
        ]
        await self.database.run("record", append_txn, records)

    async def test_pages_then_live(self) -> None:
        """More than two pages of the trace and what passes meanwhile come in order, each once."""
        self.patch(replaying, "LATE", 0.1)
        frames = [self.make.event() for _ in range(PAGE * 2 + 10)]
        await self.record(*frames)
        received: list[Event] = []
        all_received: Deferred[None] = Deferred()
        live = [self.make.event() for _ in range(3)]

        def receive(event: Event) -> None:
            received.append(event)
            if len(received) == len(frames) - 1 + len(live):
                all_received.callback(None)

        replay = await Replays(self.events, lambda: self.database, reactor).resume(
            ["a.*"], frames[0].uuid, receive, room=lambda: succeed(None), failed=all_received.errback
        )
        for frame in live:
            self.router.route(frame, self.member)
        await all_received
        self.assertEqual([event.uuid for event in received], [frame.uuid for frame in (*frames[1:], *live)])
        self.assertEqual(received[0].payload, b"\xff")
        await deferLater(reactor, 0.5)  # the last look finds nothing more
        self.assertEqual(len(received), len(frames) - 1 + len(live))
        replay.close()
        self.assertEqual(self.router.taps, [])

    async def test_closed_while_the_database_works(self) -> None:
        """Nothing is received afterwards, and nothing is left behind."""
        frames = [self.make.event() for _ in range(3)]
        await self.record(*frames)
        received: list[Event] = []
        replay = await Replays(self.events, lambda: self.database, reactor).resume(
            [">"], frames[0].uuid, received.append, room=lambda: succeed(None), failed=self.fail
        )
        await deferLater(reactor, 0)  # the page is being read
        replay.close()
        await self.database.check()
        self.assertEqual((received, self.router.taps), ([], []))
