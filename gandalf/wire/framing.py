"""Cutting a stream of bytes into frames (protocol.md 2)."""

from __future__ import annotations

from gandalf.wire.envelope import LENGTH, Frame, decode_frame
from gandalf.wire.errors import TooLarge, WireError


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
        if self.error is not None:
            return
        if self._rest:
            # A long frame comes in many chunks: it is cut once, when it is complete.
            if len(self._rest) + len(chunk) < self._needed:
                self._rest += chunk
                return
            chunk = b"".join((self._rest, chunk))
            self._rest.clear()
        try:
            self._rest += self._cut(chunk, frames)
        except WireError as error:
            self.error = error

    def _cut(self, data: bytes, frames: list[Frame]) -> bytes:
        """Append the whole frames of ``data`` to ``frames``; return what is left over."""
        position = 0
        size = len(data)
        unpack_length = LENGTH.unpack_from
        max_frame = self.max_frame
        while size - position >= 4:
            (length,) = unpack_length(data, position)
            if length > max_frame:
                raise TooLarge(f"a frame of {length} bytes is announced; the limit is {max_frame} bytes")
            end = position + 4 + length
            if end > size:
                self._needed = 4 + length
                return data[position:]
            frames.append(decode_frame(data[position:end]))
            position = end
        self._needed = LENGTH.size
        return data[position:]
