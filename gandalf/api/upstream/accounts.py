"""Logging in and registering (section 2 of the Go system's contract)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from gandalf.api.accounts import Accounts
from gandalf.api.operation import Access, Call, Reply, operation
from gandalf.api.resources import Resources
from gandalf.api.upstream.views import Body as UpstreamBody
from gandalf.api.upstream.views import Text, answer_of, body_of, rendered, values_of
from gandalf.store.models import USER


class Credentials(UpstreamBody):
    """Email and password; the command line sends a whole user around them."""

    Email: Text = ""
    Password: Text = ""


class Token(BaseModel):
    """A token, to be sent as `Authorization: Bearer <token>`."""

    accessToken: str


class TokenAndUser(Token):
    """A token, and whose it is."""

    user: answer_of(USER)  # type: ignore[valid-type]


class UpstreamAccounts:
    """`/`, `/user/login`, `/user/logout`, `/user/register`.

    :param own: reads the row of a user who has logged in.
    """

    def __init__(self, accounts: Accounts, resources: Resources) -> None:
        self._accounts = accounts
        self._resources = resources

    @operation("GET", "/", Access.OPEN, "Say hello.", answers={200: None}, tag="User")
    async def hello(self, call: Call) -> Reply:
        """Tells a client that it has found the API."""
        return Reply(b"Hello World!", headers={"Content-Type": "text/plain; charset=utf-8"})

    @operation(
        "POST",
        "/user/login",
        Access.OPEN,
        "Log in.",
        body=Credentials,
        answers={200: TokenAndUser, 401: None, 404: None, 429: None, 503: None},
        tag="User",
    )
    async def login(self, call: Call) -> Reply:
        """A token for an email and a password."""
        address: Any = call.request.getClientAddress()
        token, account = await self._accounts.log_in(
            call.body.Email, call.body.Password, getattr(address, "host", "")
        )
        user = await self._resources.read(account.id, USER, account.id)
        return Reply({"accessToken": token, "user": rendered(USER, user)})

    @operation(
        "POST",
        "/user/logout",
        Access.OPEN,
        "Do nothing: tokens expire by themselves.",
        answers={200: None},
        tag="User",
    )
    async def logout(self, call: Call) -> Reply:
        """An empty answer, as clients expect."""
        return Reply(b"", headers={"Content-Type": "text/plain; charset=utf-8"})

    @operation(
        "POST", "/user/register", Access.ROWS, "Create a user.", body=body_of(USER), answers={200: Token}, tag="User"
    )
    async def register(self, call: Call) -> Reply:
        """Creates a user, and answers with a token of that user."""
        values = values_of(USER, call.body)
        values.pop("deleted_at", None)
        values["password_hash"] = await self._accounts.hash_for(call.body.password) or ""
        created = await self._resources.create(call.user, USER, values)
        return Reply({"accessToken": await self._accounts.token(created["id"], created["email"])})
