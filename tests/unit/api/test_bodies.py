"""Bodies of requests, taken apart."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.test.requesthelper import DummyRequest

from gandalf.api.bodies import (
    MAX_DEPTH,
    MAX_FIELD,
    MAX_PARTS,
    BadBody,
    BodyTooLong,
    NoFile,
    UploadedFile,
    checked_text,
    is_multipart,
    json_body,
    multipart_file,
)

LIMIT = 10_000
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


def request_of(body: bytes, content_type: str | None = None) -> IRequest:
    """A request with this body, which somebody has read already."""
    request: Any = DummyRequest([])
    request.content = BytesIO(body)
    request.content.read()
    if content_type is not None:
        request.requestHeaders.setRawHeaders(b"content-type", [content_type.encode("latin-1")])
    return cast(IRequest, request)


class JsonTests(SynchronousTestCase):
    """JSON, strictly and as the Go system takes it."""

    def read(self, body: bytes | str, lenient: bool = False) -> Any:
        """The value."""
        return json_body(request_of(body if isinstance(body, bytes) else body.encode()), LIMIT, lenient=lenient)

    def assertBad(self, body: bytes | str, told: str = "not JSON", lenient: bool | None = None) -> None:
        """It is refused, with this reason; None: in both ways of reading."""
        for way in (False, True) if lenient is None else (lenient,):
            self.assertIn(told, str(self.assertRaises(BadBody, self.read, body, way)))

    def test_values(self) -> None:
        """Any value, whatever is around it."""
        values: dict[str, object] = {"{}": {}, " [1]\r\n": [1], "\t\n1": 1, '"é"': "é", "null": None, "-0.5e1": -5.0}
        for body, value in values.items():
            self.assertEqual(self.read(body), value)
            self.assertEqual(self.read(body, lenient=True), value)

    def test_content_type_does_not_matter(self) -> None:
        """Nor the charset that it names: JSON is UTF-8."""
        request = request_of('"é"'.encode(), "application/x-www-form-urlencoded; charset=latin-1")
        self.assertEqual(json_body(request, LIMIT), "é")

    def test_what_follows(self) -> None:
        """Strictly it is an error; as the Go system reads it is ignored, whatever it is."""
        for rest in (b"{}", b" x", b"]", b"\xff", b"\n\x00", b'"\\ud800"'):
            self.assertEqual(self.read(b'{"a": 1}' + rest, lenient=True), {"a": 1})
            self.assertRaises(BadBody, self.read, b'{"a": 1}' + rest)
        self.assertBad('{"a": 1} x', "something follows its value at character 8", lenient=False)

    def test_nothing(self) -> None:
        """An empty body is no value."""
        for body in ("", " \r\n\t", b"\xef\xbb\xbf"):
            self.assertBad(body, "empty")

    def test_no_json(self) -> None:
        """It is said where it goes wrong, and not with what."""
        for body in ("{", "{'a': 1}", '{"a" 1}', "[1,]", "tru", "a=b", '"\n"', '"\\x"', "\u00a01", "01x", "+1", "\0"):
            self.assertBad(body, lenient=False)
        self.assertBad('{"password": secret}', "at character 13")
        error = self.assertRaises(BadBody, self.read, '{"password": secret}')
        self.assertNotIn("secret", str(error))

    def test_encoding(self) -> None:
        """UTF-8, with a byte order mark or without."""
        self.assertEqual(self.read(b"\xef\xbb\xbf[1]"), [1])
        self.assertBad('["é"]'.encode("latin-1"), "not UTF-8 at byte 2", lenient=False)
        self.assertBad('["é"]'.encode("latin-1"), lenient=True)
        self.assertBad("[1]".encode("utf-16"), lenient=None, told="")
        self.assertBad(b'["\xed\xa0\x80"]', "not UTF-8", lenient=False)

    def test_texts_that_no_database_holds(self) -> None:
        """NUL and half a surrogate pair, in values and keys, however deep; a whole pair is a character."""
        for text in ('"\\u0000"', '["a", {"b": "c\\u0000"}]', '{"a\\u0000": 1}'):
            self.assertBad(text, "NUL")
        for text in ('"\\ud800"', '[["\\udc00"]]', '{"\\udbff": 1}', '"\\udc00\\ud800"'):
            self.assertBad(text, "surrogate")
        self.assertEqual(self.read('"\\ud83d\\ude00"'), "😀")

    def test_depth(self) -> None:
        """A hundred in one another, and no more, however many."""

        def nested(depth: int) -> str:
            pairs, odd = divmod(depth, 2)
            return '[{"a":' * pairs + "[" * odd + "1" + "]" * odd + "}]" * pairs

        for depth in (1, 2, MAX_DEPTH - 1, MAX_DEPTH):
            self.assertEqual(json.loads(nested(depth)), self.read(nested(depth)))
        for depth in (MAX_DEPTH + 1, MAX_DEPTH + 2, 500, 1200):
            self.assertBad(nested(depth), "at most 100")
        self.assertEqual(self.read("[" * MAX_DEPTH + "]" * MAX_DEPTH)[0][0][0], json.loads("[" * 97 + "]" * 97))
        self.assertBad("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "at most 100")
        self.assertBad("[" * 9_000, "at most 100")
        self.assertBad('{"a":' * 1_900, "at most 100")

    def test_numbers(self) -> None:
        """What is no number in JSON, or is infinite, is refused; whole numbers may be large."""
        for body in ("NaN", "[Infinity]", '{"a": -Infinity}'):
            self.assertBad(body)
        for body in ("1e999", "[-1e999]"):
            self.assertBad(body, "too large")
        self.assertEqual(self.read(str(2**64)), 2**64)
        self.assertEqual(self.read("9" * 4000), int("9" * 4000))
        self.assertBad("9" * 5000, "too many digits")

    def test_keys_twice(self) -> None:
        """The last counts."""
        self.assertEqual(self.read('{"a": 1, "b": 2, "a": 3}'), {"a": 3, "b": 2})

    def test_length(self) -> None:
        """As many bytes as are allowed, and not one more, whatever they are."""
        self.assertEqual(self.read(b"1" + b" " * (LIMIT - 1)), 1)
        for body in (b"1" + b" " * LIMIT, b"\xff" * (LIMIT + 1)):
            error = self.assertRaises(BodyTooLong, self.read, body, True)
            self.assertIn("10000 bytes", str(error))

    @given(VALUES, TEXTS)
    def test_round_trip(self, value: object, rest: str) -> None:
        """What any program writes is read, and as the Go system does, whatever follows."""
        for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
            body = text.encode()
            self.assertEqual(json_body(request_of(body), 10**6), value)
            self.assertEqual(json_body(request_of(body + b"\n" + rest.encode()), 10**6, lenient=True), value)

    @given(st.binary(), st.booleans())
    def test_any_bytes(self, body: bytes, lenient: bool) -> None:
        """Anything is a value or a bad body, and never a defect."""
        try:
            self.read(body, lenient)
        except BadBody as error:
            self.assertTrue(str(error))

    def test_checked_text(self) -> None:
        """Texts from elsewhere are judged alike, by their name."""
        self.assertEqual(checked_text("é\n", "the topic"), "é\n")
        for text in ("\0", "\ud800"):
            self.assertIn("the topic must not", str(self.assertRaises(BadBody, checked_text, text, "the topic")))


BOUNDARY = "----b0undary"
KIND = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, content: bytes, filename: str | None = None, kind: str = "") -> bytes:
    """A part of a form."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'
    head += f'; filename="{filename}"' if filename is not None else ""
    head += f"\r\nContent-Type: {kind}" if kind else ""
    return head.encode() + b"\r\n\r\n" + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
