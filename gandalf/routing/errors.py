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

LONGEST_NAME = 256
"""Characters of a name that a peer made, in an error event and in what is remembered of it."""

LONGEST_MESSAGE = 1024
"""Characters of a message."""


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

    def about(
        self, frame: Frame, origin: Link, code: str, message: str, context: dict[str, object] | None = None
    ) -> Frame | None:
        """The error event that answers ``frame``; None for one that answers an error event, which nothing does.

        It is targeted at whoever made the frame, so that it goes to nobody else.

        :param context: more about it for programs, in the body beside the payload.
        """
        message = _cut(message, LONGEST_MESSAGE)
        tenant, target = _cut(frame.tenant, LONGEST_NAME), _cut(frame.target, LONGEST_NAME)
        self.counts[code] += 1
        self.recent.append(
            ErrorRecord(self._now(), code, message, frame.uuid, frame.kind, tenant, target, origin.logical_name)
        )
        body = readable(frame)
        if frame.kind == EVENT and body.get("topic") == ERROR_TOPIC:
            return None
        payload = {
            "code": code,
            "message": message,
            "kind": frame.kind,
            "tenant": tenant,
            "target": target,
            "origin": origin.logical_name,
        }
        return self._make_frame(
            EVENT,
            {"topic": ERROR_TOPIC, "event": code, "payload": json.dumps(payload)}
            | ({} if context is None else {"context": context}),
            target=_maker(body, origin),
            reference=frame.uuid,
        )


def _maker(body: dict[str, object], origin: Link) -> str:
    """Who made the frame of ``body``, as far as it says so in few words; else who it came from."""
    source = body.get("source")
    if origin.type == CONNECTOR or not isinstance(source, str) or not 0 < len(source) <= LONGEST_NAME:
        return origin.logical_name
    return source


def _cut(text: str, length: int) -> str:
    """``text``, which may be as long as a frame, in an error event that must be no longer than any peer accepts."""
    return text if len(text) <= length else text[: length - 3] + "..."


def readable(frame: Frame) -> dict[str, object]:
    """The body of ``frame``, or nothing when it cannot be read; never for what must be right."""
    try:
        return unpack_body(frame.body)
    except WireError:
        return {}


def topic_of(frame: Frame) -> str:
    """The topic of an event; "" when it has none that can be read, which no pattern matches."""
    topic = readable(frame).get("topic")
    return topic if isinstance(topic, str) else ""


def error_message(payload: object) -> str:
    """What the payload of an error event says to people; "" when it cannot be read."""
    try:
        told = json.loads(payload) if isinstance(payload, str | bytes) else None
    except (ValueError, RecursionError):
        return ""
    return str(told.get("message", "")) if isinstance(told, dict) else ""
