"""The spool of changes, and the announcer that empties it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from twisted.internet import inotify as notification
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.connector.git.announcer import IN_FLIGHT, SLOW, Announcer, inotify
from gandalf.connector.git.spool import Announcement, Spool
from gandalf.connector.testing import MemoryHost, MemoryNetwork

OLD, NEW, NONE = "1" * 40, "2" * 40, "0" * 40


class SpoolCase(SynchronousTestCase):
    """A spool in a directory of its own."""

    def setUp(self) -> None:
        """An empty spool."""
        self.directory = Path(self.mktemp())
        self.spool = Spool(self.directory, "/srv")
        self.spool.prepare()

    def change(self, name: str, *, event: str = "CREATED") -> None:
        """A change that has happened."""
        with self.spool.announcing(name, Announcement("vcs.repository", event, {"name": name})):
            pass

    def pushed(self, text: str, name: str = "p1") -> None:
        """What the hook leaves after a push."""
        (self.directory / f"{name}.push").write_text(text)

    def files(self) -> list[str]:
        """The names of all files in the spool."""
        return sorted(path.name for path in self.directory.iterdir() if path.is_file())


class SpoolTests(SpoolCase):
    """`Spool`."""

    def test_change_is_read_back_with_its_id(self) -> None:
        """A change is found as it was announced, with an id that stays the same however often it is read."""
        self.change("c1")
        for _ in range(2):
            [entry] = self.spool.waiting((), 10).entries
            self.assertEqual(
                entry.announcements,
                (Announcement("vcs.repository", "CREATED", {"id": "c1/0", "name": "c1"}),),
            )

    def test_change_that_fails_leaves_nothing(self) -> None:
        """If the block raises, nothing will be announced."""
        with self.assertRaises(KeyError), self.spool.announcing("c1", Announcement("t", "E", {})):
            self.assertEqual(self.spool.waiting((), 10).entries, [])
            raise KeyError
        self.assertEqual(self.files(), [])

    def test_oldest_first_within_the_limit(self) -> None:
        """Entries come by age, so many as asked for, and none that is to be skipped."""
        for age, name in enumerate(("a", "c", "b", "d")):
            self.change(name)
            os.utime(self.directory / f"{name}.event", ns=(age, age))
        found = self.spool.waiting({"a.event"}, 2).entries
        self.assertEqual([entry.path.name for entry in found], ["c.event", "b.event"])

    def test_push_becomes_events(self) -> None:
        """A push is one event with all its refs, and one for each branch that it made or removed."""
        self.pushed(
            f"demo.git\n{NONE} {NEW} refs/heads/a/b\n{OLD} {NONE} refs/heads/c\n"
            f"{OLD} {NEW} refs/heads/main\n{NONE} {NEW} refs/tags/v1\n"
        )
        [entry] = self.spool.waiting((), 10).entries
        push, made, removed = entry.announcements
        self.assertEqual((push.topic, push.event), ("vcs.push", "PUSHED"))
        self.assertEqual((push.payload["repository"], push.payload["url"]), ("demo", "/srv/demo.git"))
        self.assertEqual(
            [update["ref"] for update in push.payload["updates"]],
            ["refs/heads/a/b", "refs/heads/c", "refs/heads/main", "refs/tags/v1"],
        )
        self.assertEqual(push.payload["updates"][2], {"ref": "refs/heads/main", "old": OLD, "new": NEW})
        self.assertEqual(
            made,
            Announcement(
                "vcs.branch",
                "CREATED",
                {"id": "p1/1", "repository": "demo", "name": "a/b", "commit": NEW, "url": "/srv/demo.git"},
            ),
        )
        self.assertEqual((removed.event, removed.payload["name"]), ("DELETED", "c"))

    def test_great_push_is_divided(self) -> None:
        """A push of very many refs is told in several events, none of them lost."""
        self.pushed("demo.git\n" + "".join(f"{OLD} {NEW} refs/tags/{n}\n" for n in range(1201)))
        [entry] = self.spool.waiting((), 10).entries
        sizes = [len(announcement.payload["updates"]) for announcement in entry.announcements]
        self.assertEqual(sizes, [500, 500, 201])

    def test_unreadable_files_are_put_aside(self) -> None:
        """What nobody can understand is moved away and does not stand in the way of the rest."""
        for number, text in enumerate(("", "../evil.git\n", f"demo.git\n{OLD} {NEW}\n")):
            self.pushed(text, f"bad{number}")
        (self.directory / "bad3.event").write_text("{")
        (self.directory / "bad4.event").write_text('[{"topic": 1}]')
        self.change("good")
        found = self.spool.waiting((), 10)
        self.assertEqual([entry.path.name for entry in found.entries], ["good.event"])
        self.assertEqual(len(found.refused), 5)
        self.assertEqual(self.files(), ["good.event"])
        self.assertEqual(len(list((self.directory / "bad").iterdir())), 5)

    def test_files_being_written_do_not_count(self) -> None:
        """Hidden files and other names are left alone."""
        for name in (".push-abc", ".c1.event", "notes.txt"):
            (self.directory / name).write_text("")
        self.assertEqual(self.spool.waiting((), 10).entries, [])
        self.assertEqual(len(self.files()), 3)


class AnnouncerTests(SpoolCase):
    """`Announcer`."""

    def setUp(self) -> None:
        """An announcer that must look by itself, every second."""
        super().setUp()
        self.clock = Clock()
        self.network = MemoryNetwork(takes_charge=False)
        self.told: list[Callable[[], object]] = []
        self.unwatched: list[None] = []

    def start(self, *, watched: bool = False) -> Announcer:
        """Start one."""

        def watch(directory: Path, call: Callable[[], object]) -> Callable[[], object] | None:
            self.assertEqual(directory, self.directory)
            self.told.append(call)
            return (lambda: self.unwatched.append(None)) if watched else None

        announcer = Announcer(self.clock, self.spool, self.network, MemoryHost(), interval=1.0, watch=watch)
        announcer.startService()
        return announcer

    def names(self) -> list[str]:
        """The changes emitted so far."""
        return [str(one.payload["name"]) for one in self.network.emitted if isinstance(one.payload, dict)]

    def test_what_waited_is_announced_at_start(self) -> None:
        """Changes from before the start are announced in order."""
        for age, name in enumerate("ba"):
            self.change(name)
            os.utime(self.directory / f"{name}.event", ns=(age, age))
        self.start()
        self.assertEqual(self.names(), ["b", "a"])

    def test_file_stays_until_the_network_has_taken_charge(self) -> None:
        """A change leaves the spool when emit has fired, is not emitted again meanwhile, and not after."""
        self.change("a")
        self.start()
        self.clock.pump([1.0] * 5)
        self.assertEqual((self.names(), self.files()), (["a"], ["a.event"]))
        self.network.emitted[0].taken.callback(None)
        self.assertEqual(self.files(), [])
        self.clock.pump([1.0] * 5)
        self.assertEqual(self.names(), ["a"])

    def test_file_of_several_events_waits_for_all(self) -> None:
        """A push leaves the spool when the last of its events has been taken charge of, in whatever order."""
        self.pushed(f"demo.git\n{NONE} {NEW} refs/heads/a\n")
        self.start()
        push, branch = self.network.emitted
        branch.taken.callback(None)
        self.assertEqual(self.files(), ["p1.push"])
        push.taken.callback(None)
        self.assertEqual(self.files(), [])

    def test_failed_event_is_tried_again(self) -> None:
        """A change that the network refuses stays, and is announced at the next look."""
        self.pushed(f"demo.git\n{NONE} {NEW} refs/heads/a\n")
        self.start()
        for one in self.network.emitted:
            one.taken.errback(OSError("no link"))
        self.assertEqual(self.files(), ["p1.push"])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.clock.advance(1.0)
        self.assertEqual(len(self.network.emitted), 4)
        for one in self.network.emitted[2:]:
            one.taken.callback(None)
        self.assertEqual(self.files(), [])

    def test_looks_by_itself_when_nobody_tells(self) -> None:
        """Without a watch a change is found at the next look."""
        self.start()
        self.change("a")
        self.assertEqual(self.names(), [])
        self.clock.advance(1.0)
        self.assertEqual(self.names(), ["a"])

    def test_looks_when_told(self) -> None:
        """With a watch a change is found at once; looks by itself are few."""
        self.start(watched=True)
        self.change("a")
        self.told[0]()
        self.assertEqual(self.names(), ["a"])
        self.change("b")
        self.clock.advance(SLOW - 1)
        self.assertEqual(self.names(), ["a"])
        self.clock.advance(1)
        self.assertEqual(self.names(), ["a", "b"])

    def test_asked_while_looking_looks_again(self) -> None:
        """A change that comes while the spool is being read is found without waiting."""
        self.start(watched=True)
        waiting = self.spool.waiting

        def slow(skip: frozenset[str], limit: int) -> object:
            found = waiting(skip, limit)
            if not self.names() and not (self.directory / "b.event").exists():
                self.change("b")
                self.told[0]()
            return found

        self.patch(self.spool, "waiting", slow)
        self.change("a")
        self.told[0]()
        self.assertEqual(self.names(), ["a", "b"])

    def test_number_in_flight_is_bounded(self) -> None:
        """With very many changes so many are emitted, and another for each that is taken charge of."""
        for number in range(IN_FLIGHT + 2):
            self.change(f"c{number:04}")
        self.start()
        self.assertEqual(len(self.names()), IN_FLIGHT)
        self.network.emitted[0].taken.callback(None)
        self.network.emitted[1].taken.callback(None)
        self.assertEqual(len(set(self.names())), IN_FLIGHT + 2)

    def test_unreadable_file_is_logged_and_passed_over(self) -> None:
        """A file that is put aside does not keep others from being announced."""
        self.pushed("")
        self.change("a")
        self.start()
        self.assertEqual(self.names(), ["a"])

    def test_spool_that_cannot_be_read_is_tried_again(self) -> None:
        """An error of the file system is logged, and the next look made all the same."""
        self.start()
        hidden = self.directory.rename(self.directory.with_name("hidden"))
        self.clock.advance(1.0)
        self.assertEqual(len(self.flushLoggedErrors(FileNotFoundError)), 1)
        hidden.rename(self.directory)
        self.change("a")
        self.clock.advance(1.0)
        self.assertEqual(self.names(), ["a"])

    def test_stopped_it_begins_nothing(self) -> None:
        """After the stop nothing is looked for and no call is left; what is taken charge of late still
        leaves."""
        self.change("a")
        announcer = self.start(watched=True)
        announcer.stopService()
        self.assertEqual((self.clock.getDelayedCalls(), len(self.unwatched)), ([], 1))
        self.change("b")
        self.told[0]()
        self.assertEqual(self.names(), ["a"])
        self.network.emitted[0].taken.callback(None)
        self.assertEqual(self.files(), ["b.event"])

    def test_system_without_inotify_is_not_watched(self) -> None:
        """When the system has no watch to spare, the announcer is told that it must look by itself."""

        def refuse(reactor: object) -> None:
            raise OSError("no watches left")

        self.patch(notification, "INotify", refuse)
        self.assertIsNone(inotify(Clock())(self.directory, lambda: None))
