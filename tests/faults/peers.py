"""Connectors without the library: they speak to each instance by itself, so that the order on each link shows.

    FAULTS_LIFE=1 python -m tests.faults.peers DIRECTORY PROCESS

runs those of the cast whose process is PROCESS, until SIGTERM. A peer sends the events of the stream
`DIRECT + n` over its link to instance n only, and writes down what comes over which link.
"""

from __future__ import annotations

import os
import random
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.task import LoopingCall
from twisted.logger import globalLogBeginner

from gandalf.connector.validation import Validation
from gandalf.logs import LogOutput
from gandalf.network import dials
from gandalf.routing.charge import Charge
from gandalf.routing.fallthrough import is_free
from gandalf.routing.link import CONNECTOR, Link
from gandalf.shoset.diallers import Diallers
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.host import Refusal
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.session import Kept
from gandalf.shoset.settings import Identity, Limits
from gandalf.wire import kinds
from gandalf.wire.body import unpack_body
from gandalf.wire.control import BrothersBody, LinkBody
from gandalf.wire.envelope import Frame
from gandalf.wire.runs import Run
from tests.faults import cast
from tests.faults.cast import Cast, Player
from tests.faults.pace import Pace
from tests.faults.records import Kind, Recorder

reactor: Any = global_reactor
INTERVAL = 0.05
MAX_OPEN = 2000
LIMITS = Limits(heartbeat=1.0, handshake_timeout=2.0)


class Peer:
    """One connector. Implements :class:`gandalf.shoset.host.Host`."""

    def __init__(self, players: Cast, player: Player, who: int, secret: str, directory: Path) -> None:
        self._cast = players
        self._player = player
        self._who = who
        self._recorder = Recorder(directory / f"{who}.history")
        self._stop = directory / "stop"
        self._instances = players.instances[player.tenant]
        self.shoset = ShosetFactory(
            Identity(player.name, CONNECTOR, player.tenant, os.urandom(16)),
            LIMITS,
            self,
            clock=reactor,
            now=time.time,
            random=os.urandom,
            max_timeout=5.0,
        )
        self._diallers = Diallers(
            self.shoset, dials(reactor, None), jitter=random.random, topics=tuple(cast.topics(player.index))
        )
        claim = {"component_type": "connector", "logical_name": player.name, "bind_address": ""}
        self._validation = Validation(
            {**claim, "secret": secret, "instance": self.shoset.identity.instance},
            self.shoset.frame,
            reactor,
            random.random,
            accepted=self._validated,
            refused=lambda reason: None,
        )
        self._sent = [0] * len(self._instances)
        self._seen: dict[tuple[int, int], bytearray] = {}
        self._open = 0
        self._turn = 0
        self._idle = False
        self._pace = Pace(players.events, time.monotonic())
        self._loop = LoopingCall(self._portion)

    def start(self) -> None:
        """Dial, and make load."""
        self._diallers.start(self._instances)
        self._loop.start(INTERVAL)

    # gandalf.shoset.host.Host

    def admit(self, hello: LinkBody, tenant: str) -> Refusal | None:
        """Never asked."""
        return None

    def link_up(self, link: ShosetLink, resumed: bool) -> None:
        """Prove the secret, unless the session that goes on has."""
        if not self._diallers.same_instance(link) and not link.validated:
            self._validation.start(link)

    def link_leaving(self, link: ShosetLink) -> None:
        """Nothing is pending that would have to be finished here."""
        link.finish()

    def link_down(self, link: ShosetLink) -> None:
        """It comes again."""
        self._validation.forget(link)

    def link_gone(self, link: ShosetLink) -> None:
        """Nothing more is known of it."""
        self._validation.forget(link)

    def link_relieved(self, link: ShosetLink) -> None:
        """The next portion sees it."""

    def frame_received(self, frame: Frame, link: ShosetLink) -> Charge | None:
        """Write down what came."""
        if frame.kind == kinds.EVENT:
            self._event(frame, link)
        elif frame.kind == kinds.SECRET:
            self._validation.reply(frame)
        return None

    def run_received(self, run: Run, link: ShosetLink) -> Charge | None:
        """Each by itself."""
        return None

    def frame_expired(self, kept: Kept, link: ShosetLink) -> None:
        """A validation, which is made anew."""

    def brothers_received(self, brothers: BrothersBody, link: ShosetLink) -> None:
        """All instances are known."""

    # The load.

    def _validated(self, link: Link) -> None:
        assert isinstance(link, ShosetLink)
        instance = self._instances.index(link.address)
        self._recorder.write(Kind.SESSION, self._who, link=instance, other=int.from_bytes(link.instance[:4]))

    def _portion(self) -> None:
        if self._stop.exists():
            if not self._open and not self._idle:
                self._idle = True
                self._recorder.write(Kind.IDLE, self._who)
            return
        for _ in range(self._pace.due(time.monotonic())):
            if self._open < MAX_OPEN:
                self._emit()

    def _emit(self) -> None:
        """Over one link after the other; over none while it is not validated."""
        self._turn += 1
        wanted = self._turn % len(self._instances)
        for link in self.shoset.registry.of_type("a"):
            if link.validated and link.address == self._instances[wanted] and is_free(link):
                self._send(link, wanted)

    def _send(self, link: ShosetLink, instance: int) -> None:
        number, stream = self._sent[instance], cast.DIRECT + instance
        self._sent[instance] += 1
        self._open += 1
        body: dict[str, object] = {"topic": cast.DIRECT_TOPIC, "event": cast.key(self._who, stream, number)}
        self._recorder.write(Kind.SEND, self._who, stream=stream, number=number)
        charge = Charge()
        charge.then(partial(self._acknowledged, stream, number))
        link.send(self.shoset.frame(kinds.EVENT, body), charge)

    def _acknowledged(self, stream: int, number: int) -> None:
        self._open -= 1
        self._recorder.write(Kind.ACKED, self._who, stream=stream, number=number)

    def _event(self, frame: Frame, link: ShosetLink) -> None:
        body = unpack_body(frame.body)
        place = cast.read_key(str(body.get("event", "")))
        if place is None:
            if body.get("topic") != "error":
                self._recorder.write(Kind.STRAY, self._who)
            elif not self._validation.error(frame.reference or b"", str(body.get("event"))):
                self._recorder.write(Kind.REFUSED, self._who)
            return
        sender, stream, number = place
        if sender == self._who:
            # By way of a brother: an aggregator knows a connection, not who else is the same connector.
            return
        instance = self._instances.index(link.address)
        where = {"other": sender, "stream": stream, "number": number, "link": instance}
        if stream >= cast.DIRECT:
            self._recorder.write(Kind.ARRIVED, self._who, **where)
        if self._first(sender, stream, number):
            self._recorder.write(Kind.DELIVERED, self._who, **where)

    def _first(self, sender: int, stream: int, number: int) -> bool:
        seen = self._seen.setdefault((sender, stream), bytearray())
        if number >= len(seen):
            seen.extend(bytes(number + 1 - len(seen) + 1024))
        if seen[number]:
            return False
        seen[number] = 1
        return True


def main(directory: Path, process: str) -> None:
    """Run the peers of a process."""
    globalLogBeginner.beginLoggingTo([LogOutput.for_stdout("info", "text")], redirectStandardIO=False)
    players = Cast.load(directory / "cast.json")
    life = int(os.environ["FAULTS_LIFE"])
    for player in players.players:
        if player.process == process:
            secret = (directory / f"secret-{player.index}").read_text()
            peer = Peer(players, player, player.who(life), secret, directory)
            reactor.callWhenRunning(peer.start)
    reactor.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
