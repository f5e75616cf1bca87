"""Logging in to `/api/v1`, and who one is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from gandalf.api.accounts import Accounts
from gandalf.api.errors import InvalidCredentials
from gandalf.api.guard import Guard
from gandalf.api.operation import Access, Call, Reply, operation
from gandalf.api.resources import Resources
from gandalf.api.v1.views import Strict, Text, answer_of, shown, time_text
from gandalf.store.errors import NotFound
from gandalf.store.models import USER

REFUSED = "Invalid login credentials. Please try again"
"""The same for an unknown user and for a wrong password: who is a user is nobody's business."""


class Credentials(Strict):
    """The user's email, under either name, and password."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["email"]}, {"required": ["login"]}]})

    email: Text = ""
    login: Text = Field(default="", description="The same as `email`.")
    password: Text = Field(json_schema_extra={"writeOnly": True}, repr=False)

    @model_validator(mode="after")
    def _one_name(self) -> Credentials:
        if len(self.model_fields_set & {"email", "login"}) != 1:
            raise ValueError("either email or login has to be there")
        return self


class LoggedIn(BaseModel):
    """A token, to be sent as `Authorization: Bearer <token>`."""

    token: str
    expires_at: AwareDatetime
    user: answer_of(USER)  # type: ignore[valid-type]


class Domains(BaseModel):
    """The ids of the domains on which a user may do this."""

    read: list[UUID]
    write: list[UUID]
    administer: list[UUID]


class Me(BaseModel):
    """A user, and what the user may do: `administrator` is whether on the whole tenant."""

    user: answer_of(USER)  # type: ignore[valid-type]
    administrator: bool
    domains: Domains


class V1Accounts:
    """`/login` and `/me`.

    :param resources: read the row of a user who has logged in.
    """

    def __init__(self, accounts: Accounts, guard: Guard, resources: Resources) -> None:
        self._accounts = accounts
        self._guard = guard
        self._resources = resources

    @operation(
        "POST",
        "/login",
        Access.OPEN,
        "Log in.",
        body=Credentials,
        answers={200: LoggedIn, 401: None, 429: None, 503: None},
        tag="accounts",
    )
    async def login(self, call: Call) -> Reply:
        """A token for an email and a password."""
        told: Credentials = call.body
        address: Any = call.request.getClientAddress()
        try:
            token, account = await self._accounts.log_in(
                told.email or told.login, told.password, getattr(address, "host", "")
            )
        except (NotFound, InvalidCredentials):
            raise InvalidCredentials(REFUSED) from None
        expires_at = (await self._guard.signer()).read(token).expires_at
        user = await self._resources.read(account.id, USER, account.id)
        return Reply(
            {
                "token": token,
                "expires_at": time_text(datetime.fromtimestamp(expires_at, UTC)),
                "user": shown(USER, user),
            }
        )

    @operation("GET", "/me", Access.ROWS, "Who asks, and what he or she may do.", answers={200: Me}, tag="accounts")
    async def me(self, call: Call) -> Reply:
        """The user whose token it is."""
        principal = await self._guard.principal(call.user)
        user = await self._resources.read(call.user, USER, call.user)
        rights = {
            "read": principal.reading,
            "write": principal.writing,
            "administer": principal.administering,
        }
        domains = {right: sorted(map(str, ids)) for right, ids in rights.items()}
        return Reply({"user": shown(USER, user), "administrator": principal.is_administrator, "domains": domains})
