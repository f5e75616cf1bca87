"""Payloads and times on the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import click
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cli.arguments import moment, payload

KEYS = st.text(min_size=1).filter(lambda key: not set(key) & set("=:"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


class Payloads(SynchronousTestCase):
    """`payload`"""

    def test_none(self) -> None:
        """Without arguments there is no payload."""
        self.assertIsNone(payload([], None))

    def test_texts_and_json(self) -> None:
        """`=` gives a text as it is, `:=` what JSON says."""
        self.assertEqual(
            payload(["name=demo", "count:=3", "on:=true", "number=3", "empty="], None),
            {"name": "demo", "count": 3, "on": True, "number": "3", "empty": ""},
        )

    def test_the_rest_of_a_text_is_text(self) -> None:
        """Only the first sign counts."""
        self.assertEqual(payload(["a=b=c:=d"], None), {"a": "b=c:=d"})

    def test_added_to_json(self) -> None:
        """Keys are added to the object, and win."""
        self.assertEqual(payload(["b=2"], '{"a": 1, "b": 1}'), {"a": 1, "b": "2"})

    def test_any_json(self) -> None:
        """Alone, the payload may be anything."""
        self.assertEqual(payload([], "[1]"), [1])

    @given(st.dictionaries(KEYS, st.text()), st.dictionaries(KEYS, JSON))
    def test_every_value_arrives(self, texts: dict[str, str], values: dict[str, object]) -> None:
        """Whatever the keys and values."""
        values = {key: value for key, value in values.items() if key not in texts}
        pairs = [f"{key}={value}" for key, value in texts.items()]
        pairs += [f"{key}:={json.dumps(value)}" for key, value in values.items()]
        self.assertEqual(payload(pairs, None), {**texts, **values} or None)

    def test_what_is_refused(self) -> None:
        """Each error names the argument, and what is allowed."""
        refused: list[tuple[list[str], str | None, str]] = [
            (["name"], None, "KEY=TEXT"),
            (["=x"], None, "KEY=TEXT"),
            ([":=1"], None, "KEY=TEXT"),
            (["a=1", "a=2"], None, "twice"),
            (["a:=x"], None, "must be JSON"),
            ([], "{", "--json"),
            (["a=1"], "[]", "JSON object"),
        ]
        for pairs, text, said in refused:
            error = self.assertRaises(click.UsageError, payload, pairs, text)
            self.assertIn(said, error.message)
            self.assertIn(text or pairs[-1].partition(":")[0], error.message)


class Moments(SynchronousTestCase):
    """`moment`"""

    now = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

    def test_ago(self) -> None:
        """A number and a unit."""
        for text, ago in (("90s", 90), ("15m", 900), ("2h", 7200), ("3d", 259_200)):
            self.assertEqual(moment(text, self.now), int((self.now - timedelta(seconds=ago)).timestamp() * 1000))

    def test_iso(self) -> None:
        """A time with an offset."""
        self.assertEqual(moment("2026-01-31T13:00:00+01:00", self.now), int(self.now.timestamp() * 1000))

    def test_here(self) -> None:
        """Without an offset it is the local time."""
        self.assertEqual(moment("2026-01-31", self.now), int(datetime(2026, 1, 31).astimezone().timestamp() * 1000))

    def test_anything_else(self) -> None:
        """The text, and what is allowed."""
        for text in ("", "yesterday", "5w", "-5m", "999999999d", "0001-01-01T00:00:00+23:59"):
            error = self.assertRaises(click.UsageError, moment, text, self.now)
            self.assertIn(repr(text), error.message)
            self.assertIn("15m", error.message)
