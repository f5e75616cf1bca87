"""The load of a fan-out: one source, a crowd that counts."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from benchmarks.load.crowd import Crowd, CrowdProcess
from benchmarks.load.lane import Outgoing
from benchmarks.load.one_way import Rate, discard
from benchmarks.load.shared import Child, Counters, blocking, carrying, timed


def measure(
    crowd: CrowdProcess,
    source: socket.socket,
    outgoing: Outgoing,
    size: int,
    pids: Callable[[], list[int]],
    *,
    seconds: float,
    warm: float,
    window: int,
    every: float = 0.0,
    receivers: int | None = None,
) -> Rate:
    """Deliveries a second, `window` messages under way.

    :param size: bytes of a message as it is delivered.
    :param every: seconds after which each connection acknowledges at the latest; 0: at rest.
    :param receivers: how many of the crowd receive each message; None: all.
    :raises RuntimeError: not everything was delivered, or not to all alike.
    """
    counters = crowd.counters
    counters.reset()
    copies = receivers or crowd.count
    crowd.ask(Crowd.take, size, every, copies)
    child = Child(lambda: _source(blocking(source), outgoing, counters, window, copies), False)
    with carrying("fan-out", [child]):
        # A slow fan-out is timed until some messages have gone to everybody.
        rate, cpu_us = timed(counters, pids, seconds=seconds, warm=warm, least=3 * copies)
        counters.stop()
        sent = child.result()
        least, most = crowd.answer()
    if receivers is None and (least, most) != (sent, sent):
        raise RuntimeError(f"{sent} messages sent; a connection received {least} to {most}")
    return Rate(rate, cpu_us)


def _source(sock: socket.socket, outgoing: Outgoing, counters: Counters, window: int, copies: int) -> int:
    sent = 0
    while not counters.stopped:
        room = window - (sent - counters.received // copies)
        if room <= 0 or (window > 1 and room < window // 2):
            time.sleep(0.00005)
        else:
            sock.sendall(outgoing.many(room))
            sent += room
            counters.sent = sent
        discard(sock)
    counters.finish()
    return sent
