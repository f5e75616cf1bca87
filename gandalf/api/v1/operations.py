"""Seeing and steering a running instance."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gandalf.api.errors import BadRequest
from gandalf.api.operation import Access, Call, Reply, operation
from gandalf.api.v1.network import Controlled, Observed
from gandalf.logs import LEVELS
from gandalf.store.errors import Conflict, NotFound


class PendingQuery(BaseModel):
    """Which of them."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=1000, ge=1, le=10_000, description="So many at most.")


class ErrorsQuery(BaseModel):
    """Which of them."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=100, ge=1, le=1000, description="So many at most, the newest.")
    code: str = Field(default="", max_length=256, description="Only those of this code, as NO_ROUTE.")


class DrainBody(BaseModel):
    """Which instance is meant: behind a balancer another may be asked than was looked at."""

    model_config = ConfigDict(extra="forbid", strict=True)

    instance: str = Field(max_length=64, description="Its id in hex, as `status` tells it.")


class LogLevel(BaseModel):
    """What is logged."""

    model_config = ConfigDict(extra="forbid", strict=True)

    level: str = Field(max_length=32, json_schema_extra={"enum": list(LEVELS)})


class Operations:
    """The running instance that answers; its brothers have their own."""

    def __init__(self, observed: Observed, control: Controlled) -> None:
        self._observed = observed
        self._control = control

    @operation(
        "GET",
        "/status",
        Access.READER,
        "See the state of this instance.",
        answers={200: dict[str, Any]},
        tag="operations",
    )
    async def status(self, call: Call) -> Reply:
        """Start-up steps, links to the cluster, brothers, counters, versions, latest errors."""
        return Reply(self._observed.status())

    @operation(
        "GET",
        "/connections",
        Access.READER,
        "List the connections.",
        answers={200: list[dict[str, Any]]},
        tag="operations",
    )
    async def connections(self, call: Call) -> Reply:
        """Every link, with its session, counters and buffers."""
        return Reply(self._observed.connections())

    @operation(
        "GET",
        "/connections/<session>",
        Access.READER,
        "See a connection.",
        answers={200: dict[str, Any]},
        tag="operations",
    )
    async def connection(self, call: Call, session: str) -> Reply:
        """The one of a session."""
        return Reply(self._observed.connection(session))

    @operation(
        "DELETE",
        "/connections/<session>",
        Access.ADMINISTRATOR,
        "End a connection.",
        answers={204: None},
        tag="operations",
    )
    async def disconnect(self, call: Call, session: str) -> Reply:
        """Its peer may come again."""
        if not self._observed.disconnect(session):
            raise NotFound("there is no connection with this session")
        return Reply(b"", 204)

    @operation(
        "GET",
        "/pending",
        Access.READER,
        "List what awaits an answer.",
        query=PendingQuery,
        answers={200: list[dict[str, Any]]},
        tag="operations",
    )
    async def pending(self, call: Call) -> Reply:
        """Commands and requests on their way through this instance."""
        return Reply(self._observed.pending(call.query.limit))

    @operation(
        "GET",
        "/errors",
        Access.READER,
        "List the latest error events.",
        query=ErrorsQuery,
        answers={200: list[dict[str, Any]]},
        tag="operations",
    )
    async def errors(self, call: Call) -> Reply:
        """Newest first, with their reasons."""
        return Reply(self._observed.errors(call.query.limit, call.query.code))

    @operation(
        "POST",
        "/drain",
        Access.ADMINISTRATOR,
        "End this instance in good order.",
        body=DrainBody,
        answers={202: DrainBody},
        tag="operations",
    )
    async def drain(self, call: Call) -> Reply:
        """As SIGTERM does."""
        own = self._observed.status()["instance"]
        if call.body.instance.lower() != own:
            raise Conflict(f"this is another instance, {own}: nothing was done")
        self._control.drain()
        return Reply({"instance": own}, 202)

    @operation(
        "GET", "/log-level", Access.ADMINISTRATOR, "See what is logged.", answers={200: LogLevel}, tag="operations"
    )
    async def log_level(self, call: Call) -> Reply:
        """The level in force."""
        return Reply({"level": self._control.log_level})

    @operation(
        "PUT",
        "/log-level",
        Access.ADMINISTRATOR,
        "Change what is logged.",
        body=LogLevel,
        answers={200: LogLevel},
        tag="operations",
    )
    async def set_log_level(self, call: Call) -> Reply:
        """Until the instance ends."""
        try:
            self._control.set_log_level(call.body.level)
        except ValueError as error:
            raise BadRequest(f"level: {error}") from None
        return Reply({"level": self._control.log_level})

    @operation(
        "GET",
        "/config",
        Access.ADMINISTRATOR,
        "See the configuration.",
        answers={200: dict[str, Any]},
        tag="operations",
    )
    async def config(self, call: Call) -> Reply:
        """What is in force, defaults too; secrets are masked."""
        return Reply(self._control.config())
