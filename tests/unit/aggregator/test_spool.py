"""The spool: what it keeps when, in which order it sends, and what it does when the disk fails."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.aggregator import spool
from gandalf.routing.charge import Charge
from gandalf.routing.link import CLUSTER, CONNECTOR
from gandalf.routing.testing import FakeLink, FakeLinks, FrameMaker, run_of
from gandalf.store.spool import ROW_COST, SpoolError, SpoolUnusable
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame
from tests.unit.aggregator.spooling import Process


class SpoolCase(SynchronousTestCase):
    """A member that was linked once and went, and a connector."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gandalf-spool-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.clock = Clock()
        self.clock.advance(1e9)
        self.make = FrameMaker("git")
        self.process = self.started()

    def tearDown(self) -> None:
        self.process.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def started(self, **settings: Any) -> Process:
        """A process with these settings; all links are new."""
        self.member = FakeLink(CLUSTER, "cluster")
        self.connector, self.other = FakeLink(CONNECTOR, "git"), FakeLink(CONNECTOR, "flow")
        self.links = FakeLinks(self.connector, self.other)
        process = Process(self.directory, self.clock, self.links, **settings)
        process.start()
        return process

    def restart(self, **settings: Any) -> None:
        """SIGKILL, and another process."""
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.process.disk.close()
        self.process = self.started(**settings)

    def back(self) -> None:
        """A member is linked."""
        if self.member not in list(self.links):
            self.links.add(self.member)
        self.member.reconnect()
        self.process.router.link_up(self.member)

    def gone(self) -> None:
        """The member is no more."""
        self.member.disconnect()
        self.process.router.link_lost(self.member)

    def send(self, *frames: Frame, run: bool = False) -> list[Charge]:
        """From the connector."""
        if run:
            charges = [self.process.router.route_run(run_of(frames), self.connector)]
        else:
            charges = [self.process.router.route(frame, self.connector) for frame in frames]
        assert all(charges)
        return [charge for charge in charges if charge is not None]

    def events(self, count: int, **envelope: Any) -> list[Frame]:
        """So many."""
        return [self.make.event(**envelope) for _ in range(count)]

    def settled(self, charges: list[Charge]) -> list[bool]:
        """Which are."""
        return [charge.settled for charge in charges]

    @property
    def shown(self) -> dict[str, Any]:
        """For the operator."""
        return self.process.spool.describe()


