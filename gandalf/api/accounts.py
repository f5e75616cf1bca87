"""Logging in, and what becomes of the passwords that clients set: for both faces of the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from twisted.internet.defer import Deferred

from gandalf.api.attempts import Attempts
from gandalf.api.errors import InvalidCredentials
from gandalf.api.guard import Guard
from gandalf.api.passwords import burn, stored, verified
from gandalf.store.accounts import Account, account_txn, replace_hash_txn
from gandalf.store.database import Database
from gandalf.store.errors import NotFound
from gandalf.store.model import Model, Value

HashFor = Callable[[str | None], Awaitable[str | None]]
"""The hash under which a password is to be kept; None when it stays as it is (:meth:`Accounts.hash_for`)."""


async def keep_password(
    model: Model, values: dict[str, Value], password: Callable[[], str | None], hash_for: HashFor
) -> None:
    """Put the hash of a password that a client sets among the values of a row, if rows of `model` have one."""
    member = model.password
    if member is not None and member.column is not None:
        hashed = await hash_for(password())
        if hashed is not None:
            values[member.column] = hashed


class Accounts:
    """Lets users log in with their email and password.

    :param database: the tenant's database as it is now; raises `DatabaseUnavailable`.
    :param in_thread: calls a function that takes its time (hashing does) away from the reactor.
    """

    def __init__(
        self,
        guard: Guard,
        database: Callable[[], Database],
        attempts: Attempts,
        in_thread: Callable[..., Deferred[Any]],
    ) -> None:
        self._guard = guard
        self._database = database
        self._attempts = attempts
        self._in_thread = in_thread

    async def log_in(self, email: str, password: str, address: str) -> tuple[str, Account]:
        """A token for the user of this email, who is told too; `address` is where the attempt comes from.

        An unknown email takes as long as a wrong password, and counts as one.

        :raises NotFound: there is no such user.
        :raises InvalidCredentials: the password is wrong.
        :raises gandalf.api.attempts.TooManyAttempts: too many have failed lately.
        :raises gandalf.store.errors.StoreError: the database cannot be asked.
        """
        found: Account | None = None

        async def judge() -> bool:
            nonlocal found
            try:
                found = await self._database().run("who logs in", account_txn, email)
            except NotFound:
                await self._in_thread(burn, password)
                return False
            verdict = await self._in_thread(verified, password, found.password_hash)
            if verdict.replacement is not None:
                await self._database().run("keep a better hash", replace_hash_txn, found, verdict.replacement)
            return bool(verdict.ok)

        let_in = await self._attempts.judged(email, address, judge)
        if found is None:
            raise NotFound("Email not found")
        if not let_in:
            raise InvalidCredentials("Invalid login credentials. Please try again")
        return await self.token(found.id, found.email), found

    async def token(self, user: UUID, email: str) -> str:
        """A token for a user who is known to be who he or she says.

        :raises gandalf.store.errors.StoreError: the database cannot be asked.
        """
        return (await self._guard.signer()).issue(user, email)

    async def hash_for(self, password: str | None) -> str | None:
        """What is to be stored for a password that a client sets; None: it stays as it is.

        :raises gandalf.api.passwords.PasswordRefused: it cannot be a password; the text says why.
        """
        if not password:
            return None
        return await self._in_thread(stored, password) or None
