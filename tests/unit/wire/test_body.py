"""Message bodies (protocol.md 3)."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.wire.body import COMMON, pack_body, take, take_payload, take_text_list, unpack_body
from gandalf.wire.errors import Malformed, WireError
from tests.unit.wire import support
from tests.unit.wire.support import EXAMPLES, refusal

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | support.texts
    | st.binary(max_size=40)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(support.texts, inner, max_size=5),
    max_leaves=20,
)
bodies = st.dictionaries(support.texts, values, max_size=6)

TIMES = 100
"""The most memory a body takes, in times its bytes: a map of one byte takes 64, and its place in a list."""


class RoundTrip(SynchronousTestCase):
    """What was packed is read again."""

    @EXAMPLES
    @given(bodies)
    def test_every_body(self, body: dict[str, Any]) -> None:
        """Any map comes back as it was, less the keys whose value is ""."""
        said = {key: value for key, value in body.items() if value or not isinstance(value, str)}
        self.assertEqual(repr(unpack_body(pack_body(body))), repr(said))

    def test_only_empty_text_is_left_out(self) -> None:
        """Zero, false, nil, empty bytes, lists and maps are said; "" is not."""
        kept: dict[str, object] = {"a": 0, "b": False, "c": None, "d": b"", "e": [], "f": {}, "g": {"h": ""}}
        self.assertEqual(unpack_body(pack_body({"token": "", **kept, "next": ""})), kept)

    def test_version_of_what_is_made_here(self) -> None:
        """What is made here is of version 1.0."""
        self.assertEqual(COMMON, {"major": 1, "minor": 0})

    def test_long_arrays(self) -> None:
        """Arrays of sixteen and more, in either encoding, and bytes that look like their marks, are read."""
        for count in (15, 16, 17, 65_535, 65_536, 70_000):
            self.assertEqual(unpack_body(pack_body({"list": list(range(count))}))["list"], list(range(count)))
        for text in (b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff"):
            self.assertEqual(unpack_body(pack_body({"payload": text})), {"payload": text})
        self.assertEqual(unpack_body(b"\x81\xa1a\xdd\x00\x00\x00\x01\x01"), {"a": [1]})
        self.assertEqual(unpack_body(b"\xdf\x00\x00\x00\x01\xdb\x00\x00\x00\x01a\xdc\x00\x00"), {"a": []})

    def test_long_payload(self) -> None:
        """A payload of megabytes is read."""
        payload = bytes(range(256)) * 16_384
        self.assertTrue(unpack_body(pack_body({"payload": payload}))["payload"] == payload)


class Refusals(SynchronousTestCase):
    """What is no body."""

    def test_not_one_map(self) -> None:
        """A body is exactly one map."""
        for value in (None, True, 1, "text", b"bin", 1.5, [], [["a", 1]], list(range(20))):
            error = refusal(unpack_body, msgpack.packb(value))
            self.assertIsInstance(error, Malformed)
            self.assertEqual(str(error), "body: must be one MessagePack map whose keys are str")

    def test_keys_that_are_not_text(self) -> None:
        """Keys are str: not bin, numbers, nil, booleans, lists or maps."""
        for key in (b"\xc4\x01a", b"\x01", b"\xc0", b"\xc3", b"\x90", b"\x91\x01", b"\x80", b"\xcb" + bytes(8)):
            self.assertIsInstance(refusal(unpack_body, b"\x81" + key + b"\x01"), Malformed)
            nested = b"\x81\xa7context\x81" + key + b"\x01"
            if key != b"\xc4\x01a":
                self.assertIsInstance(refusal(unpack_body, nested), Malformed)

    def test_cut_short_at_every_offset(self) -> None:
        """Every beginning of a body, the empty one too, is malformed, with a long list inside or without."""
        for body in ({"context": {"a": [1, "b"]}, "payload": "p"}, {"topics": ["t"] * 20}):
            packed = pack_body(body)
            for end in range(len(packed)):
                self.assertIsInstance(refusal(unpack_body, packed[:end]), Malformed)

    def test_trailing_bytes(self) -> None:
        """Nothing may stand behind the map."""
        for body in ({"a": 1}, {"a": [0] * 20}):
            for trailing in (b"\x00", b"\x80", b"\xc1", b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff"):
                self.assertIsInstance(refusal(unpack_body, pack_body(body) + trailing), Malformed)

    def test_text_that_is_not_utf8(self) -> None:
        """Keys and values are UTF-8."""
        for bad in (b"\xa1\xff", b"\xa1\xc3", b"\xa3\xed\xa0\x80", b"\xa2\xc0\x80"):
            self.assertIsInstance(refusal(unpack_body, b"\x81" + bad + b"\x01"), Malformed)
            self.assertIsInstance(refusal(unpack_body, b"\x81\xa1a" + bad), Malformed)

    def test_extension_types(self) -> None:
        """Extension types, timestamps too, are malformed as a key, a value, and deeper."""
        for name, extension in support.EXTENSIONS.items():
            for packed in (
                extension,
                b"\x81" + extension + b"\x01",
                b"\x81\xa1a" + extension,
                b"\x81\xa1a\x91" + extension,
                b"\x81\xa1a\x81\xa1b" + extension,
                b"\x81\xa1a\xdc\x00\x02\x01" + extension,
            ):
                self.assertIsInstance(refusal(unpack_body, packed), Malformed, name)

    def test_errors_say_something(self) -> None:
        """Every refusal has a reason, those for which the unpacker has no words too."""
        for packed, why in ((b"\xc1", "FormatError"), (b"\x81\xa1a" * 2000, "StackError")):
            self.assertEqual(str(refusal(unpack_body, packed)), f"body: not one MessagePack map ({why})")


class Hostile(SynchronousTestCase):
    """Bytes made to do harm."""

    def test_announcing_more_than_there_is(self) -> None:
        """A value that announces millions of elements is refused without room being made for them."""
        for name, value in support.HOSTILE.items():
            for packed in (
                value,
                b"\x81\xa1a" + value,
                b"\x82\xa1a" + value + b"\xa1b\x01",
                b"\x81\xa1a\xdc\x00\x02" + value,
                b"\x81\xa1a\x9f" + value,
                b"\x81" + value,
            ):
                self.assertIsInstance(refusal(unpack_body, packed), Malformed, name)
                peak = support.peak_bytes(unpack_body, packed)
                self.assertLess(peak, 512 * 1024, f"{name}: {peak}")

    def test_elements_that_are_there(self) -> None:
        """What a body takes is bounded by its length: no element of it takes much more than the others."""
        count = 20_000
        for element in (b"\x80", b"\x90", b"\x81\xa0\x80", b"\x81\xa0\xc0", b"\x91\x90", b"\xa2ab", b"\xc0"):
            for packed in (
                b"\x81\xa1a\xdd" + count.to_bytes(4, "big") + element * count,
                b"\xdf" + count.to_bytes(4, "big") + b"".join(b"\xa5%05d" % n + element for n in range(count)),
            ):
                self.assertEqual(len(unpack_body(packed)), 1 if packed[:1] == b"\x81" else count)
                peak = support.peak_bytes(unpack_body, packed)
                self.assertLess(peak, TIMES * len(packed), repr(element))

    @EXAMPLES
    @given(st.binary(max_size=200))
    def test_random_bytes(self, data: bytes) -> None:
        """Whatever the bytes, a map with str keys comes out, or a WireError."""
        for packed in (data, b"\x81\xa1a" + data, b"\x83\xa1a\xdc\x00\x10" + data):
            self.check(packed)

    @EXAMPLES
    @given(support.mutated(bodies.map(pack_body)))
    def test_mutated_bytes(self, data: bytes) -> None:
        """A damaged body is a map with str keys, or a WireError, within the bound."""
        self.check(data)
        self.assertLess(support.peak_bytes(unpack_body, data), TIMES * len(data) + 256 * 1024)

    def check(self, packed: bytes) -> None:
        """Read ``packed``, and take out of it what can be taken."""
        try:
            body = unpack_body(packed)
        except WireError:
            return
        self.assertTrue(all(type(key) is str for key in body))
        for key in body:
            for kind, default in ((int, 0), (str, ""), (bytes, b""), (dict, {})):
                try:
                    self.assertIs(type(take(body, key, kind, default)), kind)
                except WireError as error:
                    self.assertIn(f"body: {key} must be", str(error))


class Taking(SynchronousTestCase):
    """Values are trusted when they have been taken out."""

    BODY = unpack_body(
        pack_body(
            {
                "uint": 2**64 - 1,
                "zero": 0,
                "negative": -1,
                "text": "t",
                "bin": b"b",
                "map": {"k": 1},
                "list": ["a", "b"],
                "float": 1.0,
                "nil": None,
                "true": True,
                "false": False,
            }
        )
    )

    def test_of_the_right_type(self) -> None:
        """A value of the type asked for is given."""
        self.assertEqual(take(self.BODY, "uint", int, 0), 2**64 - 1)
        self.assertEqual(take(self.BODY, "zero", int, 7), 0)
        self.assertEqual(take(self.BODY, "text", str, ""), "t")
        self.assertEqual(take(self.BODY, "bin", bytes, b""), b"b")
        self.assertEqual(take(self.BODY, "map", dict, {}), {"k": 1})
        self.assertIs(take(self.BODY, "true", bool, False), True)

    def test_left_out(self) -> None:
        """A key that is left out has the default."""
        self.assertEqual(take(self.BODY, "absent", int, 3), 3)
        self.assertEqual(take(self.BODY, "absent", str, "d"), "d")
        self.assertEqual(take({}, "absent", dict, {}), {})

    def test_of_another_type(self) -> None:
        """The error names the key, what it must be and what it is; a bool is no uint, nil is nothing."""
        right: dict[type, tuple[str, set[str]]] = {
            int: ("uint", {"uint", "zero"}),
            str: ("str", {"text"}),
            bytes: ("bin", {"bin"}),
            dict: ("map", {"map"}),
            bool: ("bool", {"true", "false"}),
        }
        for kind, (name, keys) in right.items():
            for key in self.BODY.keys() - keys:
                with self.assertRaises(Malformed) as caught:
                    take(self.BODY, key, kind, kind())
                self.assertTrue(str(caught.exception).startswith(f"body: {key} must be {name}, not "))

    def test_what_was_found(self) -> None:
        """The error says what stands there, but for a value, which may be a secret, only its type."""
        for key, kind, found in (
            ("negative", int, "negative"),
            ("true", int, "bool"),
            ("float", int, "float"),
            ("nil", str, "NoneType"),
            ("text", bytes, "str"),
        ):
            with self.assertRaises(Malformed) as caught:
                take(self.BODY, key, kind, kind())
            self.assertTrue(str(caught.exception).endswith(f", not {found}"), str(caught.exception))

    def test_lists_of_text(self) -> None:
        """A list of str, empty too, is given; None only when it is left out."""
        self.assertEqual(take_text_list(self.BODY, "list"), ("a", "b"))
        self.assertEqual(take_text_list({"list": []}, "list"), ())
        self.assertIsNone(take_text_list(self.BODY, "absent"))
        for value in (None, "ab", b"ab", 1, False, {"a": 1}, {}, [1], ["a", b"b"], ["a", None], [["a"]]):
            with self.assertRaises(Malformed) as caught:
                take_text_list({"topics": value}, "topics")
            self.assertEqual(str(caught.exception), "body: topics must be a list of str")

    def test_payload(self) -> None:
        """A payload is str or bin, "" when it is left out."""
        self.assertEqual(take_payload({"payload": "text"}), "text")
        self.assertEqual(take_payload({"payload": b"bin"}), b"bin")
        self.assertEqual(take_payload({}), "")
        for value, name in ((None, "NoneType"), (1, "int"), (["a"], "list"), ({}, "dict"), (True, "bool")):
            with self.assertRaises(Malformed) as caught:
                take_payload({"payload": value})
            self.assertEqual(str(caught.exception), f"body: payload must be str or bin, not {name}")
