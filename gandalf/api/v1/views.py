"""Rows as today's JSON, and back: made from the declarations of the models.

Keys are the names of the columns. What is unset is null where it refers to another row, else empty. A body with a
key that is not known is refused.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictBool,
    StrictInt,
    StringConstraints,
    create_model,
    model_validator,
)
from pydantic import Field as Told

from gandalf.api.passwords import MAX_LENGTH
from gandalf.store.model import Field, Model, Record, Value

Text = Annotated[str, StringConstraints(strict=True, pattern=r"^[^\x00]*$")]
"""Any text that the database can hold."""

SHORT_LENGTH: Final = 256
"""Characters of a text that is indexed, or by which lists are put in order, at most."""

Short = Annotated[Text, StringConstraints(max_length=SHORT_LENGTH)]
Name = Annotated[Short, StringConstraints(min_length=1)]

LONG: Final = frozenset(
    {
        "short_description",
        "description",
        "logo",
        "schema",
        "value",
        "default_value",
        "git_url",
        "repository_url",
    }
)
"""Columns of texts of any length. A list is not put in order by them: a cursor has to fit into a URL."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,9}", re.ASCII)


def _id(value: object) -> object:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ValueError("must be a UUID, 8-4-4-4-12 hex digits")
    return value


def _integer(value: object) -> object:
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise ValueError("must be an integer in decimal digits")
    return value


Id = Annotated[UUID, BeforeValidator(_id)]
Integer = Annotated[int, BeforeValidator(_integer)]
"""In a query."""

_TAKEN: Final[Mapping[str, Any]] = {
    "text": Text,
    "uuid": Id,
    "int8": Annotated[StrictInt, Told(ge=-128, le=127)],
    "bool": StrictBool,
}
"""Of a value in a body, by the type of its field."""

_GIVEN: Final[Mapping[str, Any]] = {"text": str, "uuid": UUID, "int8": int, "bool": bool}
"""Of a value in an answer."""

_FILTERS: Final[Mapping[str, Any]] = {
    "text": Text,
    "uuid": Id | Literal["null"],
    "int8": Annotated[int, Told(ge=-128, le=127), BeforeValidator(_integer)],
    "bool": Literal["true", "false"],
}
"""Of a value in a query."""

_UNSET: Final[Mapping[str, Value]] = {"text": "", "int8": 0, "bool": False}
_WORDS: Final[Mapping[object, Value]] = {"null": None, "true": True, "false": False}

LIMIT: Final = 100
MAX_LIMIT: Final = 1000


