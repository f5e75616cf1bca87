"""Thousands of connections of one process, with epoll: connected at once, kept, counted."""

from __future__ import annotations

import contextlib
import heapq
import random
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import attrs

from benchmarks.load.inbound import ACKNOWLEDGE_AFTER, Inbound
from benchmarks.load.shared import Child, Counters, pipe

READ: Final = 1 << 16
_RESET: Final = struct.pack("ii", 1, 0)
_RETRY: Final = (0.1, 0.4)
"""Seconds between which a connection that was refused waits, at random."""


class Script(Protocol):
    """What each connection says until it is ready, and afterwards."""

    def hello(self, number: int, new: bool) -> bytes:
        """What connection `number` says first; `new` if it does not go on with an earlier session."""

    def greet(self, number: int, data: bytearray) -> tuple[bytes, bool]:
        """Take whole messages off the front of `data`; returns what to say, and whether it is ready.

        :raises Refused: it is to be tried again later.
        """

    def idle(self, number: int, data: bytearray) -> bytes:
        """Take whole messages off the front of `data`, when nothing is measured; returns what to say."""

    def acknowledge(self, number: int, count: int) -> bytes:
        """Say that `count` messages were received besides those added; empty where nobody is told."""

    def add(self, number: int, count: int) -> None:
        """So many messages were received while they were only counted."""

    def received(self, number: int) -> int:
        """How many were, so far."""

    def answers(self) -> Inbound:
        """Reads what connections are answered."""

    def batch(self, number: int, count: int) -> bytes | memoryview:
        """So many messages of connection `number`."""


class Refused(Exception):
    """The other side does not want the connection now."""


@attrs.define(eq=False)
class _Client:
    number: int
    sock: socket.socket | None = None
    buffer: bytearray = attrs.Factory(bytearray)
    ready: bool = False
    bytes: int = 0
    unacknowledged: int = 0


