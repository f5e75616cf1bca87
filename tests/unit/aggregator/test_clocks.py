"""Clocks that differ by hours, in both directions: nothing is too old, too young, or waits for another time."""

from __future__ import annotations

from functools import partial
from typing import Any

from gandalf.wire.body import pack_body, unpack_body
from gandalf.wire.envelope import Frame, make_frame
from tests.unit.aggregator.traffic import TrafficCase, Worker

HOURS = 5 * 3600
EXTREMES = (0, 1, 2**64 - 1)
"""What the wire allows, in ms."""


class ClockTests(TrafficCase):
    """Connectors and members with clocks of their own."""

    def setUp(self) -> None:
        """The aggregator's clock is right."""
        super().setUp()
        now = self.clock.seconds()
        self.slow, self.fast = self.worker("slow1"), self.worker("fast1")
        self.slow.shoset.now = lambda: now - HOURS
        self.fast.shoset.now = lambda: now + HOURS

    def frame(self, kind: str, body: dict[str, Any], timestamp: int, timeout: int = 0) -> Frame:
        """A frame that was made at any time."""
        uuid = self.git.shoset.make_uuid()
        return make_frame(kind, uuid, "acme", "", None, timeout, timestamp, pack_body({"source": "git1", **body}))

    def errors(self, worker: Worker) -> list[str]:
        """The codes of the error events that came."""
        return [body["event"] for body in worker.bodies("evt") if body["topic"] == "error"]

    def test_a_command_has_all_its_time(self) -> None:
        """From its arrival: neither expired at once, nor pending for longer."""
        self.cluster.mute.add("MUTE")
        for worker in (self.slow, self.fast):
            worker.link.send(worker.shoset.frame("cmd", {"command": "MUTE"}, timeout=2000))
        for timestamp in EXTREMES:
            self.git.link.send(self.frame("cmd", {"command": "MUTE"}, timestamp, 2000))
        self.network.advance(1.9)
        self.assertEqual(len(self.aggregator.observed.pending()), 5)
        self.network.advance(0.2)
        self.assertEqual([self.errors(each) for each in (self.slow, self.fast)], [["TIMEOUT"]] * 2)
        self.assertEqual(self.errors(self.git), ["TIMEOUT"] * 3)

    def test_a_command_is_answered(self) -> None:
        """From one end of time to the other."""
        self.cluster.speakers["vcs"] = "fast1"
        command = self.slow.shoset.frame("cmd", {"command": "DO", "context": {"connector_type": "vcs"}})
        self.slow.link.send(command)
        self.settle()
        self.fast.answer("TAKEN")
        self.settle()
        self.assertEqual([body["event"] for body in self.slow.bodies("evt")], ["TAKEN"])

    def test_what_waits_for_a_broken_link(self) -> None:
        """Expires by the time that it has waited here, and not sooner."""
        for timestamp in (0, int((self.clock.seconds() - HOURS) * 1000), int((self.clock.seconds() + HOURS) * 1000)):
            before = len(self.fast.bodies("evt"))
            link = self.aggregator.shoset.registry.named("c", "fast1")[0]
            assert link.connection is not None
            link.connection.life.died()
            sent = [
                self.frame("evt", {"topic": "a", "event": event}, timestamp, timeout)
                for event, timeout in (("SHORT", 10), ("LONG", 3_600_000))
            ]
            self.clock.advance(0.02)
            for frame in sent:
                link.send(frame)
            self.clock.advance(0.02)
            self.network.advance(2)
            self.assertEqual([body["event"] for body in self.fast.bodies("evt")][before:], ["LONG"])

    def test_events_pass(self) -> None:
        """Whenever they say they were made; the timestamp is passed on as it came."""
        sent = [self.frame("evt", {"topic": "a", "event": "X"}, timestamp) for timestamp in EXTREMES]
        for frame in sent:
            self.git.link.send(frame)
        self.settle()
        arrived = [frame for frame, _ in self.fast.host.received if frame.kind == "evt"]
        self.assertEqual([frame.raw for frame in arrived], [frame.raw for frame in sent])

    def test_a_member_with_another_clock(self) -> None:
        """The aggregator proves its secret to it, and goes on."""
        now = self.clock.seconds()
        for hours in (-HOURS, HOURS):
            self.cluster.shoset.now = partial(float, now + hours)
            for cable in self.network.cables:
                cable.cut()
            self.network.advance(3)
            self.assertTrue(self.aggregator.observed.status()["cluster"][0]["validated"])
            self.cluster.send("evt", {"topic": "a", "event": "X"})
            self.settle()
            self.assertEqual(unpack_body(self.git.host.received[-1][0].body)["event"], "X")
