"""What an instance keeps stays below the bound that docs/operators.md states, however many peers misbehave."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from gandalf.network import limits_of
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.kept import OVERHEAD, TRANCHE
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.settings import Limits
from gandalf.shoset.testing import Cable, RawPeer
from gandalf.wire.envelope import LENGTH
from gandalf.wire.kinds import COMMAND, EVENT, PING, SECRET
from tests.memory import bound_of_limits
from tests.unit.aggregator.support import AggregatorCase

FRAME = 16 * 1024


class MemoryTests(AggregatorCase):
    """Peers that do not read, do not answer, do not go on, or come again and again."""

    limits: ClassVar[dict[str, int]] = {
        "max_frame": FRAME,
        "handshake_max_frame": 4096,
        "high_water": 32 * 1024,
        "unacknowledged_bytes": 128 * 1024,
        "unacknowledged_frames": 500,
        "kept_bytes": 512 * 1024,
        "pending_bytes": 256 * 1024,
        "duplicate_window": 1000,
        "max_connections": 12,
    }

    def setUp(self) -> None:
        super().setUp()
        self.successResultOf(self.start())
        self.shoset: ShosetFactory = self.aggregator.shoset
        self.most: Counter[str] = Counter()

    def peer(self, name: str, *, validated: bool = True, **link: object) -> tuple[RawPeer, Cable]:
        """One that has linked."""
        peer = RawPeer("c", logical_name=name)
        protocol = self.shoset.buildProtocol(None)
        assert protocol is not None
        cable = self.network.join(peer, protocol)
        peer.say_link(**link)
        self.network.settle()
        if validated:
            peer.say(SECRET, {"command": "VALIDATION", "context": {}})
            self.network.settle()
            self.assertIn("VALIDATION_REPLY", [body.get("command") for body in peer.heard(SECRET)])
        return peer, cable

    def kept(self) -> dict[str, int]:
        """Bytes that the instance keeps, by place."""
        router, waiting = self.aggregator.router, 0
        for connection in self.shoset.connections:
            transport: Any = connection.transport
            waiting += connection._reader.held + len(transport.waiting)
        links = list(self.shoset.registry)
        return {
            "connections": waiting,
            "for peers": sum(weight(link) for link in links if not link.address),
            "for members": sum(weight(link) for link in links if link.address),
            "pending": router.from_connectors.bytes + router.from_cluster.bytes,
        }

    def settle(self, seconds: float = 0.05) -> None:
        """Let it arrive, and look."""
        self.network.advance(seconds)
        for place, size in self.kept().items():
            self.most[place] = max(self.most[place], size)

    def test_all_at_once(self) -> None:
        """Each drives another buffer to its bound, and beyond what it would be without."""
        unread = [self.peer(f"unread{number}") for number in range(4)]
        stranger, strange = self.peer("stranger", validated=False)
        asker, _ = self.peer("asker", topics=["none"])
        emitter, _ = self.peer("emitter", topics=["none"])
        for _, cable in (*unread, ("", strange)):
            cable.listening.held = True
        partial, _ = self.peer("partial")
        partial.write(LENGTH.pack(FRAME) + bytes(FRAME - 100))
        for _ in range(150):
            for _ in range(20):
                emitter.say(EVENT, {"topic": "a", "payload": "x" * 1000})
                asker.say(COMMAND, {"command": "DO", "payload": "x" * 1000}, timeout=10_000)
                stranger.say(EVENT, {"topic": "a"})
                stranger.say(PING)
            self.settle()
            broken, cable = self.peer("broken")
            for _ in range(3):
                broken.say(COMMAND, {"command": "DO"}, timeout=1)
            cable.cut()
            self.settle()
        counters = self.shoset.counters
        self.assertGreater(counters.slow_consumers, 3)
        self.assertGreater(counters.crowded_out, 100)
        self.assertGreater(self.aggregator.router.errors.counts["OVERLOADED"], 100)
        self.assert_bounds(limits_of(self.aggregator.config.limits))
        # What was sent to those who did not read, and would have been kept.
        self.assertGreater(150 * 20 * 1000 * len(unread), 10 * self.most["for peers"])
        self.network.advance(100)

    def assert_bounds(self, limits: Limits) -> None:
        """Each place below its part of the bound, and at it more or less; all together below the whole."""
        chunk = 64 * 1024
        parts = {
            "connections": limits.max_connections * (2 * limits.max_frame + 512 * 1024),
            "for peers": limits.kept_bytes + 2 * limits.max_connections * 6 * TRANCHE,
            "for members": limits.unacknowledged_bytes + chunk,
            "pending": limits.pending_bytes + chunk,
        }
        for place, bound in parts.items():
            self.assertLess(self.most[place], bound, place)
        self.assertGreater(self.most["for peers"], limits.kept_bytes // 2)
        self.assertGreater(self.most["pending"], limits.pending_bytes // 2)
        self.assertLess(self.most.total(), bound_of_limits(limits, members=1))


def weight(link: ShosetLink) -> int:
    """Bytes that a link is reckoned to keep."""
    return link.outbox.bytes + OVERHEAD * (len(link.outbox) + link.inbox.open)
