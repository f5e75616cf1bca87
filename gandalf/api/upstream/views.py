"""Rows as the Go system's JSON, and back: made from the declarations of the models.

Zero values are written out, and in a request mean "unset". Keys match without regard to case, unknown ones are
ignored, the last of several counts, null leaves the zero value.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    WithJsonSchema,
    create_model,
    model_validator,
)

from gandalf.store import model as declared
from gandalf.store.model import Many, Model, Nested, Password, Record, Value
from gandalf.store.models import MODELS

ZERO_ID: Final = UUID(int=0)
ZERO_TIME: Final = "0001-01-01T00:00:00Z"

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


def _time(value: object) -> object:
    """RFC 3339 with up to nine decimals; the year 1 is the zero time."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("must be a time of RFC 3339, for example 2026-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        if value.startswith("0001-01-01"):
            return None
        raise ValueError("is no time that there is") from None


def _id(value: object) -> object:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ValueError("must be a UUID, 8-4-4-4-12 hex digits")
    return UUID(value)


Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
ID = Annotated[UUID | None, BeforeValidator(_id), WithJsonSchema({"type": "string", "format": "uuid"})]
Time = Annotated[
    AwareDatetime | None, BeforeValidator(_time), WithJsonSchema({"type": "string", "format": "date-time"})
]
_TYPES: Final[Mapping[str, Any]] = {
    "text": Text,
    "uuid": ID,
    "int8": Annotated[StrictInt, Field(ge=-128, le=127)],
    "bool": StrictBool,
    "time": Time,
}
_DEFAULTS: Final[Mapping[str, Value]] = {"text": "", "int8": 0, "bool": False}


def _or_null(schema: dict[str, Any]) -> None:
    """Say in the schema of a body that its values may be null, which is the same as being absent."""
    for name, value in schema["properties"].items():
        if name not in schema.get("required", ()) and {"type": "null"} not in value.get("anyOf", ()):
            kinds = {key: value.pop(key) for key in ("type", "$ref") if key in value}
            null = {"type": [kinds["type"], "null"]} if "type" in kinds else {"anyOf": [kinds, {"type": "null"}]}
            schema["properties"][name] = {**value, **null}


class Body(BaseModel):
    """What a client sends: keys in any case."""

    # Many models, few of which are used in the life of a process: each is made ready when it is.
    model_config = ConfigDict(
        extra="ignore",
        validate_by_alias=True,
        validate_by_name=False,
        defer_build=True,
        json_schema_extra=_or_null,
    )

    @model_validator(mode="before")
    @classmethod
    def _fold(cls, value: object) -> object:
        if not isinstance(value, dict):
            raise ValueError("must be an object")
        keys = _aliases(cls)
        return {keys[key.lower()]: part for key, part in value.items() if key.lower() in keys and part is not None}


class NestedBody(Body):
    """An object within another: only which one it is counts."""

    id: ID = Field(default=None, alias="ID")


@functools.cache
def _aliases(body: type[Body]) -> dict[str, str]:
    return {(field.alias or name).lower(): field.alias or name for name, field in body.model_fields.items()}


@functools.cache
def body_of(model: Model) -> type[Body]:
    """The body of a request that creates or replaces a row of `model`."""
    fields: dict[str, Any] = {
        "id": (ID, Field(default=None, alias="ID")),
        "created_at": (Time, Field(default=None, alias="CreatedAt")),
        "updated_at": (Time, Field(default=None, alias="UpdatedAt")),
        "deleted_at": (Time, Field(default=None, alias="DeletedAt")),
    }
    for member in model.members:
        if isinstance(member, declared.Field):
            default = _DEFAULTS.get(member.type)
            fields[_own(member)] = (_TYPES[member.type], Field(default=default, alias=member.key))
        elif isinstance(member, Password):
            fields["password"] = (Text, Field(default="", alias=member.key))
        elif isinstance(member, Nested):
            fields[_nested(member)] = (NestedBody | None, Field(default=None, alias=member.key))
        else:
            many = Field(default=None, alias=member.key)
            fields[f"many_{member.key.lower()}"] = (list[dict[str, Any]] | None, many)
    return create_model(f"{model.name}Request", __base__=Body, **fields)


