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

    def test_each_is_told_once(self) -> None:
        """Each validated link of a tenant hears where its database is, and of what is new."""
        self.look({"acme": "a", "other": "o"})
        self.look({"acme": "a", "other": "o"})
        self.assertEqual([self.told(link) for link in self.links], [["a"], ["a"], ["o"], []])
        self.look({"acme": "b", "other": "o"})
        self.look({"acme": "b", "other": "o"})
        self.assertEqual([self.told(link) for link in self.links], [["a", "b"], ["a", "b"], ["o"], []])
        self.assertEqual(self.database.asked[0].args, (("acme", "other"), "postgresql://control"))
        frame, _ = self.links[0].sent[0]
        self.assertEqual((frame.kind, frame.tenant, frame.reference), ("configurationDatabase", "acme", None))

    def test_who_was_given_an_address_is_not_told_it(self) -> None:
        """But another one."""
        self.rotation.handed_out(self.links[0], "a")
        self.rotation.handed_out(self.links[1], "a")
        self.look({"acme": "a", "other": "o"})
        self.assertEqual(self.told(self.links[0]), [])
        self.look({"acme": "b", "other": "o"})
        self.assertEqual(self.told(self.links[0]), ["b"])

    def test_who_links_later(self) -> None:
        """As after a partition in which the address was changed, or to a member that is new."""
        absent = self.links.pop(1)
        self.look({"acme": "a", "other": "o"})
        self.links.append(absent)
        self.look({"acme": "a", "other": "o"})
        self.assertEqual((self.told(self.links[0]), self.told(absent)), (["a"], ["a"]))

    def test_a_database_that_is_away_changes_nothing(self) -> None:
        """The next look compares with what was known before."""
        self.look({"acme": "a", "other": "o"})
        self.look(Failure(DatabaseUnavailable("away")))
        self.look({"acme": "b", "other": "o"})
        self.assertEqual(self.told(self.links[1]), ["a", "b"])

    def test_nobody_is_linked(self) -> None:
        """The database is not asked."""
        self.links = []
        self.look()
        self.assertEqual(self.database.asked, [])
