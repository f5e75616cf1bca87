"""Ending what a supervisord that was killed has left running.

supervisord was started in a session of its own, and its programs stay in that session: after its end, whoever
still is of that session was started by it. (A process id is not given anew while a session bears it.)
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gandalf.local.places import Places
from gandalf.local.supervision import is_alive
from gandalf.local.waiting import until

ENDED_WITHIN_S = 15.0


def end_orphans(places: Places) -> list[int]:
    """End the programs that a killed supervisord has left, and return their process ids.

    Only systems with /proc tell of sessions; on others a program that was left says itself that its address is
    taken.
    """
    try:
        session = int((places.var / "supervisord.pid").read_text())
    except (OSError, ValueError):
        return []
    if is_alive(session):  # somebody else has that number by now: the session has ended
        return []
    orphans = [pid for pid in _processes() if _session(pid) == session and is_alive(pid)]
    # PostgreSQL takes SIGINT for an order to end at once, and would wait for its clients at SIGTERM.
    _signal(orphans, signal.SIGINT)
    if not until(lambda: not any(map(is_alive, orphans)), ENDED_WITHIN_S):
        _signal(orphans, signal.SIGKILL)
        until(lambda: not any(map(is_alive, orphans)), ENDED_WITHIN_S)
    return orphans


def _processes() -> Iterable[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if entry.name.isdecimal()]


def _session(pid: int) -> int | None:
    """The session of a process, None when it has ended."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _signal(processes: Iterable[int], number: signal.Signals) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
