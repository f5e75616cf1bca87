"""Where a page of a list of `/api/v1` ended."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.api.errors import BadRequest
from gandalf.api.v1.cursor import cursor_after, place_of
from gandalf.store.model import Model
from gandalf.store.models import KEY, PIVOT, ROLE

TIMES = st.datetimes(timezones=st.just(UTC))
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def cursor(*content: Any) -> str:
    """A text in the form of a cursor."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


class Cursors(SynchronousTestCase):
    """`cursor_after` and `place_of`."""

    @given(TEXTS, st.booleans(), st.integers(-128, 127), TIMES, st.uuids(), st.sampled_from(["", "-"]))
    def test_there_and_back(self, text: str, flag: bool, number: int, time: datetime, id: UUID, sign: str) -> None:
        """The place that was left is the place that is come back to, in a URL as it is."""
        record = {"id": id, "name": text, "mandatory": flag, "major": number, "created_at": time, "updated_at": time}
        for model, columns in (
            (KEY, ("id", "created_at", "updated_at", "name", "mandatory")),
            (PIVOT, ("major",)),
        ):
            for column in columns:
                told = cursor_after(record, f"{sign}{column}")
                self.assertRegex(told, r"^[A-Za-z0-9_-]+$")
                value, last = place_of(model, told, f"{sign}{column}")
                self.assertEqual((value, type(value), last), (record[column], type(record[column]), id))

    def test_of_another_list(self) -> None:
        """A cursor is good in the order in which it was made."""
        told = cursor_after({"id": uuid4(), "name": "x"}, "name")
        for order in ("-name", "id", "created_at"):
            self.assertRaises(BadRequest, place_of, ROLE, told, order)

    def test_made_up(self) -> None:
        """Nothing that somebody makes up gets as far as the database."""
        id, time = str(uuid4()), datetime.now(UTC)
        wrong: dict[tuple[Model, str], tuple[Any, ...]] = {
            (ROLE, "name"): (1, None, True, [], {}, "\0", "\ud800"),
            (ROLE, "created_at"): (1, None, "x", time.replace(tzinfo=None).isoformat(), "2026"),
            (ROLE, "id"): (1, None, "x"),
            (KEY, "mandatory"): (1, 0, "true", None),
            (PIVOT, "major"): (True, 128, -129, 1.0, "1", None),
        }
        for (model, order), values in wrong.items():
            for value in values:
                self.assertRaises(BadRequest, place_of, model, cursor(order, value, id), order)
        for content in (("name", "x"), ("name", "x", "y"), ("name", "x", None), ("name", "x", id, 1), ()):
            self.assertRaises(BadRequest, place_of, ROLE, cursor(*content), "name")
        deep = base64.urlsafe_b64encode(b"[" * 100_000).decode().rstrip("=")
        for text in ("", "x", "é", "a b", "=", deep, base64.urlsafe_b64encode(b"\xff").decode()):
            self.assertRaises(BadRequest, place_of, ROLE, text, "name")

    def test_the_error(self) -> None:
        """It says where a cursor comes from."""
        error = self.assertRaises(BadRequest, place_of, ROLE, "x", "name")
        self.assertIn("take it from `next`", str(error))

    def test_other_zones(self) -> None:
        """A time with an offset is the same time."""
        time = datetime(2026, 1, 1, tzinfo=UTC)
        told = cursor("created_at", (time + timedelta(0)).isoformat().replace("+00:00", "Z"), str(UUID(int=1)))
        self.assertEqual(place_of(ROLE, told, "created_at"), (time, UUID(int=1)))
