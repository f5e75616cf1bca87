"""JSON payloads: written, read, and checked against a pydantic model with errors a person can act on.

An error names the place, the value and what is allowed. The value is left out where it could be a secret: in
and around fields marked with `SecretStr` and its kin, under names the model does not know, and of anything
that is no scalar.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final, NoReturn, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

import attrs
from pydantic import BaseModel, Secret, SecretBytes, SecretStr, ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python

Model = TypeVar("Model", bound=BaseModel)


class _Hidden(Enum):
    """Stands for a value that is not shown (None is a value of its own)."""

    HIDDEN = "hidden"


HIDDEN: Final = _Hidden.HIDDEN
MAX_PROBLEMS: Final = 20
MAX_SHOWN: Final = 100
"""Characters of a value that are shown in an error."""


@attrs.frozen
class Problem:
    """One thing wrong: where, what is allowed there, and the value found, when it has one that may be
    shown."""

    place: str
    allowed: str
    value: object = HIDDEN

    def as_json(self) -> dict[str, object]:
        """The problem as it stands in the payload of a failure."""
        shown = {} if self.value is HIDDEN else {"value": self.value}
        return {"place": self.place, **shown, "allowed": self.allowed}

    def __str__(self) -> str:
        found = "" if self.value is HIDDEN else f" is {json.dumps(self.value)}"
        return f"{self.place}{found}: {self.allowed}"


class InvalidPayload(ValueError):
    """A payload is not what its model allows; `problems` says where and why."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


def dump(value: object) -> str:
    """JSON text of `value`, "" for None. Models, dates, uuids and paths are understood.

    Raises ValueError for what JSON cannot say (a function, NaN, a structure that contains itself).
    """
    if value is None:
        return ""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=to_jsonable_python)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"a payload must be JSON: {error}") from error


def load(text: str | bytes) -> object:
    """The value of a JSON text, None for an empty one. Raises ValueError when it is no JSON."""
    if not text:
        return None
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read(text: str | bytes) -> object:
    """What an event's payload says: its JSON value, or the text itself when it is no JSON."""
    try:
        return load(text)
    except ValueError:
        return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def snapshot(value: object) -> object:
    """A copy of `value` as its JSON reads, for another thread to use; ValueError when it has no JSON."""
    return load(dump(value))


def check(model: type[Model], text: str | bytes) -> Model:
    """The payload `text`, a JSON object ("" stands for `{}`), as a `model`. Raises `InvalidPayload`."""
    try:
        value = load(text)
    except ValueError as error:
        raise InvalidPayload([Problem("payload", f"must be JSON text ({_reason(error)})")]) from None
    if value is None:
        text = "{}"
    elif not isinstance(value, dict):
        shown = _shown(value, [model])
        raise InvalidPayload([Problem("payload", "must be a JSON object", shown)])
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise InvalidPayload(problems(model, error)) from None


def problems(model: type[BaseModel], error: ValidationError) -> list[Problem]:
    """What `error` says about a value checked against `model`, the first `MAX_PROBLEMS` of it, nothing
    secret."""
    return [_problem(model, detail) for detail in error.errors(include_url=False)[:MAX_PROBLEMS]]


def _problem(model: type[BaseModel], detail: ErrorDetails) -> Problem:
    annotations: list[object] = [model]
    parents = annotations
    for part in detail["loc"]:
        parents, annotations = annotations, _inside(annotations, part)
    place = _place(detail["loc"])
    secret = any(_holds_secret(annotation, set()) for annotation in annotations)
    kind = detail["type"]
    if kind == "missing":
        return Problem(place, "is required")
    if kind == "extra_forbidden":
        known = sorted({name for parent in parents for name in _names(parent)})
        return Problem(place, f"unknown; known here: {', '.join(known) or 'nothing'}")
    if kind in ("value_error", "assertion_error"):
        # The text is the validator's own: it may well quote the value.
        allowed = "must be valid" if secret else str(detail.get("ctx", {}).get("error", detail["msg"]))
        return Problem(place, allowed, _shown(detail["input"], annotations))
    allowed = detail["msg"][:1].lower() + detail["msg"][1:]
    return Problem(place, allowed.replace("input should", "must"), _shown(detail["input"], annotations))


def _place(location: Iterable[int | str]) -> str:
    place = ""
    for part in location:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    return place.removeprefix(".") or "payload"


def _shown(value: object, annotations: Iterable[object]) -> object:
    """The value as an error may show it, NOTHING when it may not."""
    if not isinstance(value, str | int | float | bool | None):
        return HIDDEN
    if any(_holds_secret(annotation, set()) for annotation in annotations):
        return HIDDEN
    if isinstance(value, str) and len(value) > MAX_SHOWN:
        return value[:MAX_SHOWN] + "…"
    return value


def _inside(annotations: list[object], part: int | str) -> list[object]:
    """The annotations one step further down; the same ones where the step is not understood, to be on the
    safe side."""
    found = [
        inner
        for annotation in annotations
        for kind in _kinds(annotation)
        for name, inner in _fields(kind)
        if name == part
    ]
    return found or annotations


def _kinds(annotation: object) -> Iterator[object]:
    """An annotation and all those it is made of: `list[A | None]` gives itself, `A | None`, `A` and
    `None`."""
    annotation = getattr(annotation, "__value__", annotation)
    yield annotation
    for argument in get_args(annotation):
        yield from _kinds(argument)


def _fields(kind: object) -> Iterator[tuple[str, object]]:
    """The fields of a model, dataclass or typed dictionary, each under its name and its aliases."""
    if not isinstance(kind, type):
        return
    if issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            for known in {name, field.alias, field.validation_alias}:
                if isinstance(known, str):
                    yield known, field.annotation
    elif dataclasses.is_dataclass(kind) or is_typeddict(kind):
        yield from get_type_hints(kind).items()


def _names(annotation: object) -> Iterator[str]:
    for kind in _kinds(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, field in kind.model_fields.items():
                yield field.validation_alias if isinstance(field.validation_alias, str) else name


def _holds_secret(annotation: object, seen: set[int]) -> bool:
    for kind in _kinds(annotation):
        origin = get_origin(kind) or kind
        if isinstance(origin, type) and issubclass(origin, SecretStr | SecretBytes | Secret):
            return True
        if id(kind) not in seen:
            seen.add(id(kind))
            if any(_holds_secret(inner, seen) for _, inner in _fields(kind)):
                return True
    return False


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, line {error.lineno} column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return str(error)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")
