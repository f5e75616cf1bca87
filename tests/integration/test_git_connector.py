"""The git connector with the real git program: commands, pushes by plain git, the spool across a restart."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from gandalf.connector.declare import Program
from gandalf.connector.git import program
from gandalf.connector.git.names import check_branch_name
from gandalf.connector.git.process import clean_environment
from gandalf.connector.testing import Emitted, MemoryHost, MemoryNetwork, carry_out

reactor: Any = _reactor
ROUND_TRIP = 0.100
"""Seconds that the issue allows CREATE_REPOSITORY, network included."""


class GitCase(SynchronousTestCase):
    """A connector on a directory of its own."""

    def setUp(self) -> None:
        """An empty directory and a network in memory."""
        self.directory = Path(self.mktemp()).absolute()
        self.network = MemoryNetwork()
        self.program = self.make()
        self.plain = clean_environment(self.directory / ".gandalf" / "home", os.environ["PATH"])

    def make(self, **values: object) -> Program:
        """The connector as it is made at a start."""
        return program({"directory": str(self.directory), **values})

    def do(self, name: str, uuid: UUID | None = None, /, **payload: object) -> tuple[str, Any]:
        """The outcome of a command."""
        return carry_out(self.program.connector, name, payload, network=self.network, uuid=uuid or uuid4()).outcome

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run git as an ordinary user would."""
        return subprocess.run(
            ["git", *arguments], cwd=cwd or self.directory, env=self.plain, check=True, capture_output=True, text=True
        ).stdout.strip()

    def announced(self) -> list[Emitted]:
        """What a connector announces when it is started on the spool as it is now."""
        network = MemoryNetwork()
        assert self.program.beside is not None
        service = self.program.beside(_Quiet(), network, MemoryHost())
        service.startService()
        service.stopService()
        return network.emitted

    def clone_with_commit(self, name: str) -> Path:
        """A clone of the repository `name` with one commit that is not pushed."""
        clone = self.directory.parent / f"clone-{uuid4()}"
        self.git("clone", "--quiet", str(self.directory / f"{name}.git"), str(clone))
        (clone / "file").write_text("content")
        self.git("add", "file", cwd=clone)
        self.git("commit", "--quiet", "-m", "first", cwd=clone)
        return clone


class _Quiet:
    """A reactor for a service that is stopped before anything happens on it."""

    def seconds(self) -> float:
        return 0.0

    def callLater(self, delay: float, call: object) -> Any:
        return _Later()

    def addReader(self, reader: object) -> None: ...

    def removeReader(self, reader: object) -> None: ...

    def addWriter(self, writer: object) -> None: ...

    def removeWriter(self, writer: object) -> None: ...


class _Later:
    def cancel(self) -> None: ...


