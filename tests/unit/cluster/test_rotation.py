"""Telling aggregators of a new address of their database (protocol.md 6.4b)."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cluster.rotation import Rotation
from gandalf.routing.link import AGGREGATOR
from gandalf.routing.testing import FakeLink, FrameMaker
from gandalf.store.errors import DatabaseUnavailable
from gandalf.store.testing import FakeDatabase
from gandalf.wire.body import unpack_body


class ControlDatabase(FakeDatabase):
    """The control database."""

    dsn = "postgresql://control"


class RotationTests(SynchronousTestCase):
    """Three links of two tenants, and one that is not validated."""

    def setUp(self) -> None:
        self.database = ControlDatabase()
        self.links = [
            FakeLink(AGGREGATOR, "aggregator1", label=label, validated=label != "stranger")
            for label in ("one", "two", "other", "stranger")
        ]
        for link in self.links:
            link.tenant = "other" if link is self.links[2] else "acme"
        control: Any = self.database
        self.rotation = Rotation(control, lambda: self.links, FrameMaker())

    def look(self, *answers: Any) -> None:
        """One look, which finds these addresses, or fails."""
        looking = ensureDeferred(self.rotation.look())
        if answers:
            self.database.asked[-1].answer.callback(answers[0])
        self.successResultOf(looking)

    def told(self, link: FakeLink) -> list[str]:
        """The addresses that were sent over a link."""
        return [json.loads(unpack_body(frame.body)["payload"])["dsn"] for frame, _ in link.sent]

    def test_only_a_change_is_told_and_only_to_its_tenant(self) -> None:
        """The first look finds how it is; each validated link of the tenant hears of what is new, once."""
        self.look({"acme": "a", "other": "o"})
        self.look({"acme": "a", "other": "o"})
        self.assertEqual([self.told(link) for link in self.links], [[], [], [], []])
        self.look({"acme": "b", "other": "o"})
        self.look({"acme": "b", "other": "o"})
        self.assertEqual([self.told(link) for link in self.links], [["b"], ["b"], [], []])
        self.assertEqual(self.database.asked[0].args, (("acme", "other"), "postgresql://control"))
        ((frame, _),) = self.links[0].sent
        self.assertEqual((frame.kind, frame.tenant, frame.reference), ("configurationDatabase", "acme", None))

    def test_a_change_since_an_address_was_handed_out(self) -> None:
        """It is noticed at the first look."""
        self.rotation.handed_out("acme", "a")
        self.look({"acme": "b", "other": "o"})
        self.assertEqual(self.told(self.links[0]), ["b"])

    def test_a_database_that_is_away_changes_nothing(self) -> None:
        """The next look compares with what was known before."""
        self.look({"acme": "a", "other": "o"})
        self.look(Failure(DatabaseUnavailable("away")))
        self.look({"acme": "b", "other": "o"})
        self.assertEqual(self.told(self.links[1]), ["b"])

    def test_nobody_is_linked(self) -> None:
        """The database is not asked."""
        self.links = []
        self.look()
        self.assertEqual(self.database.asked, [])
