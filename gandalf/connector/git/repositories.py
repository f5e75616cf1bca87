"""Bare repositories under one directory: made, listed, branched, deleted. Blocks: for worker threads only.

```
DIRECTORY/
  demo.git/               a repository, its post-receive hook made here
  .gandalf/
    home/.gitconfig       all the configuration that git gets to see
    template/             what a new repository starts from
    spool/                changes to be announced
    tmp/                  repositories not there yet, or no more
```
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import UUID

from twisted.logger import Logger

from gandalf.connector.git.names import check_repository_name
from gandalf.connector.git.process import Git
from gandalf.connector.git.spool import HOOK, HOOK_MARK, Announcement, Spool, branch_event
from gandalf.connector.network import CommandFailed

_HEADS: Final = "refs/heads/"
_STALE: Final = 3600.0
"""Seconds after which what is left in `tmp/` is nobody's work in progress."""
_MARK: Final = "gandalf-command"
"""A file in a repository: the uuid of the command that made it."""


class Repositories:
    """The repositories under `directory`."""

    _log = Logger()

    def __init__(self, directory: Path, git: Git, spool: Spool) -> None:
        self._directory = directory
        self._support = directory / ".gandalf"
        self._tmp = self._support / "tmp"
        self._template = self._support / "template"
        self._git = git
        self._spool = spool

    def prepare(self, now: float) -> None:
        """Make what is missing, the hook in each repository too, and clear what a crash left behind.

        `now` is seconds since the epoch. Raises OSError when the directory cannot be used, ValueError for an
        unusable git.
        """
        self._tmp.mkdir(parents=True, exist_ok=True)
        home = self._support / "home"
        home.mkdir(exist_ok=True)
        # Not by environment or option: git before 2.38 takes safe.directory from such a file only.
        _write(home / ".gitconfig", "[safe]\n\tdirectory = *\n")
        self._spool.prepare()
        self._git.check_version()
        _install_hook(self._template)
        for name in self._names():
            if not _install_hook(self._path(name)):
                self._log.warn(
                    "Repository {name} has a post-receive hook of its own: pushes to it are not announced",
                    name=name,
                )
        for path in self._tmp.iterdir():
            if path.stat().st_mtime < now - _STALE:
                shutil.rmtree(path, ignore_errors=True)

    def create(self, name: str, command: UUID) -> dict[str, object]:
        """Make an empty repository whose default branch is `main`. The same `command` again finds it made.

        Raises `CommandFailed`: `ALREADY_EXISTS`.
        """
        path = self._path(name)
        made: dict[str, object] = {"name": name, "url": self._spool.url(name), "default_branch": "main"}
        if path.exists():
            if _made_by(path) == str(command):
                return made
            raise _exists(name)
        new = self._tmp / f"{command}-{os.getpid()}"
        try:
            self._git.run(
                "init", "--quiet", "--bare", "--initial-branch=main", f"--template={self._template}", str(new)
            )
            (new / _MARK).write_text(str(command))
            with self._spool.announcing(str(command), Announcement("vcs.repository", "CREATED", made)):
                new.rename(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # Somebody was faster; perhaps with this same command.
            if _made_by(path) != str(command):
                raise _exists(name) from None
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return made

    def list_all(self) -> dict[str, object]:
        """All repositories by name."""
        return {"repositories": [{"name": name, "url": self._spool.url(name)} for name in self._names()]}

    def delete(self, name: str, command: UUID) -> dict[str, object]:
        """Delete a repository. Raises `CommandFailed`: `NOT_FOUND`."""
        doomed = self._tmp / f"deleted-{command}-{os.getpid()}"
        deleted: dict[str, object] = {"name": name, "url": self._spool.url(name)}
        try:
            with self._spool.announcing(str(command), Announcement("vcs.repository", "DELETED", deleted)):
                self._path(name).rename(doomed)
        except FileNotFoundError:
            raise _not_found(name) from None
        shutil.rmtree(doomed, ignore_errors=True)
        return deleted

    def create_branch(
        self, repository: str, name: str, source: str | None, command: UUID, progress: Callable[[str], object]
    ) -> dict[str, object]:
        """Make branch `name` where `source` is, by default the repository's default branch.

        An empty repository is given a first commit, on its default branch too, so that there is something to
        branch from. Raises `CommandFailed`: `NOT_FOUND`, `ALREADY_EXISTS`, `NO_SUCH_BRANCH`.
        """
        path = self._path(repository)
        if not path.is_dir():
            raise _not_found(repository)
        default = self._in(path, "symbolic-ref", "HEAD").strip().removeprefix(_HEADS)
        source = source or default
        heads = self._heads(path, _HEADS + name, _HEADS + source)
        if name in heads:
            raise CommandFailed("ALREADY_EXISTS", f"repository {repository!r} has a branch {name!r} already")
        if source in heads:
            made = {name: heads[source]}
        elif source == default and not self._heads(path, "--count=1", _HEADS):
            progress("the repository is empty: making its first commit")
            nothing = self._in(path, "hash-object", "-t", "tree", "-w", "--stdin").strip()
            commit = self._in(path, "commit-tree", nothing, "-m", "Begin").strip()
            made = {source: commit, name: commit}
        else:
            raise CommandFailed("NO_SUCH_BRANCH", f"repository {repository!r} has no branch {source!r}")
        url = self._spool.url(repository)
        announcements = [branch_event("CREATED", repository, branch, commit, url) for branch, commit in made.items()]
        with self._spool.announcing(str(command), *announcements):
            self._in(
                path,
                "update-ref",
                "--stdin",
                "-z",
                stdin="".join(f"create {_HEADS}{branch}\0{commit}\0" for branch, commit in made.items()),
            )
        return {"repository": repository, "name": name, "from": source, "commit": made[name], "url": url}

    def _heads(self, path: Path, *selection: str) -> dict[str, str]:
        listed = self._in(path, "for-each-ref", "--format=%(objectname) %(refname)", *selection)
        pairs = (line.split(" ", 1) for line in listed.splitlines())
        return {ref.removeprefix(_HEADS): commit for commit, ref in pairs}

    def _in(self, path: Path, *arguments: str, stdin: str = "") -> str:
        return self._git.run(f"--git-dir={path}", *arguments, stdin=stdin)

    def _path(self, name: str) -> Path:
        return self._directory / f"{check_repository_name(name)}.git"

    def _names(self) -> list[str]:
        names = []
        for path in self._directory.glob("*.git"):
            try:
                names.append(check_repository_name(path.name.removesuffix(".git")))
            except ValueError:
                continue  # not one of ours
        return sorted(names)


def _install_hook(repository: Path) -> bool:
    """Whether the repository has our hook now; False when it has one of its own, which stays."""
    hook = repository / "hooks" / "post-receive"
    if hook.exists():
        present = hook.read_text("utf-8", "replace")
        if present == HOOK and os.access(hook, os.X_OK):
            return True
        if HOOK_MARK not in present:
            return False
    hook.parent.mkdir(parents=True, exist_ok=True)
    _write(hook, HOOK, 0o755)
    return True


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file that others may be reading."""
    new = path.with_name(f".{path.name}-{os.getpid()}")
    new.write_text(text)
    new.chmod(mode)
    new.replace(path)


def _made_by(path: Path) -> str | None:
    try:
        return (path / _MARK).read_text()
    except OSError:
        return None


def _exists(name: str) -> CommandFailed:
    return CommandFailed("ALREADY_EXISTS", f"there is a repository {name!r} already")


def _not_found(name: str) -> CommandFailed:
    return CommandFailed("NOT_FOUND", f"there is no repository {name!r}")
