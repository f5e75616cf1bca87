"""The description of the API in OpenAPI 3.1, made from the declarations that its routes are made from."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal

import attrs
from pydantic import TypeAdapter

import gandalf
from gandalf.api.bodies import BodyTooLong
from gandalf.api.edge import Face
from gandalf.api.errors import (
    TABLE,
    BadRequest,
    NotReady,
    NotSignedIn,
    PreconditionFailed,
    Trouble,
)
from gandalf.api.operation import JSON, Access, Operation, Route
from gandalf.api.policy import Forbidden, Level
from gandalf.store.errors import Conflict, DatabaseTimeout, DatabaseUnavailable, NotFound
from gandalf.store.state import InvalidState

Schema = dict[str, Any]
Mode = Literal["validation", "serialization"]

_SCHEMAS: Final = "#/components/schemas/"
_PARAMETER = re.compile(r"<(?:(?P<converter>\w+)(?:\([^)]*\))?:)?(?P<name>\w+)>")
_TEMPLATE = re.compile(r"\{\w+\}")
_SEGMENT: Final[Schema] = {"type": "string", "minLength": 1}
_CONVERTERS: Final[Mapping[str, Schema]] = {
    "uuid": {"type": "string", "format": "uuid"},
    "int": {"type": "integer", "minimum": 0},
}
"""What is told of the values in a path, by their Werkzeug converter; of others, that they are text."""

_DEFECT: Final = Trouble(500, "internal error", "")
_NO_METHOD: Final = Trouble(405, "method not allowed", "")
_BEARER: Final = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "What a log-in answers."}


@attrs.frozen
class _Path:
    """The template of a path, and the schemas of its values by name."""

    template: str
    values: Mapping[str, Schema]

    @classmethod
    def of(cls, rule: str) -> _Path:
        """The path of a Werkzeug rule."""
        found = {
            each["name"]: _CONVERTERS.get(each["converter"] or "", _SEGMENT) for each in _PARAMETER.finditer(rule)
        }
        return cls(_PARAMETER.sub(lambda each: f"{{{each['name']}}}", rule), found)

    @property
    def shape(self) -> str:
        """What two templates that OpenAPI takes for the same have in common."""
        return _TEMPLATE.sub("{}", self.template)

    def renamed(self, other: _Path) -> _Path:
        """The same path, with the names that one of the same shape gives to its values."""
        return _Path(other.template, dict(zip(other.values, self.values.values(), strict=True)))


class _Models:
    """The schemas of all that goes in and out. Those of the same name that differ get names that differ."""

    def __init__(self, routes: Collection[Route]) -> None:
        wanted: dict[tuple[int, Mode], Any] = {}
        for told in (route.operation for route in routes):
            wanted |= {(id(model), "validation"): model for model in (told.body, told.query) if model is not None}
            wanted |= {(id(model), "serialization"): model for model in told.answers.values() if model is not None}
        inputs = [(key, mode, TypeAdapter(model)) for (key, mode), model in wanted.items()]
        found, rest = TypeAdapter.json_schemas(inputs, ref_template=f"{_SCHEMAS}{{model}}")
        self._found = dict(found)
        self.components: Schema = rest.get("$defs", {})
        # Queries are told field by field.
        queries = {id(route.operation.query) for route in routes if route.operation.query is not None}
        self._queries = {query: self._whole(self._found[query, "validation"]) for query in queries}

    def _whole(self, schema: Schema) -> Schema:
        name = schema.get("$ref", "").removeprefix(_SCHEMAS)
        return self.components.pop(name) if name else schema

    def taken(self, model: Any) -> Schema:
        """The schema of what is let in."""
        return self._found[id(model), "validation"]

    def given(self, model: Any) -> Schema:
        """The schema of what is answered."""
        return self._found[id(model), "serialization"]

    def asked(self, model: Any) -> Schema:
        """The schema of a query, as one object."""
        return self._queries[id(model)]


class _Describer:
    """Describes operations for one face of the API."""

    def __init__(self, face: Face, models: _Models) -> None:
        self._face = face
        self._models = models

    def operation(self, told: Operation, path: _Path) -> Schema:
        """The operation object of an operation at `path`."""
        described: Schema = {
            "operationId": told.name,
            "tags": [told.tag],
            "summary": told.summary,
            "description": _who(told.access),
            "parameters": [*self._in_path(path), *self._in_query(told), *_in_headers(told)],
            "responses": {**self._answers(told), **self._errors(told)},
        }
        if told.access is Access.OPEN:
            described["security"] = []
        if told.upload:
            described["requestBody"] = {
                "required": True,
                "content": {"multipart/form-data": {"schema": _upload(told)}},
            }
        elif told.takes:
            described["requestBody"] = {"required": True, "content": {told.takes: {"schema": {"type": "object"}}}}
        elif told.body is not None:
            content = {JSON: {"schema": self._models.taken(told.body)}}
            described["requestBody"] = {"required": True, "content": content}
        return described

    def _in_path(self, path: _Path) -> Iterator[Schema]:
        for name, schema in path.values.items():
            yield {"name": name, "in": "path", "required": True, "schema": schema}

    def _in_query(self, told: Operation) -> Iterator[Schema]:
        if told.query is None:
            return
        whole = self._models.asked(told.query)
        for name, schema in whole.get("properties", {}).items():
            parameter: Schema = {"name": name, "in": "query", "required": name in whole.get("required", ())}
            schema = _without_null(schema)
            if "description" in schema:
                parameter["description"] = schema.pop("description")
            yield {**parameter, "schema": schema}

    def _answers(self, told: Operation) -> Schema:
        answers: Schema = {}
        for status, model in told.answers.items():
            if status >= 400:
                continue
            answer: Schema = {"description": "It is done." if model is None else told.summary}
            if model is not None:
                answer["content"] = {told.media: {"schema": self._models.given(model)}}
            elif told.media != JSON:
                answer["content"] = {told.media: {}}
            answers[str(status)] = answer
        return answers

    def _errors(self, told: Operation) -> Schema:
        """The errors that an operation announces, and those that follow from what it is."""
        possible = _possible(told)
        troubles = [Trouble(status, title, "") for kind, status, title in TABLE if kind in possible]
        troubles += [Trouble(status, HTTPStatus(status).phrase, "") for status in told.answers if status >= 400]
        answers: Schema = {}
        for trouble in [*troubles, _DEFECT]:
            status, content_type, _ = self._face.error(trouble)
            answer = answers.setdefault(str(status), {"description": "", **_error_content(content_type)})
            title = f"{trouble.title.capitalize()}."
            if title not in answer["description"]:
                answer["description"] = f"{answer['description']} {title}".lstrip()
        return dict(sorted(answers.items()))

    def tell_of_methods(self, item: Schema) -> None:
        """Where one method takes more kinds of values in the path, the others are not there for these."""
        kinds = {
            method: [each["schema"] for each in told["parameters"] if each["in"] == "path"]
            for method, told in item.items()
        }
        _, content_type, _ = self._face.error(_NO_METHOD)
        for method, told in item.items():
            if any(others != kinds[method] for others in kinds.values()) and not _several(kinds[method]):
                told["responses"]["405"] = {
                    "description": "Not with this kind of value.",
                    **_error_content(content_type),
                }


def described(title: str, base: str, routes: Collection[Route], face: Face) -> Schema:
    """The OpenAPI document of an app of `routes`, as plain JSON values.

    Paths are relative to `base`. Operations that differ only in what kind of value stands in a path (an id or a
    name) are one operation to OpenAPI, and are described as one.
    """
    models = _Models(routes)
    describer = _Describer(face, models)
    shapes: dict[str, _Path] = {}
    paths: dict[str, Schema] = {}
    for route in routes:
        told = route.operation
        path = _Path.of(told.path)
        path = path.renamed(shapes.setdefault(path.shape, path))
        described_operation = describer.operation(told, path)
        item = paths.setdefault(path.template, {})
        method = told.method.lower()
        item[method] = _joined(item[method], described_operation) if method in item else described_operation
    for item in paths.values():
        describer.tell_of_methods(item)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": gandalf.__version__},
        "servers": [{"url": base}],
        "security": [{"bearer": []}],
        "tags": [{"name": name} for name in sorted({route.operation.tag for route in routes})],
        "paths": paths,
        "components": {
            "schemas": {**models.components, "Error": _error_schema(face)},
            "securitySchemes": {"bearer": _BEARER},
        },
    }


def _possible(told: Operation) -> set[type[Exception]]:
    """The errors that follow from what an operation is, from who may use it and from what it takes."""
    possible = set(told.errors)
    takes_body = told.body is not None or bool(told.upload or told.takes)
    if takes_body:
        possible.add(BodyTooLong)
    if takes_body or told.query is not None:
        possible.add(BadRequest)
    if "<" in told.path:
        possible.add(NotFound)
    if told.access is Access.OPEN:
        return possible
    possible |= {NotSignedIn, Forbidden, NotReady, DatabaseUnavailable, DatabaseTimeout}
    if told.method != "GET":
        possible |= {NotFound, Conflict, InvalidState}
    if "If-Match" in told.headers:
        possible.add(PreconditionFailed)
    return possible


def _who(access: Access) -> str:
    needed = access.value.value if isinstance(access.value, Level) else access.value
    return f"For {needed}."


def _in_headers(told: Operation) -> Iterator[Schema]:
    for name, description in told.headers.items():
        yield {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def _upload(told: Operation) -> Schema:
    part = {"type": "string", "contentMediaType": "application/octet-stream"}
    return {"type": "object", "required": [told.upload], "properties": {told.upload: part}}


def _without_null(schema: Schema) -> Schema:
    """A parameter that is not there is not null: it cannot be null either."""
    schema = {key: value for key, value in schema.items() if key != "default" or value is not None}
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema.update(kinds[0])
    elif kinds:
        schema["anyOf"] = kinds
    return schema


def _joined(one: Schema, other: Schema) -> Schema:
    """Two operations at paths of the same shape as one: either kind of value leads to an answer."""
    values = {each["name"]: each["schema"] for each in other["parameters"] if each["in"] == "path"}
    parameters = [
        {**each, "schema": {"anyOf": [each["schema"], values[each["name"]]]}} if each["in"] == "path" else each
        for each in one["parameters"]
    ]
    summary = f"{one['summary'].rstrip('.')}; or: {other['summary'][0].lower()}{other['summary'][1:]}"
    return {
        **one,
        "summary": summary,
        "parameters": parameters,
        "responses": {**other["responses"], **one["responses"]},
    }


def _several(schemas: Collection[Schema]) -> bool:
    """Whether a value in a path may be of several kinds."""
    return any("anyOf" in schema for schema in schemas)


def _error_content(content_type: str) -> Schema:
    return {"content": {content_type: {"schema": {"$ref": f"{_SCHEMAS}Error"}}}}


def _error_schema(face: Face) -> Schema:
    """What all errors look like, seen from one."""
    _, _, body = face.error(_DEFECT)
    kinds = {key: {"type": "integer" if isinstance(value, int) else "string"} for key, value in body.items()}
    return {"type": "object", "properties": kinds, "required": list(kinds)}
