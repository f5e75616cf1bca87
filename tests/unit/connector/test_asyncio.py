"""Connectors on asyncio: the host's promises, and Twisted's network on asyncio's loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from gandalf.connector import Account, Connector, Job, Runtime
from gandalf.connector.asyncio_host import AsyncioHost, LoopReactor
from gandalf.connector.connecting import on_asyncio
from gandalf.shoset.testing import FakeNetwork, unique
from gandalf.wire import kinds
from tests.unit.connector.support import Greet, RuntimeCase, payload_of


class HostTests(SynchronousTestCase):
    """`AsyncioHost`: what handlers and the runtime are promised."""

    def test_calls_from_a_thread_come_in_order(self) -> None:
        """On the loop's thread, and before the result of the call that made them."""
        told: list[Any] = []

        async def program() -> None:
            host = AsyncioHost(asyncio.get_running_loop())

            def work() -> str:
                for number in range(3):
                    host.from_thread(lambda number=number: told.append((number, threading.get_ident())))  # type: ignore[misc]
                return "done"

            told.append(await host.in_thread(work))

        asyncio.run(program())
        own = threading.get_ident()
        self.assertEqual(told, [(0, own), (1, own), (2, own), "done"])

    def test_errors_of_a_thread(self) -> None:
        """They come out where the result is awaited."""

        async def program() -> None:
            def work() -> None:
                raise KeyError("no")

            await AsyncioHost(asyncio.get_running_loop()).in_thread(work)

        self.assertRaises(KeyError, asyncio.run, program())

    def test_promises(self) -> None:
        """Kept, broken, given up; what is settled stays as it is."""

        async def program() -> None:
            host = AsyncioHost(asyncio.get_running_loop())
            given_up: list[bool] = []
            kept, broken, cancelled = host.promise(), host.promise(), host.promise(lambda: given_up.append(True))
            host.resolve(kept, 1)
            host.resolve(kept, 2)
            host.reject(kept, KeyError("late"))
            host.reject(broken, KeyError("no"))
            self.assertEqual(await kept, 1)
            with self.assertRaises(KeyError):
                await broken
            assert isinstance(cancelled, asyncio.Future)
            cancelled.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await cancelled
            host.resolve(cancelled, 1)
            await asyncio.sleep(0)
            self.assertEqual(given_up, [True])

        asyncio.run(program())

    def test_launch(self) -> None:
        """A coroutine runs beside; what comes back cancels it."""

        async def program() -> list[str]:
            host = AsyncioHost(asyncio.get_running_loop())
            told: list[str] = []
            over = asyncio.Event()

            async def work() -> None:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    told.append("cancelled")
                    over.set()

            started = asyncio.Event()

            async def start() -> None:
                told.append("started")
                started.set()

            cancel = host.launch(work())
            host.start(start())
            await started.wait()
            cancel()
            await over.wait()
            return told

        self.assertEqual(asyncio.run(program()), ["started", "cancelled"])


class ReactorTests(SynchronousTestCase):
    """`LoopReactor`: Twisted's timers, threads, names and sockets on a loop that somebody else runs."""

    def run_on_loop(self, program: Any) -> None:
        """Run `program(reactor, loop)`; nothing may be left on the loop after the reactor's end."""

        async def main() -> None:
            loop: Any = asyncio.get_running_loop()
            before = len(loop._selector.get_map())
            reactor = LoopReactor(loop)
            threads = threading.active_count()
            try:
                await program(reactor, loop)
            finally:
                reactor.end()
            self.assertEqual(len(loop._selector.get_map()), before)
            self.assertEqual([timer for timer in loop._scheduled if not timer.cancelled()], [])
            self.assertEqual(threading.active_count(), threads)

        asyncio.run(main())

    def test_timers(self) -> None:
        """They fire, whatever the time of day is set to; those that wait at the end are forgotten."""

        async def program(reactor: Any, loop: Any) -> None:
            self.assertLess(abs(reactor.seconds() - loop.time()), 60)
            reactor.callLater(1000, self.fail)
            self.assertEqual(await deferLater(reactor, 0.001, lambda: "due").asFuture(loop), "due")

        self.run_on_loop(program)

    def test_threads_and_names(self) -> None:
        """A name is looked up in the reactor's own threads, which end with it."""

        async def program(reactor: Any, loop: Any) -> None:
            self.assertEqual(await reactor.resolve("localhost").asFuture(loop), "127.0.0.1")

        self.run_on_loop(program)

    def test_sockets(self) -> None:
        """Bytes go both ways."""

        async def program(reactor: Any, loop: Any) -> None:
            heard: Deferred[bytes] = Deferred()
            ended: list[Deferred[None]] = [Deferred(), Deferred()]

            class Echo(Protocol):
                transport: Any

                def dataReceived(self, data: bytes) -> None:
                    self.transport.write(data)

                def connectionLost(self, reason: object = None) -> None:
                    ended[0].callback(None)

            class Caller(Protocol):
                transport: Any

                def connectionMade(self) -> None:
                    self.transport.write(b"hello")

                def dataReceived(self, data: bytes) -> None:
                    self.transport.loseConnection()
                    heard.callback(data)

                def connectionLost(self, reason: object = None) -> None:
                    ended[1].callback(None)

            port = reactor.listenTCP(0, Factory.forProtocol(Echo), interface="127.0.0.1")
            client: Any = Factory.forProtocol(Caller)
            client.doStart = client.doStop = lambda: None
            client.startedConnecting = lambda connector: None
            client.clientConnectionLost = lambda connector, reason: None
            reactor.connectTCP("127.0.0.1", port.getHost().port, client)
            self.assertEqual(await heard.asFuture(loop), b"hello")
            for end in ended:
                await end.asFuture(loop)
            await port.stopListening().asFuture(loop)

        self.run_on_loop(program)

    def test_it_is_not_the_global_reactor(self) -> None:
        """Both loops can be in one process: the reactor of this test stays what it is."""
        from twisted.internet import reactor as installed

        async def program(reactor: Any, loop: Any) -> None:
            self.assertIsNot(reactor, installed)

        self.run_on_loop(program)


