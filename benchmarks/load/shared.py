"""Child processes that carry the load, and the counters that they share with their parent."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import RawArray
from typing import Any, Final

_fork = multiprocessing.get_context("fork")

SERVERS: Final = frozenset({0})
"""The core of the programs under test when they are pinned."""
GENERATORS: Final = frozenset({1})
"""The core of the load generators then."""


class Counters:
    """What the processes of one run tell each other."""

    def __init__(self) -> None:
        self._values: Any = RawArray("Q", 4)

    @property
    def sent(self) -> int:
        """Messages that left the source."""
        return int(self._values[0])

    @sent.setter
    def sent(self, value: int) -> None:
        self._values[0] = value

    @property
    def received(self) -> int:
        """Messages that reached the sink, or answers that reached the driver."""
        return int(self._values[1])

    @received.setter
    def received(self, value: int) -> None:
        self._values[1] = value

    @property
    def stopped(self) -> bool:
        """Whether nothing new is to be sent."""
        return bool(self._values[2])

    def reset(self) -> None:
        """Begin anew."""
        self._values[:] = [0] * len(self._values)

    def stop(self) -> None:
        """Send nothing new."""
        self._values[2] = 1

    @property
    def finished(self) -> bool:
        """Whether nothing more is sent, and :attr:`sent` is all."""
        return bool(self._values[3])

    def finish(self) -> None:
        """By whoever sends, or hears the answers: that was all."""
        self._values[3] = 1


def pipe() -> tuple[Connection, Connection]:
    """Both ends of a pipe for both directions."""
    return _fork.Pipe()


class Child:
    """A process that does one thing and hands back what it found."""

    def __init__(self, work: Callable[[], Any], pinned: bool) -> None:
        self._end, theirs = _fork.Pipe(duplex=False)
        self._process = _fork.Process(target=_run, args=(work, pinned, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def result(self, timeout: float = 30.0) -> Any:
        """What it returned.

        :raises RuntimeError: it failed, with its traceback; or it did not end in time.
        """
        try:
            if not self._end.poll(timeout):
                self._process.kill()
                raise RuntimeError(f"a load generator did not end within {timeout} s")
            good, value = self._end.recv()
        except EOFError:
            raise RuntimeError("a load generator died") from None
        finally:
            self._process.join(5)
            self._end.close()
        if not good:
            raise RuntimeError(value)
        return value

    def failure(self) -> str:
        """Why it failed, if it did."""
        good, value = self._end.recv() if self._end.poll(0) else (True, None)
        return "" if good else str(value)

    def end(self) -> None:
        """Kill it if it is still there."""
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@contextlib.contextmanager
def carrying(name: str, children: Sequence[Child]) -> Iterator[None]:
    """While the children carry a load; they are ended behind it.

    :raises RuntimeError: it does not go on, with what is wrong with the children.
    """
    try:
        yield
    except Stalled as error:
        raise RuntimeError(f"{name}: {error}\n" + "\n".join(child.failure() for child in children)) from None
    finally:
        for child in children:
            child.end()


class Stalled(Exception):
    """Nothing arrives any more."""


def _run(work: Callable[[], Any], pinned: bool, end: Connection) -> None:
    gc.disable()
    if pinned:
        os.sched_setaffinity(0, GENERATORS)
    try:
        end.send((True, work()))
    except BaseException:
        end.send((False, traceback.format_exc()))


@contextlib.contextmanager
def pinned_servers(pids: list[int], pinned: bool) -> Iterator[None]:
    """Keep every thread of the programs under test on one core, if `pinned`, and let them go afterwards."""
    if not pinned:
        yield
        return
    everywhere = os.sched_getaffinity(0)
    _affinity(pids, SERVERS)
    try:
        yield
    finally:
        _affinity(pids, everywhere)


def _affinity(pids: list[int], cores: frozenset[int] | set[int]) -> None:
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  # names are what is wanted
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task), cores)


def cpu_seconds(pids: list[int]) -> float:
    """The processor time that the programs have used, all threads."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123  # the shortest way
            fields = file.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def timed(
    counters: Counters, pids: Callable[[], list[int]], *, seconds: float, warm: float, least: int = 1
) -> tuple[float, float]:
    """Messages a second, and microseconds of processor time of the programs under test a message.

    Begins `warm` seconds after the first message arrived, and takes `seconds`, or until `least` messages have
    arrived. It begins and ends when something arrives, so that it does not matter in how large pieces messages come.

    :raises Stalled: nothing arrives any more.
    """
    _change(counters, 0)
    time.sleep(warm)
    first = _change(counters, counters.received)
    began, cpu = time.perf_counter(), cpu_seconds(pids())
    time.sleep(seconds)
    last = _change(counters, max(counters.received, first + least - 1))
    ended = time.perf_counter()
    return (last - first) / (ended - began), (cpu_seconds(pids()) - cpu) / (last - first) * 1e6


def _change(counters: Counters, above: int, timeout: float = 30.0) -> int:
    """What the number of messages that arrived becomes when it is greater than `above`."""
    deadline = time.monotonic() + timeout
    while (received := counters.received) <= above:
        if time.monotonic() > deadline:
            raise Stalled(f"nothing more arrived within {timeout} s")
        time.sleep(0.0005)
    return received


def blocking(sock: socket.socket) -> socket.socket:
    """Ready for a load generator: blocking, nothing held back."""
    sock.settimeout(None)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
