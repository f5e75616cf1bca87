"""Before the logical configuration is there, connectors' frames wait (protocol.md 8)."""

from __future__ import annotations

from gandalf.routing.held import HELD_BYTES, HELD_FRAMES
from gandalf.wire import kinds
from tests.unit.routing.support import KINDS, OTHER_TENANT, Error, RoutingCase, event_answers


class Held(RoutingCase):
    """A router whose start-up is not done."""

    def setUp(self) -> None:
        """As the others, but not open."""
        super().setUp()
        self.router = self.new_router()

    def test_everything_but_secret_waits(self) -> None:
        """From connectors, validated or not; none of it counts yet."""
        for kind in KINDS:
            if kind != kinds.SECRET:
                for origin in (self.git1, self.bare):
                    charge = self.route(self.make(kind, {}), origin, {})
                    self.assertFalse(charge is None or charge.settled)

    def test_secret_goes_on(self) -> None:
        """And its reply comes back."""
        frame = self.make(kinds.SECRET, {"command": "VALIDATION"})
        self.assertIsNone(self.route(frame, self.bare, {self.member1: [frame.replace(target="bare")]}))
        body = {"command": "VALIDATION_REPLY", "payload": "true"}
        reply = self.make(kinds.SECRET, body, reference=frame.uuid)
        self.route(reply, self.member1, {self.bare: [reply]})
        self.assertTrue(self.bare.validated)

    def test_the_cluster_is_heard(self) -> None:
        """Its frames do not wait."""
        frame = self.make.event()
        everyone = (self.member2, self.git1, self.git2, self.flow)
        self.route(frame, self.member1, {link: [frame] for link in everyone})

    def test_in_the_order_in_which_they_came(self) -> None:
        """Of all connectors together; each counts when it does."""
        frames = [self.make.event(target="nobody") for _ in range(4)]
        config = self.make(kinds.CONFIG, {})
        charges = [
            self.router.route(frame, origin)
            for frame, origin in zip(frames, (self.git1, self.flow, self.git2, self.git1), strict=True)
        ]
        charges.append(self.router.route(config, self.git1))
        self.assertSent({})
        self.router.open()
        self.assertSent({self.member1: [*frames, config], self.member2: frames})
        self.assertEqual([charge is not None and charge.settled for charge in charges], [False] * 4 + [True])
        self.member2.acknowledge(3)
        self.assertEqual([charge is not None and charge.settled for charge in charges], [True] * 3 + [False, True])

    def test_open_twice(self) -> None:
        """Nothing happens the second time."""
        frame = self.make(kinds.CONFIG, {})
        self.drop(frame, self.git1)
        self.router.open()
        self.assertSent({self.member1: [frame]})
        self.router.open()

    def test_the_rules_of_then(self) -> None:
        """Validated or not is what counts when they are routed; so is the tenant rule."""
        accepted, refused, foreign = self.make.event(), self.make.event(), self.make.event(tenant=OTHER_TENANT)
        self.drop(accepted, self.bare)
        self.drop(refused, self.git1)
        self.drop(foreign, self.git2)
        self.bare.validated = True
        self.git1.validated = False
        self.router.open()
        error = Error("WRONG_TENANT", foreign)
        self.assertSent(
            {
                self.member1: [accepted, error],
                self.member2: [accepted, error],
                self.git1: [Error("NOT_VALIDATED", refused)],
                self.git2: [accepted, error],
                self.flow: [accepted],
            }
        )

    def test_sent_again_while_it_waits(self) -> None:
        """After a reconnection of its connector: it acts once, and both count when the first does."""
        frame = self.make.event(target="nobody")
        charges = [self.router.route(frame, self.git1), self.router.route(frame, self.git1)]
        self.router.open()
        self.assertSent({self.member1: [frame], self.member2: [frame]})
        self.assertEqual(self.router.counters["duplicates"], 1)
        self.assertEqual([charge is not None and charge.settled for charge in charges], [False, False])
        self.member1.acknowledge()
        self.assertEqual([charge is not None and charge.settled for charge in charges], [True, True])

    def test_time_runs_while_they_wait(self) -> None:
        """A timeout counts from arrival (protocol.md 2): what it has is what is left of it."""
        command = self.make.command(timeout=5000)
        self.drop(command, self.git1)
        self.pass_time(3)
        self.router.open()
        self.assertSent({self.member1: [command]})
        self.pass_time(1)
        self.assertSent({self.member2: [command]})
        self.pass_time(1)
        self.assertSent({self.git1: [Error("TIMEOUT", command)]})

    def test_longer_than_they_are_worth(self) -> None:
        """``EXPIRED`` to the origin, when the timeout is over: for a command that has none, ``max_timeout``."""
        old = [
            self.make.command(timeout=5000),
            self.make.command(),
            self.make.command(timeout=60_000),
            self.make.event(timeout=9000),
            self.make(kinds.CONFIG, {}, timeout=10_000),
        ]
        young = [self.make.event(timeout=10_001, target="nobody"), self.make.event(target="nobody")]
        charges = [self.router.route(frame, self.git1) for frame in old]
        for frame in young:
            self.drop(frame, self.git1)
        self.pass_time(10)
        self.router.open()
        self.assertSent(
            {self.git1: [Error("EXPIRED", frame) for frame in old], self.member1: young, self.member2: young}
        )
        self.assertEqual([charge is not None and charge.settled for charge in charges], [True] * 5)

    def test_a_connector_that_is_forgotten(self) -> None:
        """What it sent is dropped: nobody was told that it counts, and a new session sends it again."""
        frame = self.make.command()
        self.drop(frame, self.git1)
        self.drop(self.make.event(target="nobody"), self.git1)
        self.router.link_gone(self.git1)
        self.drop(frame, self.git2)
        self.router.open()
        self.assertSent({self.member1: [frame]})
        self.drop(event_answers(frame, self.make), self.member1)

    def test_many_frames(self) -> None:
        """Whoever has so many waiting is read no more, until start-up is done; others are."""
        self.drop(self.make.event(), self.git2)
        for _ in range(HELD_FRAMES - 1):
            self.drop(self.make.event(), self.git1)
        self.assertFalse(self.git1.paused)
        self.drop(self.make.event(), self.git1)
        self.assertEqual([link for link in self.links if link.paused], [self.git1])
        self.router.relieved()
        self.router.link_up(self.member1)
        self.assertTrue(self.git1.paused)
        self.router.open()
        self.assertFalse(self.git1.paused)
        self.forget_sent()

    def test_long_frames(self) -> None:
        """The same by bytes."""
        payload = "x" * (HELD_BYTES // 4)
        for count in range(4):
            self.assertFalse(self.git1.paused, count)
            self.drop(self.make(kinds.EVENT, {"topic": "t", "payload": payload}), self.git1)
        self.assertTrue(self.git1.paused)

    def test_cluster_absent_when_start_up_is_done(self) -> None:
        """Then whoever was paused waits for the cluster."""
        for _ in range(HELD_FRAMES):
            self.drop(self.make.event(), self.git1)
        for member in (self.member1, self.member2):
            member.disconnect()
        self.router.open()
        self.forget_sent()
        self.assertTrue(self.git1.paused)
        self.member2.reconnect()
        self.router.link_up(self.member2)
        self.assertFalse(self.git1.paused)
