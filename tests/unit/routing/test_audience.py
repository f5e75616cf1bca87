"""Which connectors an event without target goes to (protocol.md 6.1), found once for each topic."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing import audience
from gandalf.routing.audience import REMEMBERED, Audience
from gandalf.routing.link import CONNECTOR
from gandalf.routing.testing import FakeLink, FakeLinks, FrameMaker


class Asked(FakeLink):
    """Counts how often it is asked what it wants."""

    times = 0

    def wants(self, topic: str) -> bool:
        """As any link."""
        self.times += 1
        return super().wants(topic)


class AudienceTest(SynchronousTestCase):
    """``every`` wants all topics, ``one`` and ``other`` some."""

    def setUp(self) -> None:
        self.make = FrameMaker()
        self.origin = FakeLink(CONNECTOR, "origin", topics=[])
        self.every = FakeLink(CONNECTOR, "every")
        self.one = Asked(CONNECTOR, "one", topics=["a.*"])
        self.other = Asked(CONNECTOR, "other", topics=["a.b", "c"])
        self.links = FakeLinks(self.origin, self.every, self.one, self.other)
        self.audience = Audience(self.links)

    def of(self, topic: str) -> list[FakeLink]:
        """Who is sent an event of ``topic``, besides ``every``."""
        for link in self.links:
            link.take()
        self.audience.send(self.make.event(topic), self.origin)
        self.assertEqual(len(self.every.take()), 1)
        return [link for link in self.links if link.take()]

    def test_who(self) -> None:
        """Those who named none, and those who named this one."""
        self.assertEqual(self.of("a.b"), [self.one, self.other])
        self.assertEqual(self.of("c"), [self.other])
        self.assertEqual(self.of("d"), [])

    def test_asked_once(self) -> None:
        """However many events of a topic come."""
        for _ in range(5):
            self.of("a.b")
        self.assertEqual((self.one.times, self.other.times), (1, 1))

    def test_changed(self) -> None:
        """Who comes, goes, or comes back with other topics is known at once."""
        self.of("c")
        new = self.links.add(FakeLink(CONNECTOR, "new", topics=["c"]))
        self.assertEqual(self.of("c"), [self.other, new])
        self.links.remove(self.other)
        self.assertEqual(self.of("c"), [new])
        new.topics = ("d",)
        self.audience.changed()
        self.assertEqual(self.of("c"), [])
        self.assertEqual(self.of("d"), [new])

    def test_strangers_are_not_asked(self) -> None:
        """Whoever links may name topics, as many as it likes: they cost nobody anything before it is validated."""
        stranger = Asked(CONNECTOR, "stranger", topics=["c"], validated=False)
        self.links.add(stranger)
        self.assertEqual(self.of("c"), [self.other])
        self.assertEqual(stranger.times, 0)
        stranger.validated = True
        self.audience.changed()
        self.assertEqual(self.of("c"), [self.other, stranger])

    def test_nobody_chooses(self) -> None:
        """Nobody needs know the topic then: a body that cannot be read is as good as any."""
        for link in (self.origin, self.one, self.other):
            self.links.remove(link)
        self.patch(audience, "topic_of", lambda frame: self.fail("the topic was read"))
        self.assertEqual(self.of("a.b"), [])

    def test_bounded(self) -> None:
        """Senders that make up topics do not fill the memory."""
        for number in range(REMEMBERED):
            self.audience.send(self.make.event(str(number)), self.origin)
        before = self.one.times
        self.of("0")
        self.assertEqual(self.one.times, before)
        self.of("one more")
        self.of("0")
        self.assertEqual(self.one.times, before + 2)
