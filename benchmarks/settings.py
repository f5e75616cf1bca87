"""How much is measured, and with whom."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from benchmarks.peers.process import Absent
from benchmarks.report import Report


@attrs.frozen
class Settings:
    """What the command line asks for.

    :param payloads: bytes.
    :param seconds: of each timed stretch; `warm` goes before it.
    :param crossbar: the environment that Crossbar.io is installed in, if any.
    """

    rounds: int
    payloads: Sequence[int]
    seconds: float
    warm: float
    quick: bool
    crossbar: str | None


@contextlib.contextmanager
def opened(report: Report, *makers: Callable[[], Any]) -> Iterator[list[Any]]:
    """What each maker makes, closed in the end; those whose program is not installed are left out and named."""
    with contextlib.ExitStack() as stack:
        there = []
        for make in makers:
            try:
                one = make()
            except Absent as reason:
                report.left_out[str(reason)] = "not measured"
                continue
            stack.callback(one.close)
            there.append(one)
        yield there
