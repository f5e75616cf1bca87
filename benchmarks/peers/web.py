"""Bare servers of one page: what Twisted Web and Klein cost by themselves.

python -m benchmarks.peers.web twisted|klein PORT FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

from klein import Klein
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import Site


class Page(Resource):
    """The page, without Klein."""

    isLeaf = True

    def __init__(self, content: bytes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._content = content

    def render_GET(self, request: IRequest) -> bytes:
        """It."""
        request.setHeader(b"content-type", b"application/json")
        return self._content


def klein_page(content: bytes) -> Resource:
    """The page, with Klein."""
    app = Klein()

    @app.route("/page")
    def page(request: IRequest) -> bytes:
        request.setHeader(b"content-type", b"application/json")
        return content

    resource: Resource = app.resource()
    return resource


def main() -> None:
    """Serve until killed."""
    kind, port, path = sys.argv[1:]
    content = Path(path).read_bytes()
    site = Site(Page(content) if kind == "twisted" else klein_page(content))
    TCP4ServerEndpoint(reactor, int(port), interface="127.0.0.1").listen(site)
    reactor.run()


if __name__ == "__main__":
    main()
