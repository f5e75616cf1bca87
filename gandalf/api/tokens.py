"""Tokens: JSON Web Tokens that say who logged in, signed with a key of this installation alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import attrs
import jwt

ALGORITHM: Final = "HS256"

KEY_SIZE: Final = 32
"""Bytes of a key, at least: as many as the hash has."""

LIFETIME: Final = 3600
"""Seconds, as in the Go system."""

MAX_LENGTH: Final = 8192
"""Characters of a token; what is longer is none of ours."""

# The last character of a signature stands for four bits and has two to spare: they are 0, so that there is one way
# only to write a signature.
_FORM: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]{42}[AEIMQUYcgkosw048]", re.ASCII)


class TokenError(Exception):
    """A request that does not show who asks."""


class TokenMissing(TokenError):
    """There is no token."""


class TokenRefused(TokenError):
    """The token is not accepted; the text says why."""


@attrs.frozen
class Claims:
    """What a token says. Times are seconds since the epoch."""

    user_id: UUID
    email: str
    tenant: str
    issued_at: int
    expires_at: int


def bearer(header: bytes | None) -> str:
    """The token in a header ``Authorization: <word> <token>``, with exactly one space; the word may be any.

    :raises TokenMissing: there is no header, or it is not of this form.
    """
    word, space, token = (header or b"").decode("latin-1").partition(" ")
    if not (word and space and token) or " " in token:
        raise TokenMissing("Missing auth token")
    return token


KNOWN: Final = 1000
"""Tokens whose signatures are not judged anew."""


class Signer:
    """Makes tokens, and judges them.

    :param keys: the first signs; a token signed with any of them is accepted. So a key is replaced by putting the
        new one first and leaving the old one in for a `lifetime_s`.
    :param tenant: whose tokens these are.
    :param now: seconds since the epoch.
    :param lifetime_s: seconds for which a token is good.
    :raises ValueError: there is no key, or one that is too short.
    """

    def __init__(
        self, keys: Sequence[bytes], tenant: str, now: Callable[[], float], lifetime_s: int = LIFETIME
    ) -> None:
        if not keys or min(map(len, keys)) < KEY_SIZE:
            raise ValueError(f"tokens need at least one key, of at least {KEY_SIZE} bytes each")
        self._keys = tuple(keys)
        self._tenant = tenant
        self._now = now
        self._lifetime_s = lifetime_s
        self._known: dict[str, Claims] = {}
        """What tokens say whose signatures were found right; a client sends the same one again and again."""

    def issue(self, user_id: UUID, email: str) -> str:
        """A token for a user who has just logged in."""
        now = int(self._now())
        claims = {
            "UserID": str(user_id),
            "Name": "",  # the Go system leaves it so
            "Email": email,
            "Tenant": self._tenant,
            "iat": now,
            "exp": now + self._lifetime_s,
        }
        return jwt.encode(claims, self._keys[0], ALGORITHM)

    def read(self, token: str) -> Claims:
        """What a token says.

        :raises TokenRefused: it was not signed here, has expired, or is not as :meth:`issue` makes them.
        """
        claims = self._known.get(token)
        if claims is None:
            claims = _claims(self._payload(token))
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[token] = claims
        if claims.tenant != self._tenant:
            raise TokenRefused("the token is for another tenant")
        if claims.expires_at <= self._now():
            raise TokenRefused("the token has expired: log in again")
        return claims

    def _payload(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_LENGTH or not _FORM.fullmatch(token):
            raise TokenRefused("the token is not one of ours")
        for key in self._keys:
            try:
                # Times are checked above, by the clock that was given.
                payload: dict[str, Any] = jwt.decode(
                    token, key, [ALGORITHM], {"verify_exp": False, "verify_iat": False}
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidTokenError, RecursionError):
                break
            return payload
        raise TokenRefused("the token is not one of ours")


def _claims(payload: dict[str, Any]) -> Claims:
    try:
        user_id = UUID(_typed(payload, "UserID", str))
    except ValueError:
        raise TokenRefused("the claim UserID of the token is not a UUID") from None
    return Claims(
        user_id,
        _typed(payload, "Email", str),
        _typed(payload, "Tenant", str),
        _typed(payload, "iat", int),
        _typed(payload, "exp", int),
    )


def _typed(payload: dict[str, Any], claim: str, kind: type) -> Any:
    value = payload.get(claim)
    if type(value) is not kind:  # a bool is no number here
        raise TokenRefused(f"the claim {claim} of the token is missing or wrong")
    return value
