"""Changes that wait to be announced, one file each, so that they outlive the connector.

A file is written under a hidden name and renamed when the change has happened: what has a proper name is
whole. The connector writes `ID.event`, a JSON list of announcements; the hook in each repository writes
`ID.push`, the repository's directory name on a line and then what git gives a post-receive hook: old commit,
new commit and ref, a line each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from gandalf.connector.git.names import check_repository_name

HOOK: Final = """\
#!/bin/sh
# Made by Gandalf's git connector, which learns of pushes from it, and makes it again when it starts.
spool=../.gandalf/spool
file=$(mktemp "$spool/.push-XXXXXXXXXXXX") || exit 0
here=$(pwd -P)
if { echo "${here##*/}" && cat; } >"$file" && chmod a+r "$file"; then
    mv "$file" "$spool/${file##*/.push-}.push"
else
    rm -f "$file"
fi
"""
HOOK_MARK: Final = "# Made by Gandalf's git connector"

_BRANCH: Final = "refs/heads/"
_UPDATES_AN_EVENT: Final = 500
"""Refs told of in one event, lest a push of everything be longer than a frame may be."""


@attrs.frozen
class Announcement:
    """An event to be emitted."""

    topic: str
    event: str
    payload: dict[str, Any]


@attrs.frozen
class Entry:
    """A file of the spool, read."""

    path: Path
    announcements: tuple[Announcement, ...]


@attrs.frozen
class Found:
    """What a look into the spool has found: entries, the oldest first, and files set aside as unreadable."""

    entries: list[Entry]
    refused: list[Path]


class Spool:
    """The spool directory. Blocks: for worker threads only. `url` makes the URL of a repository from its
    name."""

    def __init__(self, directory: Path, url_prefix: str) -> None:
        self.directory = directory
        self._bad = directory / "bad"
        self._url_prefix = url_prefix

    def prepare(self) -> None:
        """Make the directories."""
        self._bad.mkdir(parents=True, exist_ok=True)

    def url(self, repository: str) -> str:
        """Where `repository` is cloned from."""
        return f"{self._url_prefix}/{repository}.git"

    @contextmanager
    def announcing(self, change: str, *announcements: Announcement) -> Iterator[None]:
        """Announce if and only if the block succeeds. Written down before, so a full disk stops the change
        too."""
        hidden = self.directory / f".{change}"
        hidden.write_text(json.dumps([attrs.asdict(announcement) for announcement in announcements]))
        try:
            yield
        except BaseException:
            hidden.unlink()
            raise
        hidden.rename(self.directory / f"{change}.event")

    def waiting(self, skip: Collection[str], limit: int) -> Found:
        """The oldest `limit` files that are not named in `skip`. Unreadable ones are moved to `bad/`."""
        found = Found([], [])
        waiting = []
        with os.scandir(self.directory) as files:
            for file in files:
                if file.name.endswith((".event", ".push")) and file.name not in skip and file.name[0] != ".":
                    waiting.append((file.stat().st_mtime_ns, file.name))
        for _, name in sorted(waiting)[:limit]:
            path = self.directory / name
            try:
                found.entries.append(Entry(path, tuple(self._read(path))))
            except (ValueError, KeyError, TypeError, PermissionError):
                found.refused.append(path.rename(self._bad / name))
        return found

    def _read(self, path: Path) -> Iterator[Announcement]:
        text = path.read_text("utf-8", "replace")
        if path.suffix == ".event":
            announcements = [Announcement(**one) for one in json.loads(text)]
        else:
            announcements = list(self._pushed(text))
        for number, announcement in enumerate(announcements):
            # A change may be announced twice (a crash before its file is gone): the id tells.
            yield attrs.evolve(announcement, payload={"id": f"{path.stem}/{number}", **announcement.payload})

    def _pushed(self, text: str) -> Iterator[Announcement]:
        directory, *lines = text.splitlines()
        name = check_repository_name(directory.removesuffix(".git"))
        updates = []
        for line in lines:
            old, new, ref = line.split(" ", 2)
            updates.append({"ref": ref, "old": old, "new": new})
        for first in range(0, len(updates), _UPDATES_AN_EVENT):
            yield Announcement(
                "vcs.push",
                "PUSHED",
                {
                    "repository": name,
                    "url": self.url(name),
                    "updates": updates[first : first + _UPDATES_AN_EVENT],
                },
            )
        for update in updates:
            branch = update["ref"].removeprefix(_BRANCH)
            if branch != update["ref"] and not update["old"].strip("0"):
                yield branch_event("CREATED", name, branch, update["new"], self.url(name))
            elif branch != update["ref"] and not update["new"].strip("0"):
                yield branch_event("DELETED", name, branch, update["old"], self.url(name))


def branch_event(event: str, repository: str, branch: str, commit: str, url: str) -> Announcement:
    """The announcement that `branch` was made at, or removed from, `commit`."""
    return Announcement("vcs.branch", event, {"repository": repository, "name": branch, "commit": commit, "url": url})
