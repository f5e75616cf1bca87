"""The load of a one-way stream: a source and a sink, a process each."""

from __future__ import annotations

import select
import socket
import time
from typing import Final

import attrs

from benchmarks.load.inbound import READ
from benchmarks.load.lane import End, OneWay
from benchmarks.load.shared import Child, Counters, blocking, carrying, pinned_servers, timed

CHUNK: Final = 128 * 1024
"""Bytes that the source writes at once."""
IN_FLIGHT: Final = 50_000
IN_FLIGHT_BYTES: Final = 32 << 20
"""How far the source may be ahead of the sink, in messages and bytes, whoever carries them."""


@attrs.frozen
class Rate:
    """Messages a second; and processor time of the programs under test, in microseconds a message."""

    rate: float
    cpu_us: float
    sent: int = 0
    """Messages in all, timed or not."""


def window(size: int, frames: int = IN_FLIGHT) -> int:
    """Messages of `size` bytes that may be under way."""
    return max(min(frames, IN_FLIGHT_BYTES // size), 2)


def measure(lane: OneWay, *, seconds: float, warm: float, pinned: bool = False, most: int = IN_FLIGHT) -> Rate:
    """Carry the load for so long, at most `most` messages ahead of the sink.

    :raises RuntimeError: not everything that was sent arrived.
    """
    counters = Counters()
    with pinned_servers(lane.pids(), pinned):
        children = _start(lane, counters, None, pinned, most)
        with carrying(lane.name, children):
            rate, cpu_us = timed(counters, lane.pids, seconds=seconds, warm=warm)
            counters.stop()
            _finish(lane, *children, verifying=False)
    return Rate(rate, cpu_us)


def verify(lane: OneWay, count: int) -> None:
    """Carry `count` messages and compare what was sent with what arrived, by the sum of all identifiers.

    :raises RuntimeError: they differ.
    """
    counters = Counters()
    children = _start(lane, counters, count, False, IN_FLIGHT)
    with carrying(lane.name, children):
        _finish(lane, *children, verifying=True)


def _start(lane: OneWay, counters: Counters, count: int | None, pinned: bool, most: int) -> tuple[Child, Child]:
    blocking(lane.source.sock), blocking(lane.sink.sock)
    sink = Child(lambda: _sink(lane.sink, counters, count is not None), pinned)
    source = Child(lambda: _source(lane, counters, count, most), pinned)
    return source, sink


def _finish(lane: OneWay, source: Child, sink: Child, verifying: bool) -> None:
    sent, sums = source.result()
    received, found, routed, held = sink.result()
    if (received, held) != (sent, 0) or (verifying and found != sums):
        raise RuntimeError(f"{lane.name}: {sent} messages sent, {received} received, {held} bytes left over")
    lane.sink.inbound.carried_on(routed)


def _source(lane: OneWay, counters: Counters, count: int | None, most: int) -> tuple[int, int]:
    """Send until stopped, or `count` messages; returns how many, and the sum of their identifiers."""
    outgoing, sock = lane.outgoing, lane.source.sock
    chunk, most = max(CHUNK // outgoing.size, 1), window(outgoing.size, most)
    chunk = min(chunk, most // 2)
    sent = sums = 0
    while not counters.stopped and (count is None or sent < count):
        if sent + chunk - counters.received > most:
            time.sleep(0.0001)
        else:
            data = outgoing.many(chunk)
            sock.sendall(data)
            sent += chunk
            counters.sent = sent
            if count is not None:
                sums += checksum_sent(lane, bytes(data), chunk)
        discard(sock)
    counters.finish()
    return sent, sums


def checksum_sent(lane: OneWay, data: bytes, count: int) -> int:
    """The sum of the identifiers that `data` bears."""
    template = lane.outgoing
    stamp = template.stamps[0]  # type: ignore[attr-defined]  # what has a shape is made from a template
    size, total = template.size, 0
    for column in range(16):
        total += sum(data[stamp.offset + column :: size]) << (8 * column)
    return total


def discard(sock: socket.socket) -> None:
    """Read what the other side says to a source: acknowledgements, which it does not need."""
    try:
        while sock.recv(READ, socket.MSG_DONTWAIT):
            pass
    except BlockingIOError:
        return
    raise ConnectionError("the source's connection was closed")


def _sink(end: End, counters: Counters, verifying: bool) -> tuple[int, int, int, int]:
    sock, inbound = end.sock, end.inbound
    inbound.count, inbound.verify, inbound.checksum = 0, verifying, 0
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    idle = 0
    while True:
        if poll.poll(50):
            out = inbound.read(sock)
            counters.received = inbound.count
            idle = 0
        else:
            out, idle = bytearray(), idle + 1
            inbound.late(out)
        if out:
            sock.sendall(out)
        if counters.finished and (inbound.count >= counters.sent or idle >= 60):
            out = bytearray()
            inbound.late(out)
            sock.sendall(out)
            return inbound.count, inbound.checksum, inbound.routed, inbound.held
