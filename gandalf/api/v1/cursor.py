"""Where a page of a list ended, as a text that clients hand back as it is."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from uuid import UUID

from gandalf.api.errors import BadRequest
from gandalf.store.model import Model, Record, Type, Value

Place = tuple[Value, UUID]
"""The value of the order's column in the last row that was seen, and the row's id."""


def cursor_after(record: Record, order: str) -> str:
    """The cursor of what follows a row in this order (a column, with `-` before it if descending)."""
    value = record[order.removeprefix("-")]
    if isinstance(value, datetime):
        value = value.isoformat()
    elif isinstance(value, UUID):
        value = str(value)
    text = json.dumps([order, value, str(record["id"])], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(model: Model, cursor: str, order: str) -> Place:
    """The place that a cursor of a list of this model leads to.

    :raises BadRequest: it is no cursor of such a list in this order.
    """
    try:
        text = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), b"-_", validate=True)
        told, value, id = json.loads(text)
        if told != order:
            raise ValueError("it is of another order")
        return _value(_type(model, order.removeprefix("-")), value), UUID(id)
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise BadRequest(
            "cursor: not one of this list in this order; take it from `next` of the page before, or leave it out"
        ) from None


def _type(model: Model, column: str) -> Type:
    types: dict[str, Type] = {"id": "uuid", "created_at": "time", "updated_at": "time"}
    types.update((field.column, field.type) for field in model.fields)
    return types[column]


def _value(type: Type, value: object) -> Value:
    if type == "bool" and isinstance(value, bool):
        return value
    if type == "int8" and isinstance(value, int) and not isinstance(value, bool) and -128 <= value <= 127:
        return value
    if not isinstance(value, str):
        raise ValueError("a value of another type")
    if type == "text":
        value.encode()  # refuses half a surrogate pair
        if "\0" not in value:
            return value
    elif type == "time":
        time = datetime.fromisoformat(value)
        if time.tzinfo is not None:
            return time
    elif type == "uuid":
        return UUID(value)
    raise ValueError("a value of another type")
