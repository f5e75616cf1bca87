"""`TraceWriter`: batches, retries, the bound, and closing."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.store.errors import Conflict, DatabaseTimeout, DatabaseUnavailable, InvalidName, QueryFailed, StoreError
from gandalf.store.testing import FakeDatabase
from gandalf.store.trace import TraceRecord, append_txn
from gandalf.store.trace_writer import TraceWriter


def record(number: int) -> TraceRecord:
    """A record that is told from others by its number."""
    return TraceRecord(uuid=number.to_bytes(16, "big"), kind="evt")


class TraceWriterTests(SynchronousTestCase):
    """The writer, over a database that answers when the test says so."""

    def setUp(self) -> None:
        self.database = FakeDatabase()
        self.clock = Clock()
        self.flow: list[bool] = []
        self.writer = TraceWriter(self.database, self.clock, max_batch=4, max_queued=6, on_full=self.flow.append)

    def tearDown(self) -> None:
        """No delayed call may be left behind."""
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def append(self, *numbers: int) -> list[Deferred[None]]:
        """Append records of these numbers."""
        return [self.writer.append(record(number)) for number in numbers]

    def batches(self) -> list[list[int]]:
        """The numbers of the records in each transaction so far."""
        self.assertEqual({asked.txn for asked in self.database.asked}, {append_txn})
        return [[int.from_bytes(each.uuid, "big") for each in asked.args[0]] for asked in self.database.asked]

    def succeed(self) -> None:
        """The transaction that was begun last is committed."""
        self.database.asked[-1].answer.callback(None)

    def break_off(self, error: Exception) -> None:
        """The transaction that was begun last fails."""
        self.database.asked[-1].answer.errback(error)

    def test_the_first_goes_at_once(self) -> None:
        """A record is sent without waiting for others, and its Deferred fires at the commit."""
        (first,) = self.append(1)
        self.assertEqual(self.batches(), [[1]])
        self.assertNoResult(first)
        self.succeed()
        self.successResultOf(first)

    def test_what_arrives_meanwhile_is_the_next_batch(self) -> None:
        """One transaction at a time, in order, and none larger than `max_batch`."""
        waiting = self.append(1, 2, 3, 4, 5, 6)
        self.succeed()
        self.assertEqual(self.batches(), [[1], [2, 3, 4, 5]])
        self.succeed()
        self.assertEqual(self.batches()[2:], [[6]])
        self.assertEqual([bool(each.called) for each in waiting], [True] * 5 + [False])
        self.succeed()
        self.successResultOf(waiting[5])
        self.assertEqual(self.writer.queued, 0)

    def test_an_unavailable_database_is_tried_again(self) -> None:
        """Nothing fails and nothing is lost: the same records go again, after a delay that doubles."""
        first, second = self.append(1, 2)
        self.break_off(DatabaseUnavailable("gone"))
        self.assertEqual(len(self.database.asked), 1)
        self.clock.advance(0.1)
        self.assertEqual(self.batches()[1:], [[1, 2]])
        self.break_off(DatabaseUnavailable("gone"))
        self.clock.advance(0.1)
        self.assertEqual(len(self.database.asked), 2)
        self.clock.advance(0.1)
        self.assertEqual(self.batches()[2:], [[1, 2]])
        self.assertNoResult(first)
        self.succeed()
        self.successResultOf(first)
        self.successResultOf(second)

    def test_the_delay_is_bounded_and_begins_anew(self) -> None:
        """It grows to two seconds, and a success sets it back."""
        self.append(1)
        for _ in range(12):
            self.break_off(DatabaseUnavailable("gone"))
            (retry,) = self.clock.getDelayedCalls()
            self.clock.advance(retry.getTime() - self.clock.seconds())
        self.break_off(DatabaseUnavailable("gone"))
        (retry,) = self.clock.getDelayedCalls()
        self.assertEqual(retry.getTime() - self.clock.seconds(), 2.0)
        self.clock.advance(10)
        self.succeed()
        self.append(2)
        self.break_off(DatabaseUnavailable("gone"))
        (retry,) = self.clock.getDelayedCalls()
        self.assertAlmostEqual(retry.getTime() - self.clock.seconds(), 0.1)
        self.clock.advance(0.1)
        self.succeed()

    def test_records_that_come_while_it_waits(self) -> None:
        """They wait with the others, behind them, and start no attempt of their own."""
        self.append(1)
        self.break_off(DatabaseUnavailable("gone"))
        self.append(2)
        self.assertEqual(len(self.database.asked), 1)
        self.clock.advance(0.1)
        self.assertEqual(self.batches()[1:], [[1, 2]])
        self.succeed()

    def test_one_bad_record_fails_alone(self) -> None:
        """A record that the database cannot hold is found by halving; all others are written."""
        waiting = self.append(1, 2, 3, 4, 5)
        self.succeed()
        for _ in range(20):
            if self.writer.queued == 0:
                break
            if 4 in self.batches()[-1]:
                self.break_off(QueryFailed("bad data", "22P02"))
            else:
                self.succeed()
        for each in (0, 1, 2, 4):
            self.successResultOf(waiting[each])
        self.failureResultOf(waiting[3], QueryFailed)

    def test_what_is_no_fault_of_the_records(self) -> None:
        """A database that refuses everything, as one that only reads after a failover: all waits, nothing is lost."""
        for error in (
            QueryFailed("read-only transaction", "25006"),
            QueryFailed("no privilege", "42501"),
            QueryFailed("no such table", "42P01"),
            QueryFailed("serialization failure, five times", "40001"),
            StoreError("append to the trace: the database connection was closed"),
        ):
            (waiting,) = self.append(1)
            self.break_off(error)
            self.assertNoResult(waiting)
            self.assertEqual(self.writer.queued, 1)
            self.clock.advance(0.1)
            self.succeed()
            self.successResultOf(waiting)

    def test_a_batch_that_takes_too_long(self) -> None:
        """Tried again it would take as long: a half of it is, until the database keeps up."""
        self.append(1, 2, 3, 4, 5)
        self.succeed()
        self.break_off(DatabaseTimeout("too slow"))
        self.clock.advance(0.1)
        self.break_off(DatabaseTimeout("too slow"))
        self.clock.advance(0.2)
        self.assertEqual(self.batches()[1:], [[2, 3, 4, 5], [2, 3], [2]])
        self.break_off(DatabaseTimeout("too slow"))
        self.clock.advance(0.4)
        self.succeed()
        self.succeed()
        self.assertEqual(self.batches()[4:], [[2], [3, 4], [5]])
        self.succeed()
        self.assertEqual(self.writer.queued, 0)

    def test_faults_of_a_record(self) -> None:
        """A text that the database cannot hold, or that an index cannot; a rule that the row breaks."""
        for error in (QueryFailed("bad data", "22021"), InvalidName("too long"), Conflict("check"), ValueError("?")):
            (waiting,) = self.append(1)
            self.break_off(error)
            self.failureResultOf(waiting, type(error))
            self.assertEqual(self.writer.queued, 0)

    def test_full(self) -> None:
        """At the bound the caller is told to stop, and at half of it to go on; records still are taken."""
        self.append(1, 2, 3, 4, 5)
        self.assertEqual((self.flow, self.writer.full), ([], False))
        self.append(6, 7)
        self.assertEqual((self.flow, self.writer.full), ([True], True))
        self.succeed()
        self.assertEqual((self.flow, self.writer.full), ([True], True))
        self.succeed()
        self.assertEqual((self.flow, self.writer.full), ([True, False], False))
        self.succeed()

    def test_plain_callbacks(self) -> None:
        """`append_then` calls back with None, and one callback that raises does not keep others from theirs."""
        told: list[Exception | None] = []

        def broken(error: Exception | None) -> None:
            raise RuntimeError("a defect of the caller's")

        self.writer.append_then(record(1), told.append)
        self.writer.append_then(record(2), broken)
        self.writer.append_then(record(3), told.append)
        self.succeed()
        self.succeed()
        self.assertEqual(told, [None, None])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_appending_from_a_callback(self) -> None:
        """A callback may append; the writer neither loses that record nor sends two batches at once."""
        self.writer.append_then(record(1), lambda error: self.append(3))
        self.append(2)
        self.succeed()
        self.assertEqual(self.batches(), [[1], [2]])
        self.succeed()
        self.assertEqual(self.batches()[2:], [[3]])
        self.succeed()
        self.assertEqual(self.writer.queued, 0)

    def test_closing_waits_for_the_rest(self) -> None:
        """It fires when all is committed, and takes nothing more."""
        waiting = self.append(1, 2)
        closed = self.writer.close()
        self.assertRaises(StoreError, self.writer.append, record(3))
        self.succeed()
        self.assertNoResult(closed)
        self.succeed()
        self.successResultOf(closed)
        self.successResultOf(waiting[1])

    def test_closing_an_idle_writer(self) -> None:
        """It fires at once."""
        self.successResultOf(self.writer.close())

    def test_closing_given_up_while_waiting_to_retry(self) -> None:
        """Cancelling ends the retries, and what was not written fails: nobody takes it for recorded."""
        (waiting,) = self.append(1)
        self.break_off(DatabaseUnavailable("gone"))
        closed = self.writer.close()
        closed.cancel()
        self.failureResultOf(closed, CancelledError)
        self.failureResultOf(waiting, DatabaseUnavailable)

    def test_closing_given_up_during_a_transaction(self) -> None:
        """The transaction's own outcome counts for its records; what waited behind it fails."""
        first, second = self.append(1, 2)
        closed = self.writer.close()
        closed.cancel()
        self.failureResultOf(closed, CancelledError)
        self.failureResultOf(second, DatabaseUnavailable)
        self.break_off(DatabaseUnavailable("gone"))
        self.failureResultOf(first, DatabaseUnavailable)
