"""Who asks: from the header of a request to a user, and to what the user may do."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.web.iweb import IRequest

from gandalf.api.errors import NotSignedIn
from gandalf.api.tokens import Signer, TokenMissing, TokenRefused, bearer
from gandalf.store.accounts import signing_keys_txn
from gandalf.store.database import Database
from gandalf.store.errors import NotFound
from gandalf.store.principals import Principal, principal_txn

T = TypeVar("T")


class Guard:
    """Lets users in.

    :param database: the tenant's database as it is now; raises `DatabaseUnavailable`.
    :param writers: the names of the roles that may write.
    :param now: seconds since the epoch.
    """

    def __init__(
        self, database: Callable[[], Database], tenant: str, writers: Collection[str], now: Callable[[], float]
    ) -> None:
        self._database = database
        self._tenant = tenant
        self._writers = writers
        self._now = now
        self._signer: Signer | None = None

    async def signer(self) -> Signer:
        """What signs and reads tokens, with the installation's keys.

        :raises gandalf.store.errors.StoreError: they cannot be had.
        """
        if self._signer is None:
            keys = await self._database().run("signing keys", signing_keys_txn, now=self.milliseconds())
            self._signer = Signer(keys, self._tenant, self._now)
        return self._signer

    async def user(self, request: IRequest) -> UUID:
        """The user whose token comes with the request.

        :raises NotSignedIn: there is none, or it is not accepted.
        """
        try:
            token = bearer(request.getHeader(b"authorization"))
            return (await self.signer()).read(token).user_id
        except (TokenMissing, TokenRefused) as error:
            raise NotSignedIn(str(error)) from None

    def run(self, name: str, user: UUID, work: Callable[[Connection, Principal], T]) -> Deferred[T]:
        """Do `work` in a transaction in which it is certain who the user is and what he or she may do.

        It has to be repeatable, as every `*_txn`. Fails with `NotSignedIn` when the user is not there any more.
        """

        return self._database().run(name, self._guarded(user, work))

    def read(self, name: str, user: UUID, work: Callable[[Connection, Principal], T]) -> Deferred[T]:
        """As `run`, for what only reads."""
        return self._database().read(name, self._guarded(user, work))

    def _guarded(self, user: UUID, work: Callable[[Connection, Principal], T]) -> Callable[[Connection], T]:
        def guarded_txn(connection: Connection) -> T:
            try:
                principal = principal_txn(connection, user, self._writers)
            except NotFound as error:
                raise NotSignedIn(str(error)) from None
            return work(connection, principal)

        return guarded_txn

    async def principal(self, user: UUID) -> Principal:
        """Who the user is now; errors as of `run`."""
        return await self.read("who asks", user, lambda connection, principal: principal)

    def milliseconds(self) -> int:
        """The present, in ms since the epoch."""
        return int(self._now() * 1000)
