"""Stand-ins for tests of the rules and of the floors above: links that record, frames that are always the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gandalf.routing.charge import Charge
from gandalf.routing.link import Link
from gandalf.routing.topics import TopicFilter
from gandalf.wire import kinds
from gandalf.wire.body import pack_body
from gandalf.wire.envelope import Frame, make_frame
from gandalf.wire.runs import Parcel, Run, Template

TENANT = "tenant1"
"""The tenant of links and frames made here, unless another is named."""

FIRST_UUID = 0x018C_0000_0000_7000_8000_0000_0000_0000
TIMESTAMP = 1_700_000_000_000


class FakeLink:
    """Implements :class:`gandalf.routing.link.Link` in memory. Every attribute may be set at any time.

    :param topics: patterns of protocol.md 6.1; None: all.
    """

    def __init__(
        self,
        type: str,
        logical_name: str,
        *,
        tenant: str = TENANT,
        validated: bool = True,
        topics: Iterable[str] | None = None,
        max_frame: int = 8 << 20,
        label: str = "",
    ) -> None:
        self.type = type
        self.logical_name = logical_name
        self.tenant = tenant
        self.validated = validated
        self.topics = None if topics is None else tuple(topics)
        self.max_frame = max_frame
        self.available = True
        self.connected = True
        self.congested = False
        self.full = False
        self.acknowledges = False
        """Whether each frame is acknowledged as soon as it is sent."""
        self.paused = False
        self.forgotten = False
        self.dismissed: list[tuple[str, str]] = []
        """Reason and message of each ``bye``."""
        self.sent: list[tuple[Frame, Charge | None]] = []
        """Every frame, with what its acknowledgement settles."""
        self.calls: list[str] = []
        """Names of the methods that were called, in order."""
        self._numbers: list[int] = []
        self._label = label or logical_name
        self.acknowledged = 0
        """How many frames the peer has taken charge of."""
        self._taken = 0

    def __repr__(self) -> str:
        return f"<{self.type} {self._label}>"

    @property
    def filters(self) -> bool:
        """Whether the peer named the topics that it wants."""
        return self.topics is not None

    def wants(self, topic: str) -> bool:
        """Whether the peer asked for events of ``topic``."""
        return self.topics is None or TopicFilter(self.topics).matches(topic)

    def send(self, parcel: Parcel, charge: Charge | None = None) -> None:
        """Record each frame of ``parcel``."""
        self.calls.append("send")
        frames = parcel.frames()
        self.sent.extend((frame, charge) for frame in frames)
        self._numbers.extend(range(parcel.offset + 1, parcel.offset + 1 + len(frames)))
        if self.acknowledges:
            self.acknowledge()

    def pause(self) -> None:
        """Record that the peer is not read."""
        self.calls.append("pause")
        self.paused = True

    def resume(self) -> None:
        """Record that the peer is read again."""
        self.calls.append("resume")
        self.paused = False

    def dismiss(self, reason: str, message: str) -> None:
        """Record the ``bye``; from here on the link is not connected."""
        self.calls.append("dismiss")
        self.dismissed.append((reason, message))
        self.disconnect()

    def forget(self) -> None:
        """The session is not to be resumed."""
        self.calls.append("forget")
        self.forgotten = True

    # What a test does with it.

    def disconnect(self) -> None:
        """The connection is gone, the session is kept."""
        self.connected = self.available = False

    def reconnect(self) -> None:
        """The session has a connection again."""
        self.connected = self.available = True

    def acknowledge(self, count: int | None = None) -> None:
        """The peer takes charge of ``count`` more frames; None: of all that were sent."""
        last = len(self.sent) if count is None else self.acknowledged + count
        while self.acknowledged < last:
            (frame, charge), number = self.sent[self.acknowledged], self._numbers[self.acknowledged]
            self.sent[self.acknowledged] = frame, None
            self.acknowledged += 1
            if charge is not None:
                charge.advance(number)

    def take(self) -> list[Frame]:
        """The frames sent since the last call."""
        frames = [frame for frame, _ in self.sent[self._taken :]]
        self._taken = len(self.sent)
        return frames


def run_of(frames: Sequence[Frame]) -> Run:
    """The run that ``frames``, which must be alike, make when they come in one chunk."""
    template = Template.of(frames[0])
    cut = None if template is None else template.cut(b"".join(frame.raw for frame in frames), 0, 8 << 20)
    if cut is None or cut[0].count != len(frames):
        raise ValueError("these frames do not make a run")
    return cut[0]


class FakeLinks:
    """Implements :class:`gandalf.routing.link.Links` over links given to it."""

    def __init__(self, *links: FakeLink) -> None:
        self._links = list(links)

    def __iter__(self) -> Iterator[FakeLink]:
        return iter(list(self._links))

    def __contains__(self, link: object) -> bool:
        return any(link is known and not known.forgotten for known in self._links)

    def add(self, link: FakeLink) -> FakeLink:
        """``link`` is there from now on."""
        self._links.append(link)
        return link

    def remove(self, link: FakeLink) -> None:
        """The session of ``link`` is forgotten."""
        self._links.remove(link)

    def of_type(self, type: str) -> list[Link]:
        """The links to peers of one type."""
        return [link for link in self._links if link.type == type and not link.forgotten]

    def named(self, type: str, logical_name: str) -> list[Link]:
        """The links to the brothers of one logical name and type."""
        return [link for link in self.of_type(type) if link.logical_name == logical_name]


class FrameMaker:
    """Makes frames whose uuids count upwards; implements :class:`gandalf.routing.errors.MakeFrame`.

    :param source: the ``source`` of every body.
    """

    def __init__(self, source: str = "aggregator1", tenant: str = TENANT, *, first: int = FIRST_UUID) -> None:
        self._source = source
        self._tenant = tenant
        self._numbers = itertools.count(first)

    def uuid(self) -> bytes:
        """The next uuid."""
        return next(self._numbers).to_bytes(16, "big")

    def __call__(
        self,
        kind: str,
        body: Mapping[str, object],
        *,
        target: str = "",
        reference: bytes | None = None,
        timeout: int = 0,
        tenant: str | None = None,
        uuid: bytes | None = None,
    ) -> Frame:
        """A frame of ``kind``; ``timeout`` in ms."""
        return make_frame(
            kind,
            uuid or self.uuid(),
            self._tenant if tenant is None else tenant,
            target,
            reference,
            timeout,
            TIMESTAMP,
            pack_body({"major": 1, "minor": 0, "source": self._source, **body}),
        )

    def event(self, topic: str = "a.b", event: str = "HAPPENED", **envelope: object) -> Frame:
        """An event; ``envelope`` as for :meth:`__call__`."""
        return self(kinds.EVENT, {"topic": topic, "event": event}, **envelope)  # type: ignore[arg-type]

    def command(self, command: str = "DO", **envelope: object) -> Frame:
        """A command; ``envelope`` as for :meth:`__call__`."""
        return self(kinds.COMMAND, {"command": command}, **envelope)  # type: ignore[arg-type]
