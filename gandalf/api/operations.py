"""Looking at a running instance over HTTP: what an operator, a probe or a dashboard asks."""

from __future__ import annotations

import json
from typing import Any, Protocol

from klein import Klein
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource


class Observed(Protocol):
    """What can be looked at; values are plain, for JSON, and none is secret."""

    def status(self) -> dict[str, Any]:
        """The state of the instance; the key ``ready`` says whether it serves."""

    def connections(self) -> list[dict[str, Any]]:
        """Every link."""


class OperationsAPI:
    """``/healthz``, ``/readyz``, ``/api/v1/status``, ``/api/v1/connections``."""

    app = Klein()

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def resource(self) -> IResource:
        """The root resource, for a site."""
        return self.app.resource()

    @app.route("/healthz", methods=["GET"])
    def healthz(self, request: IRequest) -> bytes:
        """200 as long as the process answers."""
        return _json(request, {"alive": True})

    @app.route("/readyz", methods=["GET"])
    def readyz(self, request: IRequest) -> bytes:
        """200 when it serves, 503 while it starts or ends; ``state`` says what it waits for."""
        status = self._observed.status()
        if not status["ready"]:
            request.setResponseCode(503)
        return _json(request, {"ready": status["ready"], "state": status["state"]})

    @app.route("/api/v1/status", methods=["GET"])
    def status(self, request: IRequest) -> bytes:
        """Start-up, links, counters, latest errors."""
        return _json(request, self._observed.status())

    @app.route("/api/v1/connections", methods=["GET"])
    def connections(self, request: IRequest) -> bytes:
        """Every link, with its session and counters."""
        return _json(request, self._observed.connections())


def _json(request: IRequest, value: object) -> bytes:
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    return json.dumps(value).encode() + b"\n"
