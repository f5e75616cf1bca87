"""Looking a key up in the models: its field, its kind, what is allowed for it, and its nearest neighbour."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

Model = type[BaseModel]
Location = tuple[str | int, ...]


def table_of(field: FieldInfo) -> Model | None:
    """The model of the table, or of each of the tables, that `field` holds; None when it holds a value."""
    return _model_in(field.annotation)


def _model_in(annotation: Any) -> Model | None:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def is_list(field: FieldInfo) -> bool:
    """Whether `field` holds several values or tables."""
    return get_origin(field.annotation) is tuple


def is_free(field: FieldInfo) -> bool:
    """Whether `field` is a table whose keys are not known here."""
    return get_origin(field.annotation) is dict


def is_secret(field: FieldInfo) -> bool:
    """Whether the value of `field` is never shown."""
    return inspect.isclass(field.annotation) and issubclass(field.annotation, SecretStr)


def allowed_for(field: FieldInfo) -> str:
    """What `field` may hold, in words."""
    if isinstance(field.json_schema_extra, dict):
        return str(field.json_schema_extra["allowed"])
    return "a table"


def holder_of(model: Model, location: Location) -> Model | None:
    """The model of the table in which the last key of `location` stands; None in a free table."""
    names = [part for part in location if isinstance(part, str)]
    found: Model | None = model
    for name in names[:-1]:
        field = found.model_fields.get(name) if found else None
        found = table_of(field) if field else None
    return found


def field_at(model: Model, location: Location) -> FieldInfo | None:
    """The field that `location` lies in; None when there is none."""
    names = [part for part in location if isinstance(part, str)]
    holder = holder_of(model, location)
    return holder.model_fields.get(names[-1]) if holder and names else None


def variables(model: Model, prefix: str) -> Iterator[str]:
    """
    The environment variables that override the keys of `model`; for a list of tables, those of the first.
    """
    for name, field in model.model_fields.items():
        inner = table_of(field)
        variable = prefix + name.upper()
        if inner is None:
            yield variable
        else:
            yield from variables(inner, f"{variable}__0__" if is_list(field) else f"{variable}__")


def dotted(location: Sequence[str | int]) -> str:
    """`location` as a key is written in the file: connectors[0].secret"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`; "" when none is like it."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)), "")
