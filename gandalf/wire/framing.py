"""Cutting a stream of bytes into frames (protocol.md 2)."""

from __future__ import annotations

from gandalf.wire.envelope import LENGTH, Frame, decode_frame
from gandalf.wire.errors import TooLarge, WireError
from gandalf.wire.runs import Parcel, Template, alike


class FrameReader:
    """Takes chunks as they come from the network, and gives the frames that are complete.

    What a chunk brings before a fault is given; the fault stays in :attr:`error`, and nothing is read
    after it. It never holds more than one frame of ``max_frame`` bytes and the chunk that completed it.

    :param max_frame: the longest envelope accepted, in bytes; may be changed between chunks.
    """

    def __init__(self, max_frame: int) -> None:
        self.max_frame = max_frame
        self.error: WireError | None = None
        self._rest = bytearray()
        self._needed = LENGTH.size
        self._latest: Frame | None = None
        self._template: Template | None = None

    @property
    def held(self) -> int:
        """Bytes of an incomplete frame that wait for the rest."""
        return len(self._rest)

    @property
    def wanted(self) -> int:
        """Bytes that complete the present frame, or its length when that is not here yet."""
        return self._needed - len(self._rest)

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that ``chunk`` completes, in order."""
        frames: list[Frame] = []
        self.feed_into(chunk, frames)
        return frames

    def feed_into(self, chunk: bytes, frames: list[Frame]) -> None:
        """As :meth:`feed`, appending to ``frames``."""
        if self._gathers(chunk):
            return
        data, position = self._joined(chunk), 0
        try:
            while (end := self._end_of_frame(data, position)) is not None:
                frames.append(decode_frame(data[position:end]))
                position = end
            self._rest += data[position:]
        except WireError as error:
            self.error = error

    def feed_parcels(self, chunk: bytes) -> list[Parcel]:
        """As :meth:`feed`; frames alike that lie one behind the other come as a :class:`Run`."""
        parcels: list[Parcel] = []
        if self._gathers(chunk):
            return parcels
        data, position = self._joined(chunk), 0
        try:
            while True:
                if self._template is not None:
                    cut = self._template.cut(data, position, self.max_frame)
                    if cut is not None:
                        run, position = cut
                        parcels.append(run)
                end = self._end_of_frame(data, position)
                if end is None:
                    break
                frame = decode_frame(data[position:end])
                parcels.append(frame)
                position = end
                self._learn(frame)
            self._rest += data[position:]
        except WireError as error:
            self.error = error
        return parcels

    def _learn(self, frame: Frame) -> None:
        """Two frames alike, one behind the other: more of them may come."""
        latest, self._latest = self._latest, frame
        if latest is not None and alike(latest, frame):
            self._template = Template.of(frame)

    def _gathers(self, chunk: bytes) -> bool:
        """Whether nothing is complete yet. A long frame comes in many chunks: it is cut once, when it is."""
        if self.error is not None:
            return True
        if self._rest and len(self._rest) + len(chunk) < self._needed:
            self._rest += chunk
            return True
        return False

    def _joined(self, chunk: bytes) -> bytes:
        if self._rest:
            chunk = b"".join((self._rest, chunk))
            self._rest.clear()
        return chunk

    def _end_of_frame(self, data: bytes, position: int) -> int | None:
        """Where the frame that begins at ``position`` ends; None: it is not whole.

        :raises TooLarge: it is announced as longer than the limit.
        """
        size = len(data)
        if size - position < 4:
            self._needed = LENGTH.size
            return None
        (length,) = LENGTH.unpack_from(data, position)
        if length > self.max_frame:
            raise TooLarge(f"a frame of {length} bytes is announced; the limit is {self.max_frame} bytes")
        end: int = position + 4 + length
        if end > size:
            self._needed = 4 + length
            return None
        return end
