"""Looking at a member of the cluster over HTTP: what an operator, a probe or a dashboard asks.

Members have no users: all of it is open, at an address that the configuration chooses. An aggregator shows more, to
those who log in: `gandalf.api.v1.operations`.
"""

from __future__ import annotations

from klein import Klein
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException

from gandalf.api.health import Observed, alive, answer, readiness, refusal


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
        return alive(request)

    @app.route("/readyz", methods=["GET"])
    def readyz(self, request: IRequest) -> bytes:
        """200 when it serves, 503 while it starts or ends."""
        return readiness(request, self._observed)

    @app.route("/api/v1/status", methods=["GET"])
    def status(self, request: IRequest) -> bytes:
        """State, links, counters, latest errors."""
        return answer(request, self._observed.status())

    @app.route("/api/v1/connections", methods=["GET"])
    def connections(self, request: IRequest) -> bytes:
        """Every link, with its session and counters."""
        return answer(request, self._observed.connections())

    @app.handle_errors(HTTPException)
    def refused(self, request: IRequest, failure: Failure) -> bytes:
        """Another path, or another method."""
        return refusal(request, failure)
