"""The schedule of faults."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.faults.network import stage
from tests.faults.schedule import GRACE, NAMES, plan
from tests.faults.short import PAUSE, SECONDS, SEEDS


class ScheduleTests(SynchronousTestCase):
    """Half an hour of faults."""

    def setUp(self) -> None:
        """As in the long run."""
        self.faults = plan(7, 1800, 2.5, stage())

    def test_the_seed_decides(self) -> None:
        """The same seed gives the same faults, another gives others."""
        self.assertEqual(plan(7, 1800, 2.5, stage()), self.faults)
        self.assertNotEqual(plan(8, 1800, 2.5, stage()), self.faults)

    def test_enough_of_each_kind(self) -> None:
        """Kinds come in turns."""
        counts = Counter(fault.kind for fault in self.faults)
        self.assertEqual(set(counts), set(NAMES))
        self.assertGreater(min(counts.values()), 15)
        self.assertGreater(len(self.faults), 500)

    def test_the_short_run(self) -> None:
        """Its seeds have every kind of fault between them."""
        kinds = {fault.kind for seed in SEEDS for fault in plan(seed, SECONDS, PAUSE, stage())}
        self.assertEqual(kinds, set(NAMES))

    def test_spared(self) -> None:
        """A process that is spared is stopped and cut off as any other, and never ended."""
        spared = attrs.evolve(stage(), spared=("m2", "a2"))
        kinds = {fault.kind.split()[0] for fault in plan(7, 1800, 2.5, spared) if fault.subject in ("m2", "a2")}
        self.assertEqual(kinds, {"stop", "cut", "flap", "refuse", "disconnect"})
        self.assertEqual(spared.mortal("member"), ("m1",))

    def test_in_time(self) -> None:
        """In order, and over when the run is."""
        self.assertEqual(sorted(fault.at for fault in self.faults), [fault.at for fault in self.faults])
        self.assertLessEqual(max(fault.until for fault in self.faults), 1800)

    def test_a_brother_is_there(self) -> None:
        """Of the members, and of the instances, one is broken at a time, and has time to come back."""
        broken = [fault for fault in self.faults if fault.kind.startswith(("kill", "stop", "drain"))]
        for role in ("member", "instance", "connector"):
            own = [fault for fault in broken if fault.subject in (role, *stage().processes(role))]
            self.assertGreater(len(own), 50)
            for one, next_one in pairwise(own):
                self.assertGreaterEqual(next_one.at, one.until + GRACE - 0.01)
