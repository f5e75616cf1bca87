"""A command being carried out, as its handler sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeAlias
from uuid import UUID

from twisted.logger import Logger

from gandalf.connector import payloads
from gandalf.connector.network import (
    DEFAULT_TIMEOUT,
    Command,
    Host,
    Network,
    Outcome,
    OutcomeTimeout,
    Progress,
    Promise,
)

Report: TypeAlias = Callable[[str, str], object]
"""Sends a receipt of the command: the event (`TAKEN`, `PROGRESS`, `SUCCESS`, `FAILURE`) and its payload's
JSON text."""

_GRACE = 5.0
"""Seconds that a blocked worker thread gives the network beyond its own timeout, lest it wait for ever."""


class Job:
    """A command being carried out (protocol.md 7).

    `progress`, `emit` may be called from the loop's thread and from worker threads; what they are given is
    copied at once. `send` and `network` belong to `async def` handlers, `call` to plain ones.
    """

    _log = Logger()

    def __init__(self, command: Command, network: Network, host: Host, report: Report) -> None:
        self._command = command
        self._host = host
        self._report = report
        self._loop_thread = threading.get_ident()
        self._finished = False
        self.network = network

    @property
    def uuid(self) -> UUID:
        """The command's uuid, the same when the command is delivered once more (protocol.md 7)."""
        return self._command.uuid

    @property
    def command(self) -> str:
        """The command's name."""
        return self._command.name

    @property
    def source(self) -> str:
        """The logical name that the sender claims."""
        return self._command.source

    @property
    def deadline(self) -> float | None:
        """The moment, in seconds of the host's clock, up to which the sender finds an answer worth having; or
        None."""
        return self._command.deadline

    def progress(self, payload: object) -> None:
        """Report how far the work is: a text (sent as `{"message": text}`) or anything that JSON can say.

        ValueError for what it cannot. After the outcome, progress is dropped.
        """
        text = payloads.dump({"message": payload} if isinstance(payload, str) else payload)
        self._on_loop(lambda: self._progress(text))

    def emit(self, topic: str, event: str, payload: object = None, *, target: str = "") -> None:
        """Send an event without waiting until the network has it; ValueError for a payload that JSON cannot
        say.

        An event that the network refuses is logged. To know of it, `await job.network.emit(...)`.
        """
        copy = payloads.snapshot(payload)
        self._on_loop(lambda: self._host.start(self._emit(topic, event, copy, target)))

    def send(
        self,
        connector_type: str,
        command: str,
        payload: object = None,
        *,
        target: str = "",
        timeout: float = DEFAULT_TIMEOUT,  # the protocol's own, not a cancel scope
        on_progress: Progress | None = None,
    ) -> Promise[Outcome]:
        """In an `async def` handler: `Network.send`. RuntimeError from a worker thread."""
        if not self._here():
            raise RuntimeError("job.send is for 'async def' handlers: a worker thread uses job.call")
        return self.network.send(
            connector_type, command, payload, target=target, timeout=timeout, on_progress=on_progress
        )

    def call(
        self,
        connector_type: str,
        command: str,
        payload: object = None,
        *,
        target: str = "",
        timeout: float = DEFAULT_TIMEOUT,
        on_progress: Progress | None = None,
    ) -> Outcome:
        """In a plain handler: `Network.send`, waiting for its outcome. RuntimeError on the loop's thread.

        `on_progress` is called on the loop's thread.
        """
        if self._here():
            raise RuntimeError("job.call would block the loop: an 'async def' handler awaits job.send")
        copy = payloads.snapshot(payload)
        outcome: Future[Outcome] = Future()

        async def fill() -> None:
            try:
                outcome.set_result(
                    await self.network.send(
                        connector_type, command, copy, target=target, timeout=timeout, on_progress=on_progress
                    )
                )
            except BaseException as error:  # the waiting thread must learn of it, whatever it is
                outcome.set_exception(error)

        self._host.from_thread(lambda: self._host.start(fill()))
        try:
            return outcome.result(timeout + _GRACE)
        except TimeoutError:
            raise OutcomeTimeout(f"no outcome of {command} within {timeout:g} s") from None

    def finish(self, event: str, payload: str) -> None:
        """Report the outcome, once; for the executor, on the loop's thread."""
        self._finished = True
        self._report(event, payload)

    def _progress(self, text: str) -> None:
        if self._finished:
            self._log.warn(
                "Progress of {command} {uuid} after its outcome is dropped",
                command=self.command,
                uuid=self.uuid,
            )
            return
        self._report("PROGRESS", text)

    async def _emit(self, topic: str, event: str, payload: object, target: str) -> None:
        try:
            await self.network.emit(topic, event, payload, target=target)
        except Exception:
            self._log.failure(
                "Event {topic} {event} of {command} {uuid} could not be sent",
                topic=topic,
                event=event,
                command=self.command,
                uuid=self.uuid,
            )

    def _here(self) -> bool:
        return threading.get_ident() == self._loop_thread

    def _on_loop(self, call: Callable[[], object]) -> None:
        # At once on the loop, so that a report made there stays ahead of the outcome.
        if self._here():
            call()
        else:
            self._host.from_thread(call)
