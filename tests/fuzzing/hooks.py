"""What schemathesis may not break while it tests, and what it finds that is no failure. It loads this itself."""

from __future__ import annotations

import json
import os
import uuid
from http import HTTPStatus
from typing import Any

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, Failure, ServerError
from schemathesis.openapi.checks import AllowHeaderMismatch, MissingHeaderNotRejected, RejectedPositiveData

KEPT = frozenset(json.loads(os.environ.get("GANDALF_KEPT", "[]")))
"""Ids without which the test could not go on: of the administrators (without two nothing is created), of what makes
them so, and of the instance."""

NETWORK = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})

DEFINED = frozenset({"/logical-components", "/logicalcomponent/upload/{tenant}/{type}"})
"""Paths that take the definition of a component."""


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Ask for something else than what has to be kept, when it would be changed."""
    if case.method.upper() in {"GET", "HEAD"}:
        return
    for name, value in (case.path_parameters or {}).items():
        if name == "session" or str(value).lower() in KEPT:
            case.path_parameters[name] = uuid.uuid4().hex if name == "session" else str(uuid.uuid4())
    if isinstance(case.body, dict) and str(case.body.get("instance", "")).lower() in KEPT:
        case.body["instance"] = uuid.uuid4().hex


@schemathesis.hook
def filter_failure(context: Any, failure: Failure, case: Any, response: Any) -> bool:
    """False for what is as it has to be, though the description cannot say so."""
    status = HTTPStatus(response.status_code)
    if isinstance(failure, ServerError):
        # What the network says of a command or an event.
        return not (status in NETWORK and case.path in {"/commands", "/events"})
    if isinstance(failure, RejectedPositiveData):
        return not _rightly_rejected(status, case, response.text)
    if isinstance(failure, MissingHeaderNotRejected):
        # The Go system's clients are told so that a token is missing; /api/v1 says 401.
        return not (status is HTTPStatus.FORBIDDEN and "/ditrit/" in case.operation.base_url)
    if isinstance(failure, AllowHeaderMismatch):
        # `login` may be the name of a user, who is read there.
        return not case.path.startswith("/user/log") and case.path != "/user/register"
    if isinstance(failure, AcceptedNegativeData):
        # Whatever a form has in the place of a file, `null` say, is sent as the bytes of one.
        return bool(case.path != "/file/{id}")
    return True


def _rightly_rejected(status: HTTPStatus, case: Any, text: str) -> bool:
    """Whether a request that follows the schema cannot be carried out all the same."""
    if status is HTTPStatus.PRECONDITION_FAILED:
        return "If-Match" in (case.headers or {})
    if status is not HTTPStatus.BAD_REQUEST:
        return False
    # A cursor belongs to a list. A definition says more than its schema. The database cannot keep NUL: a schema would
    # have to say so of every text, and of every key.
    return "cursor:" in text or case.path in DEFINED or "the character NUL" in text
