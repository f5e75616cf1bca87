"""Bodies of requests, taken apart: JSON, and files in forms."""

from __future__ import annotations

import json
import math
from io import BytesIO
from typing import IO, Any, Final, NoReturn

import attrs
from twisted.web.iweb import IRequest
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

MAX_DEPTH: Final = 100
"""How deep arrays and objects may be nested."""

MAX_FIELD: Final = 512 * 1024
"""Bytes of a field of a form that is no file; has to be more than the form is read at a time."""

MAX_PARTS: Final = 100
"""Parts of a form."""

FORM: Final = "multipart/form-data"


class BadBody(Exception):
    """A body that cannot be understood; the text says what is wrong and what is allowed."""


class NoFile(BadBody):
    """A form without the file that is asked for."""


class BodyTooLong(Exception):
    """A body that is longer than is allowed here; the text says what is."""


@attrs.frozen
class UploadedFile:
    """A file from a form: the name of its part, and what the client calls it and takes it for."""

    part: str
    filename: str
    content_type: str
    content: bytes = attrs.field(repr=False)


def json_body(request: IRequest, limit: int, *, lenient: bool = False) -> Any:
    """The JSON value that the body is, whatever its Content-Type.

    Of a key that is there twice the last counts; a byte order mark is skipped.

    :param limit: bytes of the body.
    :param lenient: the first JSON value counts, and what follows it is ignored (as in the Go system).
    :raises BodyTooLong: it has more bytes than `limit`.
    :raises BadBody: there is none, it is no JSON in UTF-8, is nested too deep, has NaN or an infinite number, or a
        text in it has NUL or half a surrogate pair.
    """
    body = _read(request, limit).removeprefix(b"\xef\xbb\xbf")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        if not lenient:
            raise BadBody(f"the body is not UTF-8 at byte {error.start}") from None
        text = body[: error.start].decode()  # in what is ignored it does not matter
    text = text.lstrip(" \t\r\n")
    if not text:
        raise BadBody("the body is empty: it has to be JSON")
    value, end = _decoded(text)
    if not lenient and text[end:].strip(" \t\r\n"):
        raise BadBody(f"the body is not JSON: something follows its value at character {end}")
    _check(value)
    return value


def checked_text(text: str, what: str) -> str:
    """`text`, if a database can hold it; `what` names it to the client.

    :raises BadBody: it has the character NUL, or half a surrogate pair.
    """
    if "\0" in text:
        raise BadBody(f"{what} must not have the character NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadBody(f"{what} must not have half a surrogate pair") from None
    return text


def is_multipart(request: IRequest) -> bool:
    """Whether the body is said to be a form that can have files."""
    return _content_type(request)[0] == FORM


def multipart_file(request: IRequest, *names: str) -> UploadedFile:
    """The file of a form: of the part with the first of `names` that there is, or else the only one there is.

    :raises NoFile: there is no file, or there are several and none has one of the names.
    :raises BadBody: the body is no form, or cannot be taken apart.
    """
    kind, options = _content_type(request)
    if kind != FORM:
        raise BadBody(f"the body has to be {FORM}, with the file in the part {names[0]}")
    content = _content(request)
    parser = FormDataParser(
        _in_memory,
        max_form_memory_size=MAX_FIELD,
        max_form_parts=MAX_PARTS,
        silent=False,
    )
    try:
        files: MultiDict[str, FileStorage] = parser.parse(content, kind, None, options)[2]
    except RequestEntityTooLarge:
        raise BadBody(
            f"the form is too large: at most {MAX_PARTS} parts, and {MAX_FIELD} bytes in one that is no file"
        ) from None
    except ValueError:
        raise BadBody(f"the body cannot be taken apart as {FORM} with the boundary in Content-Type") from None
    sent = [file for _, file in files.items(multi=True) if file.filename]
    by_name = {file.name: file for file in reversed(sent)}  # of several with one name, the first
    file = next((by_name[name] for name in names if name in by_name), sent[0] if len(sent) == 1 else None)
    if file is None:
        raise NoFile(f"the form has to have one file, in the part {names[0]}")
    return UploadedFile(file.name or "", file.filename or "", file.mimetype, file.stream.read())


def _in_memory(
    total_content_length: int | None,
    content_type: str | None,
    filename: str | None,
    content_length: int | None = None,
) -> IO[bytes]:
    return BytesIO()


def _content(request: IRequest) -> IO[bytes]:
    content: IO[bytes] = request.content
    content.seek(0)
    return content


def _read(request: IRequest, limit: int) -> bytes:
    body = _content(request).read(limit + 1)
    if len(body) > limit:
        raise BodyTooLong(f"the body is too long: at most {limit} bytes are taken here")
    return body


def _content_type(request: IRequest) -> tuple[str, dict[str, str]]:
    kind, options = parse_options_header((request.getHeader(b"content-type") or b"").decode("latin-1"))
    return kind.lower(), options


def _decoded(text: str) -> tuple[Any, int]:
    """The first value, and where it ends."""
    try:
        return _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        raise BadBody(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise _too_deep() from None


def _too_deep() -> BadBody:
    return BadBody(f"the body is nested too deep: at most {MAX_DEPTH} arrays and objects in one another")


def _check(value: Any) -> None:
    """Raise `BadBody` for texts that a database cannot hold, and what is nested too deep."""
    level, depth = [value], 0
    while level:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, str):
                checked_text(item, "a text in the body")
            elif isinstance(item, dict | list):
                if depth == MAX_DEPTH:
                    raise _too_deep()
                inner += item
                if isinstance(item, dict):
                    inner += item.values()
        level, depth = inner, depth + 1


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise BadBody("a number in the body is too large")
    return number


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python refuses to work at thousands of digits
        raise BadBody("a number in the body has too many digits") from None


def _refused(constant: str) -> NoReturn:
    raise BadBody(f"{constant} in the body is not JSON")


_DECODER: Final = json.JSONDecoder(parse_float=_finite, parse_int=_integer, parse_constant=_refused)
