"""What became of a command (protocol.md 6.2 and 7), as values."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import attrs

PROGRESS_KEPT: Final = 100
"""How many of a command's latest PROGRESS are kept."""

PROGRESS_BYTES: Final = 1 << 20
"""Bytes of payload that these may hold together; the very latest may hold more."""


class CommandState(StrEnum):
    """How far a command is; all but the first two are its end."""

    SENT = "SENT"
    TAKEN = "TAKEN"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    ERROR = "ERROR"
    """Nobody took it: an error event answered it (protocol.md 6.6)."""
    OUTCOME_TIMEOUT = "OUTCOME_TIMEOUT"
    """No outcome came in the time that its sender gave; it may still be carried out."""


@attrs.frozen
class Answer:
    """An event of whoever carries the command out. ``at`` in ms since the epoch, when it passed here."""

    uuid: bytes
    event: str
    at: int
    source: str
    payload: bytes


@attrs.frozen
class Refusal:
    """Why there is no outcome. ``code`` is one of protocol.md 6.6, or ``OUTCOME_TIMEOUT``; ``at`` as in an answer."""

    code: str
    message: str
    at: int
    source: str


@attrs.frozen
class CommandLife:
    """A command as it is known at one moment. Moments in ms since the epoch, durations in ms.

    ``timeout`` is what the receipt may take, as it is in force; ``outcome_timeout`` what the outcome may take, both
    from ``sent_at``. ``receipt`` is the event that answered first. ``progress`` are the latest; so many earlier ones
    as ``progress_dropped`` says were let go.
    """

    uuid: bytes
    command: str
    connector_type: str
    target: str
    sent_at: int
    timeout: int
    outcome_timeout: int
    state: CommandState = CommandState.SENT
    receipt: Answer | None = None
    progress: tuple[Answer, ...] = ()
    progress_dropped: int = 0
    outcome: Answer | None = None
    error: Refusal | None = None
    ended_at: int | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more is expected."""
        return self.ended_at is not None

    @property
    def weight(self) -> int:
        """Bytes of payload that are kept."""
        return _weight((self.receipt, *self.progress, self.outcome))

    def answered(self, answer: Answer) -> CommandLife:
        """The life after one more event about it; the first counts as the receipt, whatever it is called."""
        life = attrs.evolve(self, receipt=self.receipt or answer)
        if answer.event in (CommandState.SUCCESS, CommandState.FAILURE):
            return attrs.evolve(life, state=CommandState(answer.event), outcome=answer, ended_at=answer.at)
        life = attrs.evolve(life, state=CommandState.TAKEN)
        if answer.event == CommandState.TAKEN:
            return life
        progress = (*life.progress, answer)[-PROGRESS_KEPT:]
        while len(progress) > 1 and _weight(progress) > PROGRESS_BYTES:
            progress = progress[1:]
        dropped = life.progress_dropped + len(life.progress) + 1 - len(progress)
        return attrs.evolve(life, progress=progress, progress_dropped=dropped)

    def refused(self, refusal: Refusal) -> CommandLife:
        """The life after an error event."""
        return attrs.evolve(self, state=CommandState.ERROR, error=refusal, ended_at=refusal.at)

    def given_up(self, refusal: Refusal) -> CommandLife:
        """The life when its outcome did not come in time."""
        return attrs.evolve(self, state=CommandState.OUTCOME_TIMEOUT, error=refusal, ended_at=refusal.at)

    def lightened(self) -> CommandLife:
        """Without its progress, and without what came with the receipt: there is no room for it."""
        receipt = None if self.receipt is None else attrs.evolve(self.receipt, payload=b"")
        dropped = self.progress_dropped + len(self.progress)
        return attrs.evolve(self, receipt=receipt, progress=(), progress_dropped=dropped)


def _weight(answers: Iterable[Answer | None]) -> int:
    return sum(len(answer.payload) for answer in answers if answer is not None)