class Strict(BaseModel):
    """A body or a query in which every key has to be known. An underscore at the end of a field's name is not part
    of its key: it keeps names of columns apart from those of pydantic."""

    model_config = ConfigDict(extra="forbid", alias_generator=lambda name: name.removesuffix("_"), defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _only_known(cls, value: object) -> object:
        if isinstance(value, Mapping):
            known = {field.alias or name for name, field in cls.model_fields.items()}
            unknown = sorted(str(key)[:80] for key in value if key not in known)
            if unknown:
                raise ValueError(
                    f"not known here: {', '.join(map(repr, unknown[:10]))}; known are {', '.join(sorted(known))}"
                )
        return value


def _made(name: str, text: str, base: type[BaseModel], fields: Mapping[str, tuple[Any, Any]]) -> type[BaseModel]:
    named: dict[str, Any] = {f"{column}_": field for column, field in fields.items()}
    return create_model(name, __base__=base, __doc__=text, **named)


@functools.cache
def answer_of(model: Model) -> type[BaseModel]:
    """What is answered of a row."""
    return _made(model.name, f"A {model.words}.", Given, _answered(model))


@functools.cache
def tree_of(model: Model) -> type[BaseModel]:
    """What is answered of a tree: a row, with all below it."""
    name = f"{model.name}Tree"
    children = (list[name], ...)  # type: ignore[valid-type]
    made = _made(name, f"A {model.words}, and all below it.", Given, {**_answered(model), "children": children})
    made.model_rebuild(_types_namespace={name: made})
    return made


@functools.cache
def list_of(model: Model) -> type[BaseModel]:
    """What is answered of all rows of a list."""
    return _made(
        f"{model.name}List",
        f"Each {model.words}.",
        Given,
        {"items": (list[answer_of(model)], ...)},  # type: ignore[misc]
    )


@functools.cache
def page_of(model: Model) -> type[BaseModel]:
    """What is answered of some rows of a list; `next` is the cursor of those that follow, null if none do."""
    items: dict[str, Any] = {"items": (list[answer_of(model)], ...)}  # type: ignore[misc]
    return _made(f"{model.name}Page", f"Some of each {model.words}.", Given, {**items, "next": (str | None, ...)})


class Given(BaseModel):
    """An answer."""

    model_config = ConfigDict(alias_generator=lambda name: name.removesuffix("_"), defer_build=True)


def _answered(model: Model) -> dict[str, tuple[Any, Any]]:
    own = {
        field.column: (_GIVEN[field.type] | None if field.refers else _GIVEN[field.type], ...)
        for field in model.fields
    }
    return {"id": (UUID, ...), "created_at": (AwareDatetime, ...), "updated_at": (AwareDatetime, ...), **own}


@functools.cache
def creation_of(model: Model) -> type[BaseModel]:
    """The body that creates a row: its name, and in a tree its parent, have to be told."""
    fields: dict[str, tuple[Any, Any]] = {}
    for field in model.fields:
        if field.column == model.label:
            fields[field.column] = (Name, ...)
        elif model.tree and field.column == "parent_id":
            fields[field.column] = (Id, ...)
        elif (model.name, field.column) not in _INHERITED:
            fields[field.column] = (_taken(field) | None, None)
    return _made(f"{model.name}Creation", f"A new {model.words}.", Strict, {**fields, **_password(model)})


_INHERITED: Final = frozenset({("Domain", "git_url")})
"""What a new row has from its parent, whatever is said."""


@functools.cache
def change_of(model: Model) -> type[BaseModel]:
    """The body that changes a row, a JSON merge patch (RFC 7396): what is absent stays, what is null is unset."""
    fields: dict[str, tuple[Any, Any]] = {}
    for field in model.fields:
        if field.column == model.label:
            fields[field.column] = (Name, Told(default=None))
        elif model.tree and field.column == "parent_id":
            fields[field.column] = (Id, Told(default=None))
        else:
            fields[field.column] = (_taken(field) | None, None)
    return _made(f"{model.name}Change", f"Changes to a {model.words}.", Strict, {**fields, **_password(model)})


def _taken(field: Field) -> Any:
    return Short if field.type == "text" and field.column not in LONG else _TAKEN[field.type]


def _password(model: Model) -> dict[str, tuple[Any, Any]]:
    if model.password is None or model.password.column is None:
        return {}
    told = Told(
        None, description="Stays as it is when it is empty.", json_schema_extra={"writeOnly": True}, repr=False
    )
    return {"password": (Annotated[Text, StringConstraints(max_length=MAX_LENGTH)] | None, told)}


@functools.cache
def query_of(model: Model) -> type[BaseModel]:
    """The query of a list: filters by column, the order, and which page."""
    fields: dict[str, tuple[Any, Any]] = {
        field.column: (_FILTERS[field.type] | None, Told(default=None, description=_filter(field)))
        for field in model.fields
    }
    columns = [column for column in model.orders if column not in LONG]
    orders = tuple(f"{sign}{column}" for column in columns for sign in ("", "-"))
    fields["order"] = (Literal[orders], Told("created_at", description="A column; with - before it, descending."))
    fields["limit"] = (Integer, Told(LIMIT, ge=1, le=MAX_LIMIT, description="How many rows at most."))
    fields["cursor"] = (str | None, Told(None, description="`next` of the page before, in the same order."))
    return _made(f"{model.name}Query", f"Which {model.words}.", Strict, fields)


def _filter(field: Field) -> str:
    return f"Only rows with this {field.column}{'; null for those without one' if field.refers else ''}."


def filters_of(model: Model, query: BaseModel) -> dict[str, Value]:
    """The filters of a validated query, by column."""
    given = query.model_dump(exclude_unset=True, by_alias=True)
    return {
        field.column: given[field.column] if field.type in ("text", "int8") else _value(given[field.column])
        for field in model.fields
        if field.column in given
    }


def _value(given: Any) -> Value:
    value: Value = _WORDS.get(given, given)
    return value


def values_of(model: Model, body: BaseModel) -> dict[str, Value]:
    """The values of a validated body, by column, without the password."""
    given = body.model_dump(exclude_unset=True, by_alias=True)
    return {
        field.column: _UNSET.get(field.type) if given[field.column] is None else given[field.column]
        for field in model.fields
        if field.column in given
    }


def shown(model: Model, record: Record) -> dict[str, object]:
    """A row as it is answered."""
    times = {name: time_text(record[name]) for name in ("created_at", "updated_at")}
    return {"id": str(record["id"]), **times, **{field.column: _json(record[field.column]) for field in model.fields}}


def shown_tree(model: Model, record: Record) -> dict[str, object]:
    """A row of a tree, with all below it, as it is answered."""
    return {**shown(model, record), "children": [shown_tree(model, child) for child in record["Childs"] or ()]}


def _json(value: Value) -> object:
    if isinstance(value, datetime):
        return time_text(value)
    return str(value) if isinstance(value, UUID) else value


def time_text(value: datetime) -> str:
    """A time as RFC 3339 has it, to the microsecond."""
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def etag(model: Model, record: Record) -> str:
    """The entity tag of a row: another one when anything that is answered of it has changed."""
    text = json.dumps(shown(model, record), sort_keys=True)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
