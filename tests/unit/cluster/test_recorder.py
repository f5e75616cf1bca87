"""What the trace keeps, and when its feeders have to wait."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cluster.recorder import Recorder, read_record, weight_of
from gandalf.routing.testing import TENANT, FrameMaker
from gandalf.store.errors import Conflict, DatabaseUnavailable
from gandalf.store.testing import FakeDatabase
from gandalf.store.trace import TraceRecord
from gandalf.store.trace_writer import TraceWriter
from gandalf.wire import kinds
from gandalf.wire.body import unpack_body
from gandalf.wire.errors import Malformed


class ReadRecordTest(SynchronousTestCase):
    """From a frame to a record."""

    def setUp(self) -> None:
        self.make = FrameMaker("git1")

    def read(self, kind: str, body: dict[str, object], **envelope: Any) -> TraceRecord:
        """The record of such a frame."""
        frame = self.make(kind, body, **envelope)
        return read_record(frame, unpack_body(frame.body), now=5, member="m")

    def test_event(self) -> None:
        """An event's topic, name and payload; text as UTF-8."""
        record = self.read(
            kinds.EVENT, {"topic": "a.b", "event": "E", "payload": "ü"}, target="x", reference=b"r" * 16
        )
        self.assertEqual((record.topic, record.event, record.payload), ("a.b", "E", b"\xc3\xbc"))
        self.assertEqual((record.source, record.target, record.reference), ("git1", "x", b"r" * 16))
        self.assertEqual((record.tenant, record.received_at, record.member), (TENANT, 5, "m"))
        self.assertEqual((record.command, record.connector_type), ("", ""))

    def test_command(self) -> None:
        """A command's name and pivot; bytes as they are."""
        body: dict[str, object] = {"command": "C", "context": {"connector_type": "vcs"}, "payload": b"\xff"}
        record = self.read(kinds.COMMAND, body)
        self.assertEqual((record.command, record.connector_type, record.payload), ("C", "vcs", b"\xff"))

    def test_malformed(self) -> None:
        """A key of another type than the protocol's."""
        wrong: list[tuple[str, dict[str, object]]] = [
            (kinds.EVENT, {"topic": 1}),
            (kinds.EVENT, {"event": []}),
            (kinds.EVENT, {"payload": 1}),
            (kinds.EVENT, {"source": None}),
            (kinds.COMMAND, {"command": 1}),
            (kinds.COMMAND, {"context": "vcs"}),
            (kinds.COMMAND, {"context": {"connector_type": 1}}),
        ]
        for kind, body in wrong:
            with self.subTest(body):
                self.assertRaises(Malformed, self.read, kind, body)


class RecorderTest(SynchronousTestCase):
    """Feeding the trace."""

    def setUp(self) -> None:
        self.database = FakeDatabase()
        self.held: list[bool] = []
        self.done: list[Exception | None] = []

    def recorder(self, **bounds: int) -> Recorder:
        """One with small bounds."""
        max_batch, max_records = bounds.get("max_batch", 1), bounds.get("max_records", 100)
        self.writer = TraceWriter(self.database, Clock(), max_batch=max_batch)
        max_bytes = bounds.get("max_bytes", 3 * (2 * 4000 + self.empty))
        return Recorder(self.writer, self.held.append, max_records=max_records, max_bytes=max_bytes)

    @property
    def empty(self) -> int:
        """What a record without payload weighs."""
        return weight_of(TraceRecord(uuid=b"u" * 16, kind="evt"))

    def record(self, recorder: Recorder, size: int) -> None:
        """Record a payload of ``size`` bytes."""
        recorder.record(TraceRecord(uuid=b"u" * 16, kind="evt", payload=bytes(size)), self.done.append)

    def commit(self) -> None:
        """The database has written what it was given."""
        self.database.asked.pop(0).answer.callback(None)

    def test_bytes(self) -> None:
        """At the bound feeders are held, until half of it is written."""
        recorder = self.recorder()
        each = 2 * 4000 + self.empty
        for _ in range(3):
            self.assertEqual(self.held, [])
            self.record(recorder, 4000)
        self.assertEqual((self.held, recorder.holding, recorder.bytes), ([True], True, 3 * each))
        self.commit()
        self.assertEqual(self.held, [True])
        self.commit()
        self.assertEqual((self.held, recorder.holding, recorder.bytes), ([True, False], False, each))
        self.assertEqual(self.done, [None, None])

    def test_texts_weigh_as_well(self) -> None:
        """Each may be as long as a frame."""
        for text in ("topic", "command", "event", "source", "target", "connector_type"):
            with self.subTest(text):
                record = TraceRecord(uuid=b"u" * 16, kind="evt", **{text: "x" * 10_000})  # type: ignore[arg-type]
                self.assertGreater(weight_of(record), 20_000)
                wide = TraceRecord(uuid=b"u" * 16, kind="evt", **{text: "x" * 10_000 + "\U0001f600"})  # type: ignore[arg-type]
                self.assertGreater(weight_of(wide), 80_000)

    def test_count(self) -> None:
        """Likewise when too many records wait, however small."""
        recorder = self.recorder(max_records=4)
        for _ in range(4):
            self.record(recorder, 0)
        self.assertEqual(self.held, [True])
        self.commit()
        self.assertEqual(self.held, [True])
        self.commit()
        self.assertEqual(self.held, [True, False])
        while self.database.asked:
            self.commit()
        self.assertEqual(self.held, [True, False])
        self.assertEqual(recorder.queued, 0)

    def test_one_batch(self) -> None:
        """When all that waited is written at once, nobody is held any more."""
        recorder = self.recorder(max_records=4, max_batch=500)
        for _ in range(4):
            self.record(recorder, 0)
        self.commit()
        self.commit()
        self.assertEqual((self.held, recorder.queued), ([True, False], 0))

    def test_refused(self) -> None:
        """What the database refuses is told, and weighs no more."""
        recorder = self.recorder()
        self.record(recorder, 40)
        self.database.asked.pop(0).answer.errback(Conflict("no"))
        (error,) = self.done
        self.assertIsInstance(error, Conflict)
        self.assertEqual(recorder.bytes, 0)

    def test_closed(self) -> None:
        """A trace that is closed takes nothing, as if the database were away."""
        recorder = self.recorder()
        self.successResultOf(self.writer.close())
        self.record(recorder, 40)
        (error,) = self.done
        self.assertIsInstance(error, DatabaseUnavailable)
        self.assertEqual(recorder.bytes, 0)
