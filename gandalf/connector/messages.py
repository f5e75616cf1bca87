"""From frames to what handlers are given."""

from __future__ import annotations

from uuid import UUID

from gandalf.connector import payloads
from gandalf.connector.network import Command, ReceivedEvent
from gandalf.routing.errors import ERROR_TOPIC
from gandalf.wire.body import take, take_payload, unpack_body
from gandalf.wire.envelope import Frame
from gandalf.wire.errors import Malformed

RECEIPTS = frozenset({"TAKEN", "PROGRESS", "SUCCESS", "FAILURE"})
"""The events that answer a command (protocol.md 7)."""


def read_event(frame: Frame) -> ReceivedEvent:
    """The event in `frame` (protocol.md 4). Raises `Malformed`."""
    body = unpack_body(frame.body)
    return ReceivedEvent(
        uuid=UUID(bytes=frame.uuid),
        topic=take(body, "topic", str, ""),
        event=take(body, "event", str, ""),
        payload=payloads.read(take_payload(body)),
        source=take(body, "source", str, ""),
        target=frame.target,
        reference=None if frame.reference is None else UUID(bytes=frame.reference),
        timestamp=frame.timestamp,
    )


def read_command(frame: Frame, now: float, max_timeout: float) -> Command:
    """The command in `frame` (protocol.md 4) that came in at second `now`. Raises `Malformed`.

    `max_timeout`: seconds that one without a timeout is worth waiting for.
    """
    body = unpack_body(frame.body)
    name = take(body, "command", str, "")
    if not name:
        raise Malformed("body: command must not be empty")
    return Command(
        uuid=UUID(bytes=frame.uuid),
        name=name,
        payload=take_payload(body),
        source=take(body, "source", str, ""),
        deadline=now + (frame.timeout / 1000 or max_timeout),
    )


def is_error(event: ReceivedEvent) -> bool:
    """Whether this is an error event (protocol.md 6.6), not the receipt of a command that is named like
    its topic."""
    return event.topic == ERROR_TOPIC and event.event not in RECEIPTS


def error_text(event: ReceivedEvent) -> str:
    """What an error event says to people."""
    payload = event.payload
    return str(payload.get("message", "")) if isinstance(payload, dict) else ""
