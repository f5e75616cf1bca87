"""Waiting for something to become true, by asking for it again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.05


def until(
    condition: Callable[[], T],
    seconds: float,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """What `condition` gives, once it is true, or after so many seconds. What it raises comes out at once."""
    deadline = now() + seconds
    while not (result := condition()) and now() < deadline:
        sleep(POLL_S)
    return result
