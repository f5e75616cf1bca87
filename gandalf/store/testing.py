"""Fakes with which code that uses a `Database` is tested without threads or without a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs
from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

P = ParamSpec("P")
T = TypeVar("T")


class ThreadlessPool:
    """A thread pool that does the work at once, in the caller's thread."""

    def callInThreadWithCallback(
        self,
        onResult: Callable[..., Any] | None,  # noqa: N803  (Twisted's name)
        func: Callable[..., Any],
        *args: Any,
        **kw: Any,
    ) -> None:
        try:
            success, result = True, func(*args, **kw)
        except BaseException:
            success, result = False, Failure()
        if onResult is not None:
            onResult(success, result)


class ThreadlessReactor:
    """The two methods of a reactor that `Database` uses, without threads."""

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        callable(*args, **kwargs)

    def getThreadPool(self) -> ThreadlessPool:
        return ThreadlessPool()


@attrs.define
class Asked:
    """One `run` of a `FakeDatabase`: fire `answer` to end it."""

    name: str
    txn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    answer: Deferred[Any] = attrs.field(factory=Deferred)


@attrs.define
class FakeDatabase:
    """Has the `run` of a `Database`; keeps what was asked in `asked` and answers when the test says so."""

    asked: list[Asked] = attrs.field(factory=list)

    def run(
        self, name: str, txn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        asked = Asked(name, txn, args, kwargs)
        self.asked.append(asked)
        return asked.answer
