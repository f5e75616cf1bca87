"""What the API can do, as declarations: routes, who may use them, and what goes in and comes out.

Routes are made from these only (`gandalf.api.edge`), so none can forget who may use it, and the description of the
API (OpenAPI) is made from the same.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from enum import Enum
from typing import Any, Final, TypeVar

import attrs
from pydantic import BaseModel
from twisted.web.iweb import IRequest

from gandalf.api.policy import Level
from gandalf.store.principals import Principal

JSON: Final = "application/json"


class Access(Enum):
    """Who may use an operation."""

    OPEN = "anybody"
    ROWS = "any user; what is seen and changed is judged row by row"
    READER = Level.READER
    WRITER = Level.WRITER
    ADMINISTRATOR = Level.ADMINISTRATOR


@attrs.frozen
class Operation:
    """One operation. `path` is a Werkzeug rule; `body` and `query` validate what comes in; `answers` tells the model
    of what goes out by status (None: nothing worth describing, or an error).

    For the description alone: `media` is the content type of these answers, `upload` the name of the part of a
    multipart form in which a file is sent, `takes` the content type of a body that is no JSON, `headers` what request
    headers mean, and `errors` those that do not follow from the rest.
    """

    name: str
    method: str
    path: str
    access: Access
    summary: str
    tag: str
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answers: Mapping[int, Any] = attrs.field(factory=dict)
    media: str = JSON
    upload: str = ""
    takes: str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    errors: Collection[type[Exception]] = ()


@attrs.frozen
class Call:
    """A request that was let in. `user` is the id of who asks (None where anybody may), `principal` who that is where
    the operation as a whole needs a right; `body` and `query` are validated."""

    request: IRequest = attrs.field(repr=False)
    user: Any = None
    principal: Principal | None = None
    body: Any = attrs.field(default=None, repr=False)
    query: Any = None


def json_bytes(value: Any) -> bytes:
    """`value` as it goes out."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@attrs.frozen
class Reply:
    """What goes out: `value` as JSON, or bytes as they are."""

    value: Any
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)


Handler = Callable[..., Awaitable[Reply | bytes | None]]
"""Gets the call and the values in the path. Bytes: it has set status and headers by itself; None: it has answered."""

H = TypeVar("H", bound=Callable[..., Any])


@attrs.frozen
class Route:
    """An operation, and what carries it out."""

    operation: Operation
    handler: Handler


def operation(method: str, path: str, access: Access, summary: str, **more: Any) -> Callable[[H], H]:
    """Declare a method of a subject as an operation; its name and tag are the method's and the class's."""

    def declare(handler: H) -> H:
        handler.__declared__ = (method, path, access, summary, more)  # type: ignore[attr-defined]
        return handler

    return declare


def routes_of(subject: object) -> Iterator[Route]:
    """The operations that the methods of `subject` were declared as."""
    tag = type(subject).__name__
    for name in dir(type(subject)):
        declared = getattr(getattr(type(subject), name), "__declared__", None)
        if declared is not None:
            method, path, access, summary, more = declared
            told = Operation(f"{tag}.{name}", method, path, access, summary, **{"tag": tag, **more})
            yield Route(told, getattr(subject, name))
