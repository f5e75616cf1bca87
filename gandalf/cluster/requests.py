"""Requests that a cluster member answers by itself (protocol.md 4 and 9): from a frame to an answer, and back.

What each request takes and gives is in docs/cluster-requests.md.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import attrs
from pydantic import BaseModel, ValidationError
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gandalf.routing.errors import MakeFrame
from gandalf.routing.failures import MALFORMED, OVERLOADED, TOO_LARGE, RoutingFailure
from gandalf.routing.fallthrough import accepts, length_of
from gandalf.routing.link import Link
from gandalf.store.definitions import InvalidDefinition, explain
from gandalf.store.errors import Conflict, DatabaseUnavailable, InvalidName, NotFound, StoreError
from gandalf.wire.body import take, take_payload, unpack_body
from gandalf.wire.envelope import Frame
from gandalf.wire.errors import Malformed

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

UNKNOWN_COMMAND: Final = "UNKNOWN_COMMAND"
INVALID: Final = "INVALID"
NOT_FOUND: Final = "NOT_FOUND"
CONFLICT: Final = "CONFLICT"
UNAVAILABLE: Final = "UNAVAILABLE"
INTERNAL: Final = "INTERNAL"
"""Codes of ``context.error`` in an answer, besides those that the protocol has too."""


MAX_UNDER_WAY: Final = 1000
"""Requests that are worked at or wait for the database; the next are answered with ``OVERLOADED``."""

MAX_BYTES: Final = 64 << 20
"""The same in bytes of their frames."""

SHOWN: Final = 80
"""Characters of a command, which may be as long as a frame, where it is only shown."""


class RequestFailed(Exception):
    """``code`` and text are what the asker is told."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@attrs.frozen
class Answer:
    """The payload of a ``_REPLY``, and its context."""

    payload: str = attrs.field(repr=False)
    context: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen
class Request:
    """A request as read. ``target`` is the connector that asks over an aggregator, "" for the aggregator itself."""

    kind: str
    command: str
    tenant: str
    target: str
    context: dict[str, Any] = attrs.field(repr=False)
    payload: str = attrs.field(repr=False)
    major: int
    minor: int
    link: Link = attrs.field(repr=False)

    def text(self, *keys: str, default: str | None = None) -> str:
        """The first of these keys of the context that is there and not empty.

        :raises RequestFailed: it is not a str that the database can hold; or there is none, and no ``default``.
        """
        for key in keys:
            value = self.context.get(key, "")
            if not isinstance(value, str):
                raise RequestFailed(MALFORMED, f"context.{key} must be str, not {type(value).__name__}")
            if "\0" in value:
                raise RequestFailed(MALFORMED, f"context.{key} must not contain the character NUL")
            if value:
                return value
        if default is None:
            raise RequestFailed(MALFORMED, f"{self.command} needs context.{' or context.'.join(keys)}")
        return default

    def version(self) -> tuple[int, int]:
        """``context.major`` and ``minor`` when the context has a ``major``, else those of the body.

        :raises RequestFailed: they are no uint.
        """
        if "major" not in self.context:
            return self.major, self.minor
        try:
            return take(self.context, "major", int, 0), take(self.context, "minor", int, 0)
        except Malformed as error:
            raise RequestFailed(MALFORMED, f"context.{error}".replace("body: ", "")) from None

    def parsed(self, model: type[M]) -> M:
        """The payload as ``model``.

        :raises RequestFailed: it is not JSON, or not such a thing; the text names place, value and what is allowed.
        """
        try:
            return model.model_validate(json.loads(self.payload))
        except ValidationError as error:
            raise RequestFailed(INVALID, "payload: " + "; ".join(explain(error))) from None
        except (ValueError, RecursionError) as error:
            raise RequestFailed(INVALID, f"payload: must be JSON text: {error}") from None


Handler = Callable[[Request], Awaitable[Answer]]
Handlers = Mapping[str, Mapping[str, Handler]]
"""By kind and command."""


def merged(*several: Handlers) -> Handlers:
    """All of these; two may answer commands of one kind."""
    commands: dict[str, dict[str, Handler]] = {}
    for handlers in several:
        for kind, of_kind in handlers.items():
            commands.setdefault(kind, {}).update(of_kind)
    return commands


