"""Envelopes (protocol.md 2)."""

from __future__ import annotations

import struct

import msgpack
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.wire import kinds
from gandalf.wire.envelope import MAX_UINT, Frame, decode_frame, make_frame
from gandalf.wire.errors import Malformed, WireError
from tests.unit.wire import support
from tests.unit.wire.support import ELEMENTS, EXAMPLES, REFERENCE, UUID, raw_of, refusal, whole, with_element

NAMES = ("kind", "uuid", "tenant", "target", "reference", "timeout", "timestamp", "body")


def fields(frame: Frame) -> tuple[object, ...]:
    """The eight elements of a frame."""
    return tuple(getattr(frame, name) for name in NAMES)


def any_width(value: str | bytes | int | None, width: int) -> bytes:
    """``value`` in one of the encodings MessagePack has for it: ``width`` 0 is the shortest, 1 to 3 longer ones."""
    if value is None or width == 0:
        packed: bytes = msgpack.packb(value)
        return packed
    if isinstance(value, int):
        return b"\xcf" + struct.pack(">Q", value)
    data, marks = (value.encode(), b"\xd9\xda\xdb") if isinstance(value, str) else (value, b"\xc4\xc5\xc6")
    width = max(width, 2) if len(data) > 255 else width
    return marks[width - 1 : width] + struct.pack((">B", ">H", ">I")[width - 1], len(data)) + data


class RoundTrip(SynchronousTestCase):
    """What was made is read again."""

    @EXAMPLES
    @given(support.elements)
    def test_every_envelope(self, values: tuple[str, bytes, str, str, bytes | None, int, int, bytes]) -> None:
        """Every right set of elements is read as it was made, and the frame says its length."""
        made = make_frame(*values)
        self.assertEqual(fields(made), values)
        self.assertEqual(fields(decode_frame(made.raw)), values)
        self.assertEqual(made.raw, raw_of(values))

    @EXAMPLES
    @given(
        support.elements,
        st.lists(st.integers(0, 3), min_size=8, max_size=8),
        st.sampled_from([b"\x98", b"\xdc\x00\x08", b"\xdd\x00\x00\x00\x08"]),
    )
    def test_any_encoding_is_read_and_kept(
        self,
        values: tuple[str, bytes, str, str, bytes | None, int, int, bytes],
        widths: list[int],
        header: bytes,
    ) -> None:
        """However long a peer writes its elements and its array, they are read, and forwarded as they came."""
        packed = header + b"".join(any_width(*pair) for pair in zip(values, widths, strict=True))
        raw = whole(packed)
        frame = decode_frame(raw)
        self.assertEqual(fields(frame), values)
        self.assertIs(frame.raw, raw)
        self.assertEqual(raw, whole(packed))

    def test_signed_encoding_of_a_uint(self) -> None:
        """A number that is not negative may be written in a signed format."""
        for encoding, value in ((b"\xd0\x07", 7), (b"\xd3" + struct.pack(">q", 2**40), 2**40)):
            packed = b"\x98" + b"".join(map(msgpack.packb, ELEMENTS[:5])) + encoding
            packed += b"".join(map(msgpack.packb, ELEMENTS[6:]))
            self.assertEqual(decode_frame(whole(packed)).timeout, value)

    def test_largest_values(self) -> None:
        """The largest uints, and long elements past the size from which nesting is looked for."""
        long = make_frame("evt", UUID, "t" * 70_000, "é" * 70_000, None, MAX_UINT, MAX_UINT, bytes(300_000))
        again = decode_frame(long.raw)
        self.assertEqual(fields(again), fields(long))
        self.assertEqual((again.timeout, again.timestamp), (2**64 - 1, 2**64 - 1))

    def test_every_kind(self) -> None:
        """The kinds are those of protocol.md 4; those of link control are not routed."""
        routed = "evt cmd config configuration logicalConfiguration configurationDatabase secret heartbeat"
        control = "link linked refused brothers bye ack ping pong"
        self.assertEqual(kinds.ROUTED, set(routed.split()))
        self.assertEqual(kinds.CONTROL, set(control.split()))
        for kind in f"{routed} {control}".split():
            self.assertEqual(decode_frame(raw_of(with_element(0, kind))).kind, kind)

    def test_length_of_the_body_is_not_looked_into(self) -> None:
        """A router does not look inside the body: any bytes will do."""
        self.assertEqual(decode_frame(raw_of(with_element(7, b"\xc1\xff"))).body, b"\xc1\xff")


