"""Runs: frames that lie one behind the other in a chunk, and that no rule of protocol.md 6 tells apart.

Most of what passes a router comes in runs. A run is cut, looked up, forwarded and acknowledged in one piece, so that
what one of its messages costs is next to nothing but what the network costs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

import msgpack

from gandalf.wire.envelope import LENGTH, Frame, decode_frame
from gandalf.wire.kinds import COMMAND, EVENT

BIN_8: Final = 0xC4
BIN_16: Final = 0xC5
CONTENT: Final = struct.Struct(">QBH")
"""The end of an envelope: timestamp, form and length of the body. Bin 8 has but one byte of length."""

UUID_END: Final = 27
"""Where the names of the envelope of an event or a command begin, in the frame."""


class Run:
    """Frames alike: of one kind, tenant, target and timeout, and all or none with a reference.

    Every event of a run has timeout 0. ``raw`` are the frames' bytes, one behind the other.

    ``count`` is how many there are.

    :param envelope: bytes of each frame before its body, of a body of bin 16.
    :param offset: how many frames, of the run that this is the end of, came before.
    """

    __slots__ = ("count", "envelope", "kind", "offset", "raw", "references", "target", "tenant", "timeout", "uuids")

    def __init__(
        self,
        kind: str,
        tenant: str,
        target: str,
        timeout: int,
        uuids: list[bytes],
        references: list[bytes] | None,
        raw: bytes,
        envelope: int,
        offset: int = 0,
    ) -> None:
        self.kind = kind
        self.tenant = tenant
        self.target = target
        self.timeout = timeout
        self.uuids = uuids
        self.count = len(uuids)
        self.references = references
        self.raw = raw
        self.envelope = envelope
        self.offset = offset

    def __repr__(self) -> str:
        return f"<run of {self.count} {self.kind}, {len(self.raw)} bytes>"

    @property
    def reference(self) -> bytes | None:
        """The reference of the first; None: none has one."""
        return self.references[0] if self.references else None

    def frames(self) -> list[Frame]:
        """Each frame by itself."""
        return [decode_frame(self.raw[start:end]) for start, end in self._bounds()]

    def chosen(self, numbers: Iterable[int]) -> list[Frame]:
        """The frames before which so many came."""
        bounds = self._bounds()
        return [decode_frame(self.raw[slice(*bounds[number])]) for number in numbers]

    def contents(self) -> list[tuple[int, bytes]]:
        """The timestamp and the body of each frame."""
        raw, unpack = self.raw, CONTENT.unpack_from
        contents = []
        for start, end in self._bounds():
            timestamp, form, length = unpack(raw, start + self.envelope - CONTENT.size)
            contents.append((timestamp, raw[end - (length >> 8 if form == BIN_8 else length) : end]))
        return contents

    def for_target(self, target: str) -> Run:
        """The same messages under another target."""
        names = msgpack.packb(self.tenant)
        place = UUID_END + len(names)
        old, new = msgpack.packb(self.target), msgpack.packb(target)
        longer = len(new) - len(old)
        raw, pack = self.raw, LENGTH.pack
        pieces: list[bytes] = []
        for start, end in self._bounds():
            pieces += (
                pack(end - start - LENGTH.size + longer),
                raw[start + LENGTH.size : start + place],
                new,
                raw[start + place + len(old) : end],
            )
        return Run(
            self.kind,
            self.tenant,
            target,
            self.timeout,
            self.uuids,
            self.references,
            b"".join(pieces),
            self.envelope + longer,
            self.offset,
        )

    def tail(self, count: int) -> Run:
        """The run without its first ``count`` frames."""
        start = self._bounds()[count][0]
        references = None if self.references is None else self.references[count:]
        return self._like(self.uuids[count:], references, self.raw[start:], self.offset + count)

    def only(self, uuids: set[bytes]) -> Run:
        """The frames of these uuids, in order; at least one."""
        chosen = [number for number, uuid in enumerate(self.uuids) if uuid in uuids]
        bounds = self._bounds()
        references = None if self.references is None else [self.references[number] for number in chosen]
        raw = b"".join([self.raw[slice(*bounds[number])] for number in chosen])
        return self._like([self.uuids[number] for number in chosen], references, raw, 0)

    def dealt(self, hands: int) -> list[Run]:
        """The frames dealt in turn, as cards are, to at most ``hands`` runs, each in order."""
        if hands == 1:
            return [self]
        raws = [self.raw[start:end] for start, end in self._bounds()]
        references = self.references
        return [
            self._like(
                self.uuids[hand::hands],
                None if references is None else references[hand::hands],
                b"".join(raws[hand::hands]),
                0,
            )
            for hand in range(min(hands, self.count))
        ]

    def _like(self, uuids: list[bytes], references: list[bytes] | None, raw: bytes, offset: int) -> Run:
        return Run(self.kind, self.tenant, self.target, self.timeout, uuids, references, raw, self.envelope, offset)

    def _bounds(self) -> list[tuple[int, int]]:
        bounds = []
        start = 0
        while start < len(self.raw):
            end = start + LENGTH.size + LENGTH.unpack_from(self.raw, start)[0]
            bounds.append((start, end))
            start = end
        return bounds


Parcel = Frame | Run
"""What is routed in one piece: both have ``kind``, ``tenant``, ``target``, ``timeout``, ``reference``, ``uuids``,
``count``, ``offset``, ``raw`` and ``frames()``."""


def alike(one: Frame, other: Frame) -> bool:
    """Whether both could be of one run."""
    return (
        one.kind == other.kind
        and one.tenant == other.tenant
        and one.target == other.target
        and one.timeout == other.timeout
        and (one.reference is None) is (other.reference is None)
    )


class Template:
    """What frames alike have in common, byte for byte: all but their uuids, references, timestamps and bodies.

    It is made of one that was read in full; a frame that has the same bytes in the same places needs no other
    reading. Only the usual forms of MessagePack are known here, and bodies up to 65,535 bytes.
    """

    __slots__ = ("_example", "_head", "_long", "_names", "_short", "_struct", "_times")

    def __init__(self, example: Frame) -> None:
        pack = msgpack.packb
        self._example = example
        self._head = b"\x98" + pack(example.kind) + b"\xc4\x10"
        self._names = pack(example.tenant) + pack(example.target)
        self._times = pack(example.timeout) + b"\xcf"
        between = ""
        if example.reference is None:
            self._names += b"\xc0" + self._times
        else:
            self._names += b"\xc4\x10"
            between = f"16s{len(self._times)}s"
        self._struct = struct.Struct(f">I{len(self._head)}s16s{len(self._names)}s{between}8xBH")
        # What the length of a frame is more than that of its body, which is bin 8 or bin 16.
        self._short = self._struct.size - LENGTH.size - 1
        self._long = self._struct.size - LENGTH.size

    @classmethod
    def of(cls, frame: Frame) -> Template | None:
        """What frames like ``frame`` look like; None: they do not make runs."""
        if frame.kind not in (EVENT, COMMAND) or (frame.timeout and frame.kind == EVENT):
            return None
        template = cls(frame)
        return None if template.cut(frame.raw, 0, len(frame.raw)) is None else template

    def cut(self, data: bytes, start: int, max_frame: int) -> tuple[Run, int] | None:
        """The run that begins at ``start``, and where it ends; None: the frame there is another, or not whole."""
        uuids: list[bytes] = []
        references: list[bytes] | None = None
        if self._example.reference is None:
            end = self._cut(data, start, max_frame, uuids)
        else:
            references = []
            end = self._cut_answers(data, start, max_frame, uuids, references)
        if not uuids:
            return None
        like = self._example
        raw, envelope = data[start:end], self._struct.size
        return Run(like.kind, like.tenant, like.target, like.timeout, uuids, references, raw, envelope), end

    def _cut(self, data: bytes, position: int, max_frame: int, uuids: list[bytes]) -> int:
        unpack, head, names, short, long = self._struct.unpack_from, self._head, self._names, self._short, self._long
        size, last = len(data), len(data) - self._struct.size
        add = uuids.append
        while position <= last:
            length, its_head, uuid, its_names, form, body = unpack(data, position)
            end = position + 4 + length
            if its_head != head or its_names != names or end > size or length > max_frame:
                break
            # The body fills the frame: the envelope has eight elements, and nothing comes behind it.
            if form == BIN_8:
                if body >> 8 != length - short:
                    break
            elif form != BIN_16 or body != length - long:
                break
            add(uuid)
            position = end
        return position

    def _cut_answers(
        self, data: bytes, position: int, max_frame: int, uuids: list[bytes], references: list[bytes]
    ) -> int:
        """As :meth:`_cut`, for frames with a reference."""
        unpack, head, names, short, long = self._struct.unpack_from, self._head, self._names, self._short, self._long
        times = self._times
        size, last = len(data), len(data) - self._struct.size
        add, refer = uuids.append, references.append
        while position <= last:
            length, its_head, uuid, its_names, reference, its_times, form, body = unpack(data, position)
            end = position + 4 + length
            if its_head != head or its_names != names or its_times != times or end > size or length > max_frame:
                break
            if form == BIN_8:
                if body >> 8 != length - short:
                    break
            elif form != BIN_16 or body != length - long:
                break
            add(uuid)
            refer(reference)
            position = end
        return position