class CommandTests(GitCase):
    """Each command on real repositories."""

    def test_created_repository_can_be_cloned(self) -> None:
        """CREATE_REPOSITORY makes what git clones from the url returned, default branch main, and announces
        it."""
        event, made = self.do("CREATE_REPOSITORY", name="demo")
        self.assertEqual(event, "SUCCESS")
        self.assertEqual(made, {"name": "demo", "url": f"{self.directory}/demo.git", "default_branch": "main"})
        self.git("clone", "--quiet", made["url"], "clone")
        self.assertEqual(self.git("symbolic-ref", "HEAD", cwd=self.directory / "clone"), "refs/heads/main")
        [emitted] = self.announced()
        self.assertEqual((emitted.topic, emitted.event), ("vcs.repository", "CREATED"))
        self.assertLessEqual(made.items(), emitted.payload.items())  # type: ignore[attr-defined]

    def test_repository_is_created_once(self) -> None:
        """Another command for the same name fails; the same command once more finds its own work done."""
        uuid = uuid4()
        first = self.do("CREATE_REPOSITORY", uuid, name="demo")
        self.assertEqual(self.do("CREATE_REPOSITORY", uuid, name="demo"), first)
        event, failure = self.do("CREATE_REPOSITORY", name="demo")
        self.assertEqual((event, failure["code"]), ("FAILURE", "ALREADY_EXISTS"))
        self.assertEqual(len(self.announced()), 1)

    def test_list_names_the_repositories(self) -> None:
        """LIST_REPOSITORIES gives names and urls in order, and nothing that is not a repository here."""
        for name in ("b", "a"):
            self.do("CREATE_REPOSITORY", name=name)
        (self.directory / "-x.git").mkdir()
        (self.directory / "notes").mkdir()
        self.program = self.make(url="ssh://git@host/srv/")
        self.assertEqual(
            self.do("LIST_REPOSITORIES"),
            (
                "SUCCESS",
                {
                    "repositories": [
                        {"name": "a", "url": "ssh://git@host/srv/a.git"},
                        {"name": "b", "url": "ssh://git@host/srv/b.git"},
                    ]
                },
            ),
        )

    def test_branch_of_an_empty_repository(self) -> None:
        """CREATE_BRANCH in an empty repository makes a first commit, on main and on the new branch."""
        self.do("CREATE_REPOSITORY", name="demo")
        event, made = self.do("CREATE_BRANCH", repository="demo", name="develop")
        self.assertEqual((event, made["from"]), ("SUCCESS", "main"))
        for branch in ("main", "develop"):
            self.assertEqual(self.git("--git-dir=demo.git", "rev-parse", branch), made["commit"])
        self.assertEqual(self.git("--git-dir=demo.git", "fsck", "--strict"), "")
        branches = [one.payload["name"] for one in self.announced() if one.topic == "vcs.branch"]  # type: ignore[index]
        self.assertEqual(branches, ["main", "develop"])

    def test_branch_from_another(self) -> None:
        """CREATE_BRANCH begins where `from` is, with any name that git allows."""
        self.do("CREATE_REPOSITORY", name="demo")
        clone = self.clone_with_commit("demo")
        self.git("push", "--quiet", "origin", "HEAD:refs/heads/release/1.0", cwd=clone)
        event, made = self.do("CREATE_BRANCH", **{"repository": "demo", "name": '"é"/x', "from": "release/1.0"})
        self.assertEqual(event, "SUCCESS", made)
        self.assertEqual(made["commit"], self.git("rev-parse", "HEAD", cwd=clone))
        self.assertEqual(self.git("--git-dir=demo.git", "rev-parse", '"é"/x'), made["commit"])

    def test_branch_failures(self) -> None:
        """A branch that exists, a source or repository that does not, a name in the way: each fails and
        changes nothing."""
        self.do("CREATE_REPOSITORY", name="demo")
        self.do("CREATE_BRANCH", repository="demo", name="develop")
        before = self.git("--git-dir=demo.git", "for-each-ref")
        for code, payload in (
            ("ALREADY_EXISTS", {"repository": "demo", "name": "develop"}),
            ("NO_SUCH_BRANCH", {"repository": "demo", "name": "x", "from": "nowhere"}),
            ("GIT_FAILED", {"repository": "demo", "name": "develop/x"}),
            ("NOT_FOUND", {"repository": "other", "name": "x"}),
        ):
            with self.subTest(code=code):
                event, failure = self.do("CREATE_BRANCH", **payload)
                self.assertEqual((event, failure["code"]), ("FAILURE", code))
        self.assertEqual(self.git("--git-dir=demo.git", "for-each-ref"), before)
        self.assertEqual(len(self.announced()), 3)

    def test_deleted_repository_is_gone(self) -> None:
        """DELETE_REPOSITORY removes it and announces it; again it is not found, and its name is free."""
        self.do("CREATE_REPOSITORY", name="demo")
        self.assertEqual(self.do("DELETE_REPOSITORY", name="demo")[0], "SUCCESS")
        self.assertFalse((self.directory / "demo.git").exists())
        self.assertEqual(self.do("DELETE_REPOSITORY", name="demo")[1]["code"], "NOT_FOUND")
        self.assertEqual(self.do("CREATE_REPOSITORY", name="demo")[0], "SUCCESS")
        self.assertEqual([one.event for one in self.announced()], ["CREATED", "DELETED", "CREATED"])
        self.assertEqual(list((self.directory / ".gandalf" / "tmp").iterdir()), [])

    def test_wrong_names_touch_nothing(self) -> None:
        """A name that leads elsewhere is refused with the rule, and nothing is made or removed."""
        victim = self.directory.parent / "victim.git"
        victim.mkdir(exist_ok=True)
        for name in ("../victim", ".gandalf", "a/b", "-rf", ""):
            for command in ("CREATE_REPOSITORY", "DELETE_REPOSITORY"):
                event, failure = self.do(command, name=name)
                self.assertEqual((event, failure["code"]), ("FAILURE", "INVALID_PAYLOAD"))
                self.assertEqual(failure["errors"][0]["place"], "name")
        self.assertTrue(victim.is_dir())
        self.assertEqual(self.do("LIST_REPOSITORIES")[1], {"repositories": []})

    def test_users_configuration_does_not_matter(self) -> None:
        """Templates, hooks and default branch of the user's own configuration have no part in it."""
        home = self.directory.parent / f"home-{uuid4()}"
        home.mkdir()
        (home / ".gitconfig").write_text(
            "[init]\n\tdefaultBranch = trunk\n\ttemplateDir = /nowhere\n[core]\n\thooksPath = /nowhere\n"
        )
        self.patch(os, "environ", {**os.environ, "HOME": str(home), "GIT_DIR": "/nowhere"})
        self.program = self.make()
        self.assertEqual(self.do("CREATE_REPOSITORY", name="demo")[0], "SUCCESS")
        self.assertEqual((self.directory / "demo.git" / "HEAD").read_text(), "ref: refs/heads/main\n")

    def test_hanging_git_is_ended(self) -> None:
        """A git that does not end is killed with all it started, after the timeout."""
        self.do("CREATE_REPOSITORY", name="demo")
        fake = self.directory / "fake-git"
        fake.write_text('#!/bin/sh\n[ "$1" = --version ] && echo git version 2.30.0 && exit\nsleep 60 & wait\n')
        fake.chmod(0o755)
        self.program = self.make(git=str(fake), timeout=0.3)
        event, failure = self.do("CREATE_REPOSITORY", name="other")
        self.assertEqual((event, failure["code"]), ("FAILURE", "GIT_TIMEOUT"))
        self.assertEqual(self.do("LIST_REPOSITORIES")[1]["repositories"][0]["name"], "demo")

    def test_race_for_a_name_has_one_winner(self) -> None:
        """A repository that another process makes at the same moment is left as it is."""
        fake = self.directory / "fake-git"
        other = self.directory / "demo.git" / "theirs"
        fake.write_text(f'#!/bin/sh\n[ "$1" = init ] && mkdir -p "{other}"\nexec git "$@"\n')
        fake.chmod(0o755)
        self.program = self.make(git=str(fake))
        event, failure = self.do("CREATE_REPOSITORY", name="demo")
        self.assertEqual((event, failure["code"]), ("FAILURE", "ALREADY_EXISTS"))
        self.assertEqual([path.name for path in other.parent.iterdir()], ["theirs"])
        self.assertEqual(self.announced(), [])
        self.assertEqual(list((self.directory / ".gandalf" / "tmp").iterdir()), [])

    def test_leavings_of_a_crash_are_cleared(self) -> None:
        """At its start the connector removes what was left half made, but not what may be in the making."""
        tmp = self.directory / ".gandalf" / "tmp"
        for name, age in (("old", 7200), ("young", 60)):
            (tmp / name / "objects").mkdir(parents=True)
            os.utime(tmp / name, (time.time() - age,) * 2)
        self.make()
        self.assertEqual([path.name for path in tmp.iterdir()], ["young"])

    def test_unusable_settings_name_their_key(self) -> None:
        """A git that is missing or too old, a directory that is a file: ValueErrors that name key and
        value."""
        old = self.directory / "old-git"
        old.write_text("#!/bin/sh\necho git version 2.20.1\n")
        old.chmod(0o755)
        for key, value in (("git", "/nowhere/git"), ("git", str(old)), ("directory", str(old))):
            with self.subTest(key=key, value=value), self.assertRaises(ValueError) as caught:
                self.make(**{key: value})
            self.assertTrue(str(caught.exception).startswith(f"options.{key} is '{value}'"), caught.exception)

    def test_creation_is_fast(self) -> None:
        """CREATE_REPOSITORY takes a small part of the 100 ms that a round trip may take."""
        taken = []
        for number in range(20):
            begin = time.perf_counter()
            self.assertEqual(self.do("CREATE_REPOSITORY", name=f"demo{number}")[0], "SUCCESS")
            taken.append(time.perf_counter() - begin)
        self.assertLess(statistics.median(taken), ROUND_TRIP / 2)


