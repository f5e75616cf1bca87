"""Those whose fan-out is compared: each with a source, and a crowd that receives."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Callable
from typing import Final

import attrs

from benchmarks.load import round_trip
from benchmarks.load.crowd import Crowd, CrowdProcess
from benchmarks.load.lane import Outgoing, RoundTrip
from benchmarks.load.round_trip import finish_responder
from benchmarks.load.shape import Stamp, Template, random_ids
from benchmarks.load.shared import Child, Counters
from benchmarks.peers.crowds import Connectors, Plain, Subscribers, inbound_of
from benchmarks.peers.gandalf import HEARTBEAT, Aggregator, event, stamped
from benchmarks.peers.nats import Client, Nats, reaches

PAYLOAD: Final = 100
FIRST_PING: Final = 3.0
"""Seconds until NATS has sent its first PING to a new client; the next comes minutes later."""
SETTLED: Final = 1.0
"""Seconds without a word, after which the acknowledgements of secrets have come, which must not be counted."""


@attrs.define
class FanOut:
    """A crowd that is connected, and who sends to it.

    :param every: seconds after which each connection acknowledges; 0 where it need not.
    """

    name: str
    note: str
    crowd: CrowdProcess
    source: socket.socket
    outgoing: Outgoing
    size: int
    pids: Callable[[], list[int]]
    end: Callable[[], None]
    every: float = 0.0

    def close(self) -> None:
        """End everything."""
        self.crowd.close()
        self.end()


class Answering:
    """While inside, the member of an aggregator accepts secrets, by a process of its own."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._end = aggregator.member.end()
        self._end.inbound = inbound_of(self._end.inbound)
        self._counters = Counters()
        self._child: Child | None = None
        self._aggregator = aggregator

    def __enter__(self) -> Answering:
        lane = RoundTrip("", self._end, Template(b""), self._end, list)
        self._child = round_trip.respond(lane, self._counters, False)
        self._lane = lane
        return self

    def __exit__(self, *reason: object) -> None:
        assert self._child is not None
        self._counters.finish()
        try:
            finish_responder(self._lane, self._child)
            self._aggregator.member.go_on(self._end.inbound)
        finally:
            self._child.end()


def connected(aggregator: Aggregator, script: Connectors, count: int) -> CrowdProcess:
    """Connectors that are linked and validated."""
    crowd = CrowdProcess(("127.0.0.1", aggregator.port), count, script, Counters())
    try:
        with Answering(aggregator):
            crowd.do(Crowd.connect, True)
        crowd.do(Crowd.settle, SETTLED)
    except BaseException:
        crowd.close()
        raise
    return crowd


def gandalf(count: int) -> FanOut:
    """One event of the cluster, to all connectors of one aggregator."""
    aggregator = Aggregator()
    try:
        crowd = connected(aggregator, Connectors(count, HEARTBEAT), count)
    except BaseException:
        aggregator.close()
        raise
    message = event(PAYLOAD)
    note = "acknowledged by each connector, after 64 events or at rest; kept until then"
    source = aggregator.member.sock
    return FanOut(
        "gandalf", note, crowd, source, stamped(message), len(message), lambda: aggregator.pids, aggregator.close
    )


def nats(count: int, leaves: int) -> FanOut:
    """One message published at the hub, to all subscribers of the leaf; or all at one server."""
    servers = Nats(leaves)
    try:
        publisher, probe = Client(servers.hub_port), Client(servers.near_port)
        crowd = CrowdProcess(("127.0.0.1", servers.near_port), count, Subscribers("bench.all"), Counters())
        crowd.do(Crowd.connect, True)
        crowd.do(Crowd.idle, FIRST_PING)
        crowd.do(Crowd.settle, SETTLED)
        reaches(publisher, probe)
    except BaseException:
        servers.close()
        raise
    mark = b"\xfd" * 16
    body = mark + bytes(PAYLOAD - 16) + b"\r\n"
    sent = f"PUB bench.all {PAYLOAD}\r\n".encode() + body
    size = len(f"MSG bench.all 1 {PAYLOAD}\r\n") + len(body)
    template = Template(sent, (Stamp(sent.index(mark), 16, random_ids(16)),))
    return FanOut(servers.name, servers.note, crowd, publisher.sock, template, size, servers.pids, servers.close)


def null(count: int) -> FanOut:
    """A process that writes what it reads to all connections, and does nothing else."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    process = multiprocessing.get_context("fork").Process(target=_spread, args=(listener, count), daemon=True)
    process.start()
    crowd = CrowdProcess(listener.getsockname(), count, Plain(), Counters())
    crowd.do(Crowd.connect, True)
    source = socket.create_connection(listener.getsockname())
    message = event(PAYLOAD)

    def end() -> None:
        process.kill()
        process.join()
        listener.close()

    note = "nothing: shows what the load generators can do"
    pid = process.pid
    assert pid is not None
    return FanOut("null relay", note, crowd, source, stamped(message), len(message), lambda: [pid], end)


def _spread(listener: socket.socket, count: int) -> None:
    everybody = []
    for _ in range(count):
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        everybody.append(sock)
    for sock in everybody:
        sock.recv(16)
        sock.sendall(b".")
    source, _ = listener.accept()
    while data := source.recv(1 << 16):
        for sock in everybody:
            sock.sendall(data)
