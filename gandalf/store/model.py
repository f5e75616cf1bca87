"""The language in which `gandalf.store.models` declares what there is: a model, its fields and what they refer to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import attrs
from sqlalchemy import Column, Table

Value = str | int | bool | UUID | datetime | None
"""What a column of a model holds. An unset reference is None."""

Record = dict[str, Any]
"""A row: values by column; and what was loaded beside it by the key of its `Nested` (a record or None) or `Many`
(a list of records)."""

Loads = Mapping[str, "Loads"]
"""What is to be loaded beside a row: keys of `Nested` and `Many`, and what is to be loaded beside those."""

Type = Literal["text", "uuid", "int8", "bool", "time"]

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake(key: str) -> str:
    """`ShortDescription` as `short_description`, `GitURL` as `git_url`."""
    return _WORDS.sub("_", key).lower()


@attrs.frozen
class Field:
    """A value of a model's own.

    `key` is its name in the Go system's JSON. `refers` names the model whose id it holds; `owned`: a row goes when
    the one it refers to goes, otherwise that cannot go while it is referred to. `required`: may not be unset.
    """

    key: str
    type: Type = "text"
    refers: str = ""
    owned: bool = False
    required: bool = False
    unique: bool = False

    @property
    def column(self) -> str:
        """Its column, and its name in today's JSON."""
        return snake(self.key)


@attrs.frozen
class Password:
    """A password: it is set, never told. The column holds its hash; without one it is another's to keep."""

    key: str = "Password"
    column: str | None = None


@attrs.frozen
class Nested:
    """The row that the reference `via` (a column) leads to. `null`: when it is not loaded it is null in the Go
    system's JSON, else a zero object."""

    key: str
    model: str
    via: str
    null: bool = False


@attrs.frozen
class Many:
    """The rows of `model` that refer here by their column `via`; or those that the table `through` assigns, whose
    column for this side is `via` and for theirs `other`."""

    key: str
    model: str
    via: str
    through: Table | None = None
    other: str = ""


Member = Field | Password | Nested | Many


@attrs.frozen
class Domained:
    """Where the domain of a row is told: in its `column`; when `of` is given, in that of the row of the model `of`
    which the column refers to."""

    column: str
    of: str = ""


Operation = Literal["list", "read", "named", "create", "update", "delete"]
ALL: frozenset[Operation] = frozenset({"list", "read", "named", "create", "update", "delete"})
SEEN: frozenset[Operation] = frozenset({"list", "read", "named"})


@attrs.frozen(eq=False)
class Model:
    """A kind of row that the API shows.

    `members` stand in the order of the Go system's JSON, without the four that all models have. `label` is the
    column that people know a row by. `domain` says whose rights decide on a row: those on its domain; None: it is
    the whole tenant's. `tree`: rows have a parent (`parent_id`), and exactly one, the root, has none. `listed` and
    `read` are what the Go system's answers have loaded beside the row. `upstream`: the Go system's API has it.
    """

    name: str
    table: Table
    members: tuple[Member, ...]
    label: str = "name"
    domain: Domained | None = None
    tree: bool = False
    listed: Loads = attrs.field(factory=dict)
    read: Loads = attrs.field(factory=dict)
    operations: frozenset[Operation] = ALL
    upstream: bool = True

    @property
    def fields(self) -> Iterator[Field]:
        """The members that are values."""
        return (member for member in self.members if isinstance(member, Field))

    @property
    def references(self) -> Iterator[Field]:
        """The fields that refer to models."""
        return (field for field in self.fields if field.refers)

    def can(self, operation: Operation) -> bool:
        """Whether it has this operation; only what people know by a name is read by it."""
        return operation in self.operations and (operation != "named" or self.label != "id")

    @property
    def password(self) -> Password | None:
        """Its password, if it has one."""
        return next((member for member in self.members if isinstance(member, Password)), None)

    @property
    def orders(self) -> tuple[str, ...]:
        """The columns by which its rows can be put in order: those that always have a value."""
        own = (field.column for field in self.fields if not self.column(field.column).nullable)
        return ("id", "created_at", "updated_at", *own)

    def column(self, name: str) -> Column[Any]:
        """A column of its table."""
        return self.table.c[name]

    @property
    def collection(self) -> str:
        """The name of its resource in the Go system's paths, for example `environmentType`."""
        return self.name[0].lower() + self.name[1:]

    @property
    def plural(self) -> str:
        """The name of its collection in today's paths, for example `environment-types`."""
        return self.table.name.replace("_", "-")

    @property
    def words(self) -> str:
        """What it is called in sentences, for example `environment type`."""
        return snake(self.name).replace("_", " ")
