"""Answers for pages of other origins: browsers may use the API from anywhere, with a token and without cookies."""

from __future__ import annotations

from twisted.web import http
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource, getChildForRequest

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

REQUEST_HEADERS = (
    *("Accept", "Content-Type", "Content-Length", "Accept-Encoding", "X-CSRF-Token", "Authorization"),
    *("Access-Control-Request-Headers", "Access-Control-Request-Method", "Connection", "Host", "Origin"),
    *("User-Agent", "Referer", "Cache-Control", "X-header", "If-Match", "If-None-Match", "Last-Event-ID"),
)
"""What a page may send: what the Go system lets it send, and what conditional requests and event streams need."""

EXPOSED_HEADERS = ("ETag", "Location", "Link", "Retry-After")
"""What a page may read of an answer, beside what any page may."""

MAX_AGE = 600
"""Seconds for which a browser need not ask again."""


def allow_origin(request: IRequest) -> None:
    """Let a page of any origin read the answer to `request`; say to caches that the origin matters."""
    request.responseHeaders.addRawHeader(b"vary", b"Origin")
    if request.getHeader(b"origin") is not None:
        request.setHeader(b"access-control-allow-origin", b"*")
        request.setHeader(b"access-control-expose-headers", _listed(EXPOSED_HEADERS))


class CORS(Resource):
    """Everything below `root`, for pages of any origin.

    A preflight is answered here, before anybody asks who it is. An OPTIONS that is none goes on to `root`, where no
    route takes it: 405, with what the path does take in ``Allow``.
    """

    isLeaf = True

    def __init__(self, root: IResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._root = root

    def render(self, request: IRequest) -> bytes | int:
        """Answer a preflight, or have `root` answer."""
        allow_origin(request)
        if _is_preflight(request):
            request.setResponseCode(http.OK)
            request.setHeader(b"access-control-allow-methods", _listed(METHODS))
            request.setHeader(b"access-control-allow-headers", _listed(REQUEST_HEADERS))
            request.setHeader(b"access-control-max-age", b"%d" % MAX_AGE)
            return b""
        answer: bytes | int = getChildForRequest(self._root, request).render(request)
        return answer


def _is_preflight(request: IRequest) -> bool:
    asks = (b"origin", b"access-control-request-method")
    return request.method == b"OPTIONS" and all(request.getHeader(name) is not None for name in asks)


def _listed(names: tuple[str, ...]) -> bytes:
    return ", ".join(names).encode()