class PushTests(GitCase):
    """Pushes made with plain git."""

    def setUp(self) -> None:
        """A repository whose creation has been announced."""
        super().setUp()
        self.do("CREATE_REPOSITORY", name="demo")
        self.announced()

    def test_push_is_announced(self) -> None:
        """A push is announced with its refs, and the branch that it made."""
        clone = self.clone_with_commit("demo")
        self.git("push", "--quiet", "origin", "HEAD:main", cwd=clone)
        commit = self.git("rev-parse", "HEAD", cwd=clone)
        push, branch = self.announced()
        self.assertEqual((push.topic, push.event), ("vcs.push", "PUSHED"))
        self.assertIsInstance(push.payload, dict)
        self.assertEqual(push.payload["repository"], "demo")  # type: ignore[index]
        self.assertEqual(
            push.payload["updates"],  # type: ignore[index]
            [{"ref": "refs/heads/main", "old": "0" * 40, "new": commit}],
        )
        self.assertEqual((branch.topic, branch.event), ("vcs.branch", "CREATED"))
        self.assertEqual((branch.payload["name"], branch.payload["commit"]), ("main", commit))  # type: ignore[index]
        self.assertEqual(self.announced(), [])

    def test_pushes_keep_their_order(self) -> None:
        """Several pushes while the connector is down are announced in order at its start; a deletion too."""
        clone = self.clone_with_commit("demo")
        for refs in (["HEAD:one"], ["HEAD:two"], [":one"]):
            self.git("push", "--quiet", "origin", *(f"{ref.replace(':', ':refs/heads/')}" for ref in refs), cwd=clone)
        branches = [
            (one.event, one.payload["name"])  # type: ignore[index]
            for one in self.announced()
            if one.topic == "vcs.branch"
        ]
        self.assertEqual(branches, [("CREATED", "one"), ("CREATED", "two"), ("DELETED", "one")])

    def test_repository_from_elsewhere_gets_the_hook_at_start(self) -> None:
        """A repository put there by hand announces its pushes after the next start; a hook of its own
        stays."""
        for name in ("byhand", "owned"):
            self.git("init", "--quiet", "--bare", "--template=", f"{name}.git")
        own = self.directory / "owned.git" / "hooks"
        own.mkdir()
        (own / "post-receive").write_text("#!/bin/sh\n")
        self.program = self.make()
        clone = self.clone_with_commit("byhand")
        self.git("push", "--quiet", "origin", "HEAD:main", cwd=clone)
        self.assertEqual([one.topic for one in self.announced()], ["vcs.push", "vcs.branch"])
        self.assertEqual((own / "post-receive").read_text(), "#!/bin/sh\n")


