"""Gathering what is written while a chunk is worked on, so that each destination gets one write."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gandalf.shoset.protocol import ShosetProtocol


class Batch:
    """A context that may be nested: at the end of the outermost, every connection that has something writes it."""

    def __init__(self) -> None:
        self._depth = 0
        self._written: list[ShosetProtocol] = []

    @property
    def open(self) -> bool:
        """Whether a flush is sure to come."""
        return self._depth > 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self.flush()

    def wrote(self, connection: ShosetProtocol) -> None:
        """``connection`` has something to flush."""
        self._written.append(connection)

    def flush(self) -> None:
        """Write everything."""
        while self._written:
            written, self._written = self._written, []
            for connection in written:
                connection.flush()
