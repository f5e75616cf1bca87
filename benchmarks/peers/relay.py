"""The null relay: a process that passes bytes on and does nothing else. What it carries, the generators can."""

from __future__ import annotations

import multiprocessing
import select
import socket

from benchmarks.load.lane import End, OneWay, RoundTrip
from benchmarks.load.shape import Answer, Field, Shape
from benchmarks.peers.gandalf import PREFIX, GandalfInbound, command, event, receipt, stamped

_READ = 1 << 19


def _serve(listener: socket.socket) -> None:
    """Join connections by pairs, in the order they come."""
    poll, others = select.poll(), {}
    poll.register(listener, select.POLLIN)
    alone: socket.socket | None = None
    buffer = memoryview(bytearray(_READ))
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if alone is None:
                    alone = sock
                    continue
                others[alone.fileno()], others[sock.fileno()] = (alone, sock), (sock, alone)
                poll.register(alone, select.POLLIN)
                poll.register(sock, select.POLLIN)
                alone = None
                continue
            here, there = others[number]
            got = here.recv_into(buffer)
            if not got:
                poll.unregister(here)
            else:
                there.sendall(buffer[:got])


class _Silent(GandalfInbound):
    """Nobody is there to be told."""

    def acknowledge(self, out: bytearray) -> None:
        pass


class NullRelay:
    """The lanes through it, with Gandalf's frames."""

    name = "null relay"
    note = "nothing: shows what the load generators can do"

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._process = multiprocessing.get_context("fork").Process(
            target=_serve, args=(self._listener,), daemon=True
        )
        self._process.start()

    def pids(self) -> list[int]:
        """Of its process."""
        assert self._process.pid is not None
        return [self._process.pid]

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        address = self._listener.getsockname()
        return socket.create_connection(address), socket.create_connection(address)

    def one_way(self, payload: int) -> OneWay:
        """Events."""
        near, far = self._pair()
        message = event(payload)
        sink = End(far, _Silent(Shape.of(message, PREFIX, PREFIX)))
        return OneWay(self.name, End(near, _Silent(None)), stamped(message), sink, self.pids)

    def round_trip(self, payload: int) -> RoundTrip:
        """Commands and their receipts."""
        near, far = self._pair()
        asked, answered = command(payload, "bench1"), receipt("bench1", payload)
        answer = Answer(stamped(answered), (Field(PREFIX, answered.index(b"\xfe" * 16), 16),))
        driver = End(near, _Silent(Shape.of(answered, PREFIX)))
        return RoundTrip(
            self.name, driver, stamped(asked), End(far, _Silent(Shape.of(asked, PREFIX), answer)), self.pids
        )

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()
        self._listener.close()
