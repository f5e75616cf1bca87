"""The resources of `/api/v1`: one set of operations for every model."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel
from twisted.web.iweb import IRequest

from gandalf.api.accounts import HashFor, keep_password
from gandalf.api.errors import PreconditionFailed
from gandalf.api.operation import Access, Call, Operation, Reply, Route, json_bytes
from gandalf.api.resources import CREATED_ELSEWHERE, Check, Resources
from gandalf.api.v1 import views
from gandalf.api.v1.cursor import cursor_after, place_of
from gandalf.api.v1.tags import matches, tags_in
from gandalf.store.assignments import ASSIGNED
from gandalf.store.model import Many, Model, Record, Value
from gandalf.store.models import DOMAIN, MODELS
from gandalf.store.rows import Page

NOTHING: Final = Reply(b"", 204)

_IF_MATCH: Final = {"If-Match": "The ETag that the row has to have, or several; `*`: any. Otherwise 412."}
_IF_NONE_MATCH: Final = {"If-None-Match": "An ETag that is known already, or several: 304 if the row still has it."}


class V1Resources:
    """The routes of all models.

    :param hash_for: hashes passwords.
    """

    def __init__(self, resources: Resources, hash_for: HashFor) -> None:
        self._resources = resources
        self._hash_for = hash_for

    def routes(self) -> Iterator[Route]:
        """All of them."""
        for model in MODELS.values():
            yield from self._of(model)
        for many in ASSIGNED.values():
            yield from self._assigned(many)

    def _of(self, model: Model) -> Iterator[Route]:
        words, whole, one = model.words, f"/{model.plural}", f"/{model.plural}/<uuid:id>"
        answer = views.answer_of(model)
        route = functools.partial(_route, model)
        if model.can("list"):
            handler = functools.partial(self._list, model)
            query, page = views.query_of(model), views.page_of(model)
            yield route("list", "GET", whole, f"List each {words}.", handler, {200: page}, query=query)
        if model.tree:
            handler = functools.partial(self._tree, model)
            tree = {200: views.tree_of(model)}
            yield route("tree", "GET", f"{whole}/tree", f"The {words} tree, from its root.", handler, tree)
        if model.can("create") and model.name not in CREATED_ELSEWHERE:
            handler = functools.partial(self._create, model)
            body = views.creation_of(model)
            yield route("create", "POST", whole, f"Create a {words}.", handler, {201: answer}, body=body)
        if model.can("read"):
            handler = functools.partial(self._read, model)
            answers = {200: answer, 304: None}
            yield route("read", "GET", one, f"Read a {words}.", handler, answers, headers=_IF_NONE_MATCH)
        if model.can("update"):
            handler = functools.partial(self._update, model)
            body, summary = views.change_of(model), f"Change a {words}."
            yield route("update", "PATCH", one, summary, handler, {200: answer}, body=body, headers=_IF_MATCH)
        if model.can("delete"):
            handler = functools.partial(self._delete, model)
            yield route("delete", "DELETE", one, f"Delete a {words}.", handler, {204: None}, headers=_IF_MATCH)

    def _assigned(self, many: Many) -> Iterator[Route]:
        other = MODELS[many.model]
        whole, verb = f"/{DOMAIN.plural}/<uuid:id>/{other.plural}", other.plural
        one = f"{whole}/<uuid:other>"
        handler = functools.partial(self._list_assigned, many)
        answers = {200: views.list_of(other)}
        yield _route(DOMAIN, f"{verb}.list", "GET", whole, f"Each {other.words} of a domain.", handler, answers)
        handler = functools.partial(self._assign, many)
        summary = f"Give a domain a {other.words}."
        yield _route(DOMAIN, f"{verb}.assign", "PUT", one, summary, handler, {204: None})
        handler = functools.partial(self._withdraw, many)
        summary = f"Take a {other.words} from a domain."
        yield _route(DOMAIN, f"{verb}.withdraw", "DELETE", one, summary, handler, {204: None})

    async def _list(self, model: Model, call: Call) -> Reply:
        query = call.query.model_dump(by_alias=True)
        order, limit = query["order"], query["limit"]
        after = None if query["cursor"] is None else place_of(model, query["cursor"], order)
        # One more than is wanted tells whether there are more.
        page = Page(
            views.filters_of(model, call.query), order.removeprefix("-"), order.startswith("-"), limit + 1, after
        )

        def shown(found: list[Record]) -> tuple[bytes, str | None]:
            cursor = cursor_after(found[limit - 1], order) if len(found) > limit else None
            return json_bytes({"items": [views.shown(model, each) for each in found[:limit]], "next": cursor}), cursor

        content, cursor = await self._resources.list(call.user, model, shown, page=page)
        return Reply(content, headers={} if cursor is None else {"Link": _link_to_next(call.request, cursor)})

    async def _tree(self, model: Model, call: Call) -> Reply:
        def shown(root: Record) -> bytes:
            return json_bytes(views.shown_tree(model, root))

        return Reply(await self._resources.tree(call.user, model, shown))

    async def _read(self, model: Model, call: Call, id: UUID) -> Reply:
        record = await self._resources.read(call.user, model, id)
        tag = views.etag(model, record)
        if matches(tag, tags_in(call.request, "If-None-Match")):
            return Reply(b"", 304, {"ETag": tag})
        return Reply(views.shown(model, record), headers={"ETag": tag})

    async def _create(self, model: Model, call: Call) -> Reply:
        values = await self._values(model, call.body)
        below = values.pop("parent_id") if model.tree else None
        assert below is None or isinstance(below, UUID)
        created = await self._resources.create(call.user, model, values, below=below)
        headers = {
            "Location": f"{_path(call.request)}/{created['id']}",
            "ETag": views.etag(model, created),
        }
        return Reply(views.shown(model, created), 201, headers)

    async def _update(self, model: Model, call: Call, id: UUID) -> Reply:
        values = await self._values(model, call.body)
        check = _unchanged(model, call.request)
        updated = await self._resources.update(call.user, model, id, values, check=check)
        return Reply(views.shown(model, updated), headers={"ETag": views.etag(model, updated)})

    async def _delete(self, model: Model, call: Call, id: UUID) -> Reply:
        await self._resources.delete(call.user, model, id, check=_unchanged(model, call.request))
        return NOTHING

    async def _values(self, model: Model, body: BaseModel) -> dict[str, Value]:
        values = views.values_of(model, body)
        await keep_password(model, values, lambda: body.model_dump(by_alias=True)["password"], self._hash_for)
        return values

    async def _list_assigned(self, many: Many, call: Call, id: UUID) -> Reply:
        found = await self._resources.assigned(call.user, many, id)
        return Reply({"items": [views.shown(MODELS[many.model], record) for record in found]})

    async def _assign(self, many: Many, call: Call, id: UUID, other: UUID) -> Reply:
        await self._resources.assign(call.user, many, id, other)
        return NOTHING

    async def _withdraw(self, many: Many, call: Call, id: UUID, other: UUID) -> Reply:
        await self._resources.assign(call.user, many, id, other, withdraw=True)
        return NOTHING


def _route(
    model: Model,
    verb: str,
    method: str,
    path: str,
    summary: str,
    handler: Callable[..., Awaitable[Reply]],
    answers: Mapping[int, Any],
    *,
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Route:
    told = Operation(
        f"{model.plural}.{verb}",
        method,
        path,
        Access.ROWS,
        summary,
        model.plural,
        body,
        query,
        answers,
        headers=headers or {},
    )
    return Route(told, handler)


def _unchanged(model: Model, request: IRequest) -> Check:
    """Raises `PreconditionFailed` when a row is not one of those that the client names."""
    wanted = tags_in(request, "If-Match")

    def check(record: Record) -> None:
        if wanted is not None and not matches(views.etag(model, record), wanted):
            raise PreconditionFailed(
                f"the {model.words} is not what If-Match names: its ETag is {views.etag(model, record)}"
            )

    return check


def _link_to_next(request: IRequest, cursor: str) -> str:
    """The header that leads to the next page (RFC 8288)."""
    arguments = {name: values[-1] for name, values in (request.args or {}).items()}
    query = urlencode({**arguments, b"cursor": cursor.encode()})
    return f'<{_path(request)}?{query}>; rel="next"'


def _path(request: IRequest) -> str:
    """The path as it was understood. As it was sent it may begin with two slashes, which would be another host."""
    segments = [segment.decode() for segment in [*request.prepath, *request.postpath] if segment]
    return f"/{'/'.join(segments)}"
