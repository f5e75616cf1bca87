"""Payloads as JSON, and back."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.api.errors import BadRequest
from gandalf.api.v1.payloads import payload_members, payload_text, uuid_bytes

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Payloads(SynchronousTestCase):
    """`payload_members`, `payload_text`"""

    def shown(self, payload: bytes) -> tuple[str, Any]:
        """How it is shown, and what stands there."""
        members = payload_members(payload)
        return members["payload_encoding"], members["payload"]

    def test_examples(self) -> None:
        """JSON as its value, text, and bytes."""
        for payload, encoding, value in (
            (b'{"a":[1]}', "json", {"a": [1]}),
            (b'"x"', "json", "x"),
            (b"", "text", ""),
            (b"plain", "text", "plain"),
            (b"\xff\x00", "base64", "/wA="),
            (b"NaN", "text", "NaN"),
            (b"1e999", "text", "1e999"),
            (b'"\\ud800"', "text", '"\\ud800"'),
            (b"[" * 100_000, "text", "[" * 100_000),
        ):
            self.assertEqual(self.shown(payload), (encoding, value))

    @given(st.binary() | st.text().map(str.encode) | VALUES.map(lambda value: json.dumps(value).encode()))
    def test_all_payloads_can_be_told(self, payload: bytes) -> None:
        """Whatever was sent becomes JSON that any client reads."""
        json.dumps(payload_members(payload), ensure_ascii=False, allow_nan=False).encode()

    @given(VALUES.filter(lambda value: value is not None and not isinstance(value, str)))
    def test_round_trip(self, value: Any) -> None:
        """What is sent as a value is shown as that value."""
        self.assertEqual(self.shown(payload_text(value).encode()), ("json", value))

    def test_what_is_sent(self) -> None:
        """Text as it is, nothing for null."""
        self.assertEqual(payload_text("as it is"), "as it is")
        self.assertEqual(payload_text(None), "")
        self.assertEqual(payload_text({"a": "é"}), '{"a":"é"}')

    def test_ids(self) -> None:
        """With dashes or without; anything else is refused."""
        self.assertEqual(uuid_bytes("00" * 16, "id"), b"\0" * 16)
        self.assertEqual(uuid_bytes("00000000-0000-0000-0000-000000000001", "id")[-1], 1)
        for text in ("", "x", "0" * 33):
            self.assertRaises(BadRequest, uuid_bytes, text, "id")
