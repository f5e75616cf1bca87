"""What waits to be written: its order, whatever happens meanwhile."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gandalf.aggregator.unwritten import Unwritten
from gandalf.routing.link import CONNECTOR
from gandalf.routing.testing import FakeLink, FrameMaker
from gandalf.routing.unsettled import EventCharge


class UnwrittenTest(SynchronousTestCase):
    """Of one connector."""

    def setUp(self) -> None:
        """Nothing waits."""
        self.unwritten = Unwritten()
        make, origin = FrameMaker("git"), FakeLink(CONNECTOR, "git")
        self.charges = [EventCharge(make.event(), origin, lambda uuids: None) for _ in range(6)]

    def test_given_back_in_order(self) -> None:
        """What is being written, then what was with a member before, then what came later; each once."""
        first, second, *with_member, last = self.charges
        for charge in (first, second):
            self.unwritten.add(charge, 1)
        self.unwritten.begin(self.unwritten.next(10**6, alone=True))
        self.unwritten.add(last, 2)
        self.unwritten.add_before([*with_member, second], 3)
        self.assertEqual(self.unwritten.arrived, 3)
        self.assertEqual(self.unwritten.clear(), [first, second, *with_member, last])
        self.assertEqual((bool(self.unwritten), self.unwritten.bytes, self.unwritten.frames), (False, 0, 0))
        self.assertIsNone(self.unwritten.arrived)

    def test_what_could_not_be_written_waits_first(self) -> None:
        """As before."""
        for charge in self.charges:
            self.unwritten.add(charge, 1)
        one = self.unwritten.bytes // 6
        batch = self.unwritten.next(2 * one, alone=True)
        self.unwritten.begin(batch)
        self.unwritten.again(batch)
        self.assertEqual(self.unwritten.clear(), self.charges)

    def test_what_does_not_fit(self) -> None:
        """Is written where there is nothing else."""
        self.unwritten.add(self.charges[0], 1)
        self.assertEqual(self.unwritten.next(1, alone=False), [])
        self.assertEqual(len(self.unwritten.next(1, alone=True)), 1)
