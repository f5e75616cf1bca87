"""What handlers and programs see of the Gandalf network, and what must run beneath them.

Nothing here does any I/O. `Network` is carried out by the runtime (its links to every instance of the
aggregator), `Host` by whichever loop the program runs on: Twisted's reactor or asyncio's loop. What they
return is awaited and nothing else, so that one handler works in both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeAlias, TypeVar
from uuid import UUID

import attrs

T = TypeVar("T")

Promise: TypeAlias = Awaitable[T]
"""A result to come: a Deferred in a Twisted program, an `asyncio.Future` in an asyncio program. Only `await`
it."""

DEFAULT_TIMEOUT = 10.0
"""Seconds that `Network.send` waits for an outcome unless told otherwise."""


@attrs.frozen
class ReceivedEvent:
    """An event as it came in (protocol.md 4).

    `payload` is the parsed JSON; None when there was none, the text itself when it is no JSON. `timestamp` is
    milliseconds since the epoch by its sender's clock. `reference` is the uuid of the message that it
    answers.
    """

    uuid: UUID
    topic: str
    event: str
    payload: object = None
    source: str = ""
    target: str = ""
    reference: UUID | None = None
    timestamp: int = 0


@attrs.frozen
class Command:
    """A command that arrived for this connector (protocol.md 4 and 7).

    `payload` is JSON, unparsed, "" for none. `deadline` is the moment, in seconds of the host's clock, up to
    which its sender said that it is worth waiting for; None when there is no limit.
    """

    uuid: UUID
    name: str
    payload: str | bytes = ""
    source: str = ""
    deadline: float | None = None


@attrs.frozen
class Outcome:
    """How a command that was sent has succeeded: its receipt (`TAKEN`) and its last event (`SUCCESS`)."""

    command: UUID
    receipt: ReceivedEvent
    final: ReceivedEvent

    @property
    def payload(self) -> object:
        """The parsed payload of the last event."""
        return self.final.payload


class CommandError(Exception):
    """A command has no success to show. `code` is for programs, `message` for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class CommandFailed(CommandError):
    """The connector carried the command out and failed (`FAILURE`, protocol.md 7).

    A handler raises it to end its command so; `Network.send` raises it when the outcome is a failure.
    `details` are further keys of the failure's payload.
    """

    def __init__(self, code: str, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(code, message)
        self.details: dict[str, object] = dict(details or {})

    def payload(self) -> dict[str, object]:
        """The payload of the `FAILURE` event."""
        return {**self.details, "code": self.code, "message": self.message}


class CommandRefused(CommandError):
    """The command reached no connector: an error event answered it (`NO_ROUTE`, `TIMEOUT`, ...; protocol.md
    6.6)."""


class OutcomeTimeout(CommandError):
    """No outcome came within the time that the caller gave; the command may still be carried out."""

    def __init__(self, message: str) -> None:
        super().__init__("OUTCOME_TIMEOUT", message)


Progress: TypeAlias = Callable[[ReceivedEvent], object]
EventHandler: TypeAlias = Callable[[ReceivedEvent, "Network"], Coroutine[Any, Any, None]]
"""Reacts to an event. Runs on the loop: it awaits, it never blocks."""


class Network(Protocol):
    """The Gandalf network as a connector or a program uses it. To be called on the loop's thread only."""

    def emit(self, topic: str, event: str, payload: object = None, *, target: str = "") -> Promise[None]:
        """Send an event; fires when the network has taken charge of it (protocol.md 5.3)."""
        ...

    def send(
        self,
        connector_type: str,
        command: str,
        payload: object = None,
        *,
        target: str = "",
        timeout: float = DEFAULT_TIMEOUT,
        on_progress: Progress | None = None,
    ) -> Promise[Outcome]:
        """Send a command and wait for its outcome, `timeout` seconds at most (protocol.md 7).

        Fires with the `Outcome` of a success. Fails with `CommandFailed`, `CommandRefused` or
        `OutcomeTimeout`.
        """
        ...

    def subscribe(self, pattern: str, handler: EventHandler) -> None:
        """Call `handler` for each event whose topic matches `pattern` (protocol.md 6.1); ValueError on a bad
        one."""
        ...


class Host(Protocol):
    """The loop that a connector runs on. The runtime provides one for Twisted and one for asyncio."""

    def in_thread(self, call: Callable[[], T]) -> Promise[T]:
        """Run `call` in the thread pool; fires on the loop with its result or its exception."""
        ...

    def from_thread(self, call: Callable[[], object]) -> None:
        """Have `call` run soon on the loop's thread; the one method that may be called from any thread.

        Calls run in the order given, and before the result of a call `in_thread` that made them.
        """
        ...

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine that never raises, without waiting for it. On the loop's thread only."""
        ...
