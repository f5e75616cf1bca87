"""Searching the trace."""

from __future__ import annotations

import json
from urllib.parse import quote
from uuid import UUID

from gandalf.api.v1.trace import Trace, moment
from gandalf.store.errors import DatabaseUnavailable
from gandalf.store.trace import TraceRecord
from tests.unit.api.v1.support import COMMAND, COMMAND_TEXT, OperationsCase


def record(number: int, payload: bytes = b"") -> TraceRecord:
    """An event that refers to the command."""
    uuid = UUID(int=number).bytes
    return TraceRecord(uuid, "evt", topic="t", event="E", reference=COMMAND, payload=payload, received_at=number)


class TraceTests(OperationsCase):
    """`GET /trace`"""

    def subject(self) -> Trace:
        """See `OperationsCase`."""
        return Trace(lambda: self.database)  # type: ignore[arg-type, return-value]

    def test_filters_reach_the_database(self) -> None:
        """Each, with its type; times as RFC 3339 or in ms."""
        query = f"uuid={COMMAND_TEXT}&reference={COMMAND.hex()}&topic=t&command=c&kind=evt"
        self.ask("GET", f"/trace?{query}&since=2026-01-01T00:00:00Z&until=1800000000000&limit=7")
        asked = self.asked().kwargs
        self.assertEqual((asked["uuid"], asked["reference"]), (COMMAND, COMMAND))
        self.assertEqual((asked["topic"], asked["command"], asked["kind"]), ("t", "c", "evt"))
        self.assertEqual((asked["since"], asked["until"]), (1_767_225_600_000, 1_800_000_000_000))
        self.assertEqual((asked["limit"], asked["before"]), (8, None))

    def test_pages(self) -> None:
        """`next` leads to what follows the last item; the last page has none."""
        self.ask("GET", "/trace?limit=2")
        self.asked().answer.callback([record(3, b'{"a":1}'), record(2, b"\xff"), record(1)])
        page = json.loads(self.answered().body)
        self.assertEqual([item["received_at"] for item in page["items"]], [3, 2])
        first, second = page["items"]
        self.assertEqual((first["payload"], first["payload_encoding"]), ({"a": 1}, "json"))
        self.assertEqual(first["reference"], COMMAND_TEXT)
        self.assertEqual(second["payload_encoding"], "base64")
        self.ask("GET", f"/trace?limit=2&cursor={quote(page['next'])}")
        place = self.asked().kwargs["before"]
        self.assertEqual((place.received_at, place.uuid, place.kind), (2, UUID(int=2).bytes, "evt"))
        self.asked().answer.callback([record(1)])
        page = json.loads(self.answered().body)
        self.assertEqual((len(page["items"]), page["next"]), (1, None))

    def test_what_is_not_understood(self) -> None:
        """400, and the database is not asked."""
        for query in ("uuid=x", "since=yesterday", "since=2026-01-01T00:00:00", "limit=0", "limit=1001", "what=1"):
            self.assertEqual(self.ask("GET", f"/trace?{query}").status, 400, query)
        for cursor in ("x", "%2B", "é", "MS4yLjM", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OS4wMC5ldnQ"):
            self.assertEqual(self.ask("GET", f"/trace?cursor={quote(cursor)}").status, 400, cursor)
        self.assertEqual(self.database.asked, [])

    def test_the_database_is_away(self) -> None:
        """503 with the reason."""
        self.ask("GET", "/trace")
        self.asked().answer.errback(DatabaseUnavailable("it restarts"))
        answer = self.answered()
        self.assertEqual((answer.status, json.loads(answer.body)["detail"]), (503, "it restarts"))

    def test_who_may(self) -> None:
        """Readers."""
        self.assert_needs("reading", "GET", "/trace")

    def test_moments(self) -> None:
        """A plus that arrives as a space, fractions; numbers beyond what the database holds are refused."""
        self.assertEqual(moment("2026-01-01T02:00:00.5 02:00"), 1_767_225_600_500)
        self.assertEqual(moment("0"), 0)
        for value in (str(2**63), "9" * 30, "-1", "٣"):
            self.assertRaises(ValueError, moment, value)
