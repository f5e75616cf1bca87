"""Passwords: hashed with argon2id, and checked against that or the bcrypt that the Go system stored.

All of it takes tens of milliseconds on purpose, up to a second with bcrypt: call it in a thread.
"""

from __future__ import annotations

import re

import attrs
import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

MAX_LENGTH = 1024
"""Characters of a password."""

MAX_BCRYPT_COST = 14
"""About a second. A cost is chosen by whoever sends a hash; 31 would take days at every log-in."""

# What OWASP recommends: 19 MiB, so that many log-ins at once fit into memory.
_ARGON2 = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_BCRYPT_BYTES = 72  # bcrypt looks at no more


class PasswordRefused(ValueError):
    """A password or hash that cannot be taken; the text says what is allowed."""


@attrs.frozen
class Verdict:
    """Whether a password was right; `replacement`, if any, is what is to be stored instead of its old hash."""

    ok: bool
    replacement: str | None = attrs.field(default=None, repr=False)


def hashed(password: str) -> str:
    """The argon2id hash of a password.

    :raises PasswordRefused: it is empty, too long, or has NUL or a lone surrogate.
    """
    fault = _fault(password)
    if fault:
        raise PasswordRefused(fault)
    return _ARGON2.hash(password)


def stored(password: str) -> str:
    """What is to be stored of a password, or of the bcrypt hash of one, that a client sent.

    "" when there is none: the text is empty, or the hash is that of the empty text (the Go client sends it when
    nothing shall change). A well-formed bcrypt hash is kept as it is; anything else is taken for a password.

    :raises PasswordRefused: as for :func:`hashed`; or the hash would take too long to check.
    """
    if not password:
        return ""
    match = _BCRYPT.fullmatch(password)
    if match is None:
        return hashed(password)
    if int(match[1]) > MAX_BCRYPT_COST:
        raise PasswordRefused(f"a bcrypt hash of cost {match[1]} takes too long to check: at most {MAX_BCRYPT_COST}")
    return "" if _fits_bcrypt("", password) else password


def verified(password: str, stored: str) -> Verdict:
    """Whether `password` is the one of which `stored` is the argon2id or bcrypt hash.

    An empty password, or an empty hash, is never right. A right one whose hash is bcrypt, or argon2id with other
    parameters than today's, comes with a replacement.
    """
    if _fault(password):
        return Verdict(False)
    if not stored:
        burn(password)
        return Verdict(False)
    if _BCRYPT.fullmatch(stored):
        ok, outdated = _fits_bcrypt(password, stored), True
    else:
        ok = _fits_argon2(password, stored)
        outdated = ok and _ARGON2.check_needs_rehash(stored)
    return Verdict(ok, hashed(password) if ok and outdated else None)


def burn(password: str) -> None:
    """As much work as :func:`verified`, for an unknown account: that it is unknown cannot be told by the time."""
    if not _fault(password):
        _ARGON2.hash(password)


def _fits_argon2(password: str, stored: str) -> bool:
    try:
        return _ARGON2.verify(stored, password)
    except (VerificationError, ValueError):  # wrong; or no hash
        return False


def _fits_bcrypt(password: str, stored: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], stored.encode())
    except ValueError:  # a salt that no bcrypt makes
        return False


def _fault(password: str) -> str:
    """Why this is no password; "" when it is one."""
    if not password:
        return "a password must not be empty"
    if len(password) > MAX_LENGTH:
        return f"a password has at most {MAX_LENGTH} characters, not {len(password)}"
    if "\0" in password:
        return "a password must not have the character NUL"
    try:
        password.encode()
    except UnicodeEncodeError:
        return "a password must not have half a surrogate pair"
    return ""