class Requests:
    """Answers requests; several at a time.

    :param reply: sends an answer to whoever asked over a link.
    """

    log = Logger()

    def __init__(self, handlers: Handlers, make_frame: MakeFrame, reply: Callable[[Link, Frame], None]) -> None:
        self._handlers = handlers
        self._make_frame = make_frame
        self._reply = reply
        self._under_way: set[Deferred[None]] = set()
        self.bytes = 0
        """Bytes of the frames of those under way."""

    def __len__(self) -> int:
        return len(self._under_way)

    def received(self, frame: Frame, link: Link) -> None:
        """Answer ``frame``.

        :raises Malformed: it cannot even be told which command it is.
        :raises RoutingFailure: ``OVERLOADED``.
        """
        if len(self._under_way) >= MAX_UNDER_WAY or self.bytes >= MAX_BYTES:
            raise RoutingFailure(OVERLOADED, f"{len(self._under_way)} requests are under way: no more are taken")
        body = unpack_body(frame.body)
        payload = take_payload(body)
        request = Request(
            kind=frame.kind,
            command=take(body, "command", str, ""),
            tenant=link.tenant,
            target=frame.target,
            context=take(body, "context", dict, {}),
            payload=payload.decode("utf-8", "replace") if isinstance(payload, bytes) else payload,
            major=take(body, "major", int, 0),
            minor=take(body, "minor", int, 0),
            link=link,
        )
        size = len(frame.raw)
        self.bytes += size
        task = ensureDeferred(self._work(request, frame.uuid))
        self._under_way.add(task)
        task.addBoth(self._ended, task, size)

    def stop(self) -> None:
        """Answer nothing more."""
        for task in list(self._under_way):
            task.cancel()

    async def _work(self, request: Request, uuid: bytes) -> None:
        try:
            answer = await self._answer(request)
        except RequestFailed as error:
            self.log.info(
                "{command} of {name} in tenant {tenant} failed: {code}{message}",
                command=request.command[:SHOWN],
                name=request.target or request.link.logical_name,
                tenant=request.tenant,
                code=error.code,
                # What is said of a payload quotes it, and there may be secrets in it.
                message="" if error.code == INVALID else f": {error}",
            )
            answer = _failed(error)
        reply = self._frame(request, uuid, f"{request.command}_REPLY", answer)
        if not accepts(request.link, reply):
            # Refused, it would come again over every later connection, and break that too.
            message = f"the answer takes {length_of(reply)} bytes; no more than {request.link.max_frame} are accepted"
            self.log.warn(
                "{command} of {name} in tenant {tenant}: {message}",
                command=request.command[:SHOWN],
                name=request.target or request.link.logical_name,
                tenant=request.tenant,
                message=message,
            )
            failed = _failed(RequestFailed(TOO_LARGE, message))
            reply = self._frame(request, uuid, f"{request.command[:SHOWN]}_REPLY", failed)
        self._reply(request.link, reply)

    def _frame(self, request: Request, uuid: bytes, command: str, answer: Answer) -> Frame:
        body: dict[str, object] = {"command": command, "context": dict(answer.context), "payload": answer.payload}
        return self._make_frame(request.kind, body, target=request.target, reference=uuid, tenant=request.link.tenant)

    async def _answer(self, request: Request) -> Answer:
        handlers = self._handlers.get(request.kind, {})
        handler = handlers.get(request.command)
        if handler is None:
            allowed = ", ".join(sorted(handlers))
            shown = request.command[:SHOWN]
            raise RequestFailed(UNKNOWN_COMMAND, f"{request.kind} {shown!r} is not known; allowed: {allowed}")
        try:
            return await handler(request)
        except StoreError as error:
            raise _told(error) from error
        except (RequestFailed, CancelledError):
            raise
        except Exception:
            self.log.failure("{command} failed", command=request.command)
            raise RequestFailed(INTERNAL, "a defect of the cluster member; its log says more") from None

    def _ended(self, result: object, task: Deferred[None], size: int) -> None:
        self._under_way.discard(task)
        self.bytes -= size
        if isinstance(result, Failure) and result.check(CancelledError) is None:
            self.log.failure("an answer could not be sent", result)


def _failed(error: RequestFailed) -> Answer:
    return Answer("", {"error": {"code": error.code, "message": str(error)}})


def _told(error: StoreError) -> RequestFailed:
    """What the asker is told of an error of the database; its log tells the operator more."""
    if isinstance(error, DatabaseUnavailable):
        Requests.log.warn("the database is not available: {reason}", reason=str(error))
        return RequestFailed(UNAVAILABLE, "the database cannot be reached at the moment; ask again later")
    if isinstance(error, NotFound):
        return RequestFailed(NOT_FOUND, str(error))
    if isinstance(error, Conflict):
        return RequestFailed(CONFLICT, str(error))
    if isinstance(error, InvalidName | InvalidDefinition):
        return RequestFailed(INVALID, str(error))
    Requests.log.error("the database refused a request: {reason}", reason=str(error))
    return RequestFailed(INTERNAL, "the database refused it; the log of the cluster member says more")
