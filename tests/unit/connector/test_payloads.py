"""JSON payloads and the errors about them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, Secret, SecretStr, field_validator
from twisted.trial.unittest import SynchronousTestCase

from gandalf.connector import payloads

SECRET = "hunter2"


class Account(BaseModel):
    """Who logs in."""

    model_config = ConfigDict(extra="forbid")

    user: str
    password: SecretStr = Field(min_length=12)


@dataclass
class Key:
    """A key as a dataclass."""

    name: str
    pin: Secret[int]


class Request(BaseModel):
    """A payload with all sorts of places."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=5)
    size: int = 1
    accounts: list[Account] = []
    fallback: Account | str | None = None
    keys: dict[str, Key] = {}
    token: SecretStr = Field(default=SecretStr(""), alias="accessToken")

    @field_validator("token")
    @classmethod
    def _long(cls, token: SecretStr) -> SecretStr:
        if len(token.get_secret_value()) == len(SECRET):
            raise ValueError(f"{token.get_secret_value()} is too short")
        return token

    @field_validator("name")
    @classmethod
    def _no_dash(cls, name: str) -> str:
        if name.startswith("-"):
            raise ValueError("must not start with '-'")
        return name


def errors(payload: object) -> list[dict[str, object]]:
    """The problems of a payload checked against `Request`."""
    text = payload if isinstance(payload, str | bytes) else json.dumps(payload)
    try:
        payloads.check(Request, text)
    except payloads.InvalidPayload as error:
        return [problem.as_json() for problem in error.problems]
    raise AssertionError(f"{text!r} was accepted")


class CheckTests(SynchronousTestCase):
    """A payload against its model."""

    def test_valid_payload_becomes_the_model(self) -> None:
        """A valid object, as text or bytes, is returned as the model."""
        for text in ('{"name":"a","size":3}', b'{"name":"a","size":3}'):
            self.assertEqual(payloads.check(Request, text), Request(name="a", size=3))

    def test_empty_payload_stands_for_the_empty_object(self) -> None:
        """No payload at all is as good as `{}`."""
        self.assertEqual(errors(""), [{"place": "name", "allowed": "is required"}])
        self.assertEqual(errors(b""), errors({}))

    def test_wrong_value_is_named_with_place_value_and_rule(self) -> None:
        """A wrong value is shown beside its place and what is allowed there."""
        self.assertEqual(
            errors({"name": "a", "size": "big"}),
            [
                {
                    "place": "size",
                    "value": "big",
                    "allowed": "must be a valid integer, unable to parse string as an integer",
                }
            ],
        )

    def test_all_errors_are_told_at_once(self) -> None:
        """Every place that is wrong is named, nested ones by their path."""
        places = [error["place"] for error in errors({"size": None, "accounts": [{"user": 1}]})]
        self.assertEqual(places, ["name", "size", "accounts[0].user", "accounts[0].password"])

    def test_validators_own_words_are_used(self) -> None:
        """The text of a ValueError from a validator is what is allowed."""
        self.assertEqual(
            errors({"name": "-a"}), [{"place": "name", "value": "-a", "allowed": "must not start with '-'"}]
        )

    def test_unknown_key_lists_the_known_and_hides_its_value(self) -> None:
        """A misspelt key may hold a secret: its value is not shown, the known keys are."""
        self.assertEqual(
            errors({"name": "a", "accestoken": SECRET}),
            [
                {
                    "place": "accestoken",
                    "allowed": "unknown; known here: accessToken, accounts, fallback, keys, name, size",
                }
            ],
        )

    def test_number_of_errors_is_bounded(self) -> None:
        """A payload wrong in a thousand places gives the first of them."""
        found = errors({"name": "a", "accounts": [{}] * 1000})
        self.assertEqual(len(found), payloads.MAX_PROBLEMS)

    def test_long_value_is_cut(self) -> None:
        """A long value is shown by its beginning."""
        [error] = errors({"name": "x" * 10_000})
        self.assertEqual(error["value"], "x" * payloads.MAX_SHOWN + "…")

    def test_what_is_no_json_object_is_refused(self) -> None:
        """Text that is no JSON, or JSON that is no object, is told so."""
        for text in ("{", "{'name': 1}", "[1]", '"a"', "3", "NaN", b"\xff", '{"name": NaN}', "[" * 100_000):
            with self.subTest(text=text[:20]):
                [error] = errors(text)
                self.assertEqual(error["place"], "payload")
                self.assertIn("must be", str(error["allowed"]))

    def test_secrets_are_never_shown(self) -> None:
        """No error text holds a value of, in or around a secret field, wherever it stands."""
        for payload in (
            {"name": "a", "accessToken": SECRET},
            {"name": "a", "accessToken": [SECRET]},
            {"name": "a", "accounts": [{"user": "u", "password": SECRET}]},
            {"name": "a", "accounts": [SECRET]},
            {"name": "a", "accounts": [{"user": "u", "pasword": SECRET, "password": "x" * 12}]},
            {"name": "a", "accounts": SECRET},
            {"name": "a", "fallback": {"user": "u", "password": SECRET}},
            {"name": "a", "keys": {"k": {"name": "k", "pin": SECRET}}},
            {"name": "a", "keys": {"k": SECRET}},
            SECRET,
        ):
            with self.subTest(payload=payload):
                self.assertNotIn(SECRET, json.dumps(errors(payload)))

    def test_value_beside_a_secret_is_shown(self) -> None:
        """A plain field of an object with a secret still shows its value."""
        found = errors({"name": "a", "accounts": [{"user": 7, "password": SECRET * 3}]})
        self.assertEqual(found, [{"place": "accounts[0].user", "value": 7, "allowed": "must be a valid string"}])


class JsonTests(SynchronousTestCase):
    """Writing and reading JSON."""

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_round_trip(self, value: object) -> None:
        """Every JSON value is read as it was written, and its text is valid UTF-8."""
        text = payloads.dump(value)
        text.encode()
        self.assertEqual(payloads.load(text), value)

    def test_common_python_values_are_written(self) -> None:
        """Models, uuids and dates have their usual JSON; secrets stay hidden."""
        account = Account(user="u", password=SecretStr(SECRET * 2))
        written = payloads.dump({"id": UUID(int=1), "day": date(2026, 1, 2), "account": account})
        self.assertEqual(
            json.loads(written),
            {
                "id": "00000000-0000-0000-0000-000000000001",
                "day": "2026-01-02",
                "account": {"user": "u", "password": "**********"},
            },
        )

    def test_what_json_cannot_say_is_a_value_error(self) -> None:
        """NaN, objects without a JSON form and structures that contain themselves are refused."""
        loop: list[object] = []
        loop.append(loop)
        for value in (float("nan"), {"a": object()}, {(1, 2): 3}, loop):
            with self.assertRaises(ValueError):
                payloads.dump(value)

    def test_read_is_lenient(self) -> None:
        """An event's payload that is no JSON is its text."""
        for text, value in (("", None), ("{", "{"), (b"\xff", "�"), (b"[1]", [1])):
            self.assertEqual(payloads.read(text), value)
