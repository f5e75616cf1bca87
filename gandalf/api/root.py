"""The tree of paths: which face, or which part of the open pages, a request is for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from klein import Klein
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource

from gandalf.api.cors import allow_origin
from gandalf.api.edge import Face
from gandalf.api.errors import Trouble
from gandalf.api.upstream.face import UpstreamFace
from gandalf.api.v1.face import V1Face

UPSTREAM: Final = ("ditrit", "Gandalf", "1.0.0")
"""Where the Go system's API begins."""

V1: Final = ("api", "v1")
"""Where today's begins."""

RENAMED: Final[Mapping[bytes, bytes]] = {b"users": b"user"}
"""Collections of the Go system's API that its clients call otherwise, too."""


class Root(Resource):
    """Sends a request to the app of its face; the others to the open pages.

    In the Go system's API the name of a collection counts without regard to case. Slashes at the end and doubled
    ones do not matter.
    """

    isLeaf = True

    def __init__(self, upstream: Klein, v1: Klein, pages: Klein) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._upstream = upstream.resource()
        self._v1 = v1.resource()
        self._pages = pages.resource()

    def render(self, request: IRequest) -> object:
        """Hand it on, with the path as the app's rules have it."""
        segments: list[bytes] = [segment for segment in request.postpath if segment]
        for base, app in ((UPSTREAM, self._upstream), (V1, self._v1)):
            if segments[: len(base)] == [name.encode() for name in base]:
                rest = segments[len(base) :]
                if app is self._upstream and rest:
                    collection = rest[0].lower()
                    rest[0] = RENAMED.get(collection, collection)
                return _render(app, request, segments[: len(base)], rest)
        return _render(self._pages, request, [], segments)


def refusal(request: IRequest, status: int, message: str) -> bytes:
    """The body of an error that arises before any app is asked (`gandalf.api.site`), as the path's face tells it."""
    allow_origin(request)
    path = request.path or b""
    face: Face = V1Face() if path.startswith(b"/api/v1") else UpstreamFace()
    _, content_type, body = face.error(Trouble(status, message, message))
    request.setHeader(b"content-type", content_type.encode())
    return json.dumps(body).encode() + b"\n"


def _render(app: IResource, request: IRequest, base: list[bytes], rest: list[bytes]) -> object:
    request.prepath, request.postpath = base, rest or [b""]
    return app.render(request)