class WatchTests(TestCase):
    """The announcer on the real reactor."""

    def setUp(self) -> None:
        """A running connector that would look into its spool by itself in an hour."""
        self.directory = Path(self.mktemp()).absolute()
        self.program = program({"directory": str(self.directory), "poll": 3600})
        self.network = MemoryNetwork()
        self.told: Deferred[None] = Deferred()
        emit = self.network.emit

        def tell(topic: str, event: str, payload: object = None, *, target: str = "") -> Deferred[None]:
            taken = emit(topic, event, payload, target=target)
            reactor.callLater(0, self.told.callback, None)
            return taken

        self.patch(self.network, "emit", tell)
        assert self.program.beside is not None
        service = self.program.beside(reactor, self.network, MemoryHost())
        service.startService()
        self.addCleanup(service.stopService)

    def waiting(self) -> list[str]:
        """The names of the changes in the spool."""
        return [path.name for path in (self.directory / ".gandalf" / "spool").glob("*.event")]

    async def test_change_is_announced_at_once(self) -> None:
        """A change is announced as it happens, and its file goes once the network has taken charge."""
        self.network.takes_charge = False
        carry_out(self.program.connector, "CREATE_REPOSITORY", {"name": "demo"}, network=self.network)
        await self.told.addTimeout(5, reactor)
        [emitted] = self.network.emitted
        self.assertEqual((emitted.topic, emitted.event), ("vcs.repository", "CREATED"))
        self.assertEqual(len(self.waiting()), 1)
        emitted.taken.callback(None)
        self.assertEqual(self.waiting(), [])


class BranchNameTests(SynchronousTestCase):
    """The rule for branch names against git's own."""

    @settings(max_examples=150, deadline=None)
    @given(st.text(alphabet="aé./-@{}~^:?*[\\ \x07lockHEAD", min_size=1, max_size=12))
    def test_git_agrees(self, name: str) -> None:
        """Whatever git accepts is accepted and nothing else, but for what git itself reads otherwise as a
        branch."""
        try:
            accepted = check_branch_name(name) == name
        except ValueError:
            accepted = False
        checked = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], capture_output=True, check=False)
        allowed = checked.returncode == 0 and name[0] != "-" and name not in ("@", "HEAD")
        self.assertEqual(accepted, allowed, name)
