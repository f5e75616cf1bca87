"""An API in memory, with fakes of what the aggregator gives it, and one user whose rights a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast
from uuid import UUID

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest

from gandalf.api.edge import Edge
from gandalf.api.errors import NotSignedIn
from gandalf.api.guard import Guard
from gandalf.api.operation import routes_of
from gandalf.api.v1.face import V1Face
from gandalf.store.errors import NotFound
from gandalf.store.principals import Principal
from gandalf.store.testing import Asked, FakeDatabase
from tests.unit.api.wire import Exchange

USER = UUID(int=1)
ROOT = UUID(int=2)
COMMAND = bytes(range(16))
COMMAND_TEXT = str(UUID(bytes=COMMAND))


class FakeGuard:
    """Knows one token, `good`, of a user with `rights`."""

    def __init__(self) -> None:
        self.rights = {"reading", "writing", "administering"}

    async def user(self, request: IRequest) -> UUID:
        """See `Guard`."""
        if request.getHeader("authorization") != "Bearer good":
            raise NotSignedIn("Missing auth token")
        return USER

    async def principal(self, user: UUID) -> Principal:
        """See `Guard`."""
        rights = {
            right: frozenset({ROOT}) if right in self.rights else frozenset()
            for right in ("reading", "writing", "administering")
        }
        return Principal(user, "somebody", ROOT, **rights)


class OperationsCase(SynchronousTestCase):
    """`subject()` is served; `ask` is a client."""

    def setUp(self) -> None:
        """The site."""
        self.guard = FakeGuard()
        self.database = FakeDatabase()
        edge = Edge(cast(Guard, self.guard), V1Face(), lambda: None)
        self.app = edge.app(routes_of(self.subject()))
        self.exchange = self.connect()
        self.clock = self.exchange.clock

    def subject(self) -> object:
        """What is tested."""
        raise NotImplementedError

    def connect(self) -> Exchange:
        """One more connection."""
        return Exchange(self.app.resource())

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        """An answer, or None while there is none; underscores in the names of headers are hyphens."""
        self.exchange.transport.clear()
        told = {"Host": "localhost", "Authorization": "Bearer good", "Content-Length": str(len(body or b""))}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in (told | headers).items()]
        self.exchange.send("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + (body or b""))
        return self.answered(method)

    def answered(self, method: str = "GET") -> Any:
        """The answer, if there is one."""
        if not self.exchange.transport.value():
            return None
        return self.exchange.answer(method)

    def asked(self) -> Asked:
        """The oldest question to the database that is open."""
        return next(asked for asked in self.database.asked if not asked.answer.called)

    def assert_needs(self, right: str, method: str, path: str, body: bytes | None = None) -> None:
        """401 without a token; 403 without the right, whatever others the user has."""
        self.exchange.ask(method, path, body)
        self.assertEqual(self.exchange.answer(method).status, 401)
        everything = {"reading", "writing", "administering"}
        self.guard.rights = everything - {right}
        self.assertEqual(self.ask(method, path, body).status, 403)
        self.guard.rights = everything


class Later:
    """The clock of the site, which is made after the subject."""

    def __init__(self, case: OperationsCase) -> None:
        self._case = case

    def __getattr__(self, name: str) -> Any:
        return getattr(self._case.clock, name)


@attrs.frozen
class FakeAnswer:
    """An event that answered."""

    event: str
    payload: bytes = b""
    uuid: bytes = b"a" * 16
    at: int = 5
    source: str = "git1"


@attrs.frozen
class FakeRefusal:
    """An error event."""

    code: str
    message: str = "nobody is there"
    at: int = 6
    source: str = "cluster1"


@attrs.frozen
class FakeLife:
    """A command."""

    uuid: bytes = COMMAND
    command: str = "CREATE"
    connector_type: str = "vcs"
    target: str = ""
    sent_at: int = 4
    timeout: int = 10_000
    outcome_timeout: int = 3_600_000
    state: str = "SENT"
    receipt: FakeAnswer | None = None
    progress: tuple[FakeAnswer, ...] = ()
    progress_dropped: int = 0
    outcome: FakeAnswer | None = None
    error: FakeRefusal | None = None
    ended_at: int | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more is expected."""
        return self.ended_at is not None


SUCCESS = FakeLife(
    state="SUCCESS", receipt=FakeAnswer("TAKEN"), outcome=FakeAnswer("SUCCESS", b'{"url":"u"}'), ended_at=7
)


class FakeCommands:
    """Commands that end when a test says so."""

    def __init__(self) -> None:
        self.sent: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.refusal: Exception | None = None
        self.known = FakeLife()
        self.waiters: list[Deferred[FakeLife]] = []
        self.left = 0

    def send(self, *arguments: Any, **options: Any) -> FakeLife:
        """See `Commands`."""
        if self.refusal is not None:
            raise self.refusal
        self.sent.append((arguments, options))
        return self.known

    def get(self, uuid: bytes) -> FakeLife:
        """See `Commands`."""
        if uuid != self.known.uuid:
            raise NotFound("forgotten")
        return self.known

    def ended(self, uuid: bytes) -> Deferred[FakeLife]:
        """See `Commands`."""
        self.get(uuid)
        waiter: Deferred[FakeLife] = Deferred(self._cancelled)
        self.waiters.append(waiter)
        return waiter

    def _cancelled(self, waiter: Deferred[FakeLife]) -> None:
        self.left += 1

    def end(self, life: FakeLife) -> None:
        """The command has ended so."""
        self.known = life
        for waiter in self.waiters:
            waiter.callback(life)

    def latest(self, limit: int = 100) -> list[FakeLife]:
        """See `Commands`."""
        return [self.known][:limit]


class FakeSubscription:
    """One who listens."""

    def __init__(self, patterns: Iterable[str], receive: Callable[[Any], object], ended: Callable[[Any], object]):
        self.patterns = list(patterns)
        self.receive = receive
        self.ended = ended
        self.closed = False

    def close(self) -> None:
        """See `Subscription`."""
        self.closed = True


class FakeEvents:
    """Events, and resuming."""

    def __init__(self) -> None:
        self.emitted: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.recorded: Deferred[bytes] = Deferred()
        self.refusal: Exception | None = None
        self.subscriptions: list[FakeSubscription] = []
        self.resumed_after = b""
        self.room: Callable[[], Deferred[None]] = Deferred
        self.found: Deferred[None] = Deferred()

    def emit(self, *arguments: Any, **options: Any) -> Deferred[bytes]:
        """See `Events`."""
        if self.refusal is not None:
            raise self.refusal
        self.emitted.append((arguments, options))
        return self.recorded

    def subscribe(
        self,
        patterns: Iterable[str],
        receive: Callable[[Any], object],
        ended: Callable[[Any], object] = lambda reason: None,
    ) -> FakeSubscription:
        """See `Events`."""
        if self.refusal is not None:
            raise self.refusal
        self.subscriptions.append(FakeSubscription(patterns, receive, ended))
        return self.subscriptions[-1]

    async def resume(
        self,
        patterns: Iterable[str],
        after: bytes,
        receive: Callable[[Any], object],
        *,
        room: Callable[[], Deferred[None]],
        failed: Callable[[Exception], object],
    ) -> FakeSubscription:
        """See `Replays`."""
        self.resumed_after, self.room = after, room
        await self.found
        return self.subscribe(patterns, receive, failed)
