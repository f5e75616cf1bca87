"""The Go system's API over a tenant of its own on PostgreSQL, in one thread and without a socket."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import attrs
from treq.testing import StubTreq
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.aggregator.serving import Tenancy, upstream_app
from gandalf.api.accounts import Accounts
from gandalf.api.attempts import Attempts
from gandalf.api.errors import Refused
from gandalf.api.guard import Guard
from gandalf.api.installation import NewTenant
from gandalf.api.resources import Resources
from gandalf.api.root import Root
from gandalf.store import tenants
from gandalf.store.database import Database
from gandalf.store.testing import ThreadlessReactor
from tests.integration import postgres

BASE = "http://localhost/ditrit/Gandalf/1.0.0"
ZERO = "00000000-0000-0000-0000-000000000000"
_numbers = itertools.count(1)


@attrs.define
class FakeInstallation:
    """A cluster that makes everything, unless it is told to refuse."""

    refuses: bool = False
    uploads: list[tuple[str, str, bytes]] = attrs.field(factory=list)

    async def create_tenant(self, name: str) -> NewTenant:
        """Two administrators."""
        if self.refuses:
            raise Refused("one of 'gandalf' may")
        return NewTenant(("Administrator1", "Administrator2"), ("one", "two"), "secret")

    async def create_secret(self, component_type: str = "", logical_name: str = "") -> dict[str, Any]:
        """Always the same."""
        return {"id": "1", "secret": "4f1c6a52-6d43-4c43-8b53-6b0f5a1c0d11"}

    async def secrets(self) -> list[dict[str, Any]]:
        """One that is bound, one that was revoked."""
        return [
            {"id": "1", "bind_address": "127.0.0.1:9103", "revoked_at": None},
            {"id": "2", "bind_address": None, "revoked_at": 5},
        ]

    async def revoke_secret(self, id: UUID) -> None:
        """Nothing."""

    async def upload(self, tenant: str, type: str, content: bytes) -> None:
        """Remembered."""
        self.uploads.append((tenant, type, content))


@attrs.frozen
class Answer:
    """Status, headers and body of an answer."""

    status: int
    headers: Any
    content: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.content)


def in_thread(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
    """At once."""
    return succeed(function(*args))


class UpstreamCase(SynchronousTestCase):
    """A new tenant, its API, and its first administrator logged in."""

    two_administrators = True

    def setUp(self) -> None:
        self.tenant = f"upstream-{next(_numbers)}"
        control = postgres.control_dsn()
        self.logins = tenants.create_tenant(control, self.tenant, now=0)
        with postgres.transaction(control) as connection:
            self.dsn = tenants.tenant_dsn_txn(connection, self.tenant, control)
        self.database = Database(self.dsn, reactor=ThreadlessReactor())  # type: ignore[arg-type]
        self.addCleanup(lambda: self.successResultOf(self.database.close()))
        self.now = time.time()
        guard = Guard(lambda: self.database, self.tenant, ["Writer"], lambda: self.now)
        accounts = Accounts(guard, lambda: self.database, Attempts(Clock()), in_thread)
        resources = Resources(guard, two_administrators=self.two_administrators)
        self.installation = FakeInstallation()
        tenancy = Tenancy(self.tenant, guard, accounts, resources, self.installation)
        app = upstream_app(tenancy, lambda: None)
        self.client: Any = StubTreq(Root(app, app, app))
        self.token = self.log_in(self.logins.login[0], self.logins.password[0])

    def log_in(self, email: str, password: str) -> str:
        """The token of a user."""
        answer = self.ask("POST", "/user/login", {"Email": email, "Password": password}, token="")
        self.assertEqual(answer.status, 200, answer.content)
        token: str = answer.json["accessToken"]
        return token

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        """Send a request as the administrator, or with another token ("" for none)."""
        bearer = self.token if token is None else token
        sent = {"Authorization": f"Bearer {bearer}", **(headers or {})}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        response = self.successResultOf(self.client.request(method, BASE + path, headers=sent, data=data, **more))
        return Answer(response.code, response.headers, self.successResultOf(response.content()))

    def made(self, path: str, **fields: Any) -> Any:
        """A row that was created."""
        answer = self.ask("POST", path, fields)
        self.assertEqual(answer.status, 201, answer.content)
        return answer.json

    def listed(self, path: str) -> Any:
        """A list."""
        answer = self.ask("GET", path)
        self.assertEqual(answer.status, 200, answer.content)
        return answer.json

    def root(self) -> str:
        """The id of the root domain."""
        id: str = self.listed("/domain/tree")["ID"]
        return id
