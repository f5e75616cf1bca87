"""What is wrong with a configuration, told so that an operator can put it right; and what is never told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import attrs

MASK = "********"

_URI_PASSWORD = re.compile(r"://([^:@/\s]*):\S*@")
_PARAMETER = re.compile(r"((?:password|secret|token)\s*=\s*)('[^']*'|[^&\s]*)", re.IGNORECASE)
_SHOWN = 120


@attrs.frozen
class Problem:
    """
    One error: the `key` as in the file ("aggregator.listen") or the name of a variable or file; `value` as
    shown (masked; "" when there is none to show); the `reason`; what is `allowed` ("" when the reason says
    it); and the `source`, a file or an environment variable.
    """

    key: str
    value: str
    reason: str
    allowed: str
    source: str

    def __str__(self) -> str:
        value = f" = {self.value}" if self.value else ""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return f"{self.key}{value}: {self.reason}{allowed} (from {self.source})"


class ConfigurationError(ValueError):
    """A configuration that cannot be used. Its text lists all `problems`, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = [f"the configuration has {count} error{'s' if count > 1 else ''}:", *map(str, self.problems)]
        super().__init__("\n  ".join(lines))


def without_passwords(text: str) -> str:
    """`text` with the passwords of URIs and of `password=`-like parameters masked."""
    return _PARAMETER.sub(rf"\1{MASK}", _URI_PASSWORD.sub(rf"://\1:{MASK}@", text))


def shown(value: object) -> str:
    """`value` as an error shows it: in one line, cut when long, without passwords, tables by their kind."""
    if isinstance(value, dict):
        return "(a table)"
    if isinstance(value, (list, tuple)) and any(isinstance(item, (dict, list, tuple)) for item in value):
        return "(a list of tables)"
    try:
        text = without_passwords(json.dumps(value, ensure_ascii=False, default=str))
    except ValueError:
        # Python does not write numbers of thousands of digits.
        return "(a number too long to show)"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
