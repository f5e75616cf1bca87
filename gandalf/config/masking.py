"""Showing the configuration in effect, without its secrets."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, SecretStr

from gandalf.config.errors import MASK, without_passwords
from gandalf.config.types import DatabaseURI

_SECRET_OPTION = re.compile(r"secret|passw|token|key|credential", re.IGNORECASE)


def masked(config: BaseModel) -> dict[str, Any]:
    """
    `config` as tables of plain values, JSON-able, with secrets masked: of the database's URI the password; of
    a connector's options every value whose key sounds like a secret, and the passwords in URIs.
    """
    return {name: _plain(name, getattr(config, name)) for name in type(config).model_fields}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, BaseModel):
        return masked(value)
    if isinstance(value, DatabaseURI):
        return without_passwords(value.get_secret_value())
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, dict):
        return {key: _option(key, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(name, item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)


def _option(key: str, value: Any) -> Any:
    if _SECRET_OPTION.search(key):
        return MASK
    if isinstance(value, list):
        return [_option(key, item) for item in value]
    return without_passwords(value) if isinstance(value, str) else _plain(key, value)
