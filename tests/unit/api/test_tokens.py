"""Which tokens are accepted."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import UUID

import jwt
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.api.tokens import KNOWN, MAX_LENGTH, Claims, Signer, TokenError, TokenMissing, TokenRefused, bearer
from gandalf.store.accounts import new_key

KEY, OLD = b"k" * 32, b"o" * 32
USER = UUID("0189a1b2-0000-4000-8000-000000000001")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def encoded(value: object) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


class TokenTestCase(SynchronousTestCase):
    """A signer at the time 1000."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.signer = self.signer_of(KEY)
        self.token = self.signer.issue(USER, "a@b.example")

    def signer_of(self, *keys: bytes, tenant: str = "tenant1") -> Signer:
        """Another instance."""
        return Signer(keys, tenant, self.clock.seconds)

    def signed(self, changes: dict[str, Any] | None = None, key: bytes = KEY, algorithm: str = "HS256") -> str:
        """A token made by hand: None leaves a claim out."""
        claims = {"UserID": str(USER), "Name": "", "Email": "e", "Tenant": "tenant1", "iat": 1000, "exp": 4600}
        claims |= changes or {}
        return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm)

    def assertRefused(self, token: str, told: str = "not one of ours") -> None:
        """The token is refused for this reason."""
        error = self.assertRaises(TokenRefused, self.signer.read, token)
        self.assertIn(told, str(error))


