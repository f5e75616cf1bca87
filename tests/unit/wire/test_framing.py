"""Cutting a stream into frames (protocol.md 2)."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.wire.envelope import Frame, make_frame
from gandalf.wire.errors import Malformed, TooLarge, WireError
from gandalf.wire.framing import FrameReader
from tests.unit.wire import support
from tests.unit.wire.support import ELEMENTS, EXAMPLES, raw_of, whole, with_element

MAX_FRAME = 8 * 1024 * 1024

GOOD = [
    make_frame(*ELEMENTS).raw,
    make_frame(*with_element(4, None)).raw,
    make_frame(*with_element(7, bytes(70))).raw,
]
FAULTS = {
    "empty": whole(b""),
    "seven elements": raw_of(ELEMENTS[:7]),
    "unknown kind": raw_of(with_element(0, "nonsense")),
    "not MessagePack": whole(b"\xc1"),
    "trailing byte": whole(GOOD[0][4:] + b"\x00"),
    "too long": struct.pack(">I", MAX_FRAME + 1),
    "2 GiB": struct.pack(">I", 2**31) + b"and some",
}


def read(chunks: Iterable[bytes], max_frame: int = MAX_FRAME) -> tuple[list[bytes], WireError | None, int]:
    """The frames of the chunks, the fault, and what is held at the end."""
    reader = FrameReader(max_frame)
    raws = [frame.raw for chunk in chunks for frame in reader.feed(chunk)]
    return raws, reader.error, reader.held


def cut(data: bytes, offsets: Iterable[int]) -> list[bytes]:
    """``data`` cut at ``offsets``."""
    edges = [0, *sorted(offsets), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


class Splitting(SynchronousTestCase):
    """The network cuts where it likes."""

    def test_at_every_offset(self) -> None:
        """A stream cut in two anywhere gives the same frames, in order, and nothing is held after them."""
        stream = b"".join(GOOD)
        for offset in range(len(stream) + 1):
            self.assertEqual(read(cut(stream, [offset])), (GOOD, None, 0))

    def test_byte_by_byte(self) -> None:
        """In a stream of single bytes each frame is given with its last byte, a short one behind a long one too."""
        reader = FrameReader(MAX_FRAME)
        stream = GOOD[::-1] + GOOD
        given_at = [
            (count, frame.raw)
            for count, byte in enumerate(b"".join(stream), start=1)
            for frame in reader.feed(bytes([byte]))
        ]
        ends = itertools.accumulate(map(len, stream))
        self.assertEqual(given_at, list(zip(ends, stream, strict=True)))
        self.assertEqual((reader.error, reader.held), (None, 0))

    def test_fault_at_every_offset(self) -> None:
        """However a faulty stream is cut, the frames before the fault are given, and the fault is the same."""
        for name, fault in FAULTS.items():
            stream = GOOD[0] + GOOD[1] + fault + GOOD[2]
            _, expected, _ = read([stream])
            for offset in range(len(stream) + 1):
                raws, error, held = read(cut(stream, [offset]))
                self.assertEqual(raws, GOOD[:2], name)
                self.assertIs(type(error), type(expected), name)
                self.assertEqual(str(error), str(expected), name)
                self.assertEqual(held, 0, name)

    @EXAMPLES
    @given(st.lists(support.frames, max_size=6), st.data())
    def test_any_frames_cut_anyhow(self, frames: list[Frame], data: st.DataObject) -> None:
        """Any frames, cut in any number of places, come out as they went in; a beginning is held."""
        raws = [frame.raw for frame in frames]
        beginning = GOOD[0][: data.draw(st.integers(0, len(GOOD[0]) - 1))]
        stream = b"".join(raws) + beginning
        offsets = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
        self.assertEqual(read(cut(stream, offsets)), (raws, None, len(beginning)))


class Faults(SynchronousTestCase):
    """A fault ends the reading, and loses nothing that came before."""

    def test_frames_before_it_in_the_same_chunk(self) -> None:
        """What a chunk brings before a fault is given; what it brings behind is not."""
        for name, fault in FAULTS.items():
            raws, error, held = read([GOOD[0] + GOOD[1] + fault + GOOD[2]])
            self.assertEqual((raws, held), (GOOD[:2], 0), name)
            self.assertIsInstance(error, TooLarge if name in ("too long", "2 GiB") else Malformed, name)

    def test_nothing_is_read_after_it(self) -> None:
        """Chunks behind a fault change nothing: no frame, the same fault, nothing held."""
        reader = FrameReader(MAX_FRAME)
        self.assertEqual(reader.feed(FAULTS["unknown kind"]), [])
        error = reader.error
        self.assertIsInstance(error, Malformed)
        for chunk in (GOOD[0], FAULTS["2 GiB"], b"\x00"):
            self.assertEqual(reader.feed(chunk), [])
        self.assertIs(reader.error, error)
        self.assertEqual(reader.held, 0)

    def test_into_a_list(self) -> None:
        """Frames are appended to the caller's list, those before a fault too."""
        frames = [make_frame(*ELEMENTS)]
        FrameReader(MAX_FRAME).feed_into(GOOD[1] + FAULTS["empty"], frames)
        self.assertEqual([frame.raw for frame in frames], [GOOD[0], GOOD[1]])


