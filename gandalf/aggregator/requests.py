"""Requests of the aggregator's own to the cluster (protocol.md 4 and 8)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from gandalf.routing.errors import MakeFrame, readable
from gandalf.routing.failures import WRONG_TENANT
from gandalf.routing.fallthrough import FallThrough
from gandalf.routing.link import Link
from gandalf.wire.envelope import Frame
from gandalf.wire.kinds import CONFIGURATION, CONFIGURATION_DATABASE, LOGICAL_CONFIGURATION, SECRET


class RequestFailed(Exception):
    """The cluster answered a request with an error, or with something that cannot be read.

    ``code`` is the cluster's, or ``MALFORMED``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class SecretRefused(Exception):
    """The cluster does not accept this aggregator's secret; the text says why."""


class ClusterRequests:
    """Asks the cluster, one member after the other as protocol.md 6.2 says; the reply is the ``_REPLY``.

    :param members: the cluster connections that may be asked, validated or not.
    :param timeout: seconds that one request may take over all members.
    """

    def __init__(
        self, own: FallThrough, members: Callable[[], Sequence[Link]], make_frame: MakeFrame, timeout: float
    ) -> None:
        self._own = own
        self._members = members
        self._make_frame = make_frame
        self._timeout = timeout

    async def validate(self, link: Link, context: dict[str, object]) -> None:
        """Prove over ``link`` that we are who we say; afterwards it is validated.

        :raises SecretRefused: the cluster says no.
        :raises RoutingFailure: there was no answer over this link.
        :raises RequestFailed: the cluster could not say.
        """
        reply = await self._send(SECRET, "VALIDATION", context, "", [link])
        payload, reply_context = _read(reply)
        if payload not in ("true", "false"):
            raise RequestFailed("MALFORMED", f"the reply to VALIDATION is {payload!r}, neither true nor false")
        if payload == "false":
            raise SecretRefused(str(reply_context.get("reason", "")) or "no reason was given")
        link.validated = True

    async def pivot(self, pivot: dict[str, object]) -> Any:
        """The definition of the pivot of this ``name``, ``major`` and ``minor``, as JSON gives it."""
        return await self.ask(CONFIGURATION, "PIVOT_CONFIGURATION", pivot, "")

    async def logical_configuration(self, mine: dict[str, object]) -> Any:
        """Save what this component is; the answer is what the cluster has of it afterwards."""
        context = {"logical_name": mine["logicalname"]}
        return await self.ask(LOGICAL_CONFIGURATION, "LOGICAL_CONFIGURATION", context, json.dumps(mine))

    async def database(self, logical_name: str, tenant: str) -> str:
        """The libpq URI of the tenant's database."""
        context: dict[str, object] = {"logical_name": logical_name}
        return database_uri(await self.ask(CONFIGURATION_DATABASE, "CONFIGURATION_DATABASE", context, ""), tenant)

    async def ask(
        self, kind: str, command: str, context: dict[str, object], payload: str, budget: float | None = None
    ) -> Any:
        """What the cluster answers to any request (docs/cluster-requests.md), as JSON gives it.

        :param budget: seconds over all members; None: as given to the constructor.
        :raises RoutingFailure: nobody answers.
        :raises RequestFailed: the answer is an error, or cannot be read.
        """
        members = [link for link in self._members() if link.validated]
        reply = await self._send(kind, command, context, payload, members, budget)
        text, _ = _read(reply)
        return parsed(text, command)

    async def _send(
        self,
        kind: str,
        command: str,
        context: dict[str, object],
        payload: str,
        members: Sequence[Link],
        budget: float | None = None,
    ) -> Frame:
        budget = self._timeout if budget is None else budget
        body: dict[str, object] = {"command": command, "context": context, "payload": payload}
        frame = self._make_frame(kind, body, timeout=int(budget * 1000))
        return await self._own.send(frame, "the cluster", members, budget)


def parsed(text: str, command: str) -> Any:
    """The JSON of a payload.

    :raises RequestFailed: it is none.
    """
    try:
        return json.loads(text)
    except ValueError:
        raise RequestFailed("MALFORMED", f"the payload of {command} is not JSON") from None


def database_uri(payload: object, tenant: str) -> str:
    """The ``dsn`` in the payload of ``CONFIGURATION_DATABASE_REPLY`` (protocol.md 4).

    :raises RequestFailed: there is none, or it is not the database of ``tenant``.
    """
    named: dict[str, object] = payload if isinstance(payload, dict) else {}
    dsn, owner = named.get("dsn"), named.get("tenant", tenant)
    if not isinstance(dsn, str) or not dsn:
        raise RequestFailed("MALFORMED", "the reply to CONFIGURATION_DATABASE has no dsn")
    if owner != tenant:
        raise RequestFailed(WRONG_TENANT, f"the database is of tenant {owner!r}; this aggregator serves {tenant!r}")
    return dsn


def payload_text(frame: Frame) -> str:
    """The payload of ``frame`` as text."""
    payload = readable(frame).get("payload", "")
    return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(payload)


def _read(reply: Frame) -> tuple[str, dict[str, Any]]:
    context = readable(reply).get("context")
    context = context if isinstance(context, dict) else {}
    error = context.get("error")
    if isinstance(error, dict):
        raise RequestFailed(str(error.get("code", "")), str(error.get("message", "")))
    return payload_text(reply), context
