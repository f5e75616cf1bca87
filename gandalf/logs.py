"""
The log of a program: one observer, from twisted.logger to stdout, where supervisord collects it. [log] says
how.

In text each event is one line (a failure's traceback follows it, indented); in JSON one object a line, with
`time`, `level`, `namespace`, `message`, the event's named fields, and `traceback` for a failure. Times are
UTC. Callers see to it that nothing secret is among what they log.

How `twistd --nodaemon gandalf-aggregator --config F` comes to use it: twistd makes the service by the
plugin's `makeService`, then the application, calls `service.setServiceParent(application)`, and only then
asks the application for its ILogObserver component. (Its `--logger` option names a function without
arguments, read before the configuration; it is of no use here.) So the tap returns a `LoggedService` as the
top service, which brings the observer along, with the program's services inside it:

    output = LogOutput.for_stdout(config.log.level, config.log.format)
    program = LoggedService(output)
    ProgramService(...).setServiceParent(program)
    return program

What is logged before that, in `makeService`, is kept by twisted.logger and written first. The component
wins over twistd's `--logfile`, not over `--logger`.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import Any, Literal, TextIO

from twisted.application.service import IServiceCollection, MultiService
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
)
from twisted.python.components import Componentized
from twisted.python.reflect import safe_repr
from zope.interface import implementer

LEVELS = ("debug", "info", "warn", "error", "critical")

_OWN_KEYS = frozenset({"time", "level", "namespace", "message", "traceback"})
# What twisted.python.log puts into the events of its old interface, besides what log_* keys say.
_OLD_KEYS = frozenset({"failure", "format", "isError", "message", "system", "time", "why"})


@implementer(ILogObserver)
class LogOutput:
    """Writes the events of `level` and above to `stream`. The level can be changed while the program runs."""

    def __init__(self, stream: TextIO, level: str, form: Literal["text", "json"]) -> None:
        """
        @raise ValueError: when `level` is not one of LEVELS.
        """
        self._stream = stream
        self._levels = LogLevelFilterPredicate()
        self.set_level(level)
        formatter: Callable[[LogEvent], str | None] = {"text": text_line, "json": json_line}[form]
        self._observer = FilteringLogObserver(FileLogObserver(stream, formatter), [self._levels])

    @classmethod
    def for_stdout(cls, level: str, form: Literal["text", "json"]) -> LogOutput:
        """
        One that writes to stdout as it is now: twistd replaces sys.stdout later, when it starts logging.
        """
        if isinstance(sys.stdout, TextIOWrapper):
            # An event with a character that stdout's encoding lacks must not be lost.
            sys.stdout.reconfigure(errors="backslashreplace")
        return cls(sys.stdout, level, form)

    @property
    def level(self) -> str:
        """The lowest level that is written."""
        return str(self._levels.logLevelForNamespace("").name)

    def set_level(self, level: str) -> None:
        """
        Write events of `level` and above from now on.

        @raise ValueError: when `level` is not one of LEVELS; the level stays what it was.
        """
        if level not in LEVELS:
            raise ValueError(f"log level {level!r}: allowed are {', '.join(LEVELS)}")
        self._levels.setLogLevelForNamespace("", LogLevel.lookupByName(level))

    def __call__(self, event: LogEvent) -> None:
        self._observer(event)


class LoggedService(MultiService):
    """The top service of a program: gives its `output` to the application that twistd puts it into."""

    def __init__(self, output: LogOutput) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.output = output

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Called by twistd with the application, before it begins to log."""
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self.output)  # type: ignore[no-untyped-call]
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]


def text_line(event: LogEvent) -> str | None:
    """
    `event` as "2026-01-31T12:00:00.000Z info gandalf.shoset.dialler: linked to ..." and, for a failure, its
    traceback in indented lines. Line breaks and the like in what is logged are escaped: nothing that a peer
    sent can look like a line of the log. None for an event without a message and without a failure.
    """
    message, traceback = formatEvent(event), _traceback(event)
    if not message and not traceback:
        return None
    line = f"{_time(event)} {_level(event)} {event.get('log_namespace', '-')}: {_printable(message)}\n"
    return line + "".join(f"    {_printable(inner)}\n" for inner in traceback.splitlines())


def json_line(event: LogEvent) -> str:
    """
    `event` as one JSON object. A named field that is not JSON is given by its repr; one called like one of
    the log's own keys has an underscore after its name.
    """
    fields: dict[str, Any] = {
        "time": _time(event),
        "level": _level(event),
        "namespace": event.get("log_namespace", "-"),
        "message": formatEvent(event),
    }
    left_out = _OLD_KEYS if "isError" in event else frozenset()
    for key, value in event.items():
        if not key.startswith("log_") and key not in left_out:
            fields[f"{key}_" if key in _OWN_KEYS else key] = _json(value)
    if traceback := _traceback(event):
        fields["traceback"] = traceback
    return json.dumps(fields) + "\n"


def _time(event: LogEvent) -> str:
    when = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level(event: LogEvent) -> str:
    level = event.get("log_level")
    return "-" if level is None else str(level.name)


def _traceback(event: LogEvent) -> str:
    failure = event.get("log_failure")
    return "" if failure is None else str(failure.getTraceback())


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def _json(value: object) -> object:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return safe_repr(value)
    return value