class SignerTests(TokenTestCase):
    """Making and judging."""

    def test_form(self) -> None:
        """Header and claims are those of the Go system, with the tenant, and the time of issue."""
        self.assertEqual(jwt.get_unverified_header(self.token), {"alg": "HS256", "typ": "JWT"})
        claims = jwt.decode(self.token, KEY, ["HS256"], {"verify_exp": False})
        user, tenant = str(USER), "tenant1"
        wanted = {"UserID": user, "Name": "", "Email": "a@b.example", "Tenant": tenant, "iat": 1000, "exp": 4600}
        self.assertEqual(claims, wanted)

    def test_read(self) -> None:
        """What was issued is read."""
        self.assertEqual(self.signer.read(self.token), Claims(USER, "a@b.example", "tenant1", 1000, 4600))

    def test_expiry(self) -> None:
        """An hour, to the second, by the clock that was given."""
        self.clock.advance(3599.9)
        self.signer.read(self.token)
        self.clock.advance(0.1)
        self.assertRefused(self.token, "has expired")

    def test_seen_before(self) -> None:
        """A token's signature is judged once, its time each time; and as many are known as may be."""
        judged: list[str] = []
        decode = jwt.decode

        def judge(token: str, *arguments: Any) -> Any:
            judged.append(token)
            return decode(token, *arguments)

        self.patch(jwt, "decode", judge)
        for _ in range(3):
            self.signer.read(self.token)
        self.assertEqual(judged, [self.token])
        for number in range(KNOWN):
            self.signer.read(self.signer.issue(USER, str(number)))
        self.signer.read(self.token)
        self.assertEqual(judged.count(self.token), 2)
        self.clock.advance(3600)
        self.assertRefused(self.token, "expired")

    def test_lifetime(self) -> None:
        """The lifetime can be another."""
        signer = Signer([KEY], "tenant1", self.clock.seconds, lifetime_s=10)
        self.assertEqual(signer.read(signer.issue(USER, "")).expires_at, 1010)

    def test_other_keys(self) -> None:
        """What others signed is refused, and so is what nobody signed."""
        self.assertRefused(self.signed(key=OLD))
        self.assertRefused(f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{self.token.split('.')[1]}.")
        self.assertRefused(self.token.rpartition(".")[0] + ".")

    def test_other_algorithms(self) -> None:
        """The right key does not help, nor does a header that says so."""
        for algorithm in ("HS384", "HS512"):
            self.signer = self.signer_of(KEY * 2)
            self.assertRefused(self.signed(key=KEY * 2, algorithm=algorithm))
        self.signer = self.signer_of(KEY)
        rest = self.token.partition(".")[2]
        headers: tuple[object, ...] = ({"alg": "none"}, {"alg": "HS512"}, {"alg": None}, {"alg": ["HS256"]})
        for header in (*headers, {}, [], "HS256", 1, None):
            self.assertRefused(f"{encoded(header)}.{rest}")

    def test_rotation(self) -> None:
        """The first key signs; tokens of the others are good until they are gone."""
        both = self.signer_of(KEY, OLD)
        before = self.signer_of(OLD).issue(USER, "")
        self.assertEqual(both.read(before).user_id, USER)
        self.assertEqual(self.signer.read(both.issue(USER, "")).user_id, USER)
        self.assertRefused(before)

    def test_another_tenant(self) -> None:
        """A tenant's tokens are good there only, though two had the same key."""
        self.assertRefused(self.signer_of(KEY, tenant="tenant2").issue(USER, ""), "another tenant")
        self.assertRefused(self.signed({"Tenant": ""}), "another tenant")

    def test_claims(self) -> None:
        """Each has to be there and of its type, though the signature is right."""
        self.signer.read(self.signed())
        for claim in ("UserID", "Email", "Tenant", "iat", "exp"):
            wrong: tuple[object, ...] = (None, True, 1.5, [], {})
            for value in wrong:
                self.assertRefused(self.signed({claim: value}), f"claim {claim}")
        for claim in ("iat", "exp"):
            self.assertRefused(self.signed({claim: "4600"}), f"claim {claim}")
        self.assertRefused(self.signed({"UserID": "Administrator1"}), "not a UUID")
        self.assertRefused(self.signed({"UserID": ""}), "not a UUID")

    def test_odd_tokens(self) -> None:
        """Whatever comes is refused, not a defect."""
        deep = base64.urlsafe_b64encode(b"[" * 3000).rstrip(b"=").decode()
        signature = "A" * 43
        odd = ("", ".", "..", "a.b.c", "é.é.é", f"{deep}.{deep}.{signature}", f"{self.token}.", f" {self.token}")
        for token in (*odd, f"{self.token}\n", "A" * MAX_LENGTH, f"{'A' * MAX_LENGTH}.A.{signature}", "\ud800"):
            self.assertRefused(token)

    def test_keys(self) -> None:
        """Keys have 32 bytes at least, and there is one; those that the store makes have."""
        for keys in ([], [b"k" * 31], [KEY, b""]):
            self.assertRaises(ValueError, Signer, keys, "t", self.clock.seconds)
        self.assertEqual(len({new_key() for _ in range(10)}), 10)
        self.signer_of(new_key()).issue(USER, "")

    @given(st.data())
    def test_no_altered_token_passes(self, data: st.DataObject) -> None:
        """Another character anywhere, one more or one less, and it is refused."""
        place = data.draw(st.integers(0, len(self.token) - 1))
        cut = data.draw(st.integers(0, 1))
        put = data.draw(st.text(st.sampled_from(ALPHABET + "=.+/ \n"), max_size=2))
        altered = self.token[:place] + put + self.token[place + cut :]
        if altered != self.token:
            self.assertRaises(TokenRefused, self.signer.read, altered)

    def test_no_last_character_is_as_good_as_another(self) -> None:
        """The bits to spare at the end of a signature cannot be used to write it in another way."""
        good = [last for last in ALPHABET if self.accepted(self.token[:-1] + last)]
        self.assertEqual(good, [self.token[-1]])

    def accepted(self, token: str) -> bool:
        """Whether it is."""
        try:
            self.signer.read(token)
        except TokenRefused:
            return False
        return True

    @given(st.text(), st.text())
    def test_any_text(self, token: str, more: str) -> None:
        """No text is more than refused."""
        for text in (token, f"{token}.{more}.{'A' * 43}", f"{self.token}.{more}"):
            self.assertRaises(TokenRefused, self.signer.read, text)

    @given(st.uuids(), st.emails())
    def test_round_trip(self, user: UUID, email: str) -> None:
        """Whoever logs in is known by the token."""
        claims = self.signer.read(self.signer.issue(user, email))
        self.assertEqual((claims.user_id, claims.email), (user, email))


class BearerTests(SynchronousTestCase):
    """The header Authorization."""

    def test_any_word(self) -> None:
        """One word, one space, the token; the word is not looked at."""
        for header in (b"Bearer t.o.k", b"bearer t.o.k", b"Token t.o.k", b"x t.o.k"):
            self.assertEqual(bearer(header), "t.o.k")

    def test_missing(self) -> None:
        """Everything else is no token."""
        for header in (None, b"", b" ", b"Bearer", b"Bearer ", b" t", b"Bearer  t", b"Bearer t ", b"a b c", b"t.o.k"):
            error = self.assertRaises(TokenMissing, bearer, header)
            self.assertEqual(str(error), "Missing auth token")
            self.assertIsInstance(error, TokenError)

    def test_odd_bytes(self) -> None:
        """They are a token, which will be refused."""
        self.assertEqual(bearer(b"Bearer \xff\xfe"), "ÿþ")
