"""What anybody may ask of a running instance: whether it lives, and whether it serves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from klein import Klein
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException


class Observed(Protocol):
    """What can be looked at; values are plain, for JSON, and none is secret."""

    def status(self) -> dict[str, Any]:
        """The state of the instance; the key ``ready`` says whether it serves."""

    def connections(self) -> list[dict[str, Any]]:
        """Every link."""


class HealthAPI:
    """``/healthz`` and ``/readyz``."""

    app = Klein()

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    @app.route("/healthz", methods=["GET"])
    def healthz(self, request: IRequest) -> bytes:
        """200 as long as the process answers."""
        return alive(request)

    @app.route("/readyz", methods=["GET"])
    def readyz(self, request: IRequest) -> bytes:
        """200 when it serves, 503 while it starts or ends."""
        return readiness(request, self._observed)

    @app.handle_errors(HTTPException)
    def refused(self, request: IRequest, failure: Failure) -> bytes:
        """Another path, or another method."""
        return refusal(request, failure)


def alive(request: IRequest) -> bytes:
    """The answer of ``/healthz``."""
    return answer(request, {"alive": True})


def readiness(request: IRequest, observed: Observed) -> bytes:
    """The answer of ``/readyz``: ``state`` says what is waited for, ``trouble`` why it takes so long, and ``startup``
    how far each step is. It is for operators who cannot log in before the instance serves."""
    status = observed.status()
    steps = [_step(step) for step in status.get("startup", ())]
    troubles = [f"{step['step']}: {step['trouble']}" for step in steps if step["trouble"]]
    if not status["ready"]:
        request.setResponseCode(503)
    return answer(
        request,
        {
            "ready": status["ready"],
            "state": status["state"],
            "trouble": status.get("trouble") or "; ".join(troubles),
            "startup": steps,
        },
    )


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    return {key: step[key] for key in ("step", "state", "attempts", "trouble")}


def refusal(request: IRequest, failure: Failure) -> bytes:
    """The answer to a path or method that is not there."""
    error: Any = failure.value
    request.setResponseCode(error.code)
    for name, value in error.get_headers():
        if name.lower() == "allow":
            request.setHeader(b"allow", value.encode())
    message = "there is nothing at this path" if error.code == 404 else error.name.lower()
    return answer(request, {"error": message, "message": message})


def answer(request: IRequest, value: object) -> bytes:
    """A value as JSON, of now."""
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    return json.dumps(value).encode() + b"\n"
