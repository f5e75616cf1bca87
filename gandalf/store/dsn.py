"""Reading and writing libpq connection URIs, of unix sockets (`postgresql://u:p@/db?host=%2Fpath`) too."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2.extensions import parse_dsn

from .errors import InvalidName

HIDDEN = "***"


def parse(dsn: str) -> dict[str, str]:
    """The parameters of a libpq URI (or `key=value` string): user, password, host, port, dbname, ...

    Raises `InvalidName`, without quoting the text: it may hold a password.
    """
    try:
        return {key: str(value) for key, value in parse_dsn(dsn).items()}
    except psycopg2.Error:
        raise InvalidName(
            "the database address is not a libpq URI such as postgresql://user:password@host:5432/database"
        ) from None


def build(parameters: dict[str, Any]) -> str:
    """The libpq URI with these parameters; the opposite of `parse`."""
    rest = {key: str(value) for key, value in parameters.items() if value not in (None, "")}
    user, password = rest.pop("user", ""), rest.pop("password", "")
    host, port, database = rest.get("host", ""), rest.get("port", ""), rest.pop("dbname", "")
    login = quote(user, safe="")
    if password:
        login += ":" + quote(password, safe="*")
    place = ""
    if "/" not in host and "," not in host and host:  # sockets and lists of hosts go in the query
        place = f"[{host}]" if ":" in host else quote(host, safe="")
        del rest["host"]
        if port:
            place += f":{port}"
            del rest["port"]
    query = urlencode(rest, quote_via=quote, safe="")
    return f"postgresql://{login + '@' if login else ''}{place}/{quote(database, safe='')}" + (
        f"?{query}" if query else ""
    )


def replaced(dsn: str, **parameters: str) -> str:
    """`dsn` as a URI with some parameters set anew (`dbname=`, `user=`, `password=` ...)."""
    return build({**parse(dsn), **parameters})


def masked(dsn: str) -> str:
    """`dsn` without its password, fit for a log; a text that is no DSN is hidden whole."""
    try:
        parameters = parse(dsn)
    except InvalidName:
        return HIDDEN
    for key in ("password", "sslpassword"):
        if key in parameters:
            parameters[key] = HIDDEN
    return build(parameters)
