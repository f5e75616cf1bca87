"""The load of round trips: a driver and a responder, a process each."""

from __future__ import annotations

import select
import socket
from typing import Final

from benchmarks.load.inbound import Inbound
from benchmarks.load.lane import End, Outgoing, RoundTrip
from benchmarks.load.one_way import Rate, window
from benchmarks.load.shared import Child, Counters, blocking, carrying, pinned_servers, timed

WINDOW: Final = 20_000
"""Messages that wait for their answer."""
BATCH: Final = 64 * 1024
"""Bytes that the driver sends at once at the most."""


def measure(lane: RoundTrip, *, seconds: float, warm: float, pinned: bool = False, most: int = WINDOW) -> Rate:
    """Round trips a second, `most` under way.

    :raises RuntimeError: an answer is missing.
    """
    counters = Counters()
    with pinned_servers(lane.pids(), pinned):
        children = start(lane, counters, pinned, most)
        with carrying(lane.name, children):
            rate, cpu_us = timed(counters, lane.pids, seconds=seconds, warm=warm)
            counters.stop()
            sent = finish(lane, *children)
    return Rate(rate, cpu_us, sent)


def start(lane: RoundTrip, counters: Counters, pinned: bool, most: int) -> tuple[Child, Child]:
    """The driver and the responder."""
    blocking(lane.driver.sock), blocking(lane.responder.sock)
    responder = respond(lane, counters, pinned)
    driver = Child(lambda: _driver(lane.driver, lane.outgoing, counters, most), pinned)
    return driver, responder


def respond(lane: RoundTrip, counters: Counters, pinned: bool) -> Child:
    """The responder alone."""
    blocking(lane.responder.sock)
    return Child(lambda: _responder(lane.responder, counters), pinned)


def finish(lane: RoundTrip, driver: Child, responder: Child) -> int:
    """How many messages were sent; the counts that acknowledgements need are kept.

    :raises RuntimeError: an answer is missing.
    """
    sent, received, routed, held = driver.result()
    lane.driver.inbound.carried_on(routed)
    finish_responder(lane, responder)
    if received != sent or held:
        raise RuntimeError(f"{lane.name}: {sent} messages sent, {received} answers came")
    return int(sent)


def finish_responder(lane: RoundTrip, responder: Child) -> None:
    """As :func:`finish`, for the responder."""
    routed, held = responder.result()
    if held:
        raise RuntimeError(f"{lane.name}: {held} bytes left over at the responder")
    lane.responder.inbound.carried_on(routed)


class Duplex:
    """A connection that is written and read by turns, so that neither side waits for the other."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._pending = bytearray()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    @property
    def clear(self) -> bool:
        """Whether all was written."""
        return not self._pending

    def push(self, data: bytes | bytearray | memoryview) -> None:
        """Write, now or when there is room."""
        if not data:
            return
        if self._pending:
            self._pending += data
            return
        sent = self._send(data)
        if sent < len(data):
            self._pending += memoryview(data)[sent:]
            self._poll.modify(self.sock, select.POLLIN | select.POLLOUT)

    def ready(self, timeout: int) -> bool:
        """Whether something can be read within `timeout` ms; writes meanwhile."""
        for _, event in self._poll.poll(timeout):
            if event & select.POLLOUT:
                del self._pending[: self._send(self._pending)]
                if not self._pending:
                    self._poll.modify(self.sock, select.POLLIN)
            if event & ~select.POLLOUT:
                return True
        return False

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self.sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0


def _driver(end: End, outgoing: Outgoing, counters: Counters, most: int) -> tuple[int, int, int, int]:
    duplex, inbound = Duplex(end.sock), end.inbound
    most = min(most, window(outgoing.size))
    batch = max(min(BATCH // outgoing.size, most // 2), 1)
    inbound.count = sent = idle = 0
    while True:
        room = most - (sent - inbound.count)
        stopped = counters.stopped
        if room >= batch and not stopped and duplex.clear:
            duplex.push(outgoing.many(batch))
            sent += batch
            counters.sent = sent
        more = room >= 2 * batch and not stopped and duplex.clear
        idle = 0 if take(inbound, duplex, 0 if more else 50) or more else idle + 1
        counters.received = inbound.count
        if stopped and (inbound.count >= sent or idle >= 60):
            whole(inbound, duplex)
            counters.finish()
            return sent, inbound.count, inbound.routed, inbound.held


def _responder(end: End, counters: Counters) -> tuple[int, int]:
    duplex, inbound = Duplex(end.sock), end.inbound
    idle = 0
    while True:
        idle = 0 if take(inbound, duplex, 50) else idle + 1
        if counters.finished and idle >= 2:
            whole(inbound, duplex)
            return inbound.routed, inbound.held


def take(inbound: Inbound, duplex: Duplex, timeout: int) -> bool:
    """Read and answer what comes within `timeout` ms; False, and late acknowledgements, when nothing does."""
    if duplex.ready(timeout):
        duplex.push(inbound.read(duplex.sock))
        return True
    if timeout:
        late(inbound, duplex)
    return False


def whole(inbound: Inbound, duplex: Duplex) -> None:
    """Before the connection is handed back: read what is half here, acknowledge all."""
    for _ in range(20):
        if not inbound.held:
            break
        take(inbound, duplex, 50)
    late(inbound, duplex)


def late(inbound: Inbound, duplex: Duplex) -> None:
    """Acknowledge what is not yet."""
    out = bytearray()
    inbound.late(out)
    duplex.push(out)
