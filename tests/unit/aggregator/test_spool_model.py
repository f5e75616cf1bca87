"""The spool against a model: the cluster comes and goes, the disk is full at times, processes are killed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.charge import Charge
from gandalf.routing.link import CLUSTER, CONNECTOR
from gandalf.routing.testing import FakeLink, FakeLinks, FrameMaker
from gandalf.store.spool import SpoolError
from gandalf.wire.envelope import Frame
from gandalf.wire.framing import FrameReader
from gandalf.wire.runs import Run
from tests.unit.aggregator.spooling import Process
from tests.unit.wire.support import EXAMPLES


class NarrowLink(FakeLink):
    """Full when so many frames are not acknowledged."""

    bound = 1000

    @property
    def full(self) -> bool:
        """As much is kept as may be."""
        return len(self.sent) - self.acknowledged >= self.bound

    @full.setter
    def full(self, full: bool) -> None:
        self.bound = 3 if full else 1000


@attrs.define(eq=False)
class Member:
    """What a member has received, duplicates dropped; its link keeps the rest, as a session does."""

    link: FakeLink
    position: int = 0
    """How much of what was sent on the link has come here on this connection."""
    acknowledged: int = 0

    def receive(self, got: dict[bytes, None]) -> None:
        """All that was sent."""
        for parcel, _ in self.link.sent[self.position :]:
            got.update(dict.fromkeys(parcel.uuids))
        self.position = len(self.link.sent)

    def acknowledge(self, count: int) -> None:
        """Some of what came."""
        count = min(count, self.position - self.acknowledged)
        self.acknowledged += count
        self.link.acknowledge(count)

    def reconnect(self) -> None:
        """What was not acknowledged is sent again."""
        self.link.reconnect()
        self.position = self.acknowledged


@attrs.define(eq=False)
class Sender:
    """A connector, which sends again what the process that was killed has not acknowledged."""

    link: FakeLink
    frames: list[Frame] = attrs.field(factory=list)
    sent: list[tuple[Charge | None, int]] = attrs.field(factory=list)
    """The charges of what was sent to this process, with their number of frames."""
    before: int = 0
    """How many frames the processes before have acknowledged."""

    @property
    def acknowledged(self) -> int:
        """Without a gap."""
        count = self.before
        for charge, frames in self.sent:
            if charge is not None and not charge.settled:
                return count + min(charge.done, frames)
            count += frames
        return count


class SpoolMachine(RuleBasedStateMachine):
    """Nothing that was acknowledged is ever lost; each connector's events reach the cluster in order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="gandalf-spool-"))
        self.clock = Clock()
        self.clock.advance(1e9)
        self.make = FrameMaker("somebody")
        self.senders = [Sender(FakeLink(CONNECTOR, name)) for name in ("one", "two")]
        self.got: dict[bytes, None] = {}
        """What the cluster has, in the order in which it came first."""
        self.process: Process
        self.members: list[Member]
        self.start()

    def start(self) -> None:
        """A process, and the cluster is not linked yet."""
        self.members = [Member(NarrowLink(CLUSTER, "cluster", label=f"member{number}")) for number in range(2)]
        for member in self.members:
            member.link.disconnect()
        for sender in self.senders:
            sender.link.paused = False
        self.links = FakeLinks(*[sender.link for sender in self.senders])
        self.process = Process(self.directory, self.clock, self.links, max_bytes=20_000)
        self.process.start()

    @property
    def there(self) -> bool:
        """Whether a member is linked."""
        return any(member.link.available for member in self.members)

    @rule(which=st.integers(0, 1), count=st.integers(1, 6), size=st.sampled_from([0, 0, 3000]), run=st.booleans())
    def send(self, which: int, count: int, size: int, run: bool) -> None:
        """A connector sends, unless it is not read."""
        sender = self.senders[which]
        if sender.link.paused:
            return
        frames = [self.make.event(event="x" * size) for _ in range(count)]
        sender.frames += frames
        self.bring(sender, frames, run)

    def bring(self, sender: Sender, frames: list[Frame], run: bool) -> None:
        """As a chunk that is read."""
        reader = FrameReader(2**31)
        raw = b"".join(frame.raw for frame in frames)
        for parcel in reader.feed_parcels(raw):
            charge = self.process.router.route_run(parcel, sender.link) if run and isinstance(parcel, Run) else None
            if charge is not None:
                sender.sent.append((charge, parcel.count))
            else:
                for frame in parcel.frames():
                    sender.sent.append((self.process.router.route(frame, sender.link), 1))

    @rule()
    def work(self) -> None:
        """The thread does what it has to do."""
        self.process.thread.run()

    @precondition(lambda self: self.process.thread.jobs)
    @rule()
    def work_once(self) -> None:
        """One thing of it."""
        done, result = self.process.thread.work()
        done.callback(result)

    @rule(which=st.integers(0, 1))
    def member_comes(self, which: int) -> None:
        """For the first time in this process, or again; what waits in its session goes out before anything new."""
        if not self.members[which].link.available:
            self.members[which].reconnect()
            self.members[which].receive(self.got)
            if self.members[which].link not in self.links:
                self.links.add(self.members[which].link)
                self.process.router.to_cluster.member_linked(self.members[which].link)
            self.process.router.link_up(self.members[which].link)

    @precondition(lambda self: self.there)
    @rule(which=st.integers(0, 1), bye=st.booleans())
    def member_goes(self, which: int, bye: bool) -> None:
        """What it did not acknowledge is not known."""
        if self.members[which].link.available:
            link = self.members[which].link
            if bye:
                link.available = False
                self.process.router.leaving(link, link.disconnect)
            link.disconnect()
            self.process.router.link_lost(link)

    @precondition(lambda self: self.there)
    @rule(count=st.integers(0, 10))
    def members_receive(self, count: int) -> None:
        """And acknowledge some."""
        for member in self.members:
            if member.link.connected:
                member.receive(self.got)
                member.acknowledge(count)
                self.process.router.relieved()

    @rule(full=st.booleans())
    def congestion(self, full: bool) -> None:
        """The members do not take more, or take more again."""
        for member in self.members:
            member.link.full = full
        if not full:
            self.process.router.relieved()

    @rule(full=st.booleans())
    def disk(self, full: bool) -> None:
        """The disk is full, or has room again."""
        self.process.disk.full = SpoolError("full") if full else None

    @rule(seconds=st.sampled_from([0.5, 5.0, 60.0]))
    def pass_time(self, seconds: float) -> None:
        """The disk is tried again."""
        self.clock.advance(seconds)

    @rule(in_the_middle=st.booleans())
    def kill(self, in_the_middle: bool) -> None:
        """SIGKILL, perhaps right after the thread did something; the next one starts, the connectors send again."""
        if in_the_middle and self.process.thread.jobs:
            self.process.thread.work()
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.process.disk.close()
        for sender in self.senders:
            sender.before, sender.sent = sender.acknowledged, []
        self.start()
        for sender in self.senders:
            self.bring(sender, sender.frames[sender.before :], run=False)

    @rule()
    def stop(self) -> None:
        """In good order."""
        self.process.close()
        self.kill(in_the_middle=False)

    @invariant()
    def in_order(self) -> None:
        """Of each connector the cluster has the first ones, without a gap."""
        for sender in self.senders:
            uuids = [frame.uuid for frame in sender.frames]
            mine = set(uuids)
            assert [uuid for uuid in self.got if uuid in mine] == uuids[: sum(uuid in self.got for uuid in uuids)]

    @invariant()
    def never_more_than_the_bound(self) -> None:
        """And one chunk that came before the connector was no longer read."""
        shown = self.process.spool.describe()
        assert shown["bytes"] <= 20_000 + 6 * 3300
        assert not shown["trouble"] or self.process.disk.full or shown["state"] == "usable"

    def teardown(self) -> None:
        """The cluster is there, the disk has room: everything arrives."""
        try:
            self.finish()
        finally:
            shutil.rmtree(self.directory)

    def finish(self) -> None:
        """Let everything arrive, and look."""
        self.disk(False)
        self.congestion(False)
        self.member_comes(0)
        for _ in range(60):
            self.work()
            self.members_receive(1000)
            self.clock.advance(1.0)
        self.in_order()
        for sender in self.senders:
            assert all(frame.uuid in self.got for frame in sender.frames)
            assert sender.acknowledged == len(sender.frames)
            assert not sender.link.paused
        shown = self.process.spool.describe()
        assert (shown["frames"], shown["bytes"], shown["not_written"], shown["in_flight"]) == (0, 0, 0, 0)
        assert shown["state"] == "usable"
        assert not self.process.spool.keeping
        self.process.close()
        assert self.clock.getDelayedCalls() == []


class SpoolModelTest(SynchronousTestCase):
    """The machine under trial."""

    def test_against_the_model(self) -> None:
        """Whatever happens when."""
        run_state_machine_as_test(
            SpoolMachine,
            settings=settings(EXAMPLES, max_examples=150, stateful_step_count=40),
        )
