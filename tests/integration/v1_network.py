"""`/api/v1` on a tenant's database of its own, asked without a network and without threads."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import attrs
from klein import Klein
from psycopg2 import sql
from treq.testing import StubTreq
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.api.accounts import Accounts
from gandalf.api.attempts import Attempts
from gandalf.api.edge import Edge
from gandalf.api.guard import Guard
from gandalf.api.operation import routes_of
from gandalf.api.resources import Resources
from gandalf.api.root import Root
from gandalf.api.v1.accounts import V1Accounts
from gandalf.api.v1.face import V1Face
from gandalf.api.v1.resources import V1Resources
from gandalf.store import dsn as dsns
from gandalf.store.database import Database
from gandalf.store.model import Model
from gandalf.store.models import AUTHORIZATION, DOMAIN, MODELS, ROLE, TAG, USER
from gandalf.store.seed import ADMINISTRATORS, seed_txn
from gandalf.store.testing import ThreadlessReactor

from . import postgres
from .tenant_tables import plant

WRITERS = ("Developer",)
BASE = "/api/v1"


@functools.cache
def seeded() -> tuple[str, str]:
    """The name of a database in which a new tenant's rows are, to be copied, and the administrators' password."""
    dsn = postgres.create_tenant_tables()
    with postgres.transaction(dsn) as connection:
        logins = seed_txn(connection, tenant="tenant1", now=1_000)
    return dsns.parse(dsn)["dbname"], logins.password[0]


def copied() -> str:
    """The URI of a new copy of it."""
    name = f"copy_{uuid.uuid4().hex}"
    command = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(seeded()[0]))
    postgres.execute(postgres.admin_dsn(), command)
    return dsns.replaced(postgres.admin_dsn(), dbname=name)


@attrs.frozen
class Answer:
    """What came back: `json` is None when the body is empty."""

    status: int
    json: Any
    headers: Mapping[str, str]

    @property
    def etag(self) -> str:
        """Its entity tag."""
        return self.headers["etag"]


class V1Case(SynchronousTestCase):
    """Asks the API, as the first of the two administrators if nobody else is named."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.dsn = copied()
        reactor: Any = ThreadlessReactor()
        self.database: Database | Exception = Database(self.dsn, reactor=reactor)
        self.addCleanup(self.drop, self.database)
        guard = Guard(self.current, "tenant1", WRITERS, self.clock.seconds)
        self.guard = guard
        accounts = Accounts(guard, self.current, Attempts(self.clock), self.at_once)
        resources = Resources(guard, two_administrators=True)
        routes = [
            *V1Resources(resources, accounts.hash_for).routes(),
            *routes_of(V1Accounts(accounts, guard, resources)),
        ]
        v1 = Edge(guard, V1Face(), lambda: None).app(routes)
        self.client: Any = StubTreq(Root(Klein(), v1, Klein()))
        self.tokens: dict[str, str] = {}
        self.administrator: str = ""
        with postgres.transaction(self.dsn) as connection:
            rows = {
                row.email: row.id for row in connection.execute(USER.table.select()) if row.email in ADMINISTRATORS
            }
        self.administrator = self.token(rows[ADMINISTRATORS[0]], ADMINISTRATORS[0])
        self.root = self.one("domains", name="root")["id"]
        self.root_tag = self.one("tags", name="root")["id"]

    def drop(self, database: Database) -> None:
        """Remove the copy."""
        self.successResultOf(database.close())
        name = sql.Identifier(dsns.parse(self.dsn)["dbname"])
        postgres.execute(postgres.admin_dsn(), sql.SQL("DROP DATABASE {}").format(name))

    def current(self) -> Database:
        """The database, unless a test has said otherwise."""
        if isinstance(self.database, Exception):
            raise self.database
        return self.database

    def at_once(self, function: Any, *args: Any) -> Deferred[Any]:
        """What is done in a thread elsewhere."""
        return maybeDeferred(function, *args)

    def token(self, id: UUID, email: str) -> str:
        """A token of a user."""
        return self.successResultOf(Deferred.fromCoroutine(self.guard.signer())).issue(id, email)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """One request; `token` "" is none at all, `raw` is a body as it is."""
        token = self.administrator if token is None else token
        sent: dict[str, Any] = {"json": body} if body is not None else {}
        if raw is not None:
            sent = {"data": raw}
        all_headers = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        url = f"http://here{path if BASE in path else BASE + path}"
        response = self.successResultOf(self.client.request(method, url, headers=all_headers, **sent))
        content = self.successResultOf(response.content())
        told = {name.decode().lower(): values[-1].decode() for name, values in response.headers.getAllRawHeaders()}
        return Answer(response.code, self.successResultOf(response.json()) if content else None, told)

    def made(self, plural: str, token: str | None = None, **body: Any) -> dict[str, Any]:
        """A new row."""
        answer = self.ask("POST", f"/{plural}", body, token=token)
        self.assertEqual(answer.status, 201, answer.json)
        row: dict[str, Any] = answer.json
        return row

    def one(self, plural: str, **filters: str) -> dict[str, Any]:
        """The only row that fits."""
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        (row,) = self.ask("GET", f"/{plural}?{query}").json["items"]
        found: dict[str, Any] = row
        return found

    def user(self, email: str, role: str = "", domain: str = "") -> str:
        """The token of a new user, who has this role on this domain if one is given."""
        user = self.made(USER.plural, email=email)
        if role:
            found = self.ask("GET", f"/{ROLE.plural}?name={role}").json["items"]
            id = found[0]["id"] if found else self.made(ROLE.plural, name=role)["id"]
            self.made(AUTHORIZATION.plural, user_id=user["id"], role_id=id, domain_id=domain)
        return self.token(UUID(user["id"]), email)

    def body_of(self, model: Model) -> dict[str, Any]:
        """What creates a row of a model, with a value for everything; references lead to new rows."""
        body: dict[str, Any] = {}
        for field in model.fields:
            if model is DOMAIN and field.column == "git_url":
                continue
            if field.refers:
                body[field.column] = self.some(MODELS[field.refers])
            else:
                text = f"{model.name} {field.column} {uuid.uuid4().hex[:8]}"
                body[field.column] = {"text": text, "int8": 7, "bool": True}[field.type]
        return body

    def some(self, model: Model) -> str:
        """The id of a row of a model; a new one, or the root of a tree."""
        if model.tree:
            return str({DOMAIN: self.root, TAG: self.root_tag}[model])
        if model.can("create"):
            return str(self.made(model.plural, **self.body_of(model))["id"])
        with postgres.transaction(self.dsn) as connection:
            return str(plant(connection, model)["id"])