PIECES = (part("file", b"x", "a"), part("id", b"7"), END, b"\r\n", b"--", b"\xff", BOUNDARY.encode())


class FormTests(SynchronousTestCase):
    """Files in forms."""

    def read(self, body: bytes, *names: str, kind: str = KIND) -> UploadedFile:
        """The file."""
        return multipart_file(request_of(body, kind), *(names or ("file",)))

    def assertBad(self, body: bytes, told: str, kind: str = KIND) -> None:
        """It cannot be taken apart."""
        error = self.assertRaises(BadBody, self.read, body, kind=kind)
        self.assertIn(told, str(error))
        self.assertNotIsInstance(error, NoFile)

    def test_file(self) -> None:
        """All bytes, the name of its part, and what the client says of it."""
        content = bytes(range(256)) + b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\n"
        body = part("id", b"7") + part("file", content, "a b.png", "image/png") + END
        self.assertEqual(self.read(body), UploadedFile("file", "a b.png", "image/png", content))
        self.assertNotIn("\\x01", repr(self.read(body)))

    def test_empty_file(self) -> None:
        """A file without bytes is one."""
        self.assertEqual(self.read(part("file", b"", "a") + END).content, b"")

    def test_which_part(self) -> None:
        """The first name that is there; of two with one name the first; else the only one."""
        body = part("other", b"1", "a") + part("file", b"2", "b") + part("myFile", b"3", "c") + END
        self.assertEqual(self.read(body, "myFile", "file").content, b"3")
        self.assertEqual(self.read(body, "fileName", "file").content, b"2")
        self.assertEqual(self.read(part("file", b"1", "a") + part("file", b"2", "b") + END).content, b"1")
        self.assertEqual(self.read(part("id", b"7") + part("odd", b"1", "a") + END).content, b"1")

    def test_no_file(self) -> None:
        """There is none; or several, none of which has the name."""
        several = part("a", b"1", "a") + part("b", b"2", "b") + END
        same = part("a", b"1", "a") + part("a", b"2", "b") + END
        none_chosen = part("file", b"", "", "application/octet-stream") + END
        for body in (END, part("file", b"text, no file") + END, several, same, none_chosen):
            error = self.assertRaises(NoFile, self.read, body)
            self.assertIn("one file, in the part file", str(error))

    def test_no_form(self) -> None:
        """Another type is told what is wanted."""
        for kind in ("application/json", "", "multipart/mixed; boundary=x", "\xff"):
            self.assertFalse(is_multipart(request_of(b"", kind)))
            self.assertBad(END, "multipart/form-data", kind)
        self.assertFalse(is_multipart(request_of(b"")))
        for kind in (KIND, "Multipart/Form-Data", "multipart/form-data ; boundary=x"):
            self.assertTrue(is_multipart(request_of(b"", kind)))

    def test_type_in_capitals(self) -> None:
        """Types have no case."""
        self.assertEqual(
            self.read(part("file", b"1", "a") + END, kind=f"Multipart/FORM-data; BOUNDARY={BOUNDARY}").part, "file"
        )

    def test_boundary(self) -> None:
        """It has to be there, be ASCII, and be the one of the body."""
        body = part("file", b"1", "a") + END
        for kind in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\xe9"):
            self.assertBad(body, "boundary", kind)
        self.assertBad(body, "boundary", "multipart/form-data; boundary=other")

    def test_cut_off(self) -> None:
        """A form that ends too early is none, wherever."""
        body = part("id", b"7") + part("file", b"content", "a") + END
        for length in range(len(body) - len("\r\n--\r\n")):
            self.assertRaises(BadBody, self.read, body[:length])

    def test_headers(self) -> None:
        """A part has to say what it is; what is not UTF-8 is no header."""
        start = f"--{BOUNDARY}\r\n".encode()
        self.assertBad(start + b"Content-Type: text/plain\r\n\r\n1\r\n" + END, "taken apart")
        self.assertBad(start + b'Content-Disposition: form-data; name="\xff"\r\n\r\n1\r\n' + END, "taken apart")
        nameless = start + b'Content-Disposition: form-data; filename="a"\r\n\r\n1\r\n' + END
        self.assertEqual(self.read(nameless), UploadedFile("", "a", "", b"1"))

    def test_bounds(self) -> None:
        """Files may be long; fields and the number of parts may not."""
        long = b"\r\n" * 2_000_000
        self.assertEqual(self.read(part("file", long, "a") + END).content, long)
        self.assertBad(part("id", b"x" * (MAX_FIELD + 1)) + END, "too large")
        self.assertBad(part("id", b"x") * (MAX_PARTS + 1) + END, "too large")
        self.assertEqual(self.read(part("id", b"x") * (MAX_PARTS - 1) + part("file", b"1", "a") + END).content, b"1")

    @given(st.binary(max_size=300), st.text(st.characters(codec="utf-8", exclude_characters='\0\r\n"\\'), min_size=1))
    def test_any_content(self, content: bytes, filename: str) -> None:
        """Whatever a file holds comes out as it went in."""
        if f"--{BOUNDARY}".encode() not in content:
            self.assertEqual(self.read(part("file", content, filename) + END).content, content)

    @given(
        st.lists(st.sampled_from([part("file", b"x", "a"), END, b"\r\n", b"--", b"\xff", BOUNDARY.encode()])),
        st.data(),
    )
    def test_any_form(self, pieces: list[bytes], data: st.DataObject) -> None:
        """Anything is a file or a bad body, and never a defect."""
        body = b"".join(pieces)
        place = data.draw(st.integers(0, len(body)))
        try:
            self.read(body[:place] + data.draw(st.binary(max_size=3)) + body[place:])
        except BadBody as error:
            self.assertTrue(str(error))
