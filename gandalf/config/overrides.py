"""
Overriding keys by environment variables: PREFIX__SECTION__KEY=value, as in GANDALF_AGGREGATOR__API__LISTEN.

A list is given comma separated, a whole number in digits. The tables [[connectors]] are counted from 0 and
must stand in the file: GANDALF_CONNECTOR__CONNECTORS__0__SECRET_FILE. A connector's options are given as
text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gandalf.config.errors import Problem
from gandalf.config.fields import Location, Model, is_free, is_list, nearest, table_of, variables

_INDEX = re.compile(r"[0-9]{1,4}")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


class _UnknownError(LookupError):
    """A variable that names no key."""


def override(
    model: Model, data: dict[str, Any], prefix: str, environment: Mapping[str, str]
) -> tuple[dict[Location, str], list[Problem]]:
    """
    Put the values of those variables of `environment` that begin with `prefix` into `data`.

    @return: which variable each overridden key came from, and a problem for each variable that names no key.
    """
    sources: dict[Location, str] = {}
    problems = []
    for variable in sorted(environment):
        if not variable.startswith(prefix):
            continue
        names = variable.removeprefix(prefix).split("__")
        try:
            location = _put(model, data, names, environment[variable])
        except _UnknownError:
            problems.append(_unknown(model, prefix, variable))
        else:
            sources[location] = variable
    return sources, problems


def _unknown(model: Model, prefix: str, variable: str) -> Problem:
    # The value is not shown: it may be a secret whose variable was misspelt.
    known = nearest(variable, variables(model, prefix))
    suggestion = f"; did you mean {known}?" if known and known != variable else ""
    return Problem(variable, "", f"no key has this variable{suggestion}", "", "the environment")


def _put(model: Model, table: dict[str, Any], names: Sequence[str], text: str) -> Location:
    name, rest = names[0].lower(), names[1:]
    field = model.model_fields.get(name)
    if field is None:
        raise _UnknownError
    inner = table_of(field)
    if inner is None and not is_free(field):
        if rest:
            raise _UnknownError
        table[name] = _value(field.annotation, is_list(field), text)
        return (name,)
    if not rest:
        raise _UnknownError
    if inner is not None and is_list(field):
        index, item = _item(table.get(name), rest[0])
        if len(rest) == 1:
            raise _UnknownError
        return (name, index, *_put(inner, item, rest[1:], text))
    # What is not a table in the file is an error of the file, told when all of it is checked.
    within = table.setdefault(name, {})
    within = within if isinstance(within, dict) else {}
    if inner is not None:
        return (name, *_put(inner, within, rest, text))
    key = "__".join(rest)
    key = next((known for known in within if known.upper() == key), key.lower())
    within[key] = text
    return (name, key)


def _item(tables: object, index: str) -> tuple[int, dict[str, Any]]:
    if isinstance(tables, list) and _INDEX.fullmatch(index) and int(index) < len(tables):
        item = tables[int(index)]
        if isinstance(item, dict):
            return int(index), item
    raise _UnknownError


def _value(annotation: Any, several: bool, text: str) -> object:
    if several:
        return [item.strip() for item in text.split(",")] if text.strip() else []
    if annotation is int and _WHOLE_NUMBER.fullmatch(text.strip()):
        return int(text)
    return text
