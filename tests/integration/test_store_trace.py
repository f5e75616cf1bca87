"""The trace on a real server: appended, searched, and written by a `TraceWriter`."""

from __future__ import annotations

from typing import Any

import attrs
from sqlalchemy import text
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from gandalf.store import dsn as dsns
from gandalf.store.database import Database
from gandalf.store.errors import DatabaseUnavailable, QueryFailed
from gandalf.store.trace import Cursor, TraceRecord, after_txn, append_txn, beginning, cursor, place_txn, search_txn
from gandalf.store.trace_writer import TraceWriter

from . import postgres

reactor: Any = global_reactor


def record(number: int, **changes: Any) -> TraceRecord:
    """A record that is told from others by its number, received at that time."""
    full = TraceRecord(
        uuid=number.to_bytes(16, "big"),
        kind="evt",
        topic="repository.created",
        command="",
        event="CREATED",
        reference=bytes(16),
        source="git1",
        target="work1",
        tenant="acme",
        connector_type="vcs",
        payload=b'{"name":"%s"}',
        timestamp=number,
        received_at=number,
        member="cluster1",
    )
    return attrs.evolve(full, **changes)


class TraceTests(TestCase):
    """`append_txn` and `search_txn`."""

    def setUp(self) -> None:
        transaction = postgres.transaction(postgres.create_tenant_tables())
        self.connection = transaction.__enter__()
        self.addCleanup(transaction.__exit__, None, None, None)

    def numbers(self, **wanted: Any) -> list[int]:
        """The numbers of the records that a search finds."""
        return [int.from_bytes(each.uuid, "big") for each in search_txn(self.connection, **wanted)]

    def test_every_field_comes_back(self) -> None:
        """A record is found as it was appended, with and without a reference."""
        full, bare = record(2), TraceRecord(uuid=bytes(16), kind="cmd")
        append_txn(self.connection, [full, bare])
        self.assertEqual(search_txn(self.connection), [full, bare])

    def test_twice(self) -> None:
        """The same uuid and kind again changes nothing, in one batch or in two; another kind is another record."""
        append_txn(self.connection, [record(1), record(1, topic="second")])
        append_txn(self.connection, [record(1, topic="third"), record(1, kind="cmd"), record(2)])
        found = [(each.uuid[-1], each.kind, each.topic) for each in search_txn(self.connection)]
        topic = "repository.created"
        self.assertEqual(found, [(2, "evt", topic), (1, "evt", topic), (1, "cmd", topic)])

    def test_any_text(self) -> None:
        """What means something to the database's copying comes back as it was, in whatever field."""
        odd_ones = ("\\N", "\\.", "\\", "a\tb", "\n", "\r\n", "\\n", "\u2028é", "'", '"', "{}", "\x01")
        for number, odd_one in enumerate(odd_ones):
            fields = ("topic", "command", "event", "source", "target", "tenant", "connector_type", "member")
            for place, field in enumerate(fields):
                odd = record(100 * number + place + 1, **{field: odd_one}, payload=odd_one.encode())
                append_txn(self.connection, [record(10_000 + 100 * number + place), odd])
                self.assertEqual(search_txn(self.connection, uuid=odd.uuid), [odd])

    def test_nothing(self) -> None:
        """Appending no record is allowed."""
        append_txn(self.connection, [])
        self.assertEqual(self.numbers(), [])

    def test_search(self) -> None:
        """Everything given must fit."""
        mine = bytes(15) + b"\x09"
        append_txn(
            self.connection,
            [
                record(1),
                record(2, reference=mine),
                record(3, topic="other", reference=None),
                record(4, kind="cmd", command="CREATE_BRANCH"),
            ],
        )
        for wanted, found in (
            ({}, [4, 3, 2, 1]),
            ({"uuid": (3).to_bytes(16, "big")}, [3]),
            ({"reference": mine}, [2]),
            ({"topic": "other"}, [3]),
            ({"command": "CREATE_BRANCH"}, [4]),
            ({"kind": "cmd"}, [4]),
            ({"kind": "evt", "topic": "repository.created"}, [2, 1]),
            ({"since": 2}, [4, 3, 2]),
            ({"until": 2}, [1]),
            ({"since": 2, "until": 4}, [3, 2]),
            ({"limit": 2}, [4, 3]),
            ({"topic": "nothing\0"}, []),
        ):
            self.assertEqual(self.numbers(**wanted), found, wanted)

    def test_reading_on(self) -> None:
        """Pages follow each other without a gap or an overlap, also within one millisecond."""
        records = [record(number, received_at=7) for number in range(10)]
        append_txn(self.connection, [*records, record(3, kind="cmd", received_at=7), record(11)])
        found: list[TraceRecord] = []
        while page := search_txn(self.connection, limit=4, before=cursor(found[-1]) if found else None):
            found += page
        self.assertEqual(found, search_txn(self.connection))
        self.assertEqual(len(found), 12)

    def test_reading_forward(self) -> None:
        """The oldest first, from any place on, without a gap or an overlap, also within one millisecond."""
        records = [record(number, received_at=7) for number in range(10)]
        append_txn(self.connection, [*records, record(3, kind="cmd", received_at=7), record(11), record(12)])
        everything = list(reversed(search_txn(self.connection)))
        found: list[TraceRecord] = []
        place = beginning(0)
        while page := after_txn(self.connection, place, limit=4):
            found += page
            place = cursor(page[-1])
        self.assertEqual(found, everything)
        for number, each in enumerate(everything):
            self.assertEqual(after_txn(self.connection, cursor(each)), everything[number + 1 :])
        self.assertEqual(after_txn(self.connection, beginning(7)), everything)
        self.assertEqual(after_txn(self.connection, beginning(8)), everything[-2:])
        commands = [each for each in everything if each.kind == "cmd"]
        self.assertEqual(after_txn(self.connection, beginning(0), kind="cmd"), commands)

    def test_the_place_of_one(self) -> None:
        """By uuid and kind; none for what is not there."""
        append_txn(self.connection, [record(1), record(2, kind="cmd")])
        self.assertEqual(place_txn(self.connection, record(1).uuid, "evt"), Cursor(1, record(1).uuid, "evt"))
        self.assertIsNone(place_txn(self.connection, record(2).uuid, "evt"))
        self.assertIsNone(place_txn(self.connection, record(3).uuid, "evt"))

    def test_what_the_database_cannot_hold(self) -> None:
        """NUL in a text and integers beyond 63 bits are stored as the nearest there is: no message is left out."""
        append_txn(self.connection, [record(1, topic="a\0b", timestamp=2**64 - 1, payload=bytes(range(256)))])
        (found,) = search_txn(self.connection)
        self.assertEqual((found.topic, found.timestamp), ("a\N{REPLACEMENT CHARACTER}b", 2**63 - 1))
        self.assertEqual(found.payload, bytes(range(256)))
        self.assertEqual(self.numbers(topic="a\0b"), [1])

    def test_searches_use_an_index(self) -> None:
        """By uuid, by reference and by time the server does not read the whole table."""
        self.connection.execute(text("SET LOCAL enable_seqscan = off"))
        for condition in (
            "uuid = '00000000-0000-0000-0000-000000000001'",
            "reference = '00000000-0000-0000-0000-000000000001'",
            "received_at >= 1 ORDER BY received_at DESC, uuid DESC, kind DESC LIMIT 1",
            "received_at >= 1 AND kind = 'evt' ORDER BY received_at, uuid, kind LIMIT 1",
        ):
            plan = self.connection.execute(text(f"EXPLAIN SELECT * FROM trace WHERE {condition}")).scalars()
            self.assertRegex("\n".join(plan), "Index|Bitmap")


