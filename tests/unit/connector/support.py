"""A connector's runtime on a network in memory, between aggregators that do what the test says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.connector import Account, Connector, Job, Program, Runtime
from gandalf.connector.testing import MemoryHost
from gandalf.connector.twisted_host import TwistedHost
from gandalf.routing.charge import Charge
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.settings import Limits
from gandalf.shoset.testing import FakeHost, FakeNetwork, fake_shoset, unique
from gandalf.wire import kinds
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame

SECRET = "open sesame"


class MemoryLoop(MemoryHost, TwistedHost):
    """A `Loop` without threads, whose promises are Deferreds."""

    def __init__(self) -> None:
        TwistedHost.__init__(self, None)


class AggregatorHost(FakeHost):
    """Answers `VALIDATION` as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.shoset: ShosetFactory
        self.verdict: str | None = "true"
        """The payload of the answer; None: nobody answers."""
        self.reason = ""

    def frame_received(self, frame: Frame, link: ShosetLink) -> Charge | None:
        """Recorded; a validation is answered."""
        charge = super().frame_received(frame, link)
        if frame.kind == kinds.SECRET and self.verdict is not None:
            link.validated = self.verdict == "true"
            body: dict[str, object] = {
                "command": "VALIDATION_REPLY",
                "payload": self.verdict,
                "context": {"reason": self.reason},
            }
            link.send(self.shoset.frame(kinds.SECRET, body, reference=frame.uuid, target=link.logical_name))
        return charge


class Aggregator:
    """One instance of an aggregator; hears, and says what it is told to."""

    def __init__(self, network: FakeNetwork, address: str) -> None:
        self.network = network
        self.address = address
        self.start()

    def start(self) -> None:
        """Be a new process at the same address."""
        self.host = AggregatorHost()
        self.shoset, _ = fake_shoset(self.network, "a", logical_name="aggregator1", host=self.host)
        self.host.shoset = self.shoset
        self.network.listeners[self.address] = self.shoset

    @property
    def link(self) -> ShosetLink:
        """The link of the connector that came last."""
        return self.host.link

    def heard(self, kind: str) -> list[Frame]:
        """The frames of one kind received so far."""
        return [frame for frame, _ in self.host.received if frame.kind == kind]

    def events(self) -> list[tuple[str, str]]:
        """Topic and event of the events received so far."""
        return [(body["topic"], body["event"]) for body in map(body_of, self.heard(kinds.EVENT))]

    def say(self, kind: str, body: Mapping[str, object] | bytes, **envelope: Any) -> Frame:
        """Send a frame to the connector."""
        if isinstance(body, bytes):
            made = self.shoset.frame(kind, {}, **envelope)
            made.body = body
            frame = made.replace()
        else:
            frame = self.shoset.frame(kind, dict(body), **envelope)
        self.link.send(frame)
        self.network.settle()
        return frame

    def command(self, name: str, payload: object = None, *, source: str = "asker", **envelope: Any) -> Frame:
        """Send the connector a command."""
        body = {"command": name, "payload": "" if payload is None else json.dumps(payload), "source": source}
        return self.say(kinds.COMMAND, body, **envelope)

    def event(self, topic: str, event: str, payload: object = None, **envelope: Any) -> Frame:
        """Send the connector an event."""
        text = "" if payload is None else json.dumps(payload)
        body = {"topic": topic, "event": event, "payload": text, "source": envelope.pop("source", "other")}
        return self.say(kinds.EVENT, body, **envelope)

    def answer(self, command: Frame, event: str, payload: object = None, **envelope: Any) -> Frame:
        """Answer a command of the connector's."""
        topic = body_of(command)["command"]
        return self.event(topic, event, payload, reference=command.uuid, target="git1", **envelope)

    def error(self, about: Frame, code: str, *, origin: str = "git1", message: str = "because") -> Frame:
        """An error event about a frame of the connector's (protocol.md 6.6)."""
        payload = {"code": code, "message": message, "origin": origin}
        return self.event("error", code, payload, reference=about.uuid, target="git1")

    def cut(self) -> None:
        """Break the connection of the connector."""
        connection = self.link.connection
        assert connection is not None
        for cable in self.network.cables:
            if cable.listening.protocol is connection:
                cable.cut()
        self.network.settle()

    def down(self) -> None:
        """Be no more."""
        del self.network.listeners[self.address]
        self.cut()
        self.shoset.stop()


class Greet(BaseModel):
    """A payload."""

    name: str


def greeter() -> Connector:
    """A connector with one command."""
    connector = Connector(type="greeting", product="plain", versions=[(1, 0), (1, 1)])

    @connector.command("GREET", Greet)
    async def greet(request: Greet, job: Job) -> dict[str, object]:
        return {"text": f"Hello {request.name}"}

    return connector


class RuntimeCase(SynchronousTestCase):
    """A connector `git1` and two aggregator instances, of which it is given the first."""

    limits = Limits()

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = FakeNetwork(self.clock)
        self.first = Aggregator(self.network, "127.0.0.1:1")
        self.addCleanup(self.check_quiet)

    def second(self) -> Aggregator:
        """The other instance."""
        return Aggregator(self.network, "127.0.0.1:2")

    def runtime(self, program: Connector | Program | None = None, *addresses: str, **account: Any) -> Runtime:
        """A connector that has not started."""
        settings = {"limits": self.limits, "drain_timeout": 5.0, **account}
        self.running = Runtime(
            program or greeter(),
            Account("git1", "acme", addresses or ("127.0.0.1:1",), SECRET, **settings),
            MemoryLoop(),
            reactor=self.clock,
            connect=self.network.connect,
            now=self.clock.seconds,
            random=unique,
            jitter=lambda: 0.0,
        )
        return self.running

    def start(self, program: Connector | Program | None = None, *addresses: str, **account: Any) -> Runtime:
        """A connector that is linked wherever it can be."""
        runtime = self.runtime(program, *addresses, **account)
        runtime.start()
        self.network.settle()
        return runtime

    def stop(self) -> Deferred[None]:
        """Begin to stop."""
        stopped = self.running.stop()
        self.network.settle()
        assert isinstance(stopped, Deferred)
        return stopped

    def check_quiet(self) -> None:
        """Stop whatever runs; nothing may be left behind."""
        if hasattr(self, "running"):
            stopped = self.stop()
            self.network.advance(30)
            self.successResultOf(stopped)
            self.assertEqual(
                (len(self.running.sender), len(self.running.emitter), self.running.receiver.jobs), (0,) * 3
            )
        for listener in self.network.listeners.values():
            if isinstance(listener, ShosetFactory):
                listener.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


def body_of(frame: Frame) -> dict[str, Any]:
    """The body of a frame."""
    return unpack_body(frame.body)


def payload_of(frame: Frame) -> Any:
    """The parsed payload of a frame, None when it has none."""
    text = body_of(frame).get("payload", "")
    return json.loads(text) if text else None