class Replace(SynchronousTestCase):
    """Rules that change the envelope."""

    @EXAMPLES
    @given(support.frames, st.none() | support.texts, st.none() | support.texts)
    def test_keeps_everything_else(self, frame: Frame, tenant: str | None, target: str | None) -> None:
        """Only what is named is changed, in the frame's bytes too, and the old frame stays as it was."""
        before, raw = fields(frame), frame.raw
        changed = frame.replace(tenant=tenant, target=target)
        expected = list(before)
        if tenant is not None:
            expected[2] = tenant
        if target is not None:
            expected[3] = target
        self.assertEqual(fields(changed), tuple(expected))
        self.assertEqual(fields(decode_frame(changed.raw)), tuple(expected))
        self.assertEqual((fields(frame), frame.raw), (before, raw))

    def test_changes_the_bytes(self) -> None:
        """Another tenant is other bytes; "" is a value as any other."""
        frame = make_frame(*ELEMENTS)
        changed = frame.replace(tenant="", target="x")
        self.assertNotEqual(changed.raw, frame.raw)
        self.assertEqual((changed.tenant, changed.target), ("", "x"))
        self.assertEqual(changed.raw, raw_of(["evt", UUID, "", "x", *ELEMENTS[4:]]))


class Making(SynchronousTestCase):
    """Frames made here."""

    def test_wrong_elements_are_the_callers_fault(self) -> None:
        """Whatever is wrong with an element, it is a ValueError, not a peer's fault."""
        wrong: list[tuple[int, object]] = [
            (0, "nonsense"),
            (1, b"short"),
            (2, b"acme"),
            (2, "lone \ud800 surrogate"),
            (3, None),
            (4, b""),
            (5, -1),
            (5, True),
            (5, 1.0),
            (5, MAX_UINT + 1),
            (6, -(2**63) - 1),
            (6, object()),
            (7, "text"),
        ]
        for position, value in wrong:
            with self.assertRaises(ValueError) as caught:
                make_frame(*with_element(position, value))
            self.assertNotIsInstance(caught.exception, WireError)
            self.assertNotEqual(str(caught.exception), "")


class Refusals(SynchronousTestCase):
    """Envelopes that do not have the shape of protocol.md 2."""

    def test_each_element_of_a_wrong_type(self) -> None:
        """The error names the element, and only that, and says what is allowed."""
        wrong: dict[int, tuple[str, list[object]]] = {
            0: ("kind must be one of ack, ", [b"evt", 1, None, "", "EVT", "evt ", "unknown", [], {}, ["evt"]]),
            1: ("uuid must be bin of 16 bytes", [bytes(15), bytes(17), b"", "sixteen letters.", None, 1, []]),
            2: ("tenant must be str", [b"acme", None, 1, True, [], {}]),
            3: ("target must be str", [b"deploy", None, 1, False, ["deploy"]]),
            4: ("reference must be bin of 16 bytes, or nil", [bytes(15), bytes(17), b"", "", 0, False, []]),
            5: ("timeout must be uint (ms)", [-1, -(2**63), True, False, 1.0, 0.0, None, "1", b"\x01", []]),
            6: ("timestamp must be uint (ms)", [-1, -(2**63), True, False, 1.7e12, None, "1", {}]),
            7: ("body must be bin", ["text", None, 1, {}, []]),
        }
        self.assertEqual(len(wrong), 8)
        for position, (complaint, values) in wrong.items():
            for value in values:
                error = refusal(decode_frame, raw_of(with_element(position, value)))
                self.assertIsInstance(error, Malformed)
                self.assertEqual(error.code, "MALFORMED")
                self.assertTrue(str(error).startswith(f"envelope: {complaint}"), f"{value!r}: {error}")
                named = [name for name in NAMES if f"{name} must be" in str(error)]
                self.assertEqual(named, [NAMES[position]])

    def test_all_that_is_wrong_is_named(self) -> None:
        """An envelope with several wrong elements is told all of them."""
        error = refusal(decode_frame, raw_of([0] * 5 + [None] * 3))
        for name in NAMES:
            self.assertIn(f"{name} must be ", str(error))

    def test_number_of_elements(self) -> None:
        """Exactly eight: not seven, nine, none or a thousand."""
        for count in (0, 1, 7, 9, 15, 16, 1000):
            values = (list(ELEMENTS) * 125)[:count]
            self.assertIn("eight elements", str(refusal(decode_frame, raw_of(values))))

    def test_not_an_array(self) -> None:
        """Only an array is an envelope."""
        for value in ({}, {"kind": "evt"}, None, 1, "evt", b"12345678", "12345678", True, 1.5):
            error = refusal(decode_frame, whole(msgpack.packb(value)))
            self.assertIn("array of", str(error))

    def test_cut_short_at_every_offset(self) -> None:
        """Every beginning of an envelope, the empty one too, is malformed."""
        packed = raw_of(ELEMENTS)[4:]
        for end in range(len(packed)):
            self.assertIsInstance(refusal(decode_frame, whole(packed[:end])), Malformed)

    def test_trailing_bytes(self) -> None:
        """Nothing may stand behind the array."""
        for trailing in (b"\x00", b"\xc0", b"\xc1", raw_of(ELEMENTS)):
            self.assertIsInstance(refusal(decode_frame, whole(raw_of(ELEMENTS)[4:] + trailing)), Malformed)

    def test_text_that_is_not_utf8(self) -> None:
        """Text is UTF-8, without surrogates and overlong forms."""
        for bad in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"):
            text = bytes([0xA0 + len(bad)]) + bad
            for position in (0, 2, 3):
                parts = [msgpack.packb(value) for value in ELEMENTS]
                parts[position] = text
                self.assertIsInstance(refusal(decode_frame, whole(b"\x98" + b"".join(parts))), Malformed)

    def test_extension_types(self) -> None:
        """Extension types, timestamps too, are malformed in every place."""
        for name, extension in support.EXTENSIONS.items():
            for position in range(8):
                parts = [msgpack.packb(value) for value in ELEMENTS]
                parts[position] = extension
                error = refusal(decode_frame, whole(b"\x98" + b"".join(parts)))
                self.assertIsInstance(error, Malformed, name)
            self.assertIsInstance(refusal(decode_frame, whole(extension)), Malformed)

    def test_nothing_sent_is_repeated(self) -> None:
        """An error's text, which is logged, does not repeat what the peer sent."""
        texts = (2, 3)
        for position in range(8):
            wrong: list[object] = [
                b"hunter2" if position in texts else "hunter2",
                ["hunter2"],
                {"hunter2": b"hunter2"},
            ]
            for value in wrong:
                self.assertNotIn("hunter2", str(refusal(decode_frame, raw_of(with_element(position, value)))))
        for packed in (msgpack.packb("hunter2"), raw_of(ELEMENTS)[4:] + b"hunter2", b"\xaahunter2\xff\xff\xff"):
            self.assertNotIn("hunter2", str(refusal(decode_frame, whole(packed))))


