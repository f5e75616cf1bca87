"""A network and a host in memory, with which a connector is tested without links, threads or a reactor."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from uuid import UUID

import attrs
from twisted.internet.defer import Deferred, ensureDeferred, execute

from gandalf.connector import payloads
from gandalf.connector.declare import Connector
from gandalf.connector.execution import Executor
from gandalf.connector.network import (
    DEFAULT_TIMEOUT,
    Command,
    EventHandler,
    Outcome,
    Progress,
    ReceivedEvent,
)

T = TypeVar("T")


@attrs.frozen
class Emitted:
    """An event given to a `MemoryNetwork`. Fire `taken` to take charge of it."""

    topic: str
    event: str
    payload: object
    target: str
    taken: Deferred[None] = attrs.field(factory=Deferred, eq=False, repr=False)


@attrs.frozen
class Sent:
    """A command given to a `MemoryNetwork`. `succeed`, or fire `outcome` with an error."""

    connector_type: str
    command: str
    payload: object
    target: str
    timeout: float
    on_progress: Progress | None = attrs.field(default=None, eq=False, repr=False)
    outcome: Deferred[Outcome] = attrs.field(factory=Deferred, eq=False, repr=False)

    def succeed(self, payload: object = None) -> None:
        """Let the command succeed with `payload`."""
        uuid = UUID(int=0)
        receipt = ReceivedEvent(uuid, self.command, "TAKEN")
        self.outcome.callback(Outcome(uuid, receipt, ReceivedEvent(uuid, self.command, "SUCCESS", payload)))


class MemoryNetwork:
    """A `Network` that keeps what it is given. `takes_charge` says whether events are taken charge of at
    once."""

    def __init__(self, *, takes_charge: bool = True) -> None:
        self.takes_charge = takes_charge
        self.emitted: list[Emitted] = []
        self.sent: list[Sent] = []
        self.subscriptions: list[tuple[str, EventHandler]] = []

    def emit(self, topic: str, event: str, payload: object = None, *, target: str = "") -> Deferred[None]:
        """Keep the event in `emitted`."""
        emitted = Emitted(topic, event, payloads.snapshot(payload), target)
        self.emitted.append(emitted)
        if self.takes_charge:
            emitted.taken.callback(None)
        return emitted.taken

    def send(
        self,
        connector_type: str,
        command: str,
        payload: object = None,
        *,
        target: str = "",
        timeout: float = DEFAULT_TIMEOUT,
        on_progress: Progress | None = None,
    ) -> Deferred[Outcome]:
        """Keep the command in `sent`; its outcome is the test's to give."""
        sent = Sent(connector_type, command, payloads.snapshot(payload), target, timeout, on_progress)
        self.sent.append(sent)
        return sent.outcome

    def subscribe(self, pattern: str, handler: EventHandler) -> None:
        """Keep the subscription in `subscriptions`."""
        self.subscriptions.append((pattern, handler))


class MemoryHost:
    """A `Host` without threads: everything runs at once, in the thread that asks."""

    def in_thread(self, call: Callable[[], T]) -> Deferred[T]:
        """Run `call` now."""
        return execute(call)

    def from_thread(self, call: Callable[[], object]) -> None:
        """Run `call` now."""
        call()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start `coroutine` now."""
        ensureDeferred(coroutine)


@attrs.frozen
class Carried:
    """A command carried out by `carry_out`: its receipts so far, as (event, parsed payload)."""

    receipts: list[tuple[str, object]] = attrs.field(factory=list)

    @property
    def outcome(self) -> tuple[str, Any]:
        """The last receipt."""
        return self.receipts[-1]


def carry_out(
    connector: Connector,
    name: str,
    payload: object = None,
    *,
    network: MemoryNetwork,
    uuid: UUID = UUID(int=1),  # noqa: B008 (a UUID is immutable)
) -> Carried:
    """Give `connector` a command, as the runtime would."""
    carried = Carried()
    executor = Executor(connector, network, MemoryHost(), incident=lambda: "incident-1")
    command = Command(uuid, name, payloads.dump(payload), source="tester")
    ensureDeferred(
        executor.execute(command, lambda event, text: carried.receipts.append((event, payloads.load(text))))
    )
    return carried
