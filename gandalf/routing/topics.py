"""Which events a connector asked for (protocol.md 6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_WELL_FORMED: Final = re.compile(r"(?:(?:\*|[^.*>]+)\.)*(?:\*|>|[^.*>]+)").fullmatch

BETWEEN: Final = b"\xff"
"""Stands between patterns: no text has this byte in UTF-8."""


class TopicFilter:
    """Matches topics against patterns: ``*`` is one dot-separated word, ``>`` the rest, one word or more.

    Whoever links may name some ten thousand: they take no more than their own bytes, and no time before a topic
    is looked at.

    :raises ValueError: a pattern is not of that form.
    """

    __slots__ = ("_depth", "_packed")

    def __init__(self, patterns: Iterable[str]) -> None:
        distinct = dict.fromkeys(patterns)
        for pattern in distinct:
            if not _WELL_FORMED(pattern):
                if ">" in pattern.split(".")[:-1]:
                    raise ValueError(f"topic {pattern!r}: '>' must be the last word")
                raise ValueError(
                    f"topic {pattern!r}: words are separated by single dots; each is text, '*' (one word)"
                    " or, at the end, '>' (the rest)"
                )
        self._packed = BETWEEN.join(map(_bytes, distinct))
        self._depth = max((pattern.count(".") for pattern in distinct), default=0) + 1

    @property
    def patterns(self) -> tuple[str, ...]:
        """Each of them once."""
        return tuple(pattern.decode("utf-8", "surrogatepass") for pattern in self._each())

    def matches(self, topic: str) -> bool:
        """Whether an event of ``topic`` is asked for."""
        whole = _bytes(topic)
        if b".." in whole or whole[:1] in (b"", b".") or whole[-1:] == b".":
            return False
        # Of a long topic no pattern tells more words apart.
        words = whole.split(b".", self._depth)
        count = len(words)
        for pattern in self._each():
            wanted = pattern.split(b".")
            if wanted[-1] == b">":
                wanted.pop()
                if count <= len(wanted):
                    continue
            elif count != len(wanted):
                continue
            for want, word in zip(wanted, words, strict=False):
                if want != word and want != b"*":
                    break
            else:
                return True
        return False

    def _each(self) -> list[bytes]:
        return self._packed.split(BETWEEN) if self._packed else []


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
