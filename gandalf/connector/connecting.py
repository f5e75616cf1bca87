"""From a declaration to a running connector: in a Twisted program, in an asyncio program, as a program."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable
from typing import Any, overload

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import globalLogBeginner

from gandalf.connector.account import Account
from gandalf.connector.asyncio_host import AsyncioHost, LoopReactor
from gandalf.connector.declare import Connector, Program
from gandalf.connector.runtime import Runtime
from gandalf.connector.twisted_host import TwistedHost
from gandalf.logs import LogOutput
from gandalf.network import dials


@overload
def connect(program: Connector | Program, account: Account) -> Awaitable[Runtime]: ...


@overload
def connect(program: Connector | Program, account: Account, *, reactor: Any) -> Deferred[Runtime]: ...


def connect(program: Connector | Program, account: Account, *, reactor: Any = None) -> Awaitable[Runtime]:
    """Run a connector; fires when its secret was accepted over a first link.

    With `reactor` in a Twisted program, whose reactor runs or will run; without, on the asyncio loop that
    runs. What comes back is the `Network`, until its `stop` is called. While no instance of the aggregator
    can be reached it goes on trying; give it up by cancelling. Fails with `SecretRefused`.
    """
    if reactor is None:
        return _connect_asyncio(program, account)
    return ensureDeferred(_connect_twisted(program, account, reactor))


def run(program: Connector | Program, account: Account) -> None:
    """Be the program that runs a connector, until SIGTERM or SIGINT: an asyncio loop, and a log on stdout.

    Raises `SecretRefused`.
    """
    globalLogBeginner.beginLoggingTo([LogOutput.for_stdout("info", "text")], redirectStandardIO=False)
    asyncio.run(_run(program, account))


def on_twisted(program: Connector | Program, account: Account, reactor: Any) -> Runtime:
    """A connector for a Twisted program; it has not started."""
    return Runtime(
        program,
        account,
        TwistedHost(reactor),
        reactor=reactor,
        connect=dials(reactor, account.credentials),
        now=time.time,
        random=os.urandom,
        jitter=random.random,
    )


def on_asyncio(program: Connector | Program, account: Account) -> Runtime:
    """A connector for the asyncio program whose loop runs; it has not started."""
    loop = asyncio.get_running_loop()
    reactor = LoopReactor(loop)
    return Runtime(
        program,
        account,
        AsyncioHost(loop),
        reactor=reactor,
        connect=dials(reactor, account.credentials),
        now=time.time,
        random=os.urandom,
        jitter=random.random,
        stopped=lambda: loop.call_soon(reactor.end),
    )


async def _connect_twisted(program: Connector | Program, account: Account, reactor: Any) -> Runtime:
    runtime = on_twisted(program, account, reactor)
    runtime.start()
    try:
        await runtime.ready()
    except BaseException:
        await runtime.stop()
        raise
    return runtime


async def _connect_asyncio(program: Connector | Program, account: Account) -> Runtime:
    runtime = on_asyncio(program, account)
    runtime.start()
    try:
        await runtime.ready().asFuture(asyncio.get_running_loop())
    except BaseException:
        await runtime.stop()
        raise
    return runtime


async def _run(program: Connector | Program, account: Account) -> None:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not over.done():
            over.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    connecting = loop.create_task(_connect_asyncio(program, account))
    both: list[asyncio.Future[Any]] = [connecting, over]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if not connecting.done():
        connecting.cancel()
        await asyncio.wait([connecting])
        return
    runtime = connecting.result()
    await over
    await runtime.stop()