class Crowd:
    """The connections. Runs in a process of its own, see :class:`CrowdProcess`."""

    def __init__(self, address: tuple[str, int], count: int, script: Script, counters: Counters) -> None:
        self._address = address
        self._script = script
        self._counters = counters
        self._clients = [_Client(number) for number in range(count)]
        self._epoll = select.epoll()
        self._by_fd: dict[int, _Client] = {}
        self.refused = 0
        self._heard = 0
        """How often something was read while nothing was measured."""

    # What can be asked for.

    def connect(self, new: bool, timeout: float = 120.0) -> tuple[float, int]:
        """Connect all at once; returns the seconds until all are ready, and how many attempts failed.

        :raises RuntimeError: they are not in time.
        """
        began, self.refused = time.monotonic(), 0
        missing, later = len(self._clients), list[tuple[float, int]]()
        for client in self._clients:
            self._dial(client, new)
        while missing:
            now = time.monotonic()
            if now - began > timeout:
                raise RuntimeError(f"{missing} of {len(self._clients)} connections are not ready after {timeout} s")
            while later and later[0][0] <= now:
                self._dial(self._clients[heapq.heappop(later)[1]], new)
            for fd, event in self._epoll.poll(0.05, 1024):
                client = self._by_fd[fd]
                try:
                    missing -= self._greeting(client, event, new)
                except (Refused, OSError):
                    self._drop(client)
                    self.refused += 1
                    heapq.heappush(later, (time.monotonic() + random.uniform(*_RETRY), client.number))
        return time.monotonic() - began, self.refused

    def idle(self, seconds: float) -> None:
        """Answer what must be answered."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for fd, _ in self._epoll.poll(min(left, 0.5), 1024):
                client = self._by_fd[fd]
                self._read(client)
                self._say(client, self._script.idle(client.number, client.buffer))

    def settle(self, quiet: float) -> None:
        """Answer what must be answered, until nothing came for so many seconds."""
        last = time.monotonic()
        while time.monotonic() - last < quiet:
            before = self._heard
            self.idle(quiet / 4)
            if self._heard != before:
                last = time.monotonic()

    def disconnect(self) -> None:
        """Cut all connections, without a word."""
        for client in self._clients:
            self._drop(client)

    def take(self, size: int, every: float, copies: int) -> tuple[int, int]:
        """Count messages of `size` bytes until all is sent, and `copies` of each that was sent are here.

        Acknowledges by the script, after so many messages as may be waited for, at rest, and if `every` is not 0
        in any case after so many seconds. Returns the least and the greatest number that a connection received.
        """
        counters, total, most = self._counters, 0, ACKNOWLEDGE_AFTER * size
        for client in self._clients:
            client.bytes = client.unacknowledged = 0
        buffer, by_fd, poll = memoryview(bytearray(READ)), self._by_fd, self._epoll.poll
        last = swept = time.monotonic()
        clean = True
        while True:
            events = poll(0.05, 4096)
            for fd, _ in events:
                client = by_fd[fd]
                got = client.sock.recv_into(buffer)  # type: ignore[union-attr]  # it is connected
                if not got:
                    raise ConnectionError("a connection was closed")
                total += got
                client.bytes += got
                client.unacknowledged += got
                if client.unacknowledged >= most:
                    self._acknowledge(client, size)
            counters.received = total // size
            now = time.monotonic()
            if events:
                last, clean = now, False
            if (now - last >= 0.2 and not clean) or (every and now - swept >= every):
                self._sweep(size)
                swept, clean = now, True
            if counters.finished and (total >= counters.sent * size * copies or now - last > 3):
                self._sweep(size)
                return self._counted(size)

    def drive(self, most: int, batch: int) -> tuple[int, int]:
        """Send by turns, `batch` messages of a connection at a time, `most` of all under way until stopped.

        Returns how many were sent and how many answers came.
        """
        counters, turn, total, sent = self._counters, 0, 0, 0
        inbound, last = self._script.answers(), time.monotonic()
        while True:
            stopped = counters.stopped
            for _ in range(32):
                if stopped or sent + batch - total > most:
                    break
                client = self._clients[turn]
                turn = (turn + 1) % len(self._clients)
                self._say(client, self._script.batch(client.number, batch))
                sent += batch
            counters.sent = sent
            for fd, _ in self._epoll.poll(0.05 if stopped or sent + batch - total > most else 0, 4096):
                total += self._answered(self._by_fd[fd], inbound)
                last = time.monotonic()
            counters.received = total
            if stopped and (total >= sent or time.monotonic() - last > 5):
                for client in self._clients:
                    self._say(client, self._script.acknowledge(client.number, 0))
                counters.finish()
                return sent, total

    # How.

    def _answered(self, client: _Client, inbound: Inbound) -> int:
        """Read with an `inbound` that serves all; returns how many answers came."""
        assert client.sock is not None
        inbound.hold(client.buffer)
        client.buffer.clear()
        inbound.count, inbound.routed = 0, self._script.received(client.number)
        inbound.acknowledged = inbound.routed - client.unacknowledged
        self._say(client, inbound.read(client.sock))
        self._script.add(client.number, inbound.routed - self._script.received(client.number))
        client.unacknowledged = inbound.routed - inbound.acknowledged
        client.buffer += inbound.buffer[: inbound.held]
        return inbound.count

    def _counted(self, size: int) -> tuple[int, int]:
        """The least and the greatest number of messages that a connection received."""
        counts = [client.bytes // size for client in self._clients]
        if extra := sum(client.bytes % size for client in self._clients):
            raise RuntimeError(f"{extra} bytes came besides")
        for client, count in zip(self._clients, counts, strict=True):
            self._script.add(client.number, count)
        return min(counts), max(counts)

    def _dial(self, client: _Client, new: bool) -> None:
        sock = client.sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        with contextlib.suppress(BlockingIOError):
            sock.connect(self._address)
        self._by_fd[sock.fileno()] = client
        self._epoll.register(sock, select.EPOLLOUT)
        client.buffer.clear()
        client.ready = False

    def _greeting(self, client: _Client, event: int, new: bool) -> bool:
        """Whether this made it ready."""
        sock = client.sock
        assert sock is not None
        if event & select.EPOLLOUT and not event & select.EPOLLERR:
            self._say(client, self._script.hello(client.number, new))
            self._epoll.modify(sock, select.EPOLLIN)
            return False
        self._read(client)
        if client.ready:
            self._say(client, self._script.idle(client.number, client.buffer))
            return False
        said, client.ready = self._script.greet(client.number, client.buffer)
        self._say(client, said)
        return client.ready

    def _read(self, client: _Client) -> None:
        assert client.sock is not None
        data = client.sock.recv(READ)
        self._heard += 1
        if not data:
            raise ConnectionError("a connection was closed")
        client.buffer += data

    @staticmethod
    def _say(client: _Client, data: bytes | bytearray | memoryview) -> None:
        if data:
            assert client.sock is not None
            if client.sock.send(data) != len(data):
                raise RuntimeError("a connection takes no more")

    def _drop(self, client: _Client) -> None:
        if client.sock is not None:
            self._by_fd.pop(client.sock.fileno(), None)
            with contextlib.suppress(OSError, ValueError):
                self._epoll.unregister(client.sock)
            client.sock.close()
            client.sock = None
        client.ready = False

    def _acknowledge(self, client: _Client, size: int) -> None:
        client.unacknowledged = 0
        self._say(client, self._script.acknowledge(client.number, client.bytes // size))

    def _sweep(self, size: int) -> None:
        for client in self._clients:
            if client.unacknowledged:
                self._acknowledge(client, size)


class CrowdProcess:
    """A crowd in a process of its own, asked for one thing at a time."""

    def __init__(self, address: tuple[str, int], count: int, script: Script, counters: Counters) -> None:
        self.count = count
        self.counters = counters
        self._questions, theirs = pipe()
        self._child = Child(lambda: _serve(Crowd(address, count, script, counters), theirs), False)

    def ask(self, what: Callable[..., Any], *arguments: object) -> None:
        """Begin one of the methods of :class:`Crowd`."""
        self._questions.send((what.__name__, arguments))

    def answer(self, timeout: float = 150.0) -> Any:
        """What it returned.

        :raises RuntimeError: it failed, or did not end in time.
        """
        if not self._questions.poll(timeout):
            raise RuntimeError(f"a crowd of connections did not answer within {timeout} s")
        good, value = self._questions.recv()
        if not good:
            raise RuntimeError(value)
        return value

    def do(self, what: Callable[..., Any], *arguments: object, timeout: float = 150.0) -> Any:
        """Both."""
        self.ask(what, *arguments)
        return self.answer(timeout)

    def close(self) -> None:
        """End the process; its connections are cut."""
        self._child.end()


def _serve(crowd: Crowd, questions: Any) -> None:
    while True:
        name, arguments = questions.recv()
        try:
            questions.send((True, getattr(crowd, name)(*arguments)))
        except Exception as error:
            questions.send((False, f"{type(error).__name__}: {error}"))
