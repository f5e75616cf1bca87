"""Carries out a declared connector: commands into receipts (protocol.md 7), events into calls of their
handlers.

No links, no reactor: the network, the host and the way a receipt is sent are parameters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from gandalf.connector import payloads
from gandalf.connector.declare import Connector, Subscription
from gandalf.connector.job import Job, Report
from gandalf.connector.network import Command, CommandFailed, Host, Network, ReceivedEvent

_CANCELLED = CommandFailed("CANCELLED", "the connector stopped before the command was finished")


class Executor:
    """Carries out one connector's commands and reactions on a host.

    `incident` makes the id under which an unexpected failure stands in the log: the sender learns it and no
    more. A command that comes twice must be dropped before it comes here (protocol.md 6.5).
    """

    _log = Logger()

    def __init__(self, connector: Connector, network: Network, host: Host, *, incident: Callable[[], str]) -> None:
        self.connector = connector
        self._network = network
        self._host = host
        self._incident = incident

    async def execute(self, command: Command, report: Report) -> None:
        """Carry out `command`: `report`s `TAKEN`, any number of `PROGRESS`, and one `SUCCESS` or `FAILURE`.

        Raises nothing of the handler's; only asyncio's cancellation passes through, once it has been
        reported.
        """
        report("TAKEN", "")
        job = Job(command, self._network, self._host, report)
        try:
            result = payloads.dump(await self._result(command, job))
        except CommandFailed as failure:
            job.finish("FAILURE", self._failure(command, failure))
        except CancelledError:
            job.finish("FAILURE", payloads.dump(_CANCELLED.payload()))
        except asyncio.CancelledError:
            job.finish("FAILURE", payloads.dump(_CANCELLED.payload()))
            raise
        # What parses arguments exits when they are wrong: that, too, is no reason to owe the sender an outcome.
        except (Exception, SystemExit):
            job.finish("FAILURE", payloads.dump(self._unexpected(command).payload()))
        else:
            job.finish("SUCCESS", result)

    def deliver(self, event: ReceivedEvent) -> list[Coroutine[Any, Any, None]]:
        """The reactions to `event`, one coroutine for each subscription that matches; none of them raises.

        The runtime starts them all; when they have ended, nothing of the event can be lost any more.
        """
        return [
            self._react(subscription, event)
            for subscription in self.connector.subscriptions
            if subscription.topics.matches(event.topic)
        ]

    async def _result(self, command: Command, job: Job) -> object:
        handler = self.connector.handlers.get(command.name)
        if handler is None:
            known = ", ".join(sorted(self.connector.handlers)) or "none"
            raise CommandFailed(
                "UNKNOWN_COMMAND", f"{command.name!r} is no command of this connector; its commands: {known}"
            )
        try:
            request = payloads.check(handler.payload, command.payload)
        except payloads.InvalidPayload as invalid:
            raise CommandFailed(
                "INVALID_PAYLOAD",
                f"the payload of {command.name} is not valid: {invalid}",
                {"errors": [problem.as_json() for problem in invalid.problems]},
            ) from None
        function = handler.function
        if handler.asynchronous:
            return await function(request, job)
        return await self._host.in_thread(lambda: function(request, job))

    def _failure(self, command: Command, failure: CommandFailed) -> str:
        try:
            return payloads.dump(failure.payload())
        except ValueError:
            return payloads.dump(self._unexpected(command).payload())

    def _unexpected(self, command: Command) -> CommandFailed:
        incident = self._incident()
        self._log.failure(
            "Command {command} {uuid} failed unexpectedly, incident {incident}",
            command=command.name,
            uuid=command.uuid,
            incident=incident,
        )
        return CommandFailed("INTERNAL", f"unexpected failure, incident {incident}", {"incident": incident})

    async def _react(self, subscription: Subscription, event: ReceivedEvent) -> None:
        try:
            await subscription.function(event, self._network)
        except Exception:
            self._log.failure(
                "The reaction to {topic} {event} {uuid} failed, subscription {pattern}",
                topic=event.topic,
                event=event.event,
                uuid=event.uuid,
                pattern=subscription.pattern,
            )
