"""What an operator changes of a running instance, and the configuration in effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from gandalf.config import AggregatorConfig
from gandalf.config.masking import masked


class LogLevel(Protocol):
    """Where the level of the log is kept (:class:`gandalf.logs.LogOutput`)."""

    @property
    def level(self) -> str:
        """The lowest level that is written."""

    def set_level(self, level: str) -> None:
        """Write events of ``level`` and above.

        :raises ValueError: there is no such level; the text names those that there are.
        """


class Control:
    """:param drain: asks the program to end in good order; asked again, nothing more happens."""

    def __init__(self, config: AggregatorConfig, log: LogLevel, drain: Callable[[], None]) -> None:
        self._config = config
        self._log = log
        self._drain = drain

    def drain(self) -> None:
        """End in good order, as after ``SIGTERM``; asked again, nothing more happens."""
        self._drain()

    @property
    def log_level(self) -> str:
        """The lowest level that is written to the log."""
        return self._log.level

    def set_log_level(self, level: str) -> None:
        """Write events of ``level`` and above to the log, until the process ends.

        :raises ValueError: there is no such level; the text names those that there are.
        """
        self._log.set_level(level)

    def config(self) -> dict[str, Any]:
        """The configuration in effect, as plain values; secrets are masked."""
        return masked(self._config)
