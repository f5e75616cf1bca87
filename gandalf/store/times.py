"""Time: every function here that needs the present takes `now`, in milliseconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(now: int) -> datetime:
    """The time `now` (ms since the epoch) as the tenant's tables hold it."""
    return _EPOCH + timedelta(milliseconds=now)