class KeepingTests(SpoolCase):
    """What goes to the disk."""

    def test_acknowledged_once_it_is_written_and_not_before(self) -> None:
        """Also to the connectors that are here, at once."""
        frames = self.events(3)
        charges = self.send(*frames)
        self.assertEqual([frame.uuid for frame in self.other.take()], [frame.uuid for frame in frames])
        done, result = self.process.thread.work()
        self.assertEqual(self.settled(charges), [False] * 3)
        done.callback(result)
        self.process.thread.run()
        self.assertEqual(self.settled(charges), [True] * 3)
        self.assertEqual((self.shown["frames"], self.shown["kept"], self.shown["not_written"]), (3, 3, 0))
        self.assertEqual(self.shown["bytes"], sum(len(frame.raw) + ROW_COST for frame in frames))

    def test_what_comes_while_the_thread_is_busy_is_written_together(self) -> None:
        """One transaction for all of it."""
        self.send(*self.events(10))
        self.process.thread.run()
        self.assertEqual(self.process.disk.calls, ["open", "+1-0", "+9-0"])

    def test_gathered_for_an_interval(self) -> None:
        """Then written at once; what comes later waits for the next."""
        self.restart(interval=0.05)
        charges = self.send(*self.events(4))
        self.clock.advance(0.04)
        self.assertEqual(len(self.process.thread.jobs), 0)
        self.clock.advance(0.01)
        self.process.thread.run()
        self.assertEqual(self.settled(charges), [True] * 4)
        charges = self.send(*self.events(2))
        self.process.thread.run()
        self.assertEqual(self.settled(charges), [False] * 2)
        self.clock.advance(0.05)
        self.process.thread.run()
        self.assertEqual(self.process.disk.calls, ["open", "+4-0", "+2-0"])

    def test_nothing_is_written_while_the_cluster_is_there(self) -> None:
        """Events go to the member alone, and its acknowledgement is what counts."""
        self.back()
        charges = self.send(*self.events(5))
        self.process.thread.run()
        self.assertEqual(self.process.disk.calls, ["open"])
        self.assertEqual(self.settled(charges), [False] * 5)
        self.member.acknowledge()
        self.assertEqual(self.settled(charges), [True] * 5)
        self.assertFalse(self.connector.paused)

    def test_what_the_last_member_leaves_unacknowledged_is_written(self) -> None:
        """In order, and before what comes later; a member that stays is enough to keep it off the disk."""
        second = FakeLink(CLUSTER, "cluster", label="second")
        self.back()
        self.links.add(second)
        self.process.router.link_up(second)
        frames = self.events(4)
        charges = self.send(*frames[:3])
        self.member.acknowledge(1)
        self.gone()
        self.assertEqual(self.process.disk.calls, ["open"])
        second.disconnect()
        self.process.router.link_lost(second)
        charges += self.send(frames[3])
        self.process.thread.run()
        self.assertEqual(self.settled(charges), [True] * 4)
        self.assertEqual([row.raw for row in self.process.disk.read(0, 10, 10**6)], [f.raw for f in frames[1:]])

    def test_of_a_run_that_was_acknowledged_in_part_the_rest_is_written(self) -> None:
        """And nothing twice."""
        self.back()
        frames = self.events(6)
        (charge,) = self.send(*frames, run=True)
        self.member.acknowledge(2)
        self.gone()
        self.process.thread.run()
        self.assertTrue(charge.settled)
        self.assertEqual([row.raw for row in self.process.disk.read(0, 10, 10**6)], [f.raw for f in frames[2:]])

    def test_a_member_that_says_bye(self) -> None:
        """Is as good as gone: nothing new is sent to it."""
        self.back()
        self.member.available = False
        self.process.router.leaving(self.member, lambda: None)
        charges = self.send(*self.events(2))
        self.assertFalse(self.connector.paused)
        self.process.thread.run()
        self.assertEqual(self.settled(charges), [True] * 2)

    def test_a_connector_that_was_paused_is_read_again_when_the_cluster_leaves(self) -> None:
        """It waited for a congested member."""
        self.back()
        self.member.full = True
        self.send(*self.events(1))
        self.assertTrue(self.connector.paused)
        self.gone()
        self.assertFalse(self.connector.paused)


class BoundTests(SpoolCase):
    """How much is taken."""

    def test_at_max_bytes_the_connectors_are_not_read(self) -> None:
        """What came is not acknowledged, and follows when there is room; then they are read again."""
        frames = self.events(6)
        size = len(frames[0].raw) + ROW_COST
        self.restart(max_bytes=4 * size)
        charges = self.send(*frames)
        self.assertTrue(self.connector.paused)
        self.process.thread.run()
        self.assertEqual(self.settled(charges), [True] * 4 + [False] * 2)
        self.assertTrue(self.connector.paused)
        self.assertEqual(self.shown["bytes"], 4 * size)
        self.back()
        self.process.thread.run()
        self.member.acknowledge()
        self.process.thread.run()
        self.member.acknowledge()
        self.assertEqual([frame.uuid for frame in self.member.take()], [frame.uuid for frame in frames])
        self.assertEqual(self.settled(charges), [True] * 6)
        self.assertFalse(self.connector.paused)

    def test_what_waits_to_be_written_is_bounded(self) -> None:
        """The connectors are read again when half of it is written."""
        self.patch(spool, "BACKLOG", 4000)
        charges = []
        while not self.connector.paused:
            charges += self.send(self.make.event(event="x" * 500))
        self.assertIn(len(charges), range(6, 10))
        self.process.thread.run()
        self.assertFalse(self.connector.paused)


