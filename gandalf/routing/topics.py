"""Which events a connector asked for (protocol.md 6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = r"[^.]+"


def _compile(pattern: str) -> str:
    words = pattern.split(".")
    parts: list[str] = []
    for position, word in enumerate(words):
        if word == ">":
            if position != len(words) - 1:
                raise ValueError(f"topic {pattern!r}: '>' must be the last word")
            parts.append(rf"{_WORD}(?:\.{_WORD})*")
        elif word == "*":
            parts.append(_WORD)
        elif word and ">" not in word and "*" not in word:
            parts.append(re.escape(word))
        else:
            raise ValueError(
                f"topic {pattern!r}: words are separated by single dots; each is text, '*' (one word)"
                " or, at the end, '>' (the rest)"
            )
    return r"\.".join(parts)


class TopicFilter:
    """Matches topics against patterns: ``*`` is one dot-separated word, ``>`` the rest, one word or more.

    :raises ValueError: a pattern is not of that form.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        alternatives = "|".join(_compile(pattern) for pattern in self.patterns)
        self._match = re.compile(alternatives or r"(?!)").fullmatch

    def matches(self, topic: str) -> bool:
        """Whether an event of ``topic`` is asked for."""
        return self._match(topic) is not None
