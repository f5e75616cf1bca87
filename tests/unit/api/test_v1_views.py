"""Rows as the JSON of `/api/v1`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from twisted.trial.unittest import SynchronousTestCase

from gandalf.api.errors import explained
from gandalf.api.v1.views import (
    LONG,
    answer_of,
    change_of,
    creation_of,
    etag,
    filters_of,
    query_of,
    shown,
    shown_tree,
    time_text,
    tree_of,
    values_of,
)
from gandalf.store.model import Record
from gandalf.store.models import AUTHORIZATION, DOMAIN, KEY, KEY_VALUE, MODELS, PIVOT, ROLE, TENANT, USER

TIME = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)


def row(**values: Any) -> Record:
    """A role, as the store gives it."""
    empty = {"short_description": "", "description": "", "logo": ""}
    return {
        "id": UUID(int=1),
        "created_at": TIME,
        "updated_at": TIME,
        "deleted_at": None,
        "name": "r",
        **empty,
        **values,
    }


class Views(SynchronousTestCase):
    """Bodies, answers and queries made from the declarations."""

    def refused(self, kind: type[BaseModel], value: object) -> str:
        """What is said of a value that is not accepted."""
        with self.assertRaises(ValidationError) as caught:
            kind.model_validate(value)
        return explained(caught.exception)

    def test_answers(self) -> None:
        """A row is told with its id, its times to the microsecond and its columns; no hash is told."""
        self.assertEqual(
            shown(ROLE, row(description="d")),
            {
                "id": "00000000-0000-0000-0000-000000000001",
                "created_at": "2026-01-31T12:00:00.000005Z",
                "updated_at": "2026-01-31T12:00:00.000005Z",
                "name": "r",
                "short_description": "",
                "description": "d",
                "logo": "",
            },
        )
        for model in MODELS.values():
            keys = set(answer_of(model).model_json_schema()["properties"])
            self.assertEqual(keys, {"id", "created_at", "updated_at", *(field.column for field in model.fields)})

    def test_answers_are_as_described(self) -> None:
        """What is answered is what the description says, whatever there is in the columns."""
        values: dict[str, Any] = {"text": "x", "int8": -3, "bool": True}
        for model in MODELS.values():
            for reference in (None, uuid4()):
                record = {**row(), **{field.column: values.get(field.type, reference) for field in model.fields}}
                answer_of(model).model_validate_json(json.dumps(shown(model, record)))

    def test_times(self) -> None:
        """They are told in UTC, always with six decimals, however the database gives them."""
        elsewhere = TIME.replace(microsecond=0).astimezone(timezone(timedelta(hours=2)))
        self.assertEqual(time_text(elsewhere), "2026-01-31T12:00:00.000000Z")

    def test_trees(self) -> None:
        """Children stand within their parents, an empty list at a leaf."""
        leaf: Record = {**row(id=uuid4(), parent_id=UUID(int=1), git_url=""), "Childs": None}
        root: Record = {**row(parent_id=None, git_url=""), "Childs": [leaf]}
        told = shown_tree(DOMAIN, root)
        self.assertEqual(told["children"], [{**shown(DOMAIN, leaf), "children": []}])
        tree_of(DOMAIN).model_validate(told)

    def test_tags(self) -> None:
        """An entity tag is that of what is told: another value, another tag; what is not told does not matter."""
        tag = etag(ROLE, row())
        self.assertRegex(tag, r'^"[0-9a-f]{32}"$')
        self.assertEqual(etag(ROLE, row(deleted_at=TIME)), tag)
        for change in ({"name": "x"}, {"updated_at": TIME + timedelta(microseconds=1)}, {"id": UUID(int=2)}):
            self.assertNotEqual(etag(ROLE, row(**change)), tag)

    def test_merge_patch(self) -> None:
        """Only what is there is among the values; null is what unset is for the column."""
        body = change_of(ROLE).model_validate({"description": None, "logo": "l"})
        self.assertEqual(values_of(ROLE, body), {"description": "", "logo": "l"})
        body = change_of(AUTHORIZATION).model_validate({"user_id": None, "role_id": str(UUID(int=3))})
        self.assertEqual(values_of(AUTHORIZATION, body), {"user_id": None, "role_id": UUID(int=3)})
        self.assertEqual(values_of(ROLE, change_of(ROLE).model_validate({})), {})

    def test_what_cannot_be_unset(self) -> None:
        """A name, and the parent of a row in a tree."""
        self.assertIn("name: ", self.refused(change_of(ROLE), {"name": None}))
        self.assertIn("name: ", self.refused(change_of(ROLE), {"name": ""}))
        self.assertIn("parent_id: ", self.refused(change_of(DOMAIN), {"parent_id": None}))

    def test_passwords_are_taken_and_not_told(self) -> None:
        """Of users, not of tenants; it is not among the values, nor in what is printed of a body."""
        body = change_of(USER).model_validate({"password": "secret"})
        self.assertEqual(values_of(USER, body), {})
        self.assertNotIn("secret", repr(body))
        schema = creation_of(USER).model_json_schema()["properties"]["password"]
        self.assertTrue(schema["writeOnly"])
        self.assertIn("not known here: 'password'", self.refused(change_of(TENANT), {"password": "x"}))

    def test_types(self) -> None:
        """Values are what they are, without conversions; the database can hold them."""
        names: list[Any] = [1, True, ["x"], {}, "a\0b", "\ud800"]
        for value in names:
            self.assertIn("name: ", self.refused(creation_of(ROLE), {"name": value}), value)
        for value in ("x", 1, "00000000000000000000000000000001", "urn:uuid:00000000-0000-0000-0000-000000000001"):
            self.assertIn("user_id: must be a UUID", self.refused(creation_of(AUTHORIZATION), {"user_id": value}))
        long = "é\n" * 100_000
        body = creation_of(ROLE).model_validate({"name": "x" * 256, "description": long})
        self.assertEqual(values_of(ROLE, body)["description"], long)
        self.assertIn("name: ", self.refused(creation_of(ROLE), {"name": "x" * 257}))
        bodies: list[Any] = [[], "x", None, 1]
        for value in bodies:
            self.refused(creation_of(ROLE), value)

    def test_filters(self) -> None:
        """Values in a query are those of their columns; null is an unset reference, and a text as any other."""
        query = query_of(KEY).model_validate({"mandatory": "false", "name": "null", "pivot_id": "null"})
        self.assertEqual(filters_of(KEY, query), {"mandatory": False, "name": "null", "pivot_id": None})
        query = query_of(PIVOT).model_validate({"major": "-128", "minor": "127"})
        self.assertEqual(filters_of(PIVOT, query), {"major": -128, "minor": 127})
        for major in ("128", "-129", "1.0", "1_0", " 1", "", "x", "９"):
            self.assertIn("major: ", self.refused(query_of(PIVOT), {"major": major}), major)
        for mandatory in ("1", "yes", "True", "", "null"):
            self.assertIn("'true' or 'false'", self.refused(query_of(KEY), {"mandatory": mandatory}))

    def test_orders(self) -> None:
        """By what always has a value and is short; a secret is never part of a cursor."""
        for model in MODELS.values():
            allowed = query_of(model).model_json_schema()["properties"]["order"]["enum"]
            self.assertEqual(
                set(allowed),
                {f"{sign}{column}" for column in model.orders if column not in LONG for sign in ("", "-")},
            )
            for reference in model.references:
                self.assertNotIn(reference.column, allowed)
        self.assertIn("value", LONG)
        self.refused(query_of(KEY_VALUE), {"order": "value"})

    @given(st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=5)))
    def test_any_object(self, value: dict[str, Any]) -> None:
        """A body is accepted only if all its keys are known, and then nothing of it is lost or made up."""
        for model in MODELS.values():
            kind = change_of(model)
            known = {field.column for field in model.fields} | ({"password"} if model is USER else set())
            try:
                body = kind.model_validate(value)
            except ValidationError as error:
                self.assertTrue(explained(error))
            else:
                self.assertLessEqual(set(value), known)
                self.assertEqual(set(values_of(model, body)), set(value) - {"password"})
