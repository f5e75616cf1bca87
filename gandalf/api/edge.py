"""The edge of the API: every request passes here, is let in or not, read, carried out and answered."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, Protocol, get_origin

from klein import Klein
from pydantic import ValidationError
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from gandalf.api.bodies import BadBody, json_body
from gandalf.api.errors import BadRequest, Trouble, explained, trouble_of
from gandalf.api.guard import Guard
from gandalf.api.operation import Access, Call, Operation, Reply, Route, json_bytes
from gandalf.api.policy import Level, require

MAX_JSON: Final = 1024 * 1024
"""Bytes of a JSON body at most."""


class Face(Protocol):
    """How one form of the API reads bodies and tells errors."""

    lenient: bool
    """Whether what follows the first JSON value of a body is ignored."""

    def refusal(self, operation: Operation, detail: str) -> str:
        """What is said of a body that is not as it has to be."""

    def error(self, trouble: Trouble) -> tuple[int, str, Mapping[str, object]]:
        """Status, content type and body of an answer that tells of an error."""


class Edge:
    """Makes the Klein app of one face of the API.

    :param ready: raises `NotReady` while requests that need the network or the database cannot be served.
    """

    log = Logger()

    def __init__(self, guard: Guard, face: Face, ready: Callable[[], None]) -> None:
        self._guard = guard
        self._face = face
        self._ready = ready

    def app(self, routes: Iterable[Route]) -> Klein:
        """All of `routes`, each behind :meth:`guarded`."""
        app = Klein()
        for route in routes:
            told = route.operation
            app.route(told.path, methods=[told.method], endpoint=told.name)(self.guarded(route))
        app.handle_errors(HTTPException)(self._no_such_route)
        return app

    def guarded(self, route: Route) -> Callable[..., Coroutine[Any, Any, bytes | None]]:
        """The handler of a route for Klein: lets in whom the operation lets in, and nobody else."""

        async def handle(request: IRequest, **parameters: Any) -> bytes | None:
            try:
                call = await self._let_in(request, route.operation)
                reply = await route.handler(call, **parameters)
            except CancelledError:
                raise
            except Exception as error:
                return self._tell(request, self._trouble(error))
            return _send(request, reply) if isinstance(reply, Reply) else reply

        handle.operation = route.operation  # type: ignore[attr-defined]
        return handle

    async def _let_in(self, request: IRequest, operation: Operation) -> Call:
        if operation.access is Access.OPEN:
            return Call(request, body=self._body(request, operation), query=self._query(request, operation))
        self._ready()
        user = await self._guard.user(request)
        principal = None
        if isinstance(operation.access.value, Level):
            principal = await self._guard.principal(user)
            require(principal, operation.access.value, None, operation.summary.rstrip(".").lower())
        return Call(request, user, principal, self._body(request, operation), self._query(request, operation))

    def _body(self, request: IRequest, operation: Operation) -> Any:
        if operation.body is None:
            return None
        try:
            return operation.body.model_validate(json_body(request, MAX_JSON, lenient=self._face.lenient))
        except ValidationError as error:
            raise BadRequest(self._face.refusal(operation, explained(error))) from None
        except BadBody as error:
            raise BadRequest(self._face.refusal(operation, str(error))) from None

    def _query(self, request: IRequest, operation: Operation) -> Any:
        if operation.query is None:
            return None
        lists = {
            field.alias or name
            for name, field in operation.query.model_fields.items()
            if get_origin(field.annotation) is list
        }
        arguments: dict[str, str | list[str]] = {}
        for name, values in (request.args or {}).items():
            try:
                texts = [value.decode() for value in values]
                arguments[name.decode()] = texts if name.decode() in lists else texts[-1]
            except UnicodeDecodeError:
                raise BadRequest("the query is not UTF-8") from None
        try:
            return operation.query.model_validate(arguments)
        except ValidationError as error:
            raise BadRequest(explained(error)) from None

    def _trouble(self, error: Exception) -> Trouble:
        trouble = trouble_of(error)
        if trouble is not None:
            return trouble
        incident = uuid.uuid4().hex[:12]
        self.log.failure("a request failed; incident {incident}", Failure(error), incident=incident)
        return Trouble(500, "internal error", f"a defect; the log tells more under the incident {incident}")

    def _tell(self, request: IRequest, trouble: Trouble) -> bytes:
        status, content_type, body = self._face.error(trouble)
        headers = {"Content-Type": content_type, **trouble.headers}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return _send(request, Reply(body, status, headers))

    def _no_such_route(self, request: IRequest, failure: Failure) -> bytes:
        error = failure.value
        if isinstance(error, MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            return self._tell(
                request, Trouble(405, "method not allowed", f"allowed here: {allowed}", {"Allow": allowed})
            )
        return self._tell(request, Trouble(404, "not found", "there is nothing at this path"))


def _send(request: IRequest, reply: Reply) -> bytes:
    request.setResponseCode(reply.status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    for name, value in reply.headers.items():
        request.setHeader(name.lower().encode(), value.encode())
    if isinstance(reply.value, bytes):
        return reply.value
    return json_bytes(reply.value)
