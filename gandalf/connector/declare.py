"""How a connector is written: a declaration of the commands it carries out and the events it reacts to.

```python
git = Connector(type="vcs", product="git", versions=[(1, 0)])

class CreateRepository(BaseModel):
    name: str

@git.command("CREATE_REPOSITORY", CreateRepository)
def create_repository(request: CreateRepository, job: Job) -> dict[str, object]:
    job.progress("initialising")
    return {"url": "..."}

@git.on("project.*")
async def project(event: ReceivedEvent, network: Network) -> None: ...
```

A declaration does no I/O: what carries it out is `gandalf.connector.execution`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, TypeVar

import attrs
from pydantic import BaseModel
from twisted.application.service import IService

from gandalf.connector.job import Job
from gandalf.connector.network import EventHandler, Host, Network
from gandalf.routing.topics import TopicFilter

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")
On = TypeVar("On", bound=EventHandler)

CommandFunction: TypeAlias = Callable[[Any, Job], Any]
Beside: TypeAlias = Callable[[Any, Network, Host], IService]
"""Makes, from the reactor, the network and the host, what runs beside a connector's commands."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_NAME_RULE: Final = "1 to 100 letters, digits, '_' and '-', the first a letter or digit"


@attrs.frozen
class Handler:
    """A command's name, the model of its payload, and the function that carries it out."""

    name: str
    payload: type[BaseModel]
    function: CommandFunction
    asynchronous: bool


@attrs.frozen
class Subscription:
    """The topics (protocol.md 6.1) of the events that `function` reacts to."""

    pattern: str
    topics: TopicFilter
    function: EventHandler


class Connector:
    """What a connector is: the pivot language it speaks (`type`), its product, their versions (major, minor),
    what it does.

    Everything wrong with a declaration is a ValueError where it is made.
    """

    def __init__(self, type: str, product: str, versions: Iterable[tuple[int, int]]) -> None:
        self.type = _named("type", type)
        self.product = _named("product", product)
        self.versions = _checked_versions(versions)
        self.handlers: dict[str, Handler] = {}
        self.subscriptions: list[Subscription] = []

    def command(self, name: str, payload: type[M]) -> Callable[[Callable[[M, Job], R]], Callable[[M, Job], R]]:
        """Declare the function that carries out the command `name`, whose payload is a `payload`.

        A plain function runs in the thread pool, an `async def` on the loop. What it returns, anything that
        JSON can say, is the payload of the `SUCCESS`; `CommandFailed` makes a `FAILURE` of its choice.
        """
        _named("command", name)
        if not (isinstance(payload, type) and issubclass(payload, BaseModel)):
            raise ValueError(f"command {name}: payload is {payload!r}: must be a pydantic model (a BaseModel class)")

        def declare(function: Callable[[M, Job], R]) -> Callable[[M, Job], R]:
            if name in self.handlers:
                raise ValueError(f"command {name!r} of {self.type}/{self.product} is declared twice")
            self.handlers[name] = Handler(name, payload, function, _asynchronous(function))
            return function

        return declare

    def on(self, pattern: str) -> Callable[[On], On]:
        """Declare an `async def` that reacts to each event whose topic matches `pattern` (protocol.md
        6.1)."""
        topics = TopicFilter([pattern])

        def declare(function: On) -> On:
            if not _asynchronous(function):
                raise ValueError(f"the handler of topic {pattern!r}, {function!r}, must be an 'async def'")
            if any(known.pattern == pattern and known.function is function for known in self.subscriptions):
                raise ValueError(f"topic {pattern!r} is declared twice for {function!r}")
            self.subscriptions.append(Subscription(pattern, topics, function))
            return function

        return declare

    @property
    def topics(self) -> list[str]:
        """The patterns subscribed to, each once: what its links name in `topics` (protocol.md 5.1)."""
        return list(dict.fromkeys(subscription.pattern for subscription in self.subscriptions))


@attrs.frozen
class Program:
    """A connector made ready from its settings, and what runs beside it, if anything.

    What `gandalf-connector` runs is a `Connector`, or a function that makes one of these from its options
    (`gandalf.connector.programs`). `beside(reactor, network, host)` is started when the network is there, and
    stopped before it goes.
    """

    connector: Connector
    beside: Beside | None = None


def _named(what: str, name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{what} is {name!r}: must be {_NAME_RULE}")
    return name


def _checked_versions(versions: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    checked = tuple(versions)
    for version in checked:
        match version:
            case (int(major), int(minor)) if major >= 0 and minor >= 0:
                pass
            case _:
                raise ValueError(f"versions has {version!r}: must be (major, minor), two integers from 0")
    if not checked or len(set(checked)) != len(checked):
        raise ValueError(f"versions is {checked!r}: must have at least one, each once")
    return checked


def _asynchronous(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 (an object whose __call__ is an async def)
    )
