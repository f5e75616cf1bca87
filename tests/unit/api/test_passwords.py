"""Hashes of passwords: which are kept, which are made, which are right."""

from __future__ import annotations

import bcrypt
from argon2 import PasswordHasher, extract_parameters
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.api.passwords import MAX_LENGTH, PasswordRefused, Verdict, burn, hashed, stored, verified

WRONG = Verdict(False)
UNUSABLE = ("a\0b", "x" * (MAX_LENGTH + 1), "\ud800")


def bcrypted(password: str, prefix: str = "2a", cost: int = 4) -> str:
    """What the Go system stores."""
    hash = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(cost)).decode()
    return f"${prefix}{hash[3:]}"


class HashedTests(SynchronousTestCase):
    """Making hashes."""

    def test_argon2id(self) -> None:
        """With a salt, and in a memory of which many fit."""
        parameters = extract_parameters(hashed("secret"))
        self.assertEqual((parameters.type.name, parameters.salt_len >= 16), ("ID", True))
        self.assertEqual((parameters.memory_cost, parameters.time_cost, parameters.parallelism), (19456, 2, 1))
        self.assertNotEqual(hashed("secret"), hashed("secret"))

    def test_refused(self) -> None:
        """What is no password is told so, and why, without telling it."""
        for password, told in zip(UNUSABLE, ("NUL", "at most 1024 characters", "surrogate"), strict=True):
            self.assertIn(told, str(self.assertRaises(PasswordRefused, hashed, password)))
            self.assertIn(told, str(self.assertRaises(PasswordRefused, stored, password)))
        self.assertIn("empty", str(self.assertRaises(PasswordRefused, hashed, "")))

    def test_the_longest(self) -> None:
        """All of its characters count."""
        hash = hashed("é" * MAX_LENGTH)
        self.assertEqual(verified("é" * MAX_LENGTH, hash), Verdict(True))
        self.assertEqual(verified("é" * (MAX_LENGTH - 1) + "e", hash), WRONG)


class StoredTests(SynchronousTestCase):
    """What clients send in the field Password."""

    def test_nothing(self) -> None:
        """An empty text stays one, and so does the hash of the empty text, which the Go client sends for it."""
        self.assertEqual(stored(""), "")
        for prefix in ("2a", "2b", "2y"):
            self.assertEqual(stored(bcrypted("", prefix)), "")

    def test_bcrypt_is_kept(self) -> None:
        """A well-formed hash is stored as it is, and lets its password in."""
        for prefix in ("2a", "2b", "2y"):
            hash = bcrypted("secret", prefix)
            self.assertEqual(stored(hash), hash)
            self.assertTrue(verified("secret", hash).ok)

    def test_costs(self) -> None:
        """4 to 14; what is dearer would keep the machine busy for whoever sends it."""
        hash = bcrypted("secret")
        self.assertIn("at most 14", str(self.assertRaises(PasswordRefused, stored, hash.replace("$04$", "$15$"))))
        self.assertRaises(PasswordRefused, stored, hash.replace("$04$", "$31$"))
        for no_cost in ("$03$", "$32$", "$99$", "$4$", "$+4$"):
            self.assertTrue(stored(hash.replace("$04$", no_cost)).startswith("$argon2id$"), no_cost)

    def test_everything_else_is_a_password(self) -> None:
        """What only looks like a hash is hashed: as a hash it would let in who knows it, or nobody."""
        hash = bcrypted("secret")
        argon2 = hashed("secret")
        for text in ("secret", f"{hash}\n", f" {hash}", hash[:-1], f"{hash}.", f"$2x{hash[3:]}", argon2, "$2a$"):
            kept = stored(text)
            self.assertTrue(kept.startswith("$argon2id$"))
            self.assertNotEqual(kept, text)
            self.assertTrue(verified(text, kept).ok)

    def test_a_salt_that_no_bcrypt_makes(self) -> None:
        """It is of the form, is kept, and lets nobody in."""
        hash = bcrypted("secret")
        odd = hash[:28] + "9" + hash[29:]
        self.assertEqual(stored(odd), odd)
        self.assertEqual(verified("secret", odd), WRONG)


class VerifiedTests(SynchronousTestCase):
    """Judging passwords."""

    def test_argon2(self) -> None:
        """Right and wrong; a hash of today's parameters stays."""
        hash = hashed("secret")
        self.assertEqual(verified("secret", hash), Verdict(True))
        for wrong in ("Secret", "secret ", "", "secre"):
            self.assertEqual(verified(wrong, hash), WRONG)

    def test_bcrypt_is_replaced(self) -> None:
        """Who logs in with a hash of the Go system has a better one afterwards."""
        verdict = verified("secret", bcrypted("secret"))
        self.assertTrue(verdict.ok)
        assert verdict.replacement is not None
        self.assertEqual(verified("secret", verdict.replacement), Verdict(True))
        self.assertNotIn(verdict.replacement, repr(verdict))
        self.assertEqual(verified("other", bcrypted("secret")), WRONG)

    def test_outdated_argon2_is_replaced(self) -> None:
        """So is who has a hash of other parameters."""
        old = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("secret")
        verdict = verified("secret", old)
        assert verdict.replacement is not None
        self.assertEqual(extract_parameters(verdict.replacement).memory_cost, 19456)
        self.assertEqual(verified("other", old), WRONG)

    def test_bcrypt_looks_at_72_bytes(self) -> None:
        """A longer password is right as it was; from its replacement on all of it counts."""
        long = "é" * 36 + "and more"
        verdict = verified(long, bcrypted(long))
        self.assertTrue(verdict.ok)
        assert verdict.replacement is not None
        self.assertEqual(verified(long + "!", verdict.replacement), WRONG)
        self.assertTrue(verified(long, verdict.replacement).ok)

    def test_nothing_is_never_right(self) -> None:
        """Neither an empty password nor an empty hash lets anybody in, nor both, nor a hash of nothing."""
        for hash in ("", hashed("secret"), bcrypted("secret"), bcrypted("")):
            self.assertEqual(verified("", hash), WRONG)
        self.assertEqual(verified("secret", ""), WRONG)

    def test_what_is_no_hash(self) -> None:
        """A stored text that is no hash lets nobody in, not even who knows it."""
        for text in (
            "secret",
            "$argon2id$",
            "$argon2id$v=19$m=1,t=1,p=1$AAAA$AAAA",
            "$2a$",
            "$1$abc$",
            "é",
            "\ud800",
        ):
            self.assertEqual(verified("secret", text), WRONG)
            self.assertEqual(verified(text, text), WRONG)

    def test_what_is_no_password(self) -> None:
        """It is wrong, without an error."""
        for password in UNUSABLE:
            self.assertEqual(verified(password, hashed("secret")), WRONG)
            self.assertEqual(verified(password, bcrypted("secret")), WRONG)

    def test_unknown_accounts_cost_the_same(self) -> None:
        """The work is done, whatever is sent."""
        for password in ("secret", "", *UNUSABLE):
            burn(password)

    @settings(max_examples=25, deadline=None)
    @given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=50))
    def test_any_text(self, password: str) -> None:
        """Any text is a password: what is stored of it lets it in, and not another."""
        kept = stored(password)
        self.assertEqual(verified(password, kept), Verdict(True))
        self.assertEqual(verified(password + "x", kept), WRONG)
