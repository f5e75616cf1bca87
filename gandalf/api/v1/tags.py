"""Entity tags in the headers of conditional requests (RFC 9110, 13.1)."""

from __future__ import annotations

import re
from collections.abc import Collection

from twisted.web.iweb import IRequest

_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
ANY = "*"


def tags_in(request: IRequest, header: str) -> frozenset[str] | None:
    """The tags that a header names, weak ones as if they were not, or `*`; None without the header."""
    values = request.requestHeaders.getRawHeaders(header.encode())
    if values is None:
        return None
    text = b",".join(values).decode("latin-1")
    return frozenset({ANY} if text.strip() == ANY else _TAG.findall(text))


def matches(tag: str, tags: Collection[str] | None) -> bool:
    """Whether a header that names `tags` means something whose tag is `tag`."""
    return tags is not None and (ANY in tags or tag in tags)
