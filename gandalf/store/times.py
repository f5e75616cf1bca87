"""Time: functions here that need the present take `now`, in milliseconds since the epoch.

What several processes judge by, whose clocks may differ, is the database's time: `database_time_txn`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Connection, cast, extract, func, select

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(now: int) -> datetime:
    """The time `now` (ms since the epoch) as the tenant's tables hold it."""
    return _EPOCH + timedelta(milliseconds=now)


def database_time_txn(connection: Connection) -> int:
    """The present by the database's clock, in milliseconds since the epoch."""
    now = extract("epoch", func.clock_timestamp()) * 1000
    return int(connection.execute(select(cast(now, BigInteger))).scalar_one())
