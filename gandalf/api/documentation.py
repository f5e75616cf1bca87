"""The description of the API as it is served: `openapi.json`, and a page to read and try it."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Iterable
from typing import Final

from gandalf.api.edge import Face
from gandalf.api.openapi import described
from gandalf.api.operation import Access, Call, Reply, Route, operation, routes_of

POLICY: Final = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""What the page may do (Content-Security-Policy): nothing with other hosts."""

_PAGES: Final = importlib.resources.files("gandalf.api") / "pages"


class Documentation:
    """`/openapi.json`, `/docs` and its parts, of a face of the API.

    :param base: the path under which `routes` are.
    """

    def __init__(self, title: str, base: str, routes: Iterable[Route], face: Face) -> None:
        self.routes = [*routes, *routes_of(self)]
        """Those given, and its own: all that the description describes."""
        self._describe = functools.cache(lambda: described(title, base, self.routes, face))
        self._parts = {part.name: part.read_bytes() for part in _PAGES.iterdir()}

    @operation(
        "GET",
        "/openapi.json",
        Access.OPEN,
        "Describe the API, in OpenAPI 3.1.",
        answers={200: dict},
        tag="documentation",
    )
    async def description(self, call: Call) -> Reply:
        """The document that the page is made from, too; made when it is first asked for: starting takes no longer."""
        return Reply(self._describe())

    @operation(
        "GET",
        "/docs",
        Access.OPEN,
        "A page to read and try the API.",
        answers={200: None},
        tag="documentation",
        media="text/html",
    )
    async def page(self, call: Call) -> Reply:
        """The page; it loads its parts and the description."""
        return self._part("docs.html", "text/html")

    @operation(
        "GET",
        "/docs/docs.js",
        Access.OPEN,
        "What the page does.",
        answers={200: None},
        tag="documentation",
        media="text/javascript",
    )
    async def script(self, call: Call) -> Reply:
        """The page's script."""
        return self._part("docs.js", "text/javascript")

    @operation(
        "GET",
        "/docs/docs.css",
        Access.OPEN,
        "How the page looks.",
        answers={200: None},
        tag="documentation",
        media="text/css",
    )
    async def style(self, call: Call) -> Reply:
        """The page's style."""
        return self._part("docs.css", "text/css")

    def _part(self, name: str, media: str) -> Reply:
        headers = {"Content-Type": f"{media}; charset=utf-8", "Content-Security-Policy": POLICY}
        return Reply(self._parts[name], headers=headers)
