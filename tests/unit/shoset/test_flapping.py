"""A link that comes up and breaks every 200 ms: nothing is lost, nothing grows, and the dialler does not race."""

from __future__ import annotations

from itertools import pairwise

from gandalf.shoset.dialler import HELD, LONGEST_DELAY
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.testing import FakeHost
from gandalf.wire.envelope import Frame
from tests.unit.shoset.support import ShosetTestCase, event

FLAP = 0.2
"""Seconds for which the link holds."""


class FlappingTest(ShosetTestCase):
    """Both ends of ours; each sends an event every 50 ms, and settles what it gets at once."""

    def setUp(self) -> None:
        super().setUp()
        self.ours, self.host = self.listen()
        self.dialling, self.far = self.dial()
        self.dialling.link.validated = True
        self.sent: dict[ShosetLink, list[Frame]] = {self.dialling.link: [], self.host.link: []}

    def talk(self, seconds: float) -> None:
        """Let time pass while both send."""
        for _ in range(round(seconds / 0.05)):
            for link, sent in self.sent.items():
                sent.append(event(link.shoset))
                link.send(sent[-1])
            self.network.advance(0.05)

    def flap(self, times: int) -> None:
        """The link comes up, holds for a moment, and breaks, or half of what is on its way arrives."""
        for number in range(times):
            while not self.dialling.link.connected:
                self.talk(0.05)
            self.talk(FLAP)
            cable = self.network.cable
            for end in (cable.dialling, cable.listening):
                end.held = number % 2 == 1
            self.talk(0.05)
            cable.cut()

    def assert_arrived(self, sender: ShosetLink, host: FakeHost) -> None:
        """All of it, in order; what came twice is for the window of duplicates."""
        first = list(dict.fromkeys(host.uuids))
        self.assertEqual(first, [frame.uuid for frame in self.sent[sender]])

    def test_nothing_is_lost_and_nothing_grows(self) -> None:
        """One session all the time; when the link holds, all has arrived, and nothing is kept."""
        self.flap(10)
        timers = len(self.clock.getDelayedCalls())
        self.flap(20)
        self.assertLessEqual(len(self.clock.getDelayedCalls()), timers + 1)
        self.talk(LONGEST_DELAY + 1)
        self.network.advance(1)
        near, far = self.host.link, self.dialling.link
        self.assert_arrived(far, self.host)
        self.assert_arrived(near, self.far)
        self.assertEqual([list(self.ours.registry), list(self.dialling.shoset.registry)], [[near], [far]])
        for link in (near, far):
            self.assertEqual((len(link.outbox), link.outbox.bytes, link.inbox.open), (0, 0, 0))
            self.assertEqual(len(link.shoset.connections), 1)
        self.assertEqual(self.ours.counters.resumed, 30)
        # What was acknowledged is not sent again: only what was on its way.
        self.assertLess(len(self.host.uuids), 1.5 * len(self.sent[far]))

    def test_the_dialler_does_not_race(self) -> None:
        """It waits longer and longer, since no link has held; once one has, it is quick again."""
        self.flap(20)
        times = [time for time, _ in self.network.dialled]
        waits = [later - earlier - FLAP for earlier, later in pairwise(times)]
        self.assertEqual(waits[:10], sorted(waits[:10]))
        self.assertGreater(min(waits[10:]), 0.9 * LONGEST_DELAY)
        while not self.dialling.link.connected:
            self.talk(0.05)
        self.talk(HELD + 0.1)
        self.network.cable.cut()
        self.talk(0.1)
        self.assertTrue(self.dialling.link.connected)
