"""How many files and connections this process may have open at a time."""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from gandalf.shoset.arrivals import SPARE

RESERVE: Final = 256
"""For all that is no link: the API's clients, the database, files."""

_log = Logger()


def make_room(
    connections: int,
    *,
    read: Callable[[int], tuple[int, int]] = resource.getrlimit,
    change: Callable[[int, tuple[int, int]], None] = resource.setrlimit,
) -> None:
    """Let this process open enough files for ``connections`` links, as far as the system lets it; else say so.

    Many systems start a program with 1,024, and let it raise that itself.

    :param read: as ``resource.getrlimit``.
    :param change: as ``resource.setrlimit``.
    """
    wanted = connections + SPARE + RESERVE
    soft, hard = read(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if allowed > soft:
        change(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _log.warn(
            "this process may open {allowed} files, which is too few for max_connections = {connections}:"
            " raise its limit (LimitNOFILE, ulimit -n) to {wanted}, or lower max_connections",
            allowed=allowed,
            connections=connections,
            wanted=wanted,
        )
