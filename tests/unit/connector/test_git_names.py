"""Names of repositories and branches."""

from __future__ import annotations

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.connector.git.names import MAX_BRANCH, check_branch_name, check_repository_name


class RepositoryNameTests(SynchronousTestCase):
    """`check_repository_name`."""

    def test_allowed(self) -> None:
        """Ordinary names are allowed, up to 100 characters."""
        for name in ("demo", "0", "a.b-c_D", "gitx", "a.git.b", "x" * 100):
            self.assertEqual(check_repository_name(name), name)

    def test_refused(self) -> None:
        """Paths, options, hidden files, git's own suffixes, what is too long or no ASCII: refused with the
        rule."""
        for name in (
            "", ".", "..", "a/b", "/a", "../a", "a..b", ".a", "-a", "_a", "a.", "a.git", "a.GIT", "a.lock", "a b",
            "a\n", "a\x00", "é", "x" * 101, "a\\b", "\ud800",
        ):  # fmt: skip
            with self.subTest(name=name), self.assertRaisesRegex(ValueError, "must be 1 to 100 letters"):
                check_repository_name(name)

    @given(st.text(alphabet="aZ0./-_\\ gitlock~\n", max_size=12))
    def test_never_leaves_its_directory(self, name: str) -> None:
        """A name that is accepted is one visible word of a path."""
        try:
            accepted = check_repository_name(name)
        except ValueError:
            return
        self.assertEqual(PurePosixPath(accepted).parts, (name,))
        self.assertNotIn(name[0], ".-")


class BranchNameTests(SynchronousTestCase):
    """`check_branch_name`, by the rules of git check-ref-format."""

    def test_allowed(self) -> None:
        """Names with slashes, dots and other alphabets are allowed, up to 200 bytes."""
        for name in ("main", "feature/x.y", "é", "a@b", "v1.0", "HEADS", "x" * MAX_BRANCH):
            self.assertEqual(check_branch_name(name), name)

    def test_refused(self) -> None:
        """Each rule's breach is refused."""
        for name in (
            "", "-a", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a..b", "a.", "a b", "a~b", "a^b",
            "a:b", "a?b", "a*b", "a[b", "a\\b", "a@{b", "@", "HEAD", "a\x7f", "a\n", "\x00", "x" * (MAX_BRANCH + 1),
            "é" * 101, "\ud800",
        ):  # fmt: skip
            with self.subTest(name=name), self.assertRaisesRegex(ValueError, "git check-ref-format"):
                check_branch_name(name)