class RuntimeTests(RuntimeCase):
    """A runtime whose handlers are asyncio's, on a network in memory."""

    def drive(self, program: Coroutine[Any, Any, None]) -> None:
        """Run an asyncio program."""
        asyncio.run(program)

    def on_loop(self, connector: Connector, network: FakeNetwork) -> Runtime:
        """A runtime on the asyncio loop that runs, with the test's clock."""
        runtime = Runtime(
            connector,
            Account("git1", "acme", ["127.0.0.1:1"], "s"),
            AsyncioHost(asyncio.get_running_loop()),
            reactor=network.clock,
            connect=network.connect,
            now=network.clock.seconds,
            random=unique,
            jitter=lambda: 0.0,
        )
        runtime.start()
        network.settle()
        return runtime

    def test_a_command_is_carried_out(self) -> None:
        """A handler awaits what asyncio offers; a plain one runs in a thread; a cancelled one fails."""
        connector = Connector(type="t", product="p", versions=[(1, 0)])
        waiting: list[asyncio.Event] = []

        @connector.command("ASYNC", Greet)
        async def asynchronous(request: Greet, job: Job) -> str:
            await asyncio.sleep(0)
            return "Hello " + request.name

        @connector.command("PLAIN", Greet)
        def plain(request: Greet, job: Job) -> str:
            job.progress("half")
            return threading.current_thread().name

        @connector.command("WAIT", Greet)
        async def wait(request: Greet, job: Job) -> None:
            waiting.append(asyncio.Event())
            await waiting[0].wait()

        async def until(number: int) -> None:
            while len(self.first.events()) < number:
                await asyncio.sleep(0)
                self.network.settle()

        async def program() -> None:
            runtime = self.on_loop(connector, self.network)
            self.first.command("ASYNC", {"name": "x"})
            await until(2)
            self.assertEqual(payload_of(self.first.heard(kinds.EVENT)[1]), "Hello x")
            self.first.command("PLAIN", {"name": "x"})
            await until(5)
            self.assertEqual([event for _, event in self.first.events()[2:]], ["TAKEN", "PROGRESS", "SUCCESS"])
            self.assertNotEqual(payload_of(self.first.heard(kinds.EVENT)[4]), "MainThread")
            self.first.command("WAIT", {"name": "x"})
            await until(6)
            stopped = runtime.stop(0)
            self.network.advance(0)
            await until(7)
            self.network.advance(1)
            await stopped
            self.assertEqual(payload_of(self.first.heard(kinds.EVENT)[6])["code"], "CANCELLED")

        self.drive(program())

    def test_what_is_cancelled_has_its_outcome(self) -> None:
        """A task learns of its end when the loop comes to it; what it says then goes out all the same."""
        connector = Connector(type="t", product="p", versions=[(1, 0)])

        @connector.command("WAIT", Greet)
        async def wait(request: Greet, job: Job) -> None:
            await asyncio.Event().wait()

        async def program() -> None:
            runtime = self.on_loop(connector, self.network)
            self.first.command("WAIT", {"name": "x"})
            while not self.first.events():
                await asyncio.sleep(0)
                self.network.settle()
            self.network.advance(0.1)
            self.assertEqual(len(runtime.emitter), 0)
            stopped: Any = runtime.stop(0)
            while not stopped.done():
                self.network.advance(0.1)
                await asyncio.sleep(0)
            self.assertEqual([event for _, event in self.first.events()], ["TAKEN", "FAILURE"])
            self.assertEqual(payload_of(self.first.heard(kinds.EVENT)[1])["code"], "CANCELLED")

        self.drive(program())

    def test_what_is_awaited(self) -> None:
        """`emit` and `send` give asyncio futures; a `send` that is given up is forgotten."""

        async def program() -> None:
            runtime = self.on_loop(Connector(type="t", product="p", versions=[(1, 0)]), self.network)
            event = runtime.emit("a", "X")
            self.network.advance(0.1)
            await asyncio.wait_for(event, 10)
            outcome = runtime.send("vcs", "LIST")
            self.network.settle()
            self.first.answer(self.first.heard(kinds.COMMAND)[0], "SUCCESS", {"n": 1})
            self.assertEqual((await outcome).payload, {"n": 1})
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(runtime.send("vcs", "LIST"), 0.001)
            self.assertEqual(len(runtime.sender), 0)
            stopped = runtime.stop()
            self.network.advance(1)
            await stopped

        self.drive(program())

    def test_on_asyncio(self) -> None:
        """A runtime on the running loop leaves nothing on it when it has stopped."""

        async def program() -> None:
            loop: Any = asyncio.get_running_loop()
            before = len(loop._selector.get_map())
            runtime = on_asyncio(
                Connector(type="t", product="p", versions=[(1, 0)]), Account("git1", "acme", ["127.0.0.1:1"], "s")
            )
            runtime.start()
            await runtime.stop()
            await asyncio.sleep(0)
            self.assertEqual(runtime.state, "stopped")
            self.assertEqual(len(loop._selector.get_map()), before)
            self.assertEqual([timer for timer in loop._scheduled if not timer.cancelled()], [])

        self.drive(program())
