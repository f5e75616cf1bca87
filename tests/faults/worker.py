"""A connector written with the project's library: it makes load, acts on what comes, and writes all of it down.

    use = "tests.faults.worker:program"
    options = { index = 3, directory = "..." }

`FAULTS_LIFE` in the environment says how often its process has been started.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from twisted.application.service import Service
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import LoopingCall

from gandalf.connector import (
    CommandError,
    Connector,
    EventRefused,
    Host,
    Job,
    Network,
    Program,
    ReceivedEvent,
)
from gandalf.connector.programs import check_options
from tests.faults import cast
from tests.faults.cast import Cast
from tests.faults.pace import Pace
from tests.faults.records import Kind, Recorder, code_number

INTERVAL = 0.05
"""Seconds between two portions of load."""

COMMAND_TIMEOUT = 8.0
MAX_EVENTS, MAX_COMMANDS = 3000, 200
"""On their way at a time."""

PADDING = "x" * 120
LONG_PADDING = "y" * 40_000
LONG_EVERY = 200
"""One event in so many is long, so that the network cuts it."""


class Options(BaseModel):
    """`index`: in the cast, which is in `directory`."""

    index: int
    directory: Path


class Work(BaseModel):
    """The payload of `WORK`: which command of whom it is."""

    who: int
    number: int
    padding: str = ""


def program(options: Mapping[str, object]) -> Program:
    """A worker; several of them may be in one process."""
    checked = check_options(Options, options)
    life = int(os.environ["FAULTS_LIFE"])
    players = Cast.load(checked.directory / "cast.json")
    who = players.players[checked.index].who(life)
    recorder = Recorder(checked.directory / f"{who}.history")
    connector = Connector(type=cast.PIVOT, product="laboratory", versions=[(1, 0)])

    @connector.command(cast.COMMAND, Work)
    async def work(request: Work, job: Job) -> dict[str, object]:
        recorder.write(Kind.ACT, who, other=request.who, number=request.number)
        job.progress("half")
        return {"who": request.who, "number": request.number}

    async def heard(event: ReceivedEvent, network: Network) -> None:
        place = cast.read_key(event.event)
        if place is None:
            recorder.write(Kind.STRAY, who)
        else:
            recorder.write(Kind.DELIVERED, who, other=place[0], stream=place[1], number=place[2])

    # What is aimed at a connector comes whatever its topics: it need not name them to the network for that.
    for pattern in [*cast.topics(checked.index), "aimed.*"]:
        connector.on(pattern)(heard)

    def beside(reactor: Any, network: Network, host: Host) -> Load:
        return Load(reactor, network, players, checked.index, who, recorder, checked.directory / "stop")

    return Program(connector, beside)


class Load(Service):
    """Sends events and commands until the file `stop` is there."""

    def __init__(
        self, reactor: Any, network: Network, players: Cast, index: int, who: int, recorder: Recorder, stop: Path
    ) -> None:
        self._network: Any = network
        self._cast = players
        self._player = players.players[index]
        self._who = who
        self._recorder = recorder
        self._stop = stop
        self._sent = [0, 0, 0]
        self._commands = 0
        self._events_open = 0
        self._commands_open = 0
        self._idle = False
        self._sessions: set[object] = set()
        now = time.monotonic()
        self._event_pace = Pace(players.events, now)
        self._command_pace = Pace(players.commands, now)
        self._loop = LoopingCall(self._portion)
        self._loop.clock = reactor

    def startService(self) -> None:
        """As soon as the network is there."""
        super().startService()
        self._watch_sessions()
        self._loop.start(INTERVAL)

    def stopService(self) -> None:
        """The connector ends: what is on its way is told of as it ends."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _portion(self) -> None:
        self._look_at_links()
        now = time.monotonic()
        if self._stop.exists():
            if not self._events_open and not self._commands_open and not self._idle:
                self._idle = True
                self._recorder.write(Kind.IDLE, self._who)
            return
        for _ in range(self._event_pace.due(now)):
            if self._events_open < MAX_EVENTS:
                self._emit()
        for _ in range(self._command_pace.due(now)):
            if self._commands_open < MAX_COMMANDS:
                ensureDeferred(self._command())

    def _emit(self) -> None:
        stream = sum(self._sent) % 3
        number = self._sent[stream]
        self._sent[stream] += 1
        target = self._cast.aim(self._player, number).name if stream == cast.AIMED else ""
        padding = PADDING if sum(self._sent) % LONG_EVERY else LONG_PADDING
        who, recorder = self._who, self._recorder
        recorder.write(Kind.SEND, who, stream=stream, number=number)
        self._events_open += 1

        def ended(result: Any) -> None:
            self._events_open -= 1
            if result is None:
                recorder.write(Kind.ACKED, who, stream=stream, number=number)
                return
            error = result.value
            code = error.code if isinstance(error, EventRefused) else "OTHER"
            recorder.write(Kind.REFUSED, who, stream=stream, number=number, link=code_number(code))

        emitted: Any = self._network.emit(
            cast.TOPICS[stream], cast.key(who, stream, number), {"padding": padding}, target=target
        )
        emitted.addBoth(ended)

    async def _command(self) -> None:
        number = self._commands
        self._commands += 1
        who, recorder = self._who, self._recorder
        target = self._cast.target(self._player, number)
        recorder.write(Kind.COMMAND, who, number=number)
        self._commands_open += 1
        payload = {"who": who, "number": number, "padding": PADDING}
        try:
            outcome = await self._network.send(
                cast.PIVOT, cast.COMMAND, payload, target=target.name if target else "", timeout=COMMAND_TIMEOUT
            )
            code = "SUCCESS"
            if outcome.payload != {"who": who, "number": number}:
                recorder.write(Kind.STRAY, who, number=number)
        except CommandError as error:
            code = error.code
        self._commands_open -= 1
        recorder.write(Kind.ENDED, who, number=number, link=code_number(code))

    def _look_at_links(self) -> None:
        """Which sessions are new: what is due to this connector follows from it."""
        instances = self._cast.instances[self._player.tenant]
        for link in self._network.shoset.registry.of_type("a"):
            if link.validated and link.connected and link.address in instances and link not in self._sessions:
                self._sessions.add(link)
                self._recorder.write(
                    Kind.SESSION,
                    self._who,
                    link=instances.index(link.address),
                    other=int.from_bytes(link.instance[:4]),
                )

    def _watch_sessions(self) -> None:
        """A link that comes up anew is noted when it is validated; one that goes on is not."""
        link_up = self._network.link_up

        def watched(link: Any, resumed: bool) -> None:
            if not resumed:
                self._sessions.discard(link)
            link_up(link, resumed)

        self._network.link_up = watched
