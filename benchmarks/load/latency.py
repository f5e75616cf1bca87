"""One message at a time, each sent when the last was answered; and a load beside it that keeps a pace."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import attrs

from benchmarks.load.lane import End, Outgoing, RoundTrip
from benchmarks.load.round_trip import Duplex, finish_responder, respond, take, whole
from benchmarks.load.shared import Child, Counters, blocking, pinned_servers

WARM: Final = 300
"""Messages before the first that is timed."""
TICK: Final = 0.001
"""Seconds between two portions of the load beside it."""


@attrs.frozen
class Latencies:
    """Microseconds from sending to the answer, sorted; and the load beside, in answers a second."""

    took: Sequence[float]
    beside: float

    def quantile(self, q: float) -> float:
        """The time within which the part `q` of all was answered."""
        return self.took[min(int(len(self.took) * q), len(self.took) - 1)]


def measure(lane: RoundTrip, *, seconds: float, rate: float = 0.0, pinned: bool = False) -> Latencies:
    """Probe for so long, with `rate` messages a second beside it."""
    counters, beside = Counters(), None
    with pinned_servers(lane.pids(), pinned):
        responder = respond(lane, counters, pinned)
        children = [responder]
        try:
            if rate:
                second, outgoing = lane.second, lane.second_outgoing
                assert second is not None and outgoing is not None
                blocking(second.sock)
                beside = Child(lambda: _paced(second, outgoing, counters, rate), pinned)
                children.append(beside)
                time.sleep(0.2)
            blocking(lane.driver.sock)
            probe = Child(lambda: _probe(lane.driver, lane.outgoing, seconds), pinned)
            children.append(probe)
            took, routed = probe.result(seconds * 3 + 30)
            lane.driver.inbound.carried_on(routed)
            counters.stop()
            achieved = 0.0
            if beside is not None:
                assert lane.second is not None
                achieved, routed = beside.result()
                lane.second.inbound.carried_on(routed)
            counters.finish()
            finish_responder(lane, responder)
        finally:
            for child in children:
                child.end()
    return Latencies(sorted(took), achieved)


def _probe(end: End, outgoing: Outgoing, seconds: float) -> tuple[list[float], int]:
    duplex, inbound, took = Duplex(end.sock), end.inbound, list[float]()
    inbound.count = asked = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until or asked < 2 * WARM:
        message = outgoing.many(1)
        began = time.perf_counter()
        duplex.push(message)
        asked += 1
        while inbound.count < asked:
            out = inbound.read(duplex.sock)
            ended = time.perf_counter()
            duplex.push(out)
        took.append((ended - began) * 1e6)
    whole(inbound, duplex)
    return took[WARM:], inbound.routed


def _paced(end: End, outgoing: Outgoing, counters: Counters, rate: float) -> tuple[float, int]:
    """Send `rate` messages a second; returns how many answers came a second."""
    duplex, inbound = Duplex(end.sock), end.inbound
    inbound.count = sent = 0
    began = due = time.monotonic()
    idle = 0
    while not counters.stopped:
        due += TICK
        wanted = min(int((time.monotonic() - began) * rate) - sent, max(int(rate * 0.02), 1))
        if wanted > 0 and duplex.clear:
            duplex.push(outgoing.many(wanted))
            sent += wanted
        while (left := due - time.monotonic()) > 0:
            if not take(inbound, duplex, int(left * 1000)):
                time.sleep(min(left, TICK / 4))
        take(inbound, duplex, 0)
        due = max(due, time.monotonic() - TICK)
    achieved = inbound.count / (time.monotonic() - began)
    while inbound.count < sent and idle < 60:
        idle = 0 if take(inbound, duplex, 50) else idle + 1
    whole(inbound, duplex)
    if inbound.count < sent:
        raise RuntimeError(f"{sent} messages sent beside, {inbound.count} answered")
    return achieved, inbound.routed