class Hostile(SynchronousTestCase):
    """Bytes made to do harm."""

    BOUND = 8 * 1024 * 1024
    """What an envelope may take besides its own bytes, whatever its length."""

    def test_announcing_more_than_there_is(self) -> None:
        """A value that announces millions of elements is refused without room being made for them."""
        before, after = b"".join(map(msgpack.packb, ELEMENTS[:4])), msgpack.packb(b"")
        for name, value in support.HOSTILE.items():
            for packed in (value, b"\x98" + before + value, b"\x98" + before + value + after):
                raw = whole(packed)
                self.assertIsInstance(refusal(decode_frame, raw), Malformed, name)
                self.assertLess(support.peak_bytes(decode_frame, raw), 512 * 1024, name)

    def test_lists_of_lists(self) -> None:
        """Nested lists, which would take some seventy times their bytes, take no more than the bound."""
        for leaf in (b"\x90", b"\x80", b"\x91\x90", b"\xa2ab", b"\x91\x80", b"\xcb" + bytes(8)):
            for size in (60_000, 1_000_000):
                packed = leaf
                while len(packed) * 8 < size * 2:
                    packed = b"\x98" + packed * 8
                siblings = b"\x98" + (b"\x98" + leaf * 8) * 7
                chain = siblings * (size // len(siblings))
                for hostile in (packed, chain):
                    raw = whole(hostile)
                    self.assertIsInstance(refusal(decode_frame, raw), Malformed)
                    self.assertLess(support.peak_bytes(decode_frame, raw), self.BOUND)

    def test_maps(self) -> None:
        """A map among the elements is refused before it is built."""
        for leaf in (b"\x80", b"\xc0", b"\x90"):
            count = 200_000
            pairs = b"".join(b"\xa6%06d" % number + leaf for number in range(count))
            raw = whole(b"\x98\xdf" + count.to_bytes(4, "big") + pairs)
            self.assertIsInstance(refusal(decode_frame, raw), Malformed)
            self.assertLess(support.peak_bytes(decode_frame, raw), 512 * 1024)

    @EXAMPLES
    @given(st.binary(max_size=200))
    def test_random_bytes(self, data: bytes) -> None:
        """Whatever the bytes, nothing but a WireError comes out."""
        for raw in (data, whole(data), whole(b"\x98" + data)):
            self.assertIsInstance(refusal(decode_frame, raw), Malformed)

    @EXAMPLES
    @given(support.mutated(support.frames.map(lambda frame: frame.raw[4:])))
    def test_mutated_bytes(self, data: bytes) -> None:
        """A damaged envelope is refused or read in the right types, within the bound."""
        raw = whole(data)
        try:
            frame = decode_frame(raw)
        except WireError:
            self.assertLess(support.peak_bytes(decode_frame, raw), 256 * 1024)
        else:
            self.assertIs(frame.raw, raw)
            self.assertEqual(fields(make_frame(*fields(frame))), fields(frame))  # type: ignore[arg-type]


class Reference(SynchronousTestCase):
    """Element 4."""

    def test_nil_or_sixteen_bytes(self) -> None:
        """A message answers one, or none."""
        self.assertIsNone(decode_frame(raw_of(with_element(4, None))).reference)
        self.assertEqual(decode_frame(raw_of(with_element(4, REFERENCE))).reference, REFERENCE)
