"""Answers with stored bytes, through real HTTP parsing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from gandalf.api.downloads import answer, sniffed

from .wire import Answer, Exchange

CONTENT = bytes(range(100))
MODIFIED = datetime(2026, 2, 3, 4, 5, 6, 700_000, tzinfo=timezone(timedelta(hours=1)))
BEFORE = "Mon, 02 Feb 2026 00:00:00 GMT"
WHEN = "Tue, 03 Feb 2026 03:05:06 GMT"


class Stored(Resource):
    """One file."""

    isLeaf = True

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content

    def render_GET(self, request: IRequest) -> bytes:
        return answer(request, self.content, MODIFIED)


class DownloadTests(SynchronousTestCase):
    """Of a hundred bytes."""

    def ask(self, method: str = "GET", content: bytes = CONTENT, **headers: str) -> Answer:
        """A request for them."""
        return Exchange(Stored(content)).ask(method, "/", None, **headers)

    def asked(self, headers: dict[str, str], method: str = "GET") -> Answer:
        """The same, with the headers of a table."""
        return self.ask(method, CONTENT, **headers)

    def etag(self) -> str:
        """The name of this version."""
        return self.ask().headers["etag"]

    def test_whole(self) -> None:
        """The bytes, with what makes later requests cheap, and what keeps browsers from running them."""
        got = self.ask()
        self.assertEqual((got.status, got.body), (200, CONTENT))
        self.assertEqual(got.headers["content-type"], "application/octet-stream")
        self.assertEqual(got.headers["last-modified"], WHEN)
        self.assertRegex(got.headers["etag"], r'^"[0-9a-f]{32}"$')
        self.assertEqual(got.headers["accept-ranges"], "bytes")
        self.assertEqual(got.headers["cache-control"], "private, no-cache")
        self.assertIn("sandbox", got.headers["content-security-policy"])
        self.assertIn("default-src 'none'", got.headers["content-security-policy"])
        self.assertEqual(got.headers["x-content-type-options"], "nosniff")

    def test_head(self) -> None:
        """The headers alone, of all of it, whatever range is asked for."""
        got = self.ask("HEAD", Range="bytes=0-9")
        self.assertEqual((got.status, got.body, got.headers["content-length"]), (200, b"", "100"))
        self.assertEqual(got.headers["etag"], self.etag())

    def test_etags(self) -> None:
        """Other bytes have another name."""
        self.assertNotEqual(self.etag(), self.ask(content=b"other").headers["etag"])

    def test_not_modified(self) -> None:
        """Who has this version is told so, and gets no bytes."""
        etag, later = self.etag(), "Wed, 04 Feb 2026 00:00:00 GMT"
        for headers in (
            {"If_None_Match": etag},
            {"If_None_Match": f'"other", W/{etag}'},
            {"If_None_Match": "*"},
            {"If_Modified_Since": WHEN},
            {"If_Modified_Since": later},
            {"If_None_Match": etag, "If_Modified_Since": BEFORE},
            {"If_None_Match": etag, "Range": "bytes=0-9"},
        ):
            for method in ("GET", "HEAD"):
                got = self.asked(headers, method)
                self.assertEqual((got.status, got.body), (304, b""), headers)
                self.assertEqual((got.headers["etag"], got.headers["last-modified"]), (etag, WHEN))
                self.assertIsNone(got.headers["content-type"])

    def test_modified(self) -> None:
        """Who has another version gets this one; conditions that cannot be understood are none."""
        for headers in (
            {"If_None_Match": '"other"'},
            {"If_Modified_Since": BEFORE},
            {"If_None_Match": '"other"', "If_Modified_Since": WHEN},
            {"If_Modified_Since": "yesterday"},
            {"If_None_Match": "\xff"},
            {"If_Match": '"other"'},
        ):
            got = self.asked(headers)
            self.assertEqual((got.status, got.body), (200, CONTENT), headers)

    def test_ranges(self) -> None:
        """One range of bytes is answered as such."""
        for wanted, start, end in (
            ("bytes=0-0", 0, 1),
            ("bytes=10-19", 10, 20),
            ("bytes=90-", 90, 100),
            ("bytes=90-1000", 90, 100),
            ("bytes=-1", 99, 100),
            ("bytes=-100", 0, 100),
            ("bytes=-1000", 0, 100),
            ("Bytes=5-5", 5, 6),
        ):
            got = self.ask(Range=wanted)
            self.assertEqual((got.status, got.body), (206, CONTENT[start:end]), wanted)
            self.assertEqual(got.headers["content-range"], f"bytes {start}-{end - 1}/100")
            self.assertEqual(got.headers["content-type"], "application/octet-stream")
            self.assertEqual(got.headers["etag"], self.etag())

    def test_ranges_beyond_the_end(self) -> None:
        """They are told how long it is."""
        for wanted, content in (
            ("bytes=100-", CONTENT),
            ("bytes=100-200", CONTENT),
            ("bytes=0-0", b""),
            ("bytes=-1", b""),
        ):
            got = self.ask(Range=wanted, content=content)
            self.assertEqual((got.status, got.body), (416, b""))
            self.assertEqual(got.headers["content-range"], f"bytes */{len(content)}")

    def test_ranges_that_are_not_understood(self) -> None:
        """All of it is sent: for several ranges, other units, nonsense."""
        for wanted in ("bytes=0-1,5-6", "lines=0-1", "bytes", "bytes=", "bytes=-0", "bytes=5-4", "bytes=a-b", "\xff"):
            got = self.ask(Range=wanted)
            self.assertEqual((got.status, got.body), (200, CONTENT), wanted)

    def test_range_of_the_same_version(self) -> None:
        """If-Range: a part for who has the rest of this version, all of it for who has another."""
        for condition, status in (
            (self.etag(), 206),
            (WHEN, 206),
            ('"other"', 200),
            (BEFORE, 200),
        ):
            got = self.ask(Range="bytes=0-9", If_Range=condition)
            self.assertEqual(got.status, status, condition)
        self.assertEqual(self.ask(If_Range='"other"').status, 200)

    def test_empty(self) -> None:
        """No bytes are a file as well."""
        got = self.ask(content=b"")
        self.assertEqual((got.status, got.body, got.headers["content-length"]), (200, b"", "0"))

    @given(st.binary(max_size=50), st.integers(0, 60), st.integers(0, 60))
    def test_any_range(self, content: bytes, first: int, last: int) -> None:
        """What is sent is what slicing gives, and says so."""
        got = self.ask(content=content, Range=f"bytes={first}-{last}")
        if last < first:
            self.assertEqual((got.status, got.body), (200, content))
        elif first >= len(content):
            self.assertEqual(got.status, 416)
        else:
            self.assertEqual((got.status, got.body), (206, content[first : last + 1]))
            told = f"bytes {first}-{min(last, len(content) - 1)}/{len(content)}"
            self.assertEqual(got.headers["content-range"], told)


class SniffedTests(SynchronousTestCase):
    """What bytes are taken for."""

    def test_images(self) -> None:
        """By how they begin."""
        for content, kind in (
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
            (b"GIF89a\1\0", "image/gif"),
            (b"GIF87a\1\0", "image/gif"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
            (b"\0\0\0\x20ftypavif\0\0", "image/avif"),
            (b"\0\0\1\0\1\0\x10\x10", "image/x-icon"),
            (b"BM\x46\0\0\0\0\0\0\0\x36\0", "image/bmp"),
            (b"%PDF-1.7\n%\xe2\xe3", "application/pdf"),
        ):
            self.assertEqual(sniffed(content), kind)

    def test_text(self) -> None:
        """UTF-8 without control characters."""
        for content in (
            b"",
            b"plain\r\n\ttext\f",
            "é😀".encode(),
            b"\xef\xbb\xbfmarked",
            b"\x1b[31mred\x1b[0m",
            b"BMW",
            b"RIFF",
        ):
            self.assertEqual(sniffed(content), "text/plain; charset=utf-8")

    def test_what_browsers_would_run(self) -> None:
        """It is text."""
        for content in (
            b"<!DOCTYPE html><script>alert(1)</script>",
            b"  <html>",
            b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
            b"#!/bin/sh\n",
            b"alert(1)",
            b"GIF<script>",
        ):
            self.assertEqual(sniffed(content), "text/plain; charset=utf-8")

    def test_everything_else(self) -> None:
        """Bytes of which nothing is said."""
        for content in (b"\xff\xfe<\0s\0", b"text\0", b"PK\3\4", b"\x7fELF", b"caf\xe9", b"RIFF\x24\0\0\0WAVE"):
            self.assertEqual(sniffed(content), "application/octet-stream")

    @given(st.binary())
    def test_nothing_that_runs(self, content: bytes) -> None:
        """Whatever it is."""
        kind = sniffed(content)
        self.assertTrue(kind.startswith(("image/", "text/plain", "application/octet-stream", "application/pdf")))
        self.assertNotIn("svg", kind)
