"""What load programs write down: fixed-size records, appended to a file that outlives a SIGKILL."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

_FORMAT: Final = struct.Struct("<dBBHIII")


class Kind(IntEnum):
    """What happened."""

    SEND = 1
    """An event is about to be sent: `who`, `stream`, `number`."""
    ACKED = 2
    """The network has taken charge of it."""
    REFUSED = 3
    """The network has not; `link` is the code, as in :data:`CODES`."""
    DELIVERED = 4
    """An event has come to `who` and is acted on: its sender is `other`, then `stream`, `number`."""
    ARRIVED = 5
    """The same below the duplicates' sieve: a frame came to `who` over `link`, however often."""
    COMMAND = 6
    """A command is about to be sent: `who`, `number`."""
    ENDED = 7
    """It has ended; `link` is the code, as in :data:`CODES`."""
    ACT = 8
    """`who` begins to carry out command `number` of `other`."""
    SESSION = 9
    """A session of `who` with instance `link` is new, and validated; `other` stands for the instance's process."""
    IDLE = 10
    """The load was told to stop, and nothing of `who` is on its way any more."""
    STRAY = 11
    """Something came to `who` that nobody of the laboratory made, or the answer to something else."""


CODES: Final = (
    "SUCCESS",
    "TIMEOUT",
    "NO_ROUTE",
    "OVERLOADED",
    "EXPIRED",
    "OUTCOME_TIMEOUT",
    "STOPPED",
    "CANCELLED",
    "NOT_VALIDATED",
    "OTHER",
)


def code_number(code: str) -> int:
    """The place of a code in :data:`CODES`."""
    return CODES.index(code) if code in CODES else CODES.index("OTHER")


class Record(NamedTuple):
    """One line of a history; `time` in seconds of the machine's monotonic clock."""

    time: float
    kind: int
    stream: int
    link: int
    who: int
    other: int
    number: int


class Recorder:
    """Appends to a file, each record at once: what was written is there whatever happens to this process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, kind: Kind, who: int, *, stream: int = 0, link: int = 0, other: int = 0, number: int = 0) -> None:
        """Add a record, with the time."""
        os.write(self._file, _FORMAT.pack(time.monotonic(), kind, stream, link, who, other, number))


def read(path: Path) -> Iterator[Record]:
    """The records of a file; half of one at its end, as a full disk leaves it, is not read."""
    with path.open("rb") as file:
        while chunk := file.read(_FORMAT.size * 4096):
            whole = len(chunk) - len(chunk) % _FORMAT.size
            yield from map(Record._make, _FORMAT.iter_unpack(chunk[:whole]))


def last(path: Path, count: int) -> list[Record]:
    """The latest records of a file, at most so many."""
    size = path.stat().st_size // _FORMAT.size * _FORMAT.size
    with path.open("rb") as file:
        file.seek(max(size - count * _FORMAT.size, 0))
        tail = file.read(min(size, count * _FORMAT.size))
    return [Record._make(values) for values in _FORMAT.iter_unpack(tail)]
