"""The loads that grow: commands of ever more connectors, and commands that nobody answers."""

from __future__ import annotations

from benchmarks.load import one_way, round_trip
from benchmarks.load.crowd import Crowd, CrowdProcess
from benchmarks.load.lane import RoundTrip
from benchmarks.load.one_way import CHUNK, Rate
from benchmarks.load.shared import Child, blocking, carrying, timed

BATCH = 16
"""Commands of one connector, before another's turn comes."""


def commands_by_turns(crowd: CrowdProcess, lane: RoundTrip, *, seconds: float, warm: float) -> Rate:
    """Round trips a second of a crowd's commands, answered by the responder of `lane`.

    :raises RuntimeError: an answer is missing.
    """
    crowd.counters.reset()
    responder = round_trip.respond(lane, crowd.counters, False)
    with carrying(lane.name, [responder]):
        crowd.ask(Crowd.drive, round_trip.WINDOW, BATCH)
        rate, cpu_us = timed(crowd.counters, lane.pids, seconds=seconds, warm=warm)
        crowd.counters.stop()
        sent, answered = crowd.answer()
        round_trip.finish_responder(lane, responder)
    if sent != answered:
        raise RuntimeError(f"{sent} commands sent, {answered} answered")
    return Rate(rate, cpu_us)


def leave_pending(lane: RoundTrip, count: int) -> None:
    """Send `count` commands over the lane's driver; the responder acknowledges them and does not answer.

    :raises RuntimeError: not all have arrived in time.
    """
    answer, lane.responder.inbound.answer = lane.responder.inbound.answer, None
    lane.responder.inbound.count = 0
    responder = Child(lambda: _swallow(lane, count), False)
    try:
        sock, outgoing = blocking(lane.driver.sock), lane.outgoing
        left = count
        while left:
            batch = min(left, max(CHUNK // outgoing.size, 1))
            sock.sendall(outgoing.many(batch))
            one_way.discard(sock)
            left -= batch
        lane.responder.inbound.carried_on(responder.result(180))
    finally:
        responder.end()
        lane.responder.inbound.answer = answer


def _swallow(lane: RoundTrip, count: int) -> int:
    duplex, inbound = round_trip.Duplex(lane.responder.sock), lane.responder.inbound
    while inbound.count < count:
        round_trip.take(inbound, duplex, 50)
    round_trip.whole(inbound, duplex)
    return inbound.routed
