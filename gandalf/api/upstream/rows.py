"""The resources of the Go system's API (its contract, 4, 5 and 7): one set of operations for every model."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from gandalf.api.accounts import HashFor, keep_password
from gandalf.api.operation import Access, Call, Operation, Reply, Route, json_bytes
from gandalf.api.resources import CREATED_ELSEWHERE, Resources
from gandalf.api.upstream.views import answer_of, body_of, rendered, values_of
from gandalf.store.assignments import ASSIGNED
from gandalf.store.model import Many, Model, Record, Value
from gandalf.store.models import MODELS


class Success(BaseModel):
    """What a deletion answers."""

    result: Literal["success"] = "success"


SUCCESS = Reply({"result": "success"})


class UpstreamRows:
    """The routes of all models that the Go system's API has.

    :param hash_for: hashes passwords.
    """

    def __init__(self, resources: Resources, hash_for: HashFor) -> None:
        self._resources = resources
        self._hash_for = hash_for

    def routes(self) -> Iterator[Route]:
        """All of them."""
        for model in MODELS.values():
            if model.upstream:
                yield from self._of(model)
        for collection, many in ASSIGNED.items():
            yield from self._assigned(collection, many)

    def _of(self, model: Model) -> Iterator[Route]:
        one = f"/{model.collection.lower()}/<uuid:id>"
        whole, answer, body = f"/{model.collection.lower()}", answer_of(model), body_of(model)
        words = model.words
        if model.can("list"):
            yield self._route(model, "list", "GET", whole, f"List each {words}.", {200: _list_of(model)})
        if model.tree:
            yield self._route(
                model, "tree", "GET", f"{whole}/tree", f"The {words} tree, from its root.", {200: answer}
            )
        if model.can("create") and model.name not in CREATED_ELSEWHERE:
            path = one if model.tree else whole
            yield self._route(model, "create", "POST", path, f"Create a {words}.", {201: answer}, body)
        if model.can("read"):
            yield self._route(model, "read", "GET", one, f"Read a {words}.", {200: answer})
        if model.can("named"):
            named = f"{whole}/<name>"
            yield self._route(model, "named", "GET", named, f"Read a {words} by its name.", {200: answer})
        if model.can("update"):
            yield self._route(model, "update", "PUT", one, f"Replace what a {words} holds.", {200: answer}, body)
        if model.can("delete"):
            yield self._route(model, "delete", "DELETE", one, f"Delete a {words}.", {200: Success})

    def _assigned(self, collection: str, many: Many) -> Iterator[Route]:
        whole = f"/domain/<uuid:id>/{collection}"
        other = MODELS[many.model]
        handlers: Mapping[str, tuple[str, str, str, Any, dict[int, Any]]] = {
            "list": (
                "GET",
                whole,
                f"List each {other.words} of a domain.",
                self._list_assigned,
                {200: _list_of(other)},
            ),
            "assign": (
                "POST",
                f"{whole}/<uuid:other>",
                f"Give a domain a {other.words}.",
                self._assign,
                {200: Success},
            ),
            "withdraw": (
                "DELETE",
                f"{whole}/<uuid:other>",
                f"Take a {other.words} from a domain.",
                self._withdraw,
                {200: Success},
            ),
        }
        for verb, (method, path, summary, handler, answers) in handlers.items():
            told = Operation(
                f"Domain.{collection}.{verb}", method, path, Access.ROWS, summary, "Domain", answers=answers
            )
            yield Route(told, functools.partial(handler, many))

    def _route(
        self,
        model: Model,
        verb: str,
        method: str,
        path: str,
        summary: str,
        answers: dict[int, Any],
        body: type[BaseModel] | None = None,
    ) -> Route:
        told = Operation(
            f"{model.name}.{verb}", method, path, Access.ROWS, summary, model.name, body, answers=answers
        )
        return Route(told, functools.partial(getattr(self, f"_{verb}"), model))

    async def _list(self, model: Model, call: Call) -> Reply:
        def shown(found: list[Record]) -> bytes:
            return json_bytes([rendered(model, record) for record in found])

        return Reply(await self._resources.list(call.user, model, shown, loads=model.listed))

    async def _tree(self, model: Model, call: Call) -> Reply:
        def shown(root: Record) -> bytes:
            return json_bytes(rendered(model, root))

        return Reply(await self._resources.tree(call.user, model, shown))

    async def _read(self, model: Model, call: Call, id: UUID) -> Reply:
        return Reply(rendered(model, await self._resources.read(call.user, model, id, loads=model.read)))

    async def _named(self, model: Model, call: Call, name: str) -> Reply:
        return Reply(rendered(model, await self._resources.named(call.user, model, name, loads=model.read)))

    async def _create(self, model: Model, call: Call, id: UUID | None = None) -> Reply:
        """`id` is the parent's, in a tree."""
        values = await self._values(model, call.body)
        values.pop("deleted_at", None)
        created = await self._resources.create(call.user, model, values, below=id)
        return Reply(rendered(model, created), 201)

    async def _update(self, model: Model, call: Call, id: UUID) -> Reply:
        values = await self._values(model, call.body)
        return Reply(rendered(model, await self._resources.update(call.user, model, id, values)))

    async def _delete(self, model: Model, call: Call, id: UUID) -> Reply:
        await self._resources.delete(call.user, model, id)
        return SUCCESS

    async def _values(self, model: Model, body: Any) -> dict[str, Value]:
        values = values_of(model, body)
        await keep_password(model, values, lambda: body.password, self._hash_for)
        return values

    async def _list_assigned(self, many: Many, call: Call, id: UUID) -> Reply:
        found: list[Record] = await self._resources.assigned(call.user, many, id)
        return Reply([rendered(MODELS[many.model], record) for record in found])

    async def _assign(self, many: Many, call: Call, id: UUID, other: UUID) -> Reply:
        await self._resources.assign(call.user, many, id, other)
        return SUCCESS

    async def _withdraw(self, many: Many, call: Call, id: UUID, other: UUID) -> Reply:
        await self._resources.assign(call.user, many, id, other, withdraw=True)
        return SUCCESS


@functools.cache
def _list_of(model: Model) -> Any:
    """A list of what is answered of `model`."""
    return list[answer_of(model)]  # type: ignore[misc]
