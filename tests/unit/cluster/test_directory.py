"""Which components speak which pivot, as far as is known."""

from __future__ import annotations

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cluster.directory import FRESH, Directory, Speakers
from gandalf.store.errors import DatabaseUnavailable


class DirectoryTest(SynchronousTestCase):
    """When it is looked up, and what is known meanwhile."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[str, Deferred[Speakers]]] = []
        self.directory = Directory(self.load, self.clock)

    def load(self, tenant: str) -> Deferred[Speakers]:
        """Note what is looked up."""
        result: Deferred[Speakers] = Deferred()
        self.asked.append((tenant, result))
        return result

    def answer(self, speakers: Speakers) -> None:
        """The oldest look-up brings this."""
        self.asked.pop(0)[1].callback(speakers)

    def test_nothing_is_known_at_first(self) -> None:
        """Asking what is known looks nothing up."""
        self.assertEqual(self.directory.speaking("t", "vcs"), ())
        self.assertFalse(self.directory.fresh("t"))
        self.assertFalse(self.directory.lists("t", "git"))
        self.assertEqual(self.asked, [])

    def test_refresh(self) -> None:
        """Afterwards it is known, for that tenant; who waits meanwhile shares one look-up."""
        first, second = self.directory.refresh("t"), self.directory.refresh("t")
        self.assertEqual(len(self.asked), 1)
        self.assertNoResult(first)
        self.answer({"vcs": ("git", "hg")})
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.directory.speaking("t", "vcs"), ("git", "hg"))
        self.assertTrue(self.directory.lists("t", "hg"))
        self.assertEqual(self.directory.speaking("u", "vcs"), ())

    def test_fresh(self) -> None:
        """What was looked up is fresh for a while, counted from when the look-up began."""
        self.directory.refresh("t")
        self.clock.advance(0.4)
        self.answer({})
        self.assertTrue(self.directory.fresh("t"))
        self.clock.advance(FRESH - 0.4)
        self.assertTrue(self.directory.fresh("t"))
        self.clock.advance(0.1)
        self.assertFalse(self.directory.fresh("t"))

    def test_failure(self) -> None:
        """A look-up that fails is told to who waits; what was known stays."""
        self.directory.refresh("t")
        self.answer({"vcs": ("git",)})
        waiting = self.directory.refresh("t")
        self.asked.pop()[1].errback(DatabaseUnavailable("away"))
        self.failureResultOf(waiting, DatabaseUnavailable)
        self.assertEqual(self.directory.speaking("t", "vcs"), ("git",))
        self.directory.refresh("t")
        self.assertEqual(len(self.asked), 1)

    def test_saved_while_looking_up(self) -> None:
        """A look-up may have missed what was saved meanwhile: it is done again before anybody is told."""
        waiting = self.directory.refresh("t")
        self.directory.saved("t")
        self.assertEqual(len(self.asked), 1)
        self.answer({})
        self.assertNoResult(waiting)
        self.answer({"vcs": ("git",)})
        self.successResultOf(waiting)
        self.assertEqual(self.directory.speaking("t", "vcs"), ("git",))
        self.assertEqual(self.asked, [])

    def test_saved(self) -> None:
        """Saving something looks it up at once; until that is done nothing that was known before is fresh."""
        self.directory.refresh("t")
        self.answer({})
        self.directory.saved("t")
        self.assertEqual([tenant for tenant, _ in self.asked], ["t"])
        self.assertFalse(self.directory.fresh("t"))
        self.directory.saved("t")
        self.answer({})
        self.assertFalse(self.directory.fresh("t"))
        self.answer({})
        self.assertTrue(self.directory.fresh("t"))

    def test_refresh_all(self) -> None:
        """At intervals every tenant that was asked for is looked up, unless it is being so."""
        self.directory.refresh("t")
        self.directory.refresh("u")
        self.answer({})
        self.directory.refresh_all()
        self.assertEqual([tenant for tenant, _ in self.asked], ["u", "t"])

    def test_who_waits_too_long(self) -> None:
        """Somebody who gives up does not disturb the look-up."""
        waiting = self.directory.refresh("t")
        waiting.addTimeout(1, self.clock)
        self.clock.advance(1)
        self.failureResultOf(waiting, TimeoutError)
        self.answer({"vcs": ("git",)})
        self.assertEqual(self.directory.speaking("t", "vcs"), ("git",))
