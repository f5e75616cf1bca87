"""Cutting frames alike in one piece gives what cutting them one by one gives (protocol.md 2)."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.testing import FrameMaker, run_of
from gandalf.wire.body import pack_body
from gandalf.wire.envelope import Frame, make_frame
from gandalf.wire.errors import TooLarge
from gandalf.wire.framing import FrameReader
from gandalf.wire.kinds import COMMAND, CONFIG, EVENT
from gandalf.wire.runs import Parcel, Run, Template
from tests.unit.wire import support
from tests.unit.wire.support import EXAMPLES
from tests.unit.wire.test_framing import MAX_FRAME, cut

_uuids = st.binary(min_size=16, max_size=16)


def frame(
    kind: str = EVENT,
    *,
    uuid: bytes = bytes(16),
    tenant: str = "tenant1",
    target: str = "",
    reference: bytes | None = None,
    timeout: int = 0,
    timestamp: int = 1_700_000_000_000,
    body: bytes = b"\x80",
) -> Frame:
    """A frame of which only one thing is to be special."""
    return make_frame(kind, uuid, tenant, target, reference, timeout, timestamp, body)


_alike = st.builds(
    frame,
    st.sampled_from([EVENT, COMMAND, CONFIG]),
    uuid=_uuids,
    target=st.sampled_from(["", "git1"]),
    reference=st.none() | _uuids,
    timeout=st.sampled_from([0, 5000]),
    timestamp=st.sampled_from([0, 1_700_000_000_000, 1_800_000_000_000]),
    body=st.sampled_from([b"", b"\x80", bytes(254), bytes(255), bytes(256), bytes(257), bytes(0x10000)]),
)


def read(chunks: Iterable[bytes], max_frame: int = MAX_FRAME) -> tuple[list[Frame], str, int]:
    """The frames of the parcels, the fault, and what is held at the end."""
    reader = FrameReader(max_frame)
    frames = [frame for chunk in chunks for parcel in reader.feed_parcels(chunk) for frame in parcel.frames()]
    return frames, str(reader.error or ""), reader.held


def read_singly(chunks: Iterable[bytes], max_frame: int = MAX_FRAME) -> tuple[list[Frame], str, int]:
    """The same of a reader that knows no runs."""
    reader = FrameReader(max_frame)
    frames = [frame for chunk in chunks for frame in reader.feed(chunk)]
    return frames, str(reader.error or ""), reader.held


def shown(frames: list[Frame]) -> list[tuple[object, ...]]:
    """What is to be equal."""
    return [(f.kind, f.uuid, f.tenant, f.target, f.reference, f.timeout, f.timestamp, f.body, f.raw) for f in frames]


class Same(SynchronousTestCase):
    """With runs or without, what a stream says is the same."""

    def compare(self, chunks: list[bytes], max_frame: int = MAX_FRAME) -> None:
        """Both readers tell the same."""
        frames, fault, held = read(chunks, max_frame)
        expected, expected_fault, expected_held = read_singly(chunks, max_frame)
        self.assertEqual((shown(frames), fault, held), (shown(expected), expected_fault, expected_held))

    @EXAMPLES
    @given(st.lists(_alike, max_size=8), st.integers(1, 3), st.data())
    def test_any_frames_cut_anyhow(self, kinds: list[Frame], repeated: int, data: st.DataObject) -> None:
        """Frames that are often alike, several of each, cut anywhere."""
        stream = b"".join(each.raw * repeated for each in kinds)
        self.compare(cut(stream, data.draw(st.lists(st.integers(0, len(stream)), max_size=8))))

    @EXAMPLES
    @given(st.lists(support.frames, max_size=4), st.integers(1, 3))
    def test_frames_of_every_form(self, frames: list[Frame], repeated: int) -> None:
        """Whatever names and numbers they bear."""
        self.compare([b"".join(each.raw * repeated for each in frames)])

    def test_one_byte_changed(self) -> None:
        """In a run, each byte of a frame in its middle changed to several others: what is wrong is found as ever."""
        for reference in (None, bytes(range(16))):
            good = frame(target="git1", reference=reference, body=pack_body({"topic": "a", "event": "B"})).raw
            for position in range(len(good)):
                for value in (0x00, 0x01, 0x7F, 0x90, 0xC0, 0xC1, 0xC4, 0xC5, 0xD9, 0xFF, good[position] ^ 1):
                    bad = good[:position] + bytes([value]) + good[position + 1 :]
                    self.compare([good * 3 + bad + good * 3])

    def test_one_byte_more_or_less(self) -> None:
        """In the body, with the length of the frame, of the body, or of both told accordingly."""
        good = frame(body=bytes(255)).raw
        for length in (-1, 0, 1):
            for body in (-1, 0, 1):
                bad = bytearray(good)
                bad[3] = (bad[3] + length) % 256
                place = len(good) - 256
                bad[place] = (bad[place] + body) % 256
                self.compare([good * 3 + bytes(bad) + good * 3])

    def test_the_limit_in_a_run(self) -> None:
        """A frame longer than the limit ends the run that it is like, and the reading."""
        short, long = frame(body=bytes(10)), frame(body=bytes(11))
        self.compare([short.raw * 3 + long.raw + short.raw], len(short.raw) - 4)
        reader = FrameReader(len(short.raw) - 4)
        reader.feed_parcels(short.raw * 3 + long.raw)
        self.assertIsInstance(reader.error, TooLarge)


class Runs(SynchronousTestCase):
    """What makes a run, and what it tells."""

    def setUp(self) -> None:
        self.make = FrameMaker()

    def parcels(self, *frames: Frame) -> list[Parcel]:
        """What a chunk of ``frames`` gives, to a reader that has seen two like the first."""
        reader = FrameReader(MAX_FRAME)
        reader.feed_parcels(frames[0].raw * 2)
        return reader.feed_parcels(b"".join(each.raw for each in frames))

    def test_alike(self) -> None:
        """Frames of one kind, tenant, target and timeout, that all have a reference or none, come in one piece."""
        frames = [self.make.event(target="git1", reference=bytes([number] * 16)) for number in range(5)]
        (run,) = self.parcels(*frames)
        assert isinstance(run, Run)
        self.assertEqual((run.count, run.kind, run.tenant, run.target), (5, EVENT, "tenant1", "git1"))
        self.assertEqual(run.uuids, [each.uuid for each in frames])
        self.assertEqual(run.references, [each.reference for each in frames])
        self.assertEqual(run.raw, b"".join(each.raw for each in frames))
        self.assertIn("5 evt", repr(run))

    def test_not_alike(self) -> None:
        """Any of these apart, and there is another run, or none."""
        first = self.make.event()
        others = [
            self.make.event(target="git1"),
            self.make.event(tenant="tenant2"),
            self.make.event(reference=bytes(16)),
            self.make.command(),
        ]
        for other in others:
            one, *rest = self.parcels(first, other)
            self.assertEqual([each.raw for each in (one, *rest)], [first.raw, other.raw])

    def test_what_makes_none(self) -> None:
        """Events that are not worth waiting for long, kinds that are rare, and forms that are."""
        for each in (frame(timeout=5), frame(CONFIG), frame(timestamp=5), frame(body=bytes(0x10000))):
            self.assertIsNone(Template.of(each))
        self.assertIsNotNone(Template.of(frame(COMMAND, timeout=5)))

    def test_alternating(self) -> None:
        """Where no two that are alike follow each other, each comes by itself."""
        one, other = self.make.event(), self.make.event(target="git1")
        reader = FrameReader(MAX_FRAME)
        self.assertTrue(all(isinstance(each, Frame) for each in reader.feed_parcels((one.raw + other.raw) * 4)))

    def test_parts(self) -> None:
        """The rest of a run, and some of its frames."""
        frames = [self.make.event(reference=self.make.uuid()) for _ in range(4)]
        run = run_of(frames)
        tail = run.tail(1).tail(2)
        self.assertEqual((tail.offset, tail.count, tail.raw), (3, 1, frames[3].raw))
        self.assertEqual((tail.uuids, tail.references), ([frames[3].uuid], [frames[3].reference]))
        some = run.only({frames[0].uuid, frames[2].uuid})
        self.assertEqual((some.offset, some.raw), (0, frames[0].raw + frames[2].raw))
        self.assertEqual(shown(some.frames()), shown([frames[0], frames[2]]))
        self.assertEqual(some.references, [frames[0].reference, frames[2].reference])

    def test_frames_that_make_none(self) -> None:
        """A test that takes some for a run is told."""
        self.assertRaises(ValueError, run_of, [self.make.event(), self.make.event(target="git1")])