def _own(field: declared.Field) -> str:
    # Not the column's name itself: a model of pydantic has attributes of its own, such as `schema`.
    return f"own_{field.column}"


def _nested(member: Nested) -> str:
    return f"nested_{member.via}"


def values_of(model: Model, body: Body) -> dict[str, Value]:
    """The columns that `body` gives, all of them; passwords aside. A nested object's id counts where the field
    beside it is unset. Times that are unset are left out."""
    values: dict[str, Value] = {field.column: _unset_zero(getattr(body, _own(field))) for field in model.fields}
    for member in model.members:
        if isinstance(member, Nested) and values[member.via] is None:
            nested = getattr(body, _nested(member))
            values[member.via] = None if nested is None else _unset_zero(nested.id)
    for time in ("created_at", "deleted_at"):
        value = getattr(body, time)
        if value is not None and value.year > 1:
            values[time] = value
    return values


def _unset_zero(value: Value) -> Value:
    return None if value == ZERO_ID else value


def rendered(model: Model, record: Record) -> dict[str, Any]:
    """A row with what was loaded beside it, in the order of the Go system's keys."""
    shown: dict[str, Any] = {
        "ID": str(record["id"]),
        "CreatedAt": time_text(record["created_at"]),
        "UpdatedAt": time_text(record["updated_at"]),
        "DeletedAt": None if record["deleted_at"] is None else time_text(record["deleted_at"]),
    }
    for member in model.members:
        if isinstance(member, declared.Field):
            shown[member.key] = _plain(member, record[member.column])
        elif isinstance(member, Password):
            shown[member.key] = ""
        elif isinstance(member, Nested):
            nested = record.get(member.key)
            shown[member.key] = rendered(MODELS[member.model], nested) if nested is not None else _unloaded(member)
        else:
            loaded = record.get(member.key)
            other = MODELS[member.model]
            shown[member.key] = None if loaded is None else [rendered(other, each) for each in loaded]
    return shown


def zero(model: Model) -> dict[str, Any]:
    """The object whose every value is zero."""
    shown: dict[str, Any] = {
        "ID": str(ZERO_ID),
        "CreatedAt": ZERO_TIME,
        "UpdatedAt": ZERO_TIME,
        "DeletedAt": None,
    }
    for member in model.members:
        if isinstance(member, declared.Field):
            shown[member.key] = _plain(member, _DEFAULTS.get(member.type))
        elif isinstance(member, Password):
            shown[member.key] = ""
        else:
            shown[member.key] = _unloaded(member) if isinstance(member, Nested) else None
    return shown


@functools.cache
def answer_of(model: Model) -> type[BaseModel]:
    """The object that is answered, as a model: for the description of the API."""
    fields: dict[str, Any] = {
        "ID": (UUID, ...),
        "CreatedAt": (datetime, ...),
        "UpdatedAt": (datetime, ...),
        "DeletedAt": (datetime | None, ...),
    }
    for member in model.members:
        if isinstance(member, declared.Field):
            types: Mapping[str, Any] = {"text": str, "uuid": UUID, "bool": bool, "time": datetime}
            fields[member.key] = (types.get(member.type, _TYPES["int8"]), ...)
        elif isinstance(member, Password):
            fields[member.key] = (str, ...)
        elif isinstance(member, Nested):
            fields[member.key] = (dict[str, Any] | None if member.null else dict[str, Any], ...)
        elif isinstance(member, Many):
            fields[member.key] = (list[dict[str, Any]] | None, ...)
    return create_model(model.name, __config__=ConfigDict(protected_namespaces=(), defer_build=True), **fields)


def time_text(time: datetime) -> str:
    """RFC 3339 in UTC, without decimals that are zero."""
    text = time.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def _plain(field: declared.Field, value: Value) -> Any:
    if field.type == "uuid":
        return str(value or ZERO_ID)
    return time_text(value) if isinstance(value, datetime) else value


def _unloaded(member: Nested) -> dict[str, Any] | None:
    return None if member.null else zero(MODELS[member.model])
