"""Faults that befall something, and those that meet nothing."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.faults.injection import Injector
from tests.faults.pipe import FAIR, Weather
from tests.faults.proxy import NOBODY, Pair, Proxy
from tests.faults.schedule import KINDS, LINK, Fault


@attrs.define
class FakeNetwork:
    """One listener, `a1`, behind a proxy."""

    proxies: dict[str, Proxy]
    weather: list[Any] = attrs.field(factory=list)
    changes: int = 0

    def weather_changed(self) -> None:
        """Told."""
        self.changes += 1


class LinkFaultTests(SynchronousTestCase):
    """The link w1>a1, which may be there."""

    def setUp(self) -> None:
        """It is not."""
        self.reactor = MemoryReactorClock()
        self.proxy = Proxy(
            "a1",
            9999,
            reactor=self.reactor,
            random=lambda: 0.5,
            name_of=lambda hello: NOBODY,
            weather_of=lambda dialler, listener: FAIR,
        )
        network: Any = FakeNetwork({"a1": self.proxy})
        self.injector = Injector(network, self.reactor, lambda text: None)

    def link(self) -> Pair:
        """It is there."""
        pair = self.proxy.accepted().pair
        assert pair is not None
        pair.dialler = "w1"
        return pair

    def inject(self, kind: str) -> None:
        """From its beginning to its end."""
        done: Deferred[None] = ensureDeferred(self.injector.inject(Fault(0.0, kind, "w1>a1", 1.0, 0.7, "w1>a1")))
        self.reactor.pump([0.1] * 12)
        self.successResultOf(done)
        self.assertEqual(self.injector.troubles, [])

    def test_something(self) -> None:
        """It counts, and is remembered with its times."""
        for kind in KINDS:
            if kind.scope == LINK:
                self.link()
                self.inject(kind.name)
        self.assertEqual(self.injector.missed, [])
        links = [kind.name for kind in KINDS if kind.scope == LINK]
        self.assertEqual([done.fault.kind for done in self.injector.done], links)

    def test_nothing(self) -> None:
        """It does not count: nothing was broken."""
        for kind in KINDS:
            if kind.scope == LINK:
                self.inject(kind.name)
        self.assertEqual(self.injector.done, [])
        self.assertEqual(len(self.injector.missed), sum(kind.scope == LINK for kind in KINDS))

    def test_bad_weather_that_a_link_comes_into(self) -> None:
        """The link is not there when it begins, and is when it ends."""
        done = ensureDeferred(self.injector.inject(Fault(0.0, "delay", "w1>a1", 1.0, 0.7, "w1>a1")))
        self.reactor.advance(0.5)
        self.link().set_weather(Weather(delay=1.0))
        self.reactor.advance(0.6)
        self.successResultOf(done)
        self.assertEqual((len(self.injector.done), self.injector.missed), (1, []))
