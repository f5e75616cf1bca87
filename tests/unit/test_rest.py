"""Asking the REST interface from a program that does one thing."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gandalf.rest import RestClient, RestError, log_in_of


class RestClientTests(SynchronousTestCase):
    """`RestClient`"""

    def setUp(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.answer: bytes | Exception = b'{"token": "t"}'
        self.patch(urllib.request, "urlopen", self.urlopen)
        self.client = RestClient("127.0.0.1:1", "a", "b")

    def urlopen(self, request: urllib.request.Request, timeout: float) -> io.BytesIO:
        """Stands in for urllib's."""
        self.asked.append((request.selector, request.get_header("Authorization")))
        if isinstance(self.answer, Exception):
            raise self.answer
        return io.BytesIO(self.answer)

    def test_it_logs_in_once(self) -> None:
        """With the first request that is not open."""
        self.client.get("/readyz", open=True)
        self.client.get("/x")
        self.client.get("/y")
        expected = [("/readyz", None), ("/api/v1/login", None), ("/x", "Bearer t"), ("/y", "Bearer t")]
        self.assertEqual(self.asked, expected)

    def test_what_goes_wrong(self) -> None:
        """Each is told with the address; an error of HTTP with its status and its text."""
        content = io.BytesIO(json.dumps({"detail": "no such thing"}).encode())
        refused = urllib.error.HTTPError("", 404, "", Message(), content)
        nothing = urllib.error.HTTPError("", 500, "", Message(), io.BytesIO(b"<html>"))
        for answer, status, text in (
            (refused, 404, "no such thing"),
            (nothing, 500, "HTTP status 500"),
            (urllib.error.URLError(ConnectionRefusedError(111, "Connection refused")), 0, "Connection refused"),
            (TimeoutError("timed out"), 0, "timed out"),
            (b"<html>", 0, "not JSON"),
        ):
            self.answer = answer
            error = self.assertRaises(RestError, self.client.get, "/x", open=True)
            self.assertEqual(error.status, status)
            self.assertEqual(str(error), f"http://127.0.0.1:1/x: {text}" if answer != b"<html>" else str(error))
            self.assertIn(text, str(error))


class LogInTests(SynchronousTestCase):
    """`log_in_of`"""

    def test_the_first(self) -> None:
        """Of those in the file."""
        path = Path(self.mktemp())
        path.write_text(json.dumps({"login": ["a", "b"], "password": ["c", "d"]}))
        self.assertEqual(log_in_of(path), ("a", "c"))

    def test_files_of_another_form(self) -> None:
        """Are told."""
        path = Path(self.mktemp())
        for content in ("{}", "[]", "1", '{"login": [], "password": []}', '{"login": [1], "password": [2]}', "{"):
            path.write_text(content)
            self.assertRaises(ValueError, log_in_of, path)