class WriterTests(TestCase):
    """`TraceWriter` with a real database."""

    def setUp(self) -> None:
        self.dsn = postgres.create_tenant_tables()
        self.database = Database(self.dsn, reactor=reactor)
        self.addCleanup(self.database.close)

    async def test_many(self) -> None:
        """All that was appended is there when its Deferred fires, each once."""
        writer = TraceWriter(self.database, reactor, max_batch=100)
        appended = [writer.append(record(number % 900)) for number in range(1000)]
        await gatherResults(appended)
        await writer.close()
        self.assertEqual(len(await self.database.run("search", search_txn, limit=2000)), 900)

    async def test_a_bad_record_among_good_ones(self) -> None:
        """One that the database refuses fails; the others of its batch are there."""
        writer = TraceWriter(self.database, reactor)
        good = [writer.append(record(number)) for number in range(5)]
        bad = writer.append(record(5, uuid=b"short"))
        good += [writer.append(record(number)) for number in range(6, 10)]
        await gatherResults(good)
        with self.assertRaises(QueryFailed):
            await bad
        self.assertEqual(len(await self.database.run("search", search_txn)), 9)
        await writer.close()

    async def test_the_connection_breaks(self) -> None:
        """A connection that is ended under the writer costs a retry, and no record."""
        writer = TraceWriter(self.database, reactor, max_batch=20)
        name = dsns.parse(self.dsn)["dbname"]
        statement = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        appended = [writer.append(record(number)) for number in range(500)]
        await appended[30]
        await self.database.call("terminate", postgres.execute, postgres.admin_dsn(), statement)
        await gatherResults(appended)
        self.assertEqual(len(await self.database.run("search", search_txn, limit=1000)), 500)
        await writer.close()

    async def test_a_server_that_only_reads(self) -> None:
        """As who was the primary before a failover: it is away, and is left as soon as there is one that writes."""
        name, admin = dsns.parse(self.dsn)["dbname"], postgres.admin_dsn()

        async def only_reads(setting: str) -> None:
            statement = f'ALTER DATABASE "{name}" SET default_transaction_read_only = {setting}'
            await self.database.call("set", postgres.execute, admin, statement)

        await only_reads("on")
        try:
            await self.database.run("append", append_txn, [record(1)])
        except DatabaseUnavailable as error:
            self.assertIn("read-only", str(error))
        else:
            self.fail("it has written")
        # Connections that there are keep to what was so when they were made.
        await only_reads("off")
        await self.database.run("append", append_txn, [record(1)])
        self.assertEqual(len(await self.database.run("search", search_txn)), 1)
