"""One direction of a proxied connection, and what is done to the bytes on their way.

Bytes are never lost and never change their order within a direction: that is what TCP promises. They are late, in
other pieces, in another order than those of other connections, or never come because the connection ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

MAX_HELD = 256 * 1024
"""Bytes that wait in one direction before its source is not read any more."""

TICK = 0.02
"""Seconds between two portions of a throttled direction."""


@attrs.frozen
class Weather:
    """What a connection goes through.

    :param delay: seconds that each chunk is late.
    :param rate: bytes a second; 0: no bound.
    :param piece: bytes in one piece at most; 0: no bound.
    :param shuffle: cut and joined at random, each piece late by up to so many seconds.
    :param hold: nothing passes.
    """

    delay: float = 0.0
    rate: float = 0.0
    piece: int = 0
    shuffle: float = 0.0
    hold: bool = False

    def with_(self, other: Weather) -> Weather:
        """Both at once: the worse of each."""
        rates = [rate for rate in (self.rate, other.rate) if rate]
        pieces = [piece for piece in (self.piece, other.piece) if piece]
        return Weather(
            self.delay + other.delay,
            min(rates, default=0.0),
            min(pieces, default=0),
            max(self.shuffle, other.shuffle),
            self.hold or other.hold,
        )


FAIR = Weather()


class Pipe:
    """Takes bytes from one side, and gives them to the other as the weather has it.

    :param random: a number from 0 to 1.
    :param write: where the bytes go.
    :param read: told whether the source is to be read.
    """

    def __init__(
        self,
        clock: IReactorTime,
        random: Callable[[], float],
        write: Callable[[bytes], object],
        read: Callable[[bool], object],
    ) -> None:
        self.weather = FAIR
        self._clock = clock
        self._random = random
        self._write = write
        self._read = read
        self._queue: deque[tuple[float, bytes]] = deque()
        self._held = 0
        self._reading = True
        self._timer: IDelayedCall | None = None
        self._at_end: Callable[[], object] | None = None
        self._broken = False

    def feed(self, data: bytes) -> None:
        """Bytes have come from the source."""
        if self._broken:
            return
        if self.weather is FAIR and not self._queue:
            self._write(data)
            return
        for piece in self._pieces(data):
            last = self._queue[-1][0] if self._queue else 0.0
            late = self.weather.delay + self.weather.shuffle * self._random()
            self._queue.append((max(last, self._clock.seconds() + late), piece))
        self._held += len(data)
        self._look_at_source()
        self._pump()

    def change(self, weather: Weather) -> None:
        """Other weather; what waits goes on in it."""
        self.weather = weather
        if weather is FAIR:
            while self._queue and not self._broken:
                self._give(self._queue.popleft()[1])
            self._look_at_source()
            self._finish_if_ended()
        self._pump()

    def end(self, then: Callable[[], object]) -> None:
        """The source says no more: call ``then`` after its last byte."""
        self._at_end = then
        self._finish_if_ended()

    def break_off(self) -> None:
        """What waits is lost with the connection."""
        self._broken = True
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pieces(self, data: bytes) -> list[bytes]:
        if not self.weather.shuffle:
            return [data]
        pieces = []
        while data:
            size = 1 + int(self._random() ** 3 * len(data))
            pieces.append(data[:size])
            data = data[size:]
        return pieces

    def _pump(self) -> None:
        """Give what is due now; then wait for what comes next."""
        if self._timer is not None or self.weather.hold or self._broken:
            return
        rate = self.weather.rate
        allowed = int(max(rate * TICK, 1)) if rate else MAX_HELD * 1000
        now = self._clock.seconds()
        while self._queue and allowed > 0 and self._queue[0][0] <= now:
            due, data = self._queue.popleft()
            size = min(len(data), allowed, self.weather.piece or len(data))
            if size < len(data):
                self._queue.appendleft((due, data[size:]))
            allowed -= size
            self._give(data[:size])
        self._look_at_source()
        self._finish_if_ended()
        if self._queue:
            # At the rate of one byte a tick or less the pause is longer.
            pause = max(TICK, 1 / rate) if rate else 0.001
            self._timer = self._clock.callLater(max(self._queue[0][0] - now, pause), self._again)

    def _again(self) -> None:
        self._timer = None
        self._pump()

    def _give(self, data: bytes) -> None:
        self._held -= len(data)
        self._write(data)

    def _look_at_source(self) -> None:
        reading = self._held < MAX_HELD
        if reading != self._reading:
            self._reading = reading
            self._read(reading)

    def _finish_if_ended(self) -> None:
        if self._at_end is not None and not self._queue and not self._broken:
            then, self._at_end = self._at_end, None
            then()
