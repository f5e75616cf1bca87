"""Error events (protocol.md 6.6)."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

import attrs

from gandalf.routing.link import CONNECTOR, Link
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame
from gandalf.wire.errors import WireError
from gandalf.wire.kinds import EVENT

ERROR_TOPIC = "error"


class MakeFrame(Protocol):
    """Makes a frame of this shoset's own (``ShosetFactory.frame``)."""

    def __call__(
        self,
        kind: str,
        body: dict[str, object],
        *,
        target: str = "",
        reference: bytes | None = None,
        timeout: int = 0,
        tenant: str | None = None,
    ) -> Frame: ...


@attrs.frozen
class ErrorRecord:
    """One error event, for the operator. ``at`` in seconds since the epoch."""

    at: float
    code: str
    message: str
    uuid: bytes
    kind: str
    tenant: str
    target: str
    origin: str


class ErrorEvents:
    """Makes error events, and remembers the latest.

    :param now: seconds since the epoch.
    """

    def __init__(self, make_frame: MakeFrame, now: Callable[[], float], *, remembered: int = 1000) -> None:
        self.recent: deque[ErrorRecord] = deque(maxlen=remembered)
        self.counts: Counter[str] = Counter()
        self._make_frame = make_frame
        self._now = now

    def about(self, frame: Frame, origin: Link, code: str, message: str) -> Frame | None:
        """The error event that answers ``frame``; None for one that answers an error event, which nothing does.

        It is targeted at whoever made the frame, so that it goes to nobody else.
        """
        self.counts[code] += 1
        self.recent.append(
            ErrorRecord(
                self._now(),
                code,
                message,
                frame.uuid,
                frame.kind,
                frame.tenant,
                frame.target,
                origin.logical_name,
            )
        )
        body = readable(frame)
        if frame.kind == EVENT and body.get("topic") == ERROR_TOPIC:
            return None
        source = origin.logical_name if origin.type == CONNECTOR else body.get("source")
        payload = {
            "code": code,
            "message": message,
            "kind": frame.kind,
            "tenant": frame.tenant,
            "target": frame.target,
            "origin": origin.logical_name,
        }
        return self._make_frame(
            EVENT,
            {"topic": ERROR_TOPIC, "event": code, "payload": json.dumps(payload)},
            target=source if isinstance(source, str) and source else origin.logical_name,
            reference=frame.uuid,
        )


def readable(frame: Frame) -> dict[str, object]:
    """The body of ``frame``, or nothing when it cannot be read; never for what must be right."""
    try:
        return unpack_body(frame.body)
    except WireError:
        return {}
