"""`TraceWriter`: records go to the trace in batches, as fast as the database takes them, and none is lost.

No record waits for a timer: the first goes at once, and what arrives while a batch is under way is the next
batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .errors import Conflict, DatabaseTimeout, DatabaseUnavailable, QueryFailed, StoreError
from .trace import TraceRecord, append_txn

P = ParamSpec("P")
T = TypeVar("T")

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 2.0


class Runner(Protocol):
    """What is used of `Database`."""

    def run(
        self, name: str, txn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]: ...


Done = Callable[[Exception | None], object]
"""Called when a record is committed (None), or refused by the database for its own sake (the error)."""


def _by_the_record(error: BaseException | None) -> bool:
    """Whether the database refused a record for its own sake. Whatever else it says may pass, and costs no record."""
    return isinstance(error, Conflict | ValueError) or (isinstance(error, QueryFailed) and error.by_data)


class TraceWriter:
    """Appends records to the trace of `database`, at most `max_batch` in a transaction, one transaction at a time.

    While the database takes nothing everything is kept, and tried again after 0.1 s, doubling up to 2 s, on
    `clock`; only a record that is refused for its own sake is given up. When `max_queued` records are waiting
    the writer is `full`, until half of them are written; `on_full` is told both (True, False). A full writer
    still takes records: stopping those who send them is the caller's part.
    """

    _log = Logger()

    def __init__(
        self,
        database: Runner,
        clock: IReactorTime,
        *,
        max_batch: int = 4000,
        max_queued: int = 100_000,
        on_full: Callable[[bool], object] = lambda full: None,
    ) -> None:
        self._database = database
        self._clock: Any = clock
        self._max_batch = max_batch
        self._max_queued = max_queued
        self._on_full = on_full
        self._full = False
        self._queue: deque[tuple[TraceRecord, Done]] = deque()
        self._batch: list[tuple[TraceRecord, Done]] = []  # what is under way
        self._limit = max_batch
        self._delay = FIRST_DELAY_S
        self._retry: IDelayedCall | None = None
        self._closing: Deferred[None] | None = None
        self.given_up = 0
        """Records that were not known to be committed when closing was given up."""

    @property
    def full(self) -> bool:
        """Whether callers should stop feeding the writer."""
        return self._full

    @property
    def queued(self) -> int:
        """How many records are not committed yet."""
        return len(self._queue) + len(self._batch)

    def append(self, record: TraceRecord) -> Deferred[None]:
        """Fires when the record is committed; fails if the database refuses this very record (`StoreError`).

        Raises `StoreError` when the writer is closed.
        """
        committed: Deferred[None] = Deferred()

        def done(error: Exception | None) -> None:
            if error is None:
                committed.callback(None)
            else:
                committed.errback(error)

        self.append_then(record, done)
        return committed

    def append_then(self, record: TraceRecord, done: Done) -> None:
        """As `append`, with a plain callback: `done(None)`, or `done(error)`."""
        if self._closing is not None:
            raise StoreError("the trace writer is closed")
        self._queue.append((record, done))
        if not self._batch and self._retry is None:
            self._send()
        if not self._full and self.queued >= self._max_queued:
            self._full = True
            self._on_full(True)

    def close(self) -> Deferred[None]:
        """Take no more records; fires when all are committed. Cancelled, it gives up what is left: that fails."""
        if self._closing is None:
            self._closing = Deferred(lambda _: self._give_up())
            self._settle()
        return self._closing

    def _send(self) -> None:
        self._retry = None
        while self._queue and len(self._batch) < self._limit:
            self._batch.append(self._queue.popleft())
        records = [record for record, _ in self._batch]
        self._database.run("append to the trace", append_txn, records).addCallbacks(self._sent, self._failed)

    def _sent(self, _: None) -> None:
        self._delay = FIRST_DELAY_S
        self._limit = min(self._limit * 2, self._max_batch)
        self._finish(None)

    def _failed(self, failure: Failure) -> None:
        if self._closing is not None and self._closing.called:  # given up
            self._finish(failure.value)
        elif not _by_the_record(failure.value):
            self._log.warn(
                "The trace cannot be written: {reason}; {queued} records wait, next attempt in {delay} s",
                reason=failure.getErrorMessage(),
                queued=self.queued,
                delay=self._delay,
            )
            if failure.check(DatabaseTimeout):
                # As long a batch would take as long again.
                self._limit = max(len(self._batch) // 2, 1)
            self._requeue()
            self._retry = self._clock.callLater(self._delay, self._send)
            self._delay = min(self._delay * 2, LONGEST_DELAY_S)
        elif len(self._batch) > 1:
            # One record of the batch is at fault: halves are tried, until it stands alone.
            self._limit = len(self._batch) // 2
            self._requeue()
            self._send()
        else:
            self._log.error("The database refused a record: {reason}", reason=failure.getErrorMessage())
            self._finish(failure.value)

    def _requeue(self) -> None:
        self._queue.extendleft(reversed(self._batch))
        self._batch = []

    def _finish(self, error: Any) -> None:
        finished, self._batch = self._batch, []
        if self._queue:
            self._send()
        self._tell(finished, error)
        self._settle()

    def _tell(self, finished: list[tuple[TraceRecord, Done]], error: Exception | None) -> None:
        for _, done in finished:
            try:
                done(error)
            except Exception:
                self._log.failure("A callback of the trace writer failed")

    def _settle(self) -> None:
        if self._full and self.queued <= self._max_queued // 2:
            self._full = False
            self._on_full(False)
        if self._closing is not None and not self._closing.called and not self.queued:
            self._closing.callback(None)

    def _give_up(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self.given_up = self.queued
        left = list(self._queue)
        self._queue.clear()
        self._tell(left, DatabaseUnavailable("the trace writer was closed before the record could be written"))
