"""What is said over HTTP of what goes wrong: the one table from errors to statuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
from pydantic import ValidationError

from gandalf.api.attempts import TooManyAttempts
from gandalf.api.bodies import BadBody, BodyTooLong
from gandalf.api.passwords import PasswordRefused
from gandalf.api.policy import Forbidden
from gandalf.routing import failures
from gandalf.routing.failures import RoutingFailure
from gandalf.store.definitions import InvalidDefinition
from gandalf.store.errors import Conflict, DatabaseTimeout, DatabaseUnavailable, InvalidName, NotFound
from gandalf.store.state import InvalidState, LastAdministrator


class ApiError(Exception):
    """An error of the HTTP floor itself; subclasses stand in the table."""


class NotSignedIn(ApiError):
    """There is no token, or one that is not accepted; the text says why."""


class InvalidCredentials(ApiError):
    """The password is wrong."""


class BadRequest(ApiError):
    """The request cannot be understood; the text says what is wrong and what is allowed."""


class PreconditionFailed(ApiError):
    """The row is not, or no longer, in the state that the client names."""


class NotReady(ApiError):
    """The aggregator is starting, or ends; the text says what it waits for."""


class Refused(ApiError):
    """The cluster does not let this aggregator do it."""


class Unreachable(ApiError):
    """The cluster cannot be asked at the moment."""


class Undelivered(RoutingFailure):
    """A command that was sent has come to nothing. `about` are further members of what the client is told."""

    def __init__(self, code: str, message: str, about: Mapping[str, str], headers: Mapping[str, str]) -> None:
        super().__init__(code, message)
        self.about = about
        self.headers = headers


@attrs.frozen
class Trouble:
    """What the client is told: the status, a short title that is always the same, and the text. `more` are further
    members of problem details."""

    status: int
    title: str
    detail: str
    headers: Mapping[str, str] = attrs.field(factory=dict)
    more: Mapping[str, str] = attrs.field(factory=dict)


NOT_SIGNED_IN: Final = "not signed in"
"""The title of this error; its status depends on the face of the API."""

DELIVERY: Final[Mapping[str, tuple[int, str]]] = {
    failures.NO_ROUTE: (404, "no route"),
    failures.TIMEOUT: (504, "timeout"),
    failures.EXPIRED: (504, "expired"),
    "OUTCOME_TIMEOUT": (504, "outcome timeout"),
    failures.OVERLOADED: (503, "overloaded"),
    "DRAINING": (503, "draining"),
    failures.TOO_LARGE: (413, "too large"),
    failures.NOT_AUTHORISED: (403, "forbidden"),
}
"""What is said of a `RoutingFailure`, by its code (protocol.md 6.6)."""

OTHERWISE_UNDELIVERED: Final = (502, "refused by the network")
"""The same for any other code."""

# The first that fits counts, so the narrower stand before the wider.
TABLE: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (NotSignedIn, 403, NOT_SIGNED_IN),
    (InvalidCredentials, 401, "invalid credentials"),
    (Forbidden, 403, "forbidden"),
    (Refused, 403, "forbidden"),
    (NotFound, 404, "not found"),
    (InvalidState, 409, "invalid state"),
    (LastAdministrator, 409, "conflict"),
    (Conflict, 409, "conflict"),
    (PreconditionFailed, 412, "precondition failed"),
    (BodyTooLong, 413, "too large"),
    (TooManyAttempts, 429, "too many attempts"),
    (BadRequest, 400, "bad request"),
    (BadBody, 400, "bad request"),
    (PasswordRefused, 400, "password refused"),
    (InvalidDefinition, 400, "invalid definition"),
    (InvalidName, 400, "invalid name"),
    (DatabaseTimeout, 503, "database too slow"),
    (DatabaseUnavailable, 503, "database unavailable"),
    (Unreachable, 503, "cluster unavailable"),
    (NotReady, 503, "not ready"),
    *((RoutingFailure, *told) for told in (*DELIVERY.values(), OTHERWISE_UNDELIVERED)),
)
"""Anything else is a defect: 500, with an id under which the log tells more."""

RETRY_AFTER_S = 2
"""What a client is told to wait after a 503."""


def trouble_of(error: Exception) -> Trouble | None:
    """What the client is told of `error`; None for a defect."""
    if isinstance(error, RoutingFailure):
        return _undelivered(error)
    for kind, status, title in TABLE:
        if isinstance(error, kind):
            headers = {}
            if isinstance(error, TooManyAttempts):
                headers["Retry-After"] = str(error.retry_after_s)
            elif status == 503:
                headers["Retry-After"] = str(RETRY_AFTER_S)
            return Trouble(status, title, str(error), headers)
    return None


def _undelivered(error: RoutingFailure) -> Trouble:
    status, title = DELIVERY.get(error.code, OTHERWISE_UNDELIVERED)
    headers, more = {}, {"code": error.code}
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(error, Undelivered):
        headers.update(error.headers)
        more.update(error.about)
    return Trouble(status, title, str(error), headers, more)


def explained(error: ValidationError) -> str:
    """The mistakes of a body or query in one line: the place in dots, and what is allowed. No value is quoted: it
    may be a password."""
    parts = []
    for mistake in error.errors(include_url=False, include_input=False, include_context=False):
        place = ".".join(map(str, mistake["loc"])) or "the whole"
        parts.append(f"{place}: {mistake['msg'].removeprefix('Value error, ')}")
    return "; ".join(parts)
