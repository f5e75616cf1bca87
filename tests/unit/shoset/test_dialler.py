"""Dialling for ever (protocol.md 5.2)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory

from gandalf.shoset.dialler import FACTOR, FIRST_DELAY, HELD, LONGEST_DELAY, Dialler
from gandalf.shoset.diallers import Diallers
from gandalf.shoset.testing import FakeHost, RawListener, RawPeer, unique
from gandalf.wire import kinds
from tests.unit.shoset.support import ADDRESS, ShosetTestCase


class BackoffTest(ShosetTestCase):
    """When a dialler dials again."""

    def delays(self) -> list[float]:
        """Seconds between the attempts so far."""
        times = [time for time, _ in self.network.dialled]
        return [later - earlier for earlier, later in pairwise(times)]

    def assert_delays(self, expected: list[float], delays: list[float]) -> None:
        """The same delays, but for rounding."""
        self.assertEqual(len(expected), len(delays))
        for one, other in zip(expected, delays, strict=True):
            self.assertAlmostEqual(one, other, places=6)

    def growth(self, count: int) -> list[float]:
        """The first delays without jitter."""
        return [min(FIRST_DELAY * FACTOR**number, LONGEST_DELAY) for number in range(count)]

    def test_delays_grow_to_the_longest(self) -> None:
        """From 0.05 s by 1.7 to 10 s, for ever."""
        dialler, _ = self.dial()
        self.network.advance(120)
        delays = self.delays()
        self.assertGreater(len(delays), 15)
        self.assert_delays(self.growth(len(delays)), delays)
        self.assertEqual(LONGEST_DELAY, delays[-1])
        self.assertIn("Refused", dialler.trouble)

    def test_jitter_shortens_by_up_to_a_half(self) -> None:
        """Whatever the random number, a delay is between its half and itself."""
        numbers = iter([0.0, 0.5, 0.999999, 0.25])
        self.dial(dialling={"jitter": lambda: next(numbers)})
        self.network.advance(0.33)
        growth = self.growth(3)
        self.assert_delays([growth[0], growth[1] * 0.75, growth[2] * (1 - 0.999999 / 2)], self.delays()[:3])

    def test_a_link_that_held_resets_the_delay(self) -> None:
        """After 5 s; not sooner."""
        listener = self.raw_listener()
        self.dial()
        first, second = self.growth(2)
        expected = [first, second, first, second]
        for held in (HELD - 0.01, HELD - 0.01, HELD, 0.0):
            listener.peers[-1].say_linked(resumed=False)
            self.network.advance(held)
            before = self.clock.seconds()
            self.network.cable.cut()
            self.network.advance(1)
            self.assert_delays([expected.pop(0)], [self.network.dialled[-1][0] - before])

    def test_handshakes_that_fail_do_not_reset_the_delay(self) -> None:
        """However long they took."""
        self.raw_listener()
        self.dial()
        self.network.advance(40)
        self.assert_delays([10 + FIRST_DELAY, 10 + FIRST_DELAY * FACTOR], self.delays()[:2])

    def test_the_name_is_looked_up_each_time(self) -> None:
        """The address is given to the connector anew."""
        self.dial()
        self.network.advance(1)
        self.assertEqual({ADDRESS}, {address for _, address in self.network.dialled})

    def test_an_address_that_cannot_be_dialled_at_all(self) -> None:
        """A connector that raises is a failure like another."""

        def connect(address: str, factory: Factory) -> Deferred[IProtocol]:
            raise ValueError(f"{address} is no address")

        shoset, _ = self.shoset("c")
        dialler = Dialler(shoset, "nonsense", connect, jitter=lambda: 0.0)
        self.diallers.append(dialler)
        dialler.start()
        self.assertEqual("ValueError: nonsense is no address", dialler.trouble)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))


class RefusedDiallerTest(ShosetTestCase):
    """What a dialler does when it is refused (protocol.md 5.1)."""

    def refused(self, code: str) -> tuple[Dialler, RawListener, FakeHost]:
        """A dialler that was refused with ``code``."""
        listener = self.raw_listener()
        dialler, host = self.dial()
        listener.peers[0].say(kinds.REFUSED, {"code": code, "message": "because"})
        self.network.settle()
        self.assertEqual(f"refused: {code}: because", dialler.trouble)
        self.assertTrue(listener.peers[0].ended)
        self.assertEqual([kinds.LINK], [frame.kind for frame in listener.peers[0].frames])
        return dialler, listener, host

    def test_no_retry_after_what_lasts(self) -> None:
        """UNSUPPORTED_VERSION and WRONG_TYPE."""
        for code in ("UNSUPPORTED_VERSION", "WRONG_TYPE"):
            dialler, listener, _ = self.refused(code)
            self.assertEqual([], self.clock.getDelayedCalls())
            self.network.advance(100)
            self.assertEqual(1, len(listener.peers))
            self.assertFalse(dialler.wanted)

    def test_retry_after_all_others(self) -> None:
        """The operator is told, and the dialler comes again; when it is let in, the trouble is over."""
        for code in (
            *("WRONG_TENANT", "MALFORMED", "TOO_LARGE", "HANDSHAKE_TIMEOUT", "NOT_AUTHORISED", "DRAINING"),
            *("OVERLOADED", "SOMETHING_NEW"),
        ):
            dialler, listener, host = self.refused(code)
            self.network.advance(1)
            self.assertEqual(2, len(listener.peers))
            listener.peers[1].say_linked()
            self.network.settle()
            self.assertEqual("", dialler.trouble)
            self.assertEqual([(dialler.link, False)], host.up)
            dialler.stop()

    def test_both_ends_of_ours(self) -> None:
        """A listener that drains refuses; when it does no longer, the link comes up."""
        shoset, _ = self.listen()
        shoset.draining = True
        dialler, host = self.dial()
        self.network.advance(1)
        self.assertIn("DRAINING", dialler.trouble)
        self.assertEqual([], host.up)
        shoset.draining = False
        self.network.advance(2)
        self.assertTrue(dialler.link.available)


class StopTest(ShosetTestCase):
    """A dialler that is stopped leaves nothing behind."""

    def test_stop_while_it_waits(self) -> None:
        """The next attempt does not come."""
        dialler, _ = self.dial()
        dialler.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.network.advance(60)
        self.assertEqual(1, len(self.network.dialled))

    def test_stop_while_it_connects(self) -> None:
        """The attempt is given up, and that is no trouble."""
        self.network.silent.add(ADDRESS)
        dialler, _ = self.dial()
        dialler.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual("", dialler.trouble)
        self.network.silent.clear()
        self.raw_listener()
        self.network.settle()
        self.assertEqual([], self.network.cables)

    def test_stop_during_the_handshake(self) -> None:
        """The answer comes too late: no link."""
        listener = self.raw_listener()
        dialler, host = self.dial()
        dialler.stop()
        listener.peers[0].say_linked()
        self.network.settle()
        self.assertEqual([], host.up)
        self.assertTrue(listener.peers[0].ended)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_stop_of_a_link_that_is_up(self) -> None:
        """It stays until it is closed, and is not dialled again."""
        self.listen()
        dialler, host = self.dial()
        dialler.stop()
        self.network.advance(60)
        self.assertTrue(dialler.link.available)
        self.network.cable.cut()
        self.network.advance(60)
        self.assertEqual([dialler.link], host.down)
        self.assertEqual(1, len(self.network.dialled))

    def test_start_again(self) -> None:
        """A dialler that was stopped may start again."""
        dialler, _ = self.dial()
        dialler.stop()
        self.listen()
        dialler.start()
        self.network.settle()
        self.assertTrue(dialler.link.available)

    def test_close_with_a_dialler_that_goes_on(self) -> None:
        """Who waits for the end of all connections is told after the links are down."""
        self.listen()
        dialler, host = self.dial()
        down: list[int] = []
        dialler.shoset.close().addCallback(lambda _: down.append(len(host.down)))
        self.network.settle()
        self.assertEqual([1], down)

    def test_close_without_connections(self) -> None:
        """There is nothing to wait for."""
        shoset, _ = self.shoset()
        self.assertIsNone(self.successResultOf(shoset.close()))


class DiallersTest(ShosetTestCase):
    """The addresses that a process dials."""

    def setUp(self) -> None:
        super().setUp()
        self.factory, self.host = self.shoset("c")
        self.all = Diallers(self.factory, self.network.connect, jitter=lambda: 0.0, topics=("x",))
        self.listeners: dict[str, RawListener] = {}

    def tearDown(self) -> None:
        self.all.stop()
        super().tearDown()

    def at(self, address: str) -> RawListener:
        """Listen at ``address`` with an instance of its own."""
        pattern = RawPeer("a")
        listener = self.network.listeners[address] = RawListener(pattern.again)
        self.listeners[address] = listener
        return listener

    def linked(self, address: str, **linked: Any) -> RawPeer:  # type: ignore[override]
        """Answer at ``address``."""
        peer = self.listeners[address].peers[-1]
        peer.say_linked(**linked)
        self.network.settle()
        return peer

    def addresses(self) -> list[str]:
        """What is dialled or linked."""
        return sorted(dialler.address for dialler in self.all)

    def test_start_dials_all_given(self) -> None:
        """Each with one dialler, with the topics asked for."""
        self.at("a:1")
        self.at("a:2")
        self.all.start(["a:1", "a:2", "a:1"])
        self.network.settle()
        self.assertEqual(["a:1", "a:2"], self.addresses())
        self.assertEqual(["x"], self.listeners["a:2"].peers[0].heard(kinds.LINK)[0]["topics"])

    def test_brothers_in_linked_are_dialled(self) -> None:
        """Those that we do not have."""
        for address in ("a:1", "a:2", "a:3"):
            self.at(address)
        self.all.start(["a:1", "a:2"])
        self.network.settle()
        self.linked("a:1", brothers=["a:2", "a:3"])
        self.assertEqual(["a:1", "a:2", "a:3"], self.addresses())
        self.assertEqual([1, 1, 1], [len(self.listeners[address].peers) for address in self.addresses()])

    def test_told_addresses_nobody_names_any_more(self) -> None:
        """Given up when they are not linked; given ones never are."""
        for address in ("a:1", "a:2"):
            self.at(address)
        self.all.start(["a:1", "a:9"])
        self.network.settle()
        self.linked("a:1", brothers=["a:2", "a:3"])
        self.linked("a:2")
        self.all.told("a:1", ())
        self.assertEqual(["a:1", "a:2", "a:9"], self.addresses())
        self.network.cables[1].cut()
        self.all.told("a:1", ())
        self.assertEqual(["a:1", "a:9"], self.addresses())

    def test_an_address_learnt_that_nobody_names_when_it_answers(self) -> None:
        """Its own answer does not make an end of it."""
        for address in ("a:1", "a:2"):
            self.at(address)
        self.all.start(["a:1"])
        self.network.settle()
        self.linked("a:1", brothers=["a:2"])
        self.linked("a:2", brothers=["a:1"])
        self.assertEqual(["a:1", "a:2"], self.addresses())
        self.assertEqual(2, len([link for link in self.factory.registry if link.available]))

    def test_given_up_during_its_handshake(self) -> None:
        """A listener that answers after nobody names it any more does not become a link."""
        for address in ("a:1", "a:2"):
            self.at(address)
        self.all.start(["a:1"])
        self.network.settle()
        self.linked("a:1", brothers=["a:2"])
        self.all.told("a:1", ())
        peer = self.linked("a:2", brothers=["a:7"])
        self.assertEqual(["a:1"], self.addresses())
        self.assertTrue(peer.ended)
        self.assertEqual(1, len(self.factory.registry))

    def test_two_addresses_of_one_instance(self) -> None:
        """The one that was only told is dropped, and what it tells goes with it."""
        for address in ("a:1", "same:1"):
            self.at(address)
        self.all.start(["a:1"])
        self.network.settle()
        instance = unique()
        self.linked("a:1", instance=instance, brothers=["same:1"])
        self.assertFalse(self.all.same_instance(self.host.link))
        self.host.link_up = lambda link, resumed: self.twins.append(self.all.same_instance(link))  # type: ignore[method-assign]
        self.twins: list[bool] = []
        peer = self.linked("same:1", instance=instance, brothers=["a:5"])
        self.assertEqual([True], self.twins)
        self.assertEqual(["a:1"], self.addresses())
        self.assertTrue(peer.ended)
        self.network.advance(20)
        self.assertEqual(1, len(self.factory.registry))
        self.assertEqual(1, len(self.listeners["same:1"].peers))

    def test_given_addresses_of_one_instance_stay(self) -> None:
        """The operator asked for both."""
        for address in ("a:1", "same:1"):
            self.at(address)
        self.all.start(["a:1", "same:1"])
        self.network.settle()
        instance = unique()
        self.linked("a:1", instance=instance)
        self.linked("same:1", instance=instance)
        self.assertFalse(self.all.same_instance(self.host.link))

    def test_told_by_an_address_that_is_not_dialled(self) -> None:
        """Nothing happens."""
        self.all.start(["a:1"])
        self.all.told("a:2", ("a:3",))
        self.assertEqual(["a:1"], self.addresses())

    def test_stopped_diallers_learn_nothing(self) -> None:
        """Brothers told after the end are not dialled."""
        self.at("a:1")
        self.all.start(["a:1"])
        self.network.settle()
        self.all.stop()
        self.all.told("a:1", ("a:2",))
        self.assertEqual(["a:1"], self.addresses())
