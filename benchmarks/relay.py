"""How many frames a second an aggregator routes in memory, without sockets.

    python benchmarks/relay.py [FRAMES]

One connector sends events of 100 bytes in chunks of 64 KiB; one cluster member acknowledges every chunk. All of
protocol.md 5 and 6 is in force. A second figure is for commands, each answered by a receipt. Seconds are of the
processor, so that other work on the machine shows little.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.epollreactor import EPollReactor

from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.charge import Charge
from gandalf.shoset.dialler import Dialler
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.settings import Identity, Limits
from gandalf.wire.body import pack_body
from gandalf.wire.control import AckBody, LinkBody, LinkedBody
from gandalf.wire.envelope import Frame, make_frame
from gandalf.wire.framing import FrameReader
from gandalf.wire.runs import Run

CHUNK = 64 * 1024


class Transport:
    """Takes what is written; never full."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: bytes) -> None:
        self.written += data

    def registerProducer(self, producer: object, streaming: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 1)

    def take(self) -> bytes:
        """What was written since the last call."""
        data = bytes(self.written)
        self.written.clear()
        return data


class Host:
    """The least that a shoset needs above it: the router."""

    router: AggregatorRouter

    def admit(self, hello: LinkBody, tenant: str) -> None:
        return None

    def link_up(self, link: ShosetLink, resumed: bool) -> None:
        link.validated = True

    def link_relieved(self, link: ShosetLink) -> None:
        self.router.relieved()

    def frame_received(self, frame: Frame, link: ShosetLink) -> Charge | None:
        return self.router.route(frame, link)

    def run_received(self, run: Run, link: ShosetLink) -> Charge | None:
        return self.router.route_run(run, link)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


class Bench:
    """An aggregator between one connector and one member, driven by hand."""

    def __init__(self) -> None:
        # Never run: what is measured is what its timers cost to set and to cancel.
        clock, host = EPollReactor(), Host()
        self.shoset = ShosetFactory(
            Identity("aggregator1", "a", "tenant1", os.urandom(16)),
            Limits(),
            host,
            clock=clock,
            now=time.time,
            random=os.urandom,
            max_timeout=10.0,
        )
        host.router = AggregatorRouter(
            "tenant1",
            self.shoset.registry,
            self.shoset.frame,
            clock=clock,
            now=time.time,
            max_timeout=10.0,
            duplicate_window=200_000,
            database=lambda frame: None,
        )
        host.router.open()
        dialler = Dialler(self.shoset, "127.0.0.1:1", lambda address, factory: None, jitter=lambda: 0.5)  # type: ignore
        dialler.wanted = True
        self.member = self._connect(dialler.buildProtocol(None))
        linked = LinkedBody(1, "cluster", "cl", os.urandom(16), 0, 10_000, 8 << 20)
        self.member.dataReceived(frame("linked", linked.pack()))
        self.connector = self._connect(self.shoset.buildProtocol(None))
        link = LinkBody(1, "git1", "c", "", os.urandom(16), os.urandom(16), 0, 10_000)
        self.connector.dataReceived(frame("link", link.pack()))

    @staticmethod
    def _connect(protocol: Any) -> Any:
        protocol.makeConnection(Transport())
        return protocol


def frame(kind: str, body: bytes, reference: bytes | None = None, target: str = "") -> bytes:
    """The bytes of one frame."""
    return make_frame(kind, os.urandom(16), "tenant1", target, reference, 0, 1_700_000_000_000, body).raw


def chunks(frames: list[bytes]) -> list[bytes]:
    """Whole frames in pieces of about the size that a socket gives."""
    count = max(CHUNK // len(frames[0]), 1)
    return [b"".join(frames[start : start + count]) for start in range(0, len(frames), count)]


def events(count: int) -> float:
    """Events a second from the connector to the member."""
    bench = Bench()
    body = pack_body({"topic": "a.b", "event": "X", "payload": "x" * 60})
    stream = chunks([frame("evt", body) for _ in range(count)])
    bench.member.transport.take()
    reader, received = FrameReader(8 << 20), 0
    spent = 0.0
    for chunk in stream:
        began = time.process_time()
        bench.connector.dataReceived(chunk)
        spent += time.process_time() - began
        received += sum(1 for each in reader.feed(bench.member.transport.take()) if each.kind == "evt")
        ack = frame("ack", AckBody(received).pack())
        began = time.process_time()
        bench.member.dataReceived(ack)
        spent += time.process_time() - began
        bench.connector.transport.take()
    assert received == count, (received, count)
    return count / spent


def commands(count: int) -> float:
    """Commands a second from the connector to the member, each with its receipt back."""
    bench = Bench()
    body = pack_body({"command": "A", "source": "git1", "payload": "x" * 60})
    receipt = pack_body({"topic": "A", "event": "TAKEN"})
    stream = chunks([frame("cmd", body) for _ in range(count)])
    bench.member.transport.take()
    reader, received, taken = FrameReader(8 << 20), 0, 0
    spent = 0.0
    for chunk in stream:
        began = time.process_time()
        bench.connector.dataReceived(chunk)
        spent += time.process_time() - began
        arrived = [each.uuid for each in reader.feed(bench.member.transport.take()) if each.kind == "cmd"]
        received += len(arrived)
        answers = b"".join(frame("evt", receipt, uuid, "git1") for uuid in arrived)
        answers += frame("ack", AckBody(received).pack())
        began = time.process_time()
        bench.member.dataReceived(answers)
        spent += time.process_time() - began
        back = FrameReader(8 << 20).feed(bench.connector.transport.take())
        events_back = [each for each in back if each.kind == "evt"]
        taken += len(events_back)
        bench.connector.dataReceived(frame("ack", AckBody(taken).pack()))
        bench.connector.transport.take()
    assert received == taken == count, (received, taken, count)
    return count / spent


def main() -> None:
    """Measure both, five times, and print the medians."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for name, measure in (("events", events), ("commands with receipts", commands)):
        figures = sorted(measure(count) for _ in range(5))
        print(f"{name}: {figures[2]:,.0f} a second (from {figures[0]:,.0f} to {figures[-1]:,.0f})")


if __name__ == "__main__":
    main()
