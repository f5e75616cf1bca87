"""What the API needs of a running instance, as the aggregator gives it. Ids are 16 bytes; moments are in ms since the
epoch and durations in ms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred


class Observed(Protocol):
    """What can be looked at; values are plain, for JSON, and none is secret."""

    def status(self) -> dict[str, Any]:
        """The state of the instance; ``instance`` is its id in hex."""

    def connections(self) -> list[dict[str, Any]]:
        """Every link."""

    def connection(self, session: str) -> dict[str, Any]:
        """The link with this session (hex). Raises `NotFound`."""

    def disconnect(self, session: str) -> bool:
        """End a link; False: there is none with this session."""

    def pending(self, limit: int = ...) -> list[dict[str, Any]]:
        """The commands and requests whose answer is awaited."""

    def errors(self, limit: int = ..., code: str = ...) -> list[dict[str, Any]]:
        """The latest error events, newest first."""


class Controlled(Protocol):
    """What can be steered."""

    def drain(self) -> None:
        """End in good order."""

    @property
    def log_level(self) -> str:
        """What is logged."""

    def set_log_level(self, level: str) -> None:
        """Change it. Raises ValueError, which names the levels."""

    def config(self) -> dict[str, Any]:
        """The configuration in force, without its secrets."""


class Answer(Protocol):
    """An event that answered a command."""

    @property
    def uuid(self) -> bytes:
        """Its id."""

    @property
    def event(self) -> str:
        """TAKEN, PROGRESS, SUCCESS, FAILURE, or what a connector made up."""

    @property
    def at(self) -> int:
        """When it passed."""

    @property
    def source(self) -> str:
        """Who sent it."""

    @property
    def payload(self) -> bytes:
        """As sent."""


class Refusal(Protocol):
    """Why there is no outcome."""

    @property
    def code(self) -> str:
        """As of protocol.md 6.6, or OUTCOME_TIMEOUT."""

    @property
    def message(self) -> str:
        """For people."""

    @property
    def at(self) -> int:
        """When it passed."""

    @property
    def source(self) -> str:
        """Who says so."""


class Life(Protocol):
    """A command as it is known at one moment."""

    @property
    def uuid(self) -> bytes:
        """Its id."""

    @property
    def command(self) -> str:
        """What is to be done."""

    @property
    def connector_type(self) -> str:
        """The pivot that it is for."""

    @property
    def target(self) -> str:
        """The connector that it is for; "": any."""

    @property
    def sent_at(self) -> int:
        """When it was sent."""

    @property
    def timeout(self) -> int:
        """What the receipt may take."""

    @property
    def outcome_timeout(self) -> int:
        """What the outcome may take, from sending."""

    @property
    def state(self) -> str:
        """SENT, TAKEN, SUCCESS, FAILURE, ERROR or OUTCOME_TIMEOUT."""

    @property
    def receipt(self) -> Answer | None:
        """The event that answered first."""

    @property
    def progress(self) -> Sequence[Answer]:
        """The latest of its progress."""

    @property
    def progress_dropped(self) -> int:
        """How much of it is not kept."""

    @property
    def outcome(self) -> Answer | None:
        """Of SUCCESS and FAILURE."""

    @property
    def error(self) -> Refusal | None:
        """Of ERROR and OUTCOME_TIMEOUT."""

    @property
    def ended_at(self) -> int | None:
        """When nothing more was expected."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is expected."""


class Commands(Protocol):
    """Sends commands, and knows what became of them."""

    def send(
        self,
        connector_type: str,
        command: str,
        payload: bytes | str = ...,
        *,
        target: str = ...,
        timeout_ms: int = ...,
        outcome_timeout_ms: int = ...,
    ) -> Life:
        """Send one. Raises ValueError and `RoutingFailure`."""

    def get(self, uuid: bytes) -> Life:
        """What is known of one. Raises `NotFound`."""

    def ended(self, uuid: bytes) -> Deferred[Any]:
        """Fires with its life when it has ended; fails with `RoutingFailure` when the instance stops before."""

    def latest(self, limit: int = ...) -> Sequence[Life]:
        """The newest, newest first."""


class Event(Protocol):
    """An event that passed."""

    @property
    def uuid(self) -> bytes:
        """Its id."""

    @property
    def topic(self) -> str:
        """Its topic."""

    @property
    def event(self) -> str:
        """Its name."""

    @property
    def payload(self) -> bytes:
        """As sent."""

    @property
    def source(self) -> str:
        """Who sent it."""

    @property
    def target(self) -> str:
        """Whom it is for; "": whoever is interested."""

    @property
    def reference(self) -> bytes | None:
        """What it answers."""

    @property
    def timestamp(self) -> int:
        """By its sender's clock."""


class Subscription(Protocol):
    """Brings events until it is closed."""

    def close(self) -> None:
        """No more of them."""


class Events(Protocol):
    """Sends events, and hears those that pass."""

    def emit(
        self, topic: str, event: str, payload: bytes | str = ..., *, target: str = ..., reference: bytes | None = ...
    ) -> Deferred[bytes]:
        """Fires with its id once it is recorded. Raises ValueError; fails with `RoutingFailure`."""

    def subscribe(
        self, patterns: Iterable[str], receive: Callable[[Any], object], ended: Callable[[Any], object] = ...
    ) -> Subscription:
        """Those that pass from now on, until `ended` is called. Raises ValueError for a bad pattern."""


class Replays(Protocol):
    """Hears the events that passed since one that is in the trace, and goes on with those that pass."""

    async def resume(
        self,
        patterns: Iterable[str],
        after: bytes,
        receive: Callable[[Any], object],
        *,
        room: Callable[[], Deferred[None]],
        failed: Callable[[Exception], object],
    ) -> Subscription:
        """Raises ValueError, `RoutingFailure`, `NotFound` and other errors of the store. `room` is asked before each
        page, `failed` told when it cannot go on."""


class Queue(Protocol):
    """Events that wait for a slow reader."""

    @property
    def overflowed(self) -> bool:
        """Whether one was not kept."""

    def put(self, event: Any) -> bool:
        """Whether it is kept."""

    def take(self, limit: int | None = None) -> Sequence[Event]:
        """The first of them, which are no longer in the queue."""

    def __len__(self) -> int:
        """How many wait."""
