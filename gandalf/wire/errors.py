"""What can be wrong with bytes that a peer sent."""

from __future__ import annotations

from typing import ClassVar


class WireError(Exception):
    """A peer's bytes break protocol.md 2 to 4. The text says what was wrong and what is allowed."""

    code: ClassVar[str] = "MALFORMED"


class Malformed(WireError):
    """A frame, an envelope or a body does not have the shape that protocol.md gives it."""


class TooLarge(WireError):
    """A frame is announced as longer than the limit in force on its connection."""

    code: ClassVar[str] = "TOO_LARGE"
