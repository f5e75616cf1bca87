"""What connectors speak and which components there are, as read from files, uploads and messages.

The keys are those of the Go system's YAML: lower case, exactly. The key `model` is ignored at every level;
other unknown keys are ignored in what comes from elsewhere (`model_validate`), and errors in files of one's
own (`load_definitions`).
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from .errors import StoreError

SUFFIXES = (".yaml", ".yml", ".toml", ".json")


class InvalidDefinition(StoreError):
    """A definition that cannot be used; the message names file, place, value and what is allowed."""


class _Definition(BaseModel):
    model_config = ConfigDict(frozen=True, validate_by_name=True, serialize_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _without_unknown(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        known = sorted(field.alias or name for name, field in cls.model_fields.items())
        if info.context and info.context.get("strict"):
            for key in value:
                if key not in known and key != "model":
                    raise ValueError(f"unknown key {key!r}; allowed: {', '.join(known)}")
        # A list or an object left empty in YAML is null; so it is in what Go writes.
        return {key: part for key, part in value.items() if part is not None}


def _schema_text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _json_object(text: str) -> str:
    if text:
        try:
            schema = json.loads(text)
        except ValueError as error:
            raise ValueError(f"must be a JSON schema, but it is no JSON: {error}") from None
        if not isinstance(schema, dict):
            raise ValueError("must be a JSON schema, so a JSON object")
    return text


def _text(value: Any) -> Any:
    # `value: 3` or `defaultvalue: true` in YAML mean the text.
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


# PostgreSQL cannot hold the character NUL.
Text = Annotated[str, Field(pattern=r"^[^\x00]*$"), BeforeValidator(_text)]
Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
Version = Annotated[int, Field(ge=0, le=127)]
Schema = Annotated[Text, BeforeValidator(_schema_text), AfterValidator(_json_object)]
"""A JSON schema as JSON text; a map is accepted too. "" = anything goes."""


Item = TypeVar("Item")
Several = Annotated[list[Item], FailFast()]
"""A list as a peer may send it, of millions: the first item that is wrong is told, and no other is looked at."""


class KeyDefinition(_Definition):
    """A setting that a logical component has to have, or may have."""

    name: Name
    defaultvalue: Text = ""
    type: Text = ""
    shortname: Text = ""
    mandatory: bool = False


class CommandTypeDefinition(_Definition):
    """A command and what its payload must be."""

    name: Name
    payload_schema: Schema = Field(default="", alias="schema")


class EventTypeDefinition(CommandTypeDefinition):
    """An event and what its payload is."""


class ResourceTypeDefinition(_Definition):
    """A kind of thing that a component looks after."""

    name: Name


class _Speaker(_Definition):
    name: Name
    major: Version
    minor: Version = 0
    keys: Several[KeyDefinition] = []
    commandtypes: Several[CommandTypeDefinition] = []
    eventtypes: Several[EventTypeDefinition] = []
    resourcetypes: Several[ResourceTypeDefinition] = []

    @model_validator(mode="after")
    def _names_once(self) -> _Speaker:
        for part in ("keys", "commandtypes", "eventtypes", "resourcetypes"):
            names = Counter(item.name for item in getattr(self, part))
            if twice := [name for name, times in names.items() if times > 1]:
                raise ValueError(f"{part}: each name may be there once, but {min(twice)!r} is there again")
        return self


class PivotDefinition(_Speaker):
    """A pivot language in one version: the commands and events that all tools of a kind have in common."""


class PivotReference(_Definition):
    """Names a pivot in one version."""

    name: Name
    major: Version
    minor: Version = 0


class ProductDefinition(_Definition):
    """Names a product, for example `git`."""

    name: Name


class ProductConnectorDefinition(_Speaker):
    """A connector for a product, which speaks a pivot and adds to it what only that product has."""

    pivot: PivotReference
    product: ProductDefinition


class ProductConnectorReference(PivotReference):
    """Names a product connector in one version; `name` is its own name, or that of its pivot."""

    product: ProductDefinition


class KeyReference(_Definition):
    """Names a key."""

    name: Name


class KeyValueDefinition(_Definition):
    """The value that a component has for a key."""

    value: Text = ""
    key: KeyReference


class ResourceDefinition(_Definition):
    """Names a resource."""

    name: Name


class LogicalComponentDefinition(_Definition):
    """A component of the network: a connector with its product connector, or an aggregator with its pivot."""

    logicalname: Name
    type: Literal["connector", "aggregator", "cluster"]
    aggregator: Text = ""
    shortdescription: Text = ""
    description: Text = ""
    pivot: PivotReference | None = None
    productconnector: ProductConnectorReference | None = None
    keyvalues: Several[KeyValueDefinition] = []
    resources: Several[ResourceDefinition] = []

    @model_validator(mode="after")
    def _one_language(self) -> LogicalComponentDefinition:
        if self.type == "connector" and self.productconnector is None:
            raise ValueError("a connector needs 'productconnector'")
        if self.type != "connector" and self.pivot is None:
            raise ValueError(f"a component of type {self.type!r} needs 'pivot'")
        return self

    def says(self, field: str) -> bool:
        """Whether the definition has this field, be it empty; what it does not say is kept when it is saved."""
        return field in self.model_fields_set


class Definitions(_Definition):
    """What a definition file holds: any of the three lists."""

    pivots: list[PivotDefinition] = []
    productconnectors: list[ProductConnectorDefinition] = []
    logicalcomponents: list[LogicalComponentDefinition] = []


def load_definitions(path: Path) -> Definitions:
    """Read a YAML, TOML or JSON file, or all such files of a directory in the order of their names.

    Raises `InvalidDefinition`, `OSError`.
    """
    if not path.is_dir():
        return _load(path)
    parts = [_load(file) for file in sorted(path.iterdir()) if file.suffix in SUFFIXES]
    return Definitions(
        pivots=[pivot for part in parts for pivot in part.pivots],
        productconnectors=[connector for part in parts for connector in part.productconnectors],
        logicalcomponents=[component for part in parts for component in part.logicalcomponents],
    )


def _load(path: Path) -> Definitions:
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
        return Definitions.model_validate({} if content is None else content, context={"strict": True})
    except ValidationError as error:
        raise InvalidDefinition("\n".join(f"{path}: {line}" for line in explain(error))) from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # not UTF-8, not TOML, not YAML
        raise InvalidDefinition(f"{path}: cannot be read as {path.suffix[1:] or 'YAML'}: {error}") from None


def explain(error: ValidationError) -> list[str]:
    """One line for each mistake: the place in dots, what is allowed, the value (shortened)."""
    lines = []
    for mistake in error.errors(include_url=False):
        place = ".".join(map(str, mistake["loc"])) or "the whole"
        value = repr(mistake["input"])
        shown = value if len(value) <= 80 else value[:77] + "..."
        message = mistake["msg"].removeprefix("Value error, ")
        lines.append(f"{place}: {message}; it is {shown}")
    return lines
