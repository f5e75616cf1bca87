"""Answers with bytes that somebody stored: of a type that no browser runs, in parts, and only when they are news."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Final

from twisted.web import http
from twisted.web.iweb import IRequest
from werkzeug.http import is_resource_modified, parse_range_header, quote_etag

TEXT: Final = "text/plain; charset=utf-8"
BYTES: Final = "application/octet-stream"

# Each type by the bytes that a file of it begins with; where there is a second pair, it says what is found where.
_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", 0, b"", "image/png"),
    (b"\xff\xd8\xff", 0, b"", "image/jpeg"),
    (b"GIF87a", 0, b"", "image/gif"),
    (b"GIF89a", 0, b"", "image/gif"),
    (b"RIFF", 8, b"WEBPVP", "image/webp"),
    (b"\x00\x00\x00", 4, b"ftypavif", "image/avif"),
    (b"\x00\x00\x01\x00", 0, b"", "image/x-icon"),
    (b"BM", 6, b"\x00\x00\x00\x00", "image/bmp"),
    (b"%PDF-", 0, b"", "application/pdf"),
)

# What no text has, but ESC, which coloured logs have.
_NO_TEXT: Final = frozenset([*range(0x20), 0x7F]) - frozenset(b"\t\n\r\f\x1b")

# Werkzeug would answer 304 to an If-Match that does not hold.
_CONDITIONS: Final = ("If-None-Match", "If-Modified-Since", "If-Range", "Range")


def sniffed(content: bytes) -> str:
    """The content type: an image, PDF, plain text in UTF-8, or unknown bytes.

    HTML, SVG and scripts are plain text here: a browser shows their source and runs nothing.
    """
    for start, offset, more, kind in _SIGNATURES:
        if content.startswith(start) and content.startswith(more, offset):
            return kind
    try:
        content.decode()
    except UnicodeDecodeError:
        return BYTES
    return BYTES if _NO_TEXT.intersection(content) else TEXT


def answer(request: IRequest, content: bytes, modified: datetime) -> bytes:
    """The body with which to answer a GET or HEAD of `content`; status and headers of `request` are set.

    200; 206 for a request of one range of bytes; 304 when the client has it already; 416 when the range is beyond
    the end. `modified` is when the bytes were stored, and has a time zone.
    """
    etag = hashlib.sha256(content).hexdigest()[:32]
    modified = modified.astimezone(UTC).replace(microsecond=0)  # headers have whole seconds
    environ = _environ(request)
    request.setHeader(b"etag", quote_etag(etag).encode())
    request.setHeader(b"last-modified", http.datetimeToString(modified.timestamp()))
    request.setHeader(b"cache-control", b"private, no-cache")
    request.setHeader(b"accept-ranges", b"bytes")
    if not is_resource_modified(environ, etag, None, modified):
        request.setResponseCode(http.NOT_MODIFIED)
        return b""
    request.setHeader(b"content-type", sniffed(content).encode())
    # Should a browser show it by itself: as a stranger's page, without scripts, forms or requests to anywhere.
    request.setHeader(b"content-security-policy", b"sandbox; default-src 'none'; style-src 'unsafe-inline'")
    wanted = _range(environ, etag, modified)
    if wanted is None:
        return content
    start, end = wanted
    start = max(start + len(content), 0) if start < 0 else start
    if start >= len(content):
        request.setResponseCode(http.REQUESTED_RANGE_NOT_SATISFIABLE)
        request.setHeader(b"content-range", b"bytes */%d" % len(content))
        return b""
    part = content[start:end]
    request.setResponseCode(http.PARTIAL_CONTENT)
    request.setHeader(b"content-range", b"bytes %d-%d/%d" % (start, start + len(part) - 1, len(content)))
    return part


def _environ(request: IRequest) -> dict[str, str]:
    """The conditions of a request, as werkzeug reads them."""
    environ = {"REQUEST_METHOD": request.method.decode("latin-1")}
    for name in _CONDITIONS:
        value = request.getHeader(name.encode())
        if value is not None:
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value.decode("latin-1")
    return environ


def _range(environ: dict[str, str], etag: str, modified: datetime) -> tuple[int, int | None] | None:
    """Start and end of the one range that is asked for; None when all of it is to be sent.

    Which is so when the range cannot be understood, when there are several, or when the client has another version.
    A start below 0 counts from the end.
    """
    if environ["REQUEST_METHOD"] != "GET":
        return None
    if "HTTP_IF_RANGE" in environ and is_resource_modified(environ, etag, None, modified, ignore_if_range=False):
        return None
    wanted = parse_range_header(environ.get("HTTP_RANGE"))
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        return None
    start, end = wanted.ranges[0]
    return start, end
