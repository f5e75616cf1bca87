"""The kinds of value a key may hold: how each is read and checked, and what is allowed in words."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import attrs
import psycopg2
from psycopg2.extensions import parse_dsn
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from gandalf.config.address import Address

_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ATTRIBUTE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_SECRET_LENGTH = 1024
_Item = TypeVar("_Item", bound=Hashable)


@attrs.frozen
class Context:
    """
    What the values of one configuration are checked against: the `directory` relative paths start from,
    whether links are protected by `tls`, and the logical names met so far (no two connectors may share one).
    """

    directory: Path
    tls: bool
    names: set[str] = attrs.field(factory=set)


def context_of(info: ValidationInfo) -> Context:
    """The context given to the validation; a configuration is validated by `gandalf.config.checked` only."""
    if not isinstance(info.context, Context):
        raise TypeError("a configuration is validated with gandalf.config.checked()")
    return info.context


def allowed(text: str) -> Any:
    """Metadata of a key: what it may hold, in words, for errors and for the files in conf/."""
    return Field(json_schema_extra={"allowed": text})


def between(low: int, high: int, unit: str) -> Any:
    """A whole number from `low` to `high`, both included."""
    return Field(ge=low, le=high, json_schema_extra={"allowed": f"{low} to {high} {unit}"})


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("not a name")
    return value


def _attribute(value: str) -> str:
    if not _ATTRIBUTE.fullmatch(value):
        raise ValueError("not the place of a Python object")
    return value


def items(value: object) -> object:
    """A list of TOML as the tuple it becomes."""
    return tuple(value) if isinstance(value, list) else value


def at_least_one(value: object) -> object:
    """Likewise of a list that may not be empty. (pydantic's own minimum counts only the items in order.)"""
    if value == []:
        raise ValueError("too few")
    return items(value)


def _no_item_twice(value: tuple[_Item, ...]) -> tuple[_Item, ...]:
    for item in value:
        if value.count(item) > 1:
            raise ValueError(f"{item} is given twice")
    return value


def _none_for_empty(value: object) -> object:
    return None if value == "" else value


def _protected(value: Address, info: ValidationInfo) -> Address:
    if not context_of(info).tls and not value.is_loopback:
        raise ValueError("not a loopback address, and there is no [tls]")
    return value


def _protected_or_none(value: Address | None, info: ValidationInfo) -> Address | None:
    return None if value is None else _protected(value, info)


def _path(value: object, info: ValidationInfo, is_right: Callable[[Path], bool]) -> Path:
    if not isinstance(value, str):
        raise ValueError("not text")
    path = context_of(info).directory / value
    try:
        if not value or not path.exists():
            raise ValueError("no such file")
        if not is_right(path):
            raise ValueError("a file of another kind")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if not os.access(path, os.R_OK):
        raise ValueError("may not be read")
    return path


def _file(value: object, info: ValidationInfo) -> Path:
    return _path(value, info, Path.is_file)


def _file_or_directory(value: object, info: ValidationInfo) -> Path:
    return _path(value, info, lambda path: path.is_file() or path.is_dir())


def _optional_file(value: object, info: ValidationInfo) -> Path | None:
    return None if value == "" else _file(value, info)


def _directory(value: object, info: ValidationInfo) -> Path | None:
    if value == "":
        return None
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("not the name of a directory")
    path = context_of(info).directory / value
    try:
        there = next(each for each in (path, *path.parents) if each.exists())
    except OSError as error:
        raise ValueError(f"cannot be used: {error.strerror}") from None
    if not there.is_dir():
        raise ValueError(f"{there} is no directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{there} may not be written to")
    return path


def _secret_file(value: object, info: ValidationInfo) -> Path | None:
    if value == "":
        return None
    path = _file(value, info)
    _secret_in(path)
    return path


def _secret_in(path: Path) -> str:
    try:
        text = path.read_text("utf-8").strip()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("its content is not UTF-8") from None
    if not 1 <= len(text) <= _SECRET_LENGTH or not text.isprintable():
        raise ValueError(f"its content is not one line of 1 to {_SECRET_LENGTH} characters")
    return text


def secret_or_file(value: SecretStr, info: ValidationInfo, file_key: str) -> str:
    """
    The secret that `value` or the file of `file_key` (a key validated before) gives, exactly one of which
    must be given.

    @raise ValueError: when both or none is given, or the secret is too long.
    """
    text = value.get_secret_value()
    if file_key not in info.data:
        # The file's own error says enough.
        return text
    path: Path | None = info.data[file_key]
    if path is None and not text:
        raise ValueError(f"neither {info.field_name} nor {file_key} is given")
    if path is not None and text:
        raise ValueError(f"both {info.field_name} and {file_key} are given")
    if path is not None:
        return _secret_in(path)
    if len(text) > _SECRET_LENGTH or not text.isprintable():
        raise ValueError("too long, or with characters that cannot be printed")
    return text


class DatabaseURI(SecretStr):
    """A libpq URI, of which only the password is secret."""


def check_database(text: str) -> None:
    """
    @raise ValueError: when `text` is not a libpq URI that names a database; never with its content.
    """
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("not a libpq URI")
    try:
        parts = parse_dsn(text)
    except (psycopg2.Error, ValueError):
        raise ValueError("a libpq URI that libpq cannot read") from None
    if not parts.get("dbname"):
        raise ValueError("a libpq URI without the name of a database")


_ADDRESS = 'host:port, IPv6 as "[::1]:9103"'
_LINK = f"{_ADDRESS}; without [tls] on 127.0.0.0/8, ::1 or localhost only"
_RELATIVE = "relative to the configuration file's directory"

Name = Annotated[str, AfterValidator(_name), allowed('1 to 128 characters: letters, digits, ".", "_" and "-"')]
PlainAddress = Annotated[Address, allowed(_ADDRESS)]
OptionalAddress = Annotated[Address | None, BeforeValidator(_none_for_empty), allowed(f'{_ADDRESS}; or "" for none')]
LinkAddress = Annotated[Address, AfterValidator(_protected), allowed(_LINK)]
OptionalLinkAddress = Annotated[
    Address | None,
    BeforeValidator(_none_for_empty),
    AfterValidator(_protected_or_none),
    allowed(f'{_LINK}; or "" for none'),
]
AdvertisedAddress = Annotated[Address, AfterValidator(_protected), allowed(f'{_LINK}; or "" for the same as listen')]
LinkAddresses = Annotated[
    tuple[Annotated[Address, AfterValidator(_protected)], ...],
    BeforeValidator(at_least_one),
    AfterValidator(_no_item_twice),
    allowed(f"a list of at least one address, none twice: {_LINK}"),
]
File = Annotated[Path, BeforeValidator(_file), allowed(f"the path of a readable file, {_RELATIVE}")]
OptionalFile = Annotated[
    Path | None, BeforeValidator(_optional_file), allowed(f'the path of a readable file, {_RELATIVE}; or ""')
]
Directory = Annotated[
    Path | None,
    BeforeValidator(_directory),
    allowed(f'the path of a directory that can be written to, or be made, {_RELATIVE}; or ""'),
]
Definitions = Annotated[
    tuple[Annotated[Path, BeforeValidator(_file_or_directory)], ...],
    BeforeValidator(items),
    AfterValidator(_no_item_twice),
    allowed(f"a list of paths of readable files or directories, none twice, {_RELATIVE}"),
]
Names = Annotated[
    tuple[Annotated[str, AfterValidator(_name)], ...],
    BeforeValidator(items),
    AfterValidator(_no_item_twice),
    allowed('a list of names, none twice, each 1 to 128 characters: letters, digits, ".", "_" and "-"'),
]
Secret = Annotated[SecretStr, allowed(f"1 to {_SECRET_LENGTH} characters in one line; or the file instead")]
Database = Annotated[
    DatabaseURI, allowed("a libpq URI, postgresql://user:password@host:port/database; or the file instead")
]
SecretFile = Annotated[
    Path | None,
    BeforeValidator(_secret_file),
    allowed(f'the path of a readable file with one line of text, {_RELATIVE}; or ""'),
]
PythonAttribute = Annotated[str, AfterValidator(_attribute), allowed("package.module:attribute")]
Level = Annotated[
    Literal["debug", "info", "warn", "error", "critical"], allowed("debug, info, warn, error or critical")
]
Format = Annotated[Literal["text", "json"], allowed("text or json")]
Timeout = Annotated[int, between(1, 3_600_000, "ms")]
Drain = Annotated[int, between(0, 3_600_000, "ms")]