class Limits(SynchronousTestCase):
    """``max_frame``: the longest envelope, in bytes."""

    def test_two_gigabytes_announced(self) -> None:
        """A frame announced as 2 GiB is refused from its length alone, which is told with the limit."""
        for announced in (2**31, 2**32 - 1):
            length = struct.pack(">I", announced)
            reader = FrameReader(MAX_FRAME)
            self.assertEqual(reader.feed(length[:3]), [])
            self.assertIsNone(reader.error)
            self.assertLess(support.peak_bytes(reader.feed, length[3:]), 16 * 1024)
            self.assertIsInstance(reader.error, TooLarge)
            assert reader.error is not None
            self.assertEqual(reader.error.code, "TOO_LARGE")
            self.assertIn(str(announced), str(reader.error))
            self.assertIn(str(MAX_FRAME), str(reader.error))

    def test_exactly_the_limit_and_one_more(self) -> None:
        """The limit counts the envelope, not the four bytes of its length."""
        for raw in GOOD:
            size = len(raw) - 4
            self.assertEqual(read([raw], size), ([raw], None, 0))
            raws, error, held = read([raw], size - 1)
            self.assertEqual((raws, held), ([], 0))
            self.assertIsInstance(error, TooLarge)

    def test_a_frame_of_eight_megabytes(self) -> None:
        """A frame as long as the default limit is read, in chunks as a network brings them."""
        overhead = len(raw_of(with_element(7, bytes(70_000)))) - 4 - 70_000
        raw = raw_of(with_element(7, bytes(MAX_FRAME - overhead)))
        self.assertEqual(len(raw), MAX_FRAME + 4)
        raws, error, held = read(cut(raw, range(65_536, len(raw), 65_536)))
        self.assertTrue(raws == [raw])
        self.assertEqual((error, held), (None, 0))
        self.assertIsInstance(read([raw], MAX_FRAME - 1)[1], TooLarge)

    def test_changed_between_chunks(self) -> None:
        """A limit raised once the link stands holds from the next chunk on."""
        reader = FrameReader(len(GOOD[0]) - 4)
        self.assertEqual(len(reader.feed(GOOD[0] + GOOD[2][:3])), 1)
        reader.max_frame = MAX_FRAME
        self.assertEqual([frame.raw for frame in reader.feed(GOOD[2][3:])], [GOOD[2]])
        reader.max_frame = 10
        self.assertEqual(reader.feed(GOOD[0]), [])
        self.assertIsInstance(reader.error, TooLarge)


class Memory(SynchronousTestCase):
    """What a peer can make the reader hold."""

    def test_an_announced_frame_takes_what_came(self) -> None:
        """Announcing the longest frame takes no room before its bytes come."""
        reader = FrameReader(MAX_FRAME)
        announced = struct.pack(">I", MAX_FRAME)
        self.assertLess(support.peak_bytes(reader.feed, announced), 16 * 1024)
        self.assertEqual(reader.held, 4)

    def test_many_small_chunks(self) -> None:
        """A long frame in chunks of two bytes takes no more than a few times its length."""
        raw = make_frame(*with_element(7, bytes(range(256)) * 512)).raw
        chunks = cut(raw, range(2, len(raw), 2))
        reader = FrameReader(MAX_FRAME)

        def feed() -> None:
            for index, chunk in enumerate(chunks):
                # A copy, as a chunk from the network is: the list does not keep it alive.
                reader.feed(bytes(bytearray(chunk)))
                chunks[index] = b""

        self.assertLess(support.peak_bytes(feed), 4 * len(raw))
        self.assertEqual((reader.error, reader.held), (None, 0))

    def test_held(self) -> None:
        """What is held is the incomplete frame, counted in bytes, and is let go with the rest."""
        reader = FrameReader(MAX_FRAME)
        self.assertEqual(reader.held, 0)
        for count, chunk in ((2, GOOD[0][:2]), (4, GOOD[0][2:4]), (4, b""), (9, GOOD[0][4:9])):
            self.assertEqual(reader.feed(chunk), [])
            self.assertEqual(reader.held, count)
        self.assertEqual(len(reader.feed(GOOD[0][9:] + GOOD[1][:3])), 1)
        self.assertEqual(reader.held, 3)


class Hostile(SynchronousTestCase):
    """Bytes made to do harm."""

    @EXAMPLES
    @given(st.lists(st.binary(max_size=60), max_size=8))
    def test_random_chunks(self, chunks: list[bytes]) -> None:
        """Nothing is raised; less than one whole frame is held, and nothing after a fault."""
        _, error, held = read(chunks, 64)
        self.assertLess(held, 68)
        self.assertTrue(error is None or (isinstance(error, WireError) and held == 0))

    @EXAMPLES
    @given(support.mutated(st.just(b"".join(GOOD))), st.data())
    def test_mutated_stream(self, stream: bytes, data: st.DataObject) -> None:
        """A damaged stream gives the same frames, fault and rest however it is cut."""
        offsets = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
        one, many = read([stream], 512), read(cut(stream, offsets), 512)
        self.assertEqual(one[0], many[0])
        self.assertEqual(repr(one[1]), repr(many[1]))
        self.assertEqual(one[2], many[2])
        if one[1] is None:
            self.assertEqual(b"".join(one[0]), stream[: len(stream) - one[2]])