class SendingTests(SpoolCase):
    """When the cluster is back."""

    def test_after_a_restart_what_is_left_is_sent_first(self) -> None:
        """Then what comes, which does not overtake it; removed as it is acknowledged."""
        frames = self.events(5)
        self.send(*frames[:3])
        self.process.thread.run()
        self.restart()
        self.back()
        later = self.send(*frames[3:])
        self.assertEqual(self.member.take(), [])
        self.process.thread.run()
        self.assertEqual([frame.uuid for frame in self.member.take()], [frame.uuid for frame in frames])
        self.assertEqual((self.shown["frames"], self.shown["in_flight"]), (3, 3))
        self.member.acknowledge(2)
        self.process.thread.run()
        self.assertEqual(self.settled(later), [False, False])
        self.member.acknowledge()
        self.process.thread.run()
        self.assertEqual((self.shown["frames"], self.shown["bytes"], self.shown["sent"]), (0, 0, 3))
        self.assertEqual(self.settled(later), [True, True])
        self.restart()
        self.assertEqual(self.shown["frames"], 0)

    def test_not_acknowledged_it_stays(self) -> None:
        """And is sent once more by the next process."""
        frames = self.events(3)
        self.send(*frames)
        self.process.thread.run()
        self.back()
        self.process.thread.run()
        self.restart()
        self.back()
        self.process.thread.run()
        self.assertEqual([frame.uuid for frame in self.member.take()], [frame.uuid for frame in frames])

    def test_no_more_than_the_members_take(self) -> None:
        """Page by page, as they acknowledge."""
        self.patch(spool, "PAGE_FRAMES", 10)
        self.send(*self.events(35))
        self.process.thread.run()
        self.back()
        self.member.full = True
        self.process.thread.run()
        sent = len(self.member.take())
        self.assertLessEqual(sent, 10)
        self.member.full = False
        self.process.router.relieved()
        self.process.thread.run()
        self.assertEqual(sent + len(self.member.take()), 35)

    def test_no_more_than_may_be_in_flight(self) -> None:
        """The next page follows acknowledgements."""
        self.patch(spool, "PAGE_FRAMES", 10)
        self.patch(spool, "IN_FLIGHT_FRAMES", 20)
        self.patch(spool, "REMOVED_TOGETHER", 5)
        self.send(*self.events(35))
        self.process.thread.run()
        self.back()
        self.process.thread.run()
        self.assertEqual(len(self.member.take()), 20)
        self.member.acknowledge(5)
        self.process.thread.run()
        self.assertEqual(len(self.member.take()), 10)

    def test_a_cluster_that_leaves_while_it_is_sent(self) -> None:
        """The order holds: what was handed over unwritten comes before what still waits."""
        frames = self.events(8)
        self.send(*frames[:2])
        self.process.thread.run()
        self.send(*frames[2:6])
        self.member.acknowledges = False
        self.links.add(self.member)
        sent = self.member.send

        def narrow(parcel: Any, charge: Charge | None = None) -> None:
            sent(parcel, charge)
            self.member.full = len(self.member.sent) >= 4

        self.member.send = narrow  # type: ignore[method-assign]
        self.process.disk.full = SpoolError("full")
        self.process.thread.run()
        self.back()
        self.process.thread.run()
        self.assertEqual(len(self.member.sent), 4)
        self.gone()
        self.process.disk.full = None
        self.clock.advance(60)
        self.process.thread.run()
        self.send(*frames[6:])
        self.process.thread.run()
        self.restart()
        self.back()
        self.process.thread.run()
        self.assertEqual([frame.uuid for frame in self.member.take()], [frame.uuid for frame in frames])

    def test_a_member_that_takes_only_some_of_what_waits(self) -> None:
        """Nothing is written any more, lest it be older than what is in the file behind it; nothing overtakes it."""
        frames = self.events(6)
        self.process.disk.full = SpoolError("full")
        self.send(*frames[:4])
        self.process.thread.run()
        self.links.add(self.member)
        sent = self.member.send

        def narrow(parcel: Any, charge: Charge | None = None) -> None:
            sent(parcel, charge)
            self.member.full = len(self.member.sent) - self.member.acknowledged >= 2

        self.member.send = narrow  # type: ignore[method-assign]
        self.process.router.link_up(self.member)
        self.process.disk.full = None
        calls = len(self.process.disk.calls)
        self.clock.advance(60)
        self.send(*frames[4:])
        self.process.thread.run()
        self.assertEqual(self.process.disk.calls[calls:], [])
        while self.member.acknowledged < 6:
            self.member.acknowledge()
            self.member.full = False
            self.process.router.relieved()
        self.assertEqual([frame.uuid for frame in self.member.take()], [frame.uuid for frame in frames])
        self.assertFalse(self.process.spool.keeping)

    def test_expired(self) -> None:
        """What waited longer than its timeout is not sent; whoever has the name of its origin is told."""
        short, long = self.make.event(timeout=1000), self.make.event(timeout=60_000)
        self.send(short, long)
        self.process.thread.run()
        self.restart()
        self.clock.advance(2)
        self.back()
        self.process.thread.run()
        self.assertEqual([frame.uuid for frame in self.member.take()], [long.uuid])
        (error,) = self.connector.take()
        self.assertEqual((unpack_body(error.body)["event"], error.reference), ("EXPIRED", short.uuid))
        self.member.acknowledge()
        self.process.thread.run()
        self.assertEqual((self.shown["frames"], self.shown["expired"], self.shown["sent"]), (0, 1, 1))

    def test_who_is_told_for_a_former_process(self) -> None:
        """Of those who bear the name one that is validated, and one that is there, if any is."""
        frames = self.events(2, timeout=1000)
        self.send(*frames)
        self.process.thread.run()
        self.restart()
        stranger, broken = FakeLink(CONNECTOR, "git", validated=False), FakeLink(CONNECTOR, "git")
        broken.disconnect()
        for link in (stranger, broken, self.connector):
            if link in self.links:
                self.links.remove(link)
            self.links.add(link)
        self.clock.advance(2)
        self.back()
        self.process.thread.run()
        self.assertEqual([error.reference for error in self.connector.take()], [frame.uuid for frame in frames])
        self.assertEqual((stranger.take(), broken.take()), ([], []))

    def test_expired_before_it_was_written(self) -> None:
        """The same, and its charge is settled: its sender knows."""
        (charge,) = self.send(self.make.event(timeout=1000))
        self.process.disk.full = SpoolError("full")
        self.process.thread.run()
        self.clock.advance(0.5)
        self.clock.advance(1.5)
        self.process.thread.run()
        self.back()
        self.process.thread.run()
        self.assertEqual(self.member.take(), [])
        self.assertTrue(charge.settled)
        (error,) = self.connector.take()
        self.assertEqual(unpack_body(error.body)["event"], "EXPIRED")

    def test_acknowledged_by_the_session_before_it_was_written(self) -> None:
        """As it comes back or a moment later: not sent again, nor to a member that is linked much later."""
        for at_once in (True, False):
            self.restart(interval=1.0)
            self.back()
            self.process.thread.run()
            (charge,) = self.send(self.make.event())
            self.gone()
            if at_once:
                self.member.acknowledge()
            self.member.full = True
            self.back()
            self.member.acknowledge()
            self.assertTrue(charge.settled)
            self.member.full = False
            self.process.router.relieved()
            self.process.thread.run()
            self.assertFalse(self.process.spool.keeping)
            self.assertEqual(self.shown["not_written"], 0)
            self.assertEqual(len(self.member.take()), 1)
            late = self.links.add(FakeLink(CLUSTER, "cluster"))
            self.process.router.to_cluster.member_linked(late)
            self.assertEqual(late.take(), [])

    def test_expired_in_the_session_before_it_was_written(self) -> None:
        """Its origin is told once."""
        self.restart(interval=10.0)
        self.back()
        self.process.thread.run()
        frame = self.make.event(timeout=1000)
        (charge,) = self.send(frame)
        self.gone()
        self.clock.advance(2)
        self.member.reconnect()
        self.process.router.let_go(frame, charge, self.member)
        self.back()
        self.process.thread.run()
        (error,) = self.connector.take()
        self.assertEqual((unpack_body(error.body)["event"], error.reference), ("EXPIRED", frame.uuid))

    def test_too_long_for_the_member(self) -> None:
        """Of a run too: what fits is sent, the rest is told to its origin, and nothing is left."""
        frames = [self.make.event(event="x" * size) for size in (10, 10, 10, 500, 10, 10)]
        self.send(*frames)
        self.process.thread.run()
        self.restart()
        self.member.max_frame = 300
        self.back()
        self.process.thread.run()
        self.assertEqual([f.uuid for f in self.member.take()], [f.uuid for f in frames if f is not frames[3]])
        (error,) = self.connector.take()
        self.assertEqual((unpack_body(error.body)["event"], error.reference), ("TOO_LARGE", frames[3].uuid))
        self.member.acknowledge()
        self.process.thread.run()
        self.assertEqual((self.shown["frames"], self.shown["in_flight"]), (0, 0))

    def test_the_file_shrinks_when_it_is_empty(self) -> None:
        """Once, and not while the cluster is away."""
        self.send(*[self.make.event(event="x" * 10_000) for _ in range(100)])
        self.process.thread.run()
        size = (
            self.process.disk.path.stat().st_size + self.process.disk.path.with_suffix(".sqlite3-wal").stat().st_size
        )
        self.back()
        self.process.thread.run()
        self.member.acknowledge()
        self.process.thread.run()
        self.assertEqual(self.process.disk.calls.count("shrink"), 1)
        self.assertGreater(size, 1_000_000)
        self.assertLess(self.process.disk.path.stat().st_size, 100_000)
        self.assertEqual(self.process.disk.path.with_suffix(".sqlite3-wal").stat().st_size, 0)

    def test_an_orderly_end_removes_what_was_acknowledged(self) -> None:
        """So that the next process does not send it again."""
        self.send(*self.events(4))
        self.process.thread.run()
        self.back()
        self.process.thread.run()
        self.member.acknowledge(3)
        self.process.close()
        self.process = self.started()
        self.assertEqual(self.shown["frames"], 1)


