"""Reading a configuration file and the environment, and checking the whole before anything starts."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gandalf.config.errors import MASK, ConfigurationError, Problem, shown
from gandalf.config.fields import Location, allowed_for, dotted, field_at, holder_of, is_secret, nearest
from gandalf.config.models import AggregatorConfig, ClusterConfig, ConnectorsConfig, OperatorConfig
from gandalf.config.overrides import override
from gandalf.config.types import Context, DatabaseURI

_Config = TypeVar("_Config", AggregatorConfig, ClusterConfig, ConnectorsConfig, OperatorConfig)

PREFIXES: dict[type[BaseModel], str] = {
    AggregatorConfig: "GANDALF_AGGREGATOR__",
    ClusterConfig: "GANDALF_CLUSTER__",
    ConnectorsConfig: "GANDALF_CONNECTOR__",
    OperatorConfig: "GANDALF_OPERATOR__",
}

_REASONS = {
    "bool_type": "not true or false",
    "dict_type": "not a table",
    "greater_than_equal": "too small",
    "int_from_float": "not a whole number",
    "int_type": "not a whole number",
    "less_than_equal": "too large",
    "literal_error": "not one of the words",
    "missing": "missing",
    "model_type": "not a table",
    "string_type": "not text",
    "tuple_type": "not a list",
}


def load(model: type[_Config], path: Path, environment: Mapping[str, str]) -> _Config:
    """
    The configuration in the TOML file `path`, with the overrides in `environment` (os.environ).

    @raise ConfigurationError: listing every error, when the file cannot be read or the whole is not in order.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"not UTF-8 text, at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(path, f"not TOML: {error}") from None
    except (ValueError, RecursionError):
        raise _unreadable(path, "a number too long, or tables too deep, to be read") from None
    return checked(model, data, path.absolute().parent, source=f"file {path}", environment=environment)


def _unreadable(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError([Problem(str(path), "", reason, "a TOML file", "the command line")])


def checked(
    model: type[_Config],
    data: dict[str, Any],
    directory: Path,
    *,
    source: str,
    environment: Mapping[str, str],
) -> _Config:
    """
    The configuration that `data` (tables of keys, as TOML gives them; changed by the overrides) stands for.
    Relative paths start from `directory`; `source` is named in errors.

    @raise ConfigurationError: listing every error.
    """
    for name, field in model.model_fields.items():
        # A table left out is one whose keys are all left out: its errors then name the keys that are missing.
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            data.setdefault(name, {})
    sources, problems = override(model, data, PREFIXES[model], environment)
    try:
        config = model.model_validate(data, context=Context(directory, tls="tls" in data))
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems.extend(_problem(model, detail, sources, source) for detail in details)
    else:
        if not problems:
            return config
    raise ConfigurationError(problems)


def _problem(model: type[BaseModel], detail: ErrorDetails, sources: Mapping[Location, str], file: str) -> Problem:
    """The one place where pydantic's errors become ours."""
    location, kind = detail["loc"], detail["type"]
    field = field_at(model, location)
    # An item of a list comes from where the list comes from.
    lists = (location[:end] for end in range(len(location), 0, -1))
    source = next((f"variable {sources[part]}" for part in lists if part in sources), file)
    if kind == "extra_forbidden":
        # The value is not shown: it may be a secret whose key was misspelt.
        holder = holder_of(model, location)
        known = nearest(str(location[-1]), holder.model_fields) if holder else ""
        suggestion = f"; did you mean {known}?" if known else ""
        names = ", ".join(holder.model_fields) if holder else ""
        return Problem(dotted(location), "", f"unknown key{suggestion}", names, source)
    value = "" if kind == "missing" else _shown(field, detail["input"])
    reason = str(detail["ctx"]["error"]) if kind == "value_error" else _REASONS.get(kind, detail["msg"])
    return Problem(dotted(location), value, reason, allowed_for(field) if field else "", source)


def _shown(field: FieldInfo | None, value: object) -> str:
    if field and is_secret(field):
        return "" if value in ("", SecretStr(""), DatabaseURI("")) else MASK
    return shown(value)
