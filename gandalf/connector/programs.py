"""From what the configuration names to what is run: `use = "package.module:attribute"` and its `options`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gandalf.connector.declare import Connector, Program
from gandalf.connector.payloads import problems

Options = TypeVar("Options", bound=BaseModel)


def load(use: str, options: Mapping[str, object]) -> Program:
    """What `use` names, made ready.

    It is a `Connector`, which has no options, or a function that makes a `Program` of its options and raises
    ValueError where they are wrong. ValueError, too, when there is nothing of that name or it is something
    else.
    """
    module, _, attribute = use.partition(":")
    try:
        named = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"use is {use!r}: cannot be imported ({error})") from error
    if isinstance(named, Connector):
        if options:
            raise ValueError(f"options has {', '.join(sorted(options))}: {use} takes no options")
        return Program(named)
    made = named(options) if callable(named) else None
    if not isinstance(made, Program):
        raise ValueError(f"use is {use!r}: must name a Connector or a function that makes a Program of its options")
    return made


def check_options(model: type[Options], options: Mapping[str, object]) -> Options:
    """`options` as a `model`; ValueError with place, value and rule of each problem, nothing secret."""
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        raise ValueError("; ".join(f"options.{problem}" for problem in problems(model, error))) from None