class TroubleTests(SpoolCase):
    """When the disk does not do what it should."""

    def test_a_full_disk(self) -> None:
        """Told once; nothing is acknowledged, connectors are not read; tried again until it works."""
        self.process.disk.full = SpoolError("no room")
        charges = self.send(*self.events(3))
        self.process.thread.run()
        self.assertEqual(self.settled(charges), [False] * 3)
        self.send(*self.events(1))
        self.assertTrue(self.connector.paused)
        self.assertEqual((self.shown["state"], self.shown["trouble"]), ("usable", "no room"))
        self.assertEqual((self.shown["not_written"], self.shown["frames"]), (4, 0))
        for _ in range(5):
            self.clock.advance(30)
            self.process.thread.run()
        self.process.disk.full = None
        self.clock.advance(30)
        self.process.thread.run()
        self.assertEqual(self.settled(charges), [True] * 3)
        self.assertEqual((self.shown["trouble"], self.shown["frames"]), ("", 4))
        self.assertFalse(self.connector.paused)

    def test_a_full_disk_does_not_keep_from_sending(self) -> None:
        """Rows are read, and what waits follows them."""
        frames = self.events(4)
        self.send(*frames[:2])
        self.process.thread.run()
        self.process.disk.full = SpoolError("no room")
        charges = self.send(*frames[2:])
        self.process.thread.run()
        self.back()
        self.process.thread.run()
        self.assertEqual([frame.uuid for frame in self.member.take()], [frame.uuid for frame in frames])
        self.member.acknowledge()
        self.assertEqual(self.settled(charges), [True, True])
        self.assertFalse(self.connector.paused)

    def test_a_file_that_cannot_be_read(self) -> None:
        """Is left alone; what waits goes to the cluster, and from then on nothing is kept."""
        frames = self.events(4)
        self.send(*frames[:2])
        self.process.thread.run()
        self.process.disk.unreadable = SpoolUnusable("damaged")
        charges = self.send(*frames[2:])
        self.back()
        self.process.thread.run()
        self.assertEqual((self.shown["state"], self.shown["trouble"]), ("unusable", "damaged"))
        self.gone()
        charges += self.send(*self.events(1))
        self.process.thread.run()
        self.assertFalse(charges[-1].settled)
        self.assertTrue(self.connector.paused)
        self.back()
        self.member.acknowledge()
        self.assertTrue(all(self.settled(charges)))
        self.restart()
        self.assertGreaterEqual(self.shown["frames"], 2)

    def test_a_fault_of_ours_loses_nothing(self) -> None:
        """What was being written when it struck goes to the cluster."""
        charges = self.send(*self.events(3))
        done, _ = self.process.thread.work()
        done.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.shown["state"], "unusable")
        self.back()
        self.member.acknowledge()
        self.assertEqual(self.settled(charges), [True] * 3)

    def test_another_owner(self) -> None:
        """A directory that was given to another aggregator is not touched."""
        self.send(*self.events(1))
        self.process.thread.run()
        self.process.disk.close()
        self.process = Process(self.directory, self.clock, self.links)
        self.process.disk._owner = ("acme", "other")
        self.process.start()
        self.assertEqual(self.shown["state"], "unusable")
        self.assertIn("is the spool of 'aggregator1' of tenant 'tenant1', not of 'other'", self.shown["trouble"])
        self.assertFalse(self.process.spool.keeping)
