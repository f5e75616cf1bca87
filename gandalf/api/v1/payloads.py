"""Payloads of the network as JSON, and the other way round; ids as text."""

from __future__ import annotations

import base64
import json
import math
from typing import Annotated, Any, Final, NoReturn
from uuid import UUID

from pydantic import BeforeValidator

from gandalf.api.errors import BadRequest


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
"""An integer, of which JSON also says 1.0."""

UUID_OR_NOTHING: Final = r"^([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$"


def payload_text(value: Any) -> str:
    """What is sent of a value in a body: text as it is, nothing for null, else compact JSON.

    :raises BadRequest: it is nested too deeply.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise BadRequest("payload: nested too deeply") from None


def payload_members(payload: bytes) -> dict[str, Any]:
    """`payload`, and `payload_encoding` which says what stands there: "json" (the value), "text", or "base64"
    (bytes that are no text)."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return {"payload": base64.b64encode(payload).decode(), "payload_encoding": "base64"}
    try:
        return {"payload": _parsed(text), "payload_encoding": "json"}
    except (ValueError, RecursionError):
        return {"payload": text, "payload_encoding": "text"}


def _parsed(text: str) -> Any:
    value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    if "\\u" in text:
        # A lone surrogate can be written in JSON, but not in UTF-8.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def uuid_text(uuid: bytes | None) -> str | None:
    """An id as clients see it."""
    return None if uuid is None else str(UUID(bytes=uuid))


def uuid_bytes(text: str, what: str) -> bytes:
    """The id that a client gave. :raises BadRequest: it is none."""
    try:
        return UUID(text).bytes
    except ValueError:
        raise BadRequest(f"{what}: must be a UUID, as 32 hexadecimal digits with or without dashes") from None
