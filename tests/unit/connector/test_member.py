"""A connector as one end of the network: its links, its secret, its heartbeats, its end."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from gandalf.connector import Account, Connector, EventRefused, Job, Network, Program, ReceivedEvent, SecretRefused
from gandalf.connector.runtime import NOTHING
from gandalf.wire import kinds
from tests.unit.connector.support import SECRET, Greet, RuntimeCase, body_of, greeter, payload_of


async def nothing(event: ReceivedEvent, network: Network) -> None:
    """A reaction."""


class LinkTests(RuntimeCase):
    """Protocol.md 5.1: what a connector says of itself."""

    def test_link_says_who_dials(self) -> None:
        """The link bears type, logical name and tenant, and an instance and session of sixteen bytes."""
        self.start()
        hello, tenant = self.first.host.admitted[0]
        self.assertEqual((hello.type, hello.logical_name, tenant), ("c", "git1", "acme"))
        self.assertEqual((len(hello.instance), len(hello.session)), (16, 16))

    def test_topics_are_the_patterns_subscribed_to(self) -> None:
        """The link names each pattern once (protocol.md 6.1)."""
        connector = greeter()

        async def other(event: ReceivedEvent, network: Network) -> None:
            """Another reaction."""

        connector.on("project.*")(nothing)
        connector.on("vcs.>")(nothing)
        connector.on("project.*")(other)
        self.start(connector)
        self.assertEqual(self.first.host.admitted[0][0].topics, ("project.*", "vcs.>"))

    def test_who_subscribes_to_nothing_names_the_error_topic(self) -> None:
        """No topics would mean all of them, and an empty list could be read so."""
        self.start()
        self.assertEqual(self.first.host.admitted[0][0].topics, NOTHING)

    def test_every_instance_is_dialled(self) -> None:
        """The addresses given and the brothers that an instance tells are all linked and validated."""
        second, third = self.second(), None
        self.first.shoset.brothers = ("127.0.0.1:2",)
        self.start()
        self.assertEqual(len(self.running._ready_links()), 2)
        third = type(second)(self.network, "127.0.0.1:3")
        second.shoset.tell_brothers(second.link, "aggregator1", ("127.0.0.1:1", "127.0.0.1:3"))
        self.network.settle()
        self.assertEqual(len(third.heard(kinds.HEARTBEAT)), 1)

    def test_brothers_of_another_name_are_not_dialled(self) -> None:
        """Only the instances of the own aggregator are of interest."""
        self.start()
        self.first.shoset.tell_brothers(self.first.link, "aggregator2", ("127.0.0.1:9",))
        self.network.settle()
        self.assertEqual({address for _, address in self.network.dialled}, {"127.0.0.1:1"})

    def test_an_instance_under_two_addresses_is_linked_once(self) -> None:
        """An address told that leads where a link exists is dropped."""
        self.network.listeners["localhost:1"] = self.first.shoset
        self.first.shoset.brothers = ("localhost:1",)
        self.start()
        self.assertEqual(len(self.running._ready_links()), 1)

    def test_it_is_not_dialled(self) -> None:
        """A connector lets nobody in."""
        runtime = self.start()
        refusal = runtime.admit(self.first.host.admitted[0][0], "acme")
        assert refusal is not None
        self.assertEqual(refusal.code, "WRONG_TYPE")


class ValidationTests(RuntimeCase):
    """Protocol.md 4 `secret`, 6 and 6.4."""

    def test_the_secret_comes_first(self) -> None:
        """Before the secret is accepted nothing else is sent; then what waited and a heartbeat are."""
        self.first.host.verdict = None
        runtime = self.start()
        promise: Any = runtime.emit("a.b", "X")
        self.network.settle()
        (asked,) = [frame for frame, _ in self.first.host.received]
        self.assertEqual((asked.kind, asked.tenant), (kinds.SECRET, "acme"))
        self.assertEqual(
            body_of(asked)["context"],
            {
                "component_type": "connector",
                "logical_name": "git1",
                "bind_address": "",
                "secret": SECRET,
                "instance": runtime.shoset.identity.instance,
            },
        )
        self.first.host.verdict = "true"
        self.network.advance(10.2)
        self.assertEqual(self.first.events(), [("a.b", "X")])
        self.assertEqual(len(self.first.heard(kinds.HEARTBEAT)), 1)
        self.successResultOf(promise)

    def test_ready_fires_at_the_first_validated_link(self) -> None:
        """`ready` fires then, and at once when asked later."""
        runtime = self.runtime()
        early = runtime.ready()
        runtime.start()
        self.assertNoResult(early)
        self.network.settle()
        self.successResultOf(early)
        self.successResultOf(runtime.ready())
        self.assertEqual(runtime.state, "ready")

    def test_a_refused_secret_is_told(self) -> None:
        """ "false" fails `ready` with the cluster's reason, and is what the state says."""
        self.first.host.verdict, self.first.host.reason = "false", "revoked"
        runtime = self.runtime()
        ready = runtime.ready()
        runtime.start()
        self.network.settle()
        error = self.failureResultOf(ready, SecretRefused).value
        self.assertEqual(str(error), "git1: the secret is refused: revoked")
        self.assertEqual((runtime.state, runtime.trouble), ("refused", "revoked"))

    def test_a_refused_secret_is_shown_again_ever_more_rarely(self) -> None:
        """An hour of refusals is some 65 attempts, though the aggregator closes the link each time; put right,
        the connector comes up by itself."""
        host = self.first.host
        host.verdict = "false"
        runtime = self.start()
        for _ in range(3600):
            if host.link.connected and len(self.first.heard(kinds.SECRET)) > len(host.gone):
                host.link.dismiss("NOT_VALIDATED", "no")
                host.link.forget()
            self.network.advance(1)
        self.assertLess(len(self.first.heard(kinds.SECRET)), 75)
        self.assertGreater(len(self.first.heard(kinds.SECRET)), 55)
        host.verdict = "true"
        self.network.advance(75)
        self.assertEqual((runtime.state, runtime.trouble), ("ready", ""))

    def test_who_cannot_say_is_asked_again(self) -> None:
        """An error event about the request, an error in the reply, a reply that is neither: asked again, with
        growing pauses; an answer that does not come counts after ten seconds."""
        host = self.first.host
        host.verdict = None
        self.start()
        asked = self.first.heard(kinds.SECRET)
        self.first.error(asked[0], "NO_ROUTE")
        self.network.advance(0.1)
        asked = self.first.heard(kinds.SECRET)
        self.assertEqual(len(asked), 2)
        reply = {"command": "VALIDATION_REPLY", "context": {"error": {"code": "DATABASE", "message": "down"}}}
        self.first.say(kinds.SECRET, reply, reference=asked[1].uuid)
        self.network.advance(0.19)
        self.assertEqual(len(self.first.heard(kinds.SECRET)), 2)
        self.network.advance(0.01)
        asked = self.first.heard(kinds.SECRET)
        self.first.say(kinds.SECRET, {"command": "VALIDATION_REPLY", "payload": "maybe"}, reference=asked[2].uuid)
        self.network.advance(0.4)
        self.assertEqual(len(self.first.heard(kinds.SECRET)), 4)
        self.network.advance(10.0)
        self.network.advance(0.8)
        self.assertEqual(len(self.first.heard(kinds.SECRET)), 5)

    def test_a_reply_to_something_else_is_of_no_use(self) -> None:
        """A reply under another reference changes nothing, and is counted."""
        self.first.host.verdict = None
        runtime = self.start()
        self.first.say(kinds.SECRET, {"command": "VALIDATION_REPLY", "payload": "true"}, reference=b"?" * 16)
        self.assertEqual((runtime.state, runtime.counters["frames of no use"]), ("linking", 1))

    def test_a_resumed_session_keeps_its_validation(self) -> None:
        """After a broken connection the same instance is not asked again; a new process is."""
        self.start()
        self.first.cut()
        self.assertEqual(self.running.state, "linking")
        self.network.advance(1)
        self.assertEqual((self.running.state, len(self.first.heard(kinds.SECRET))), ("ready", 1))
        self.first.down()
        self.first.start()
        self.network.advance(5)
        self.assertEqual((self.running.state, len(self.first.heard(kinds.SECRET))), ("ready", 1))

    def test_the_secret_is_not_shown(self) -> None:
        """Neither an account's repr nor the log has it."""
        logged: list[LogEvent] = []
        observer: Any = logged.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.first.host.verdict = "false"
        self.start()
        self.assertIn("refused", "".join(str(formatEvent(event)) for event in logged))
        self.assertNotIn(SECRET, f"{self.running.account!r} {logged!r}")


class HeartbeatTests(RuntimeCase):
    """Protocol.md 4 and 6.4c."""

    def test_what_a_heartbeat_says(self) -> None:
        """It bears what the cluster needs to find the connector."""
        self.start(None, "127.0.0.1:1", bind_address="127.0.0.1:77")
        (heartbeat,) = self.first.heard(kinds.HEARTBEAT)
        body = body_of(heartbeat)
        self.assertEqual((heartbeat.tenant, body["event"]), ("acme", "HEARTBEAT"))
        self.assertEqual(
            body["context"],
            {
                "component_type": "connector",
                "logical_name": "git1",
                "bind_address": "127.0.0.1:77",
                "connector_type": "greeting",
                "product": "plain",
                "versions": [{"major": 1, "minor": 0}, {"major": 1, "minor": 1}],
            },
        )

    def test_one_a_minute_over_each_link(self) -> None:
        """Each under a uuid of its own: the cluster learns of each instance that has the connector."""
        second = self.second()
        self.start(None, "127.0.0.1:1", "127.0.0.1:2")
        self.network.advance(61)
        frames = self.first.heard(kinds.HEARTBEAT) + second.heard(kinds.HEARTBEAT)
        self.assertEqual(len(self.first.heard(kinds.HEARTBEAT)), 2)
        self.assertEqual(len({frame.uuid for frame in frames}), 4)


class SubscribeTests(RuntimeCase):
    """`Network.subscribe` while the connector runs."""

    def test_a_new_pattern_opens_the_links_anew(self) -> None:
        """The session goes on with the new topics, and what was on its way comes once."""
        heard: list[str] = []

        async def hear(event: ReceivedEvent, network: Network) -> None:
            heard.append(event.event)

        self.start()
        self.running.subscribe("project.*", hear)
        self.running.subscribe("vcs.*", hear)
        self.network.advance(1)
        self.assertEqual([hello.topics for hello, _ in self.first.host.admitted], [NOTHING, ("project.*", "vcs.*")])
        self.assertEqual([resumed for _, resumed in self.first.host.up], [False, True])
        self.first.event("vcs.pushed", "PUSHED")
        self.assertEqual(heard, ["PUSHED"])

    def test_a_pattern_while_a_link_is_being_opened(self) -> None:
        """What that has named already is out of date when it is there: it is opened anew, too."""
        join = self.network.join

        def hold(dialling: Any, listening: Any) -> Any:
            cable = join(dialling, listening)
            cable.listening.held = True
            return cable

        self.patch(self.network, "join", hold)
        self.start()
        self.running.subscribe("a.*", nothing)
        self.network.advance(0.1)
        self.assertEqual([hello.topics for hello, _ in self.first.host.admitted], [NOTHING])
        self.network.join = join  # type: ignore[method-assign]
        self.network.cable.listening.held = False
        self.network.advance(1)
        self.assertEqual(self.first.link.topics, ("a.*",))
        self.assertEqual(self.running.state, "ready")

    def test_a_known_pattern_changes_nothing(self) -> None:
        """A second handler of a pattern needs no new link; nor does one bring in a bad pattern."""
        connector = greeter()
        connector.on("a.*")(nothing)
        self.start(connector)

        async def other(event: ReceivedEvent, network: Network) -> None:
            """Another reaction."""

        self.running.subscribe("a.*", other)
        self.assertRaises(ValueError, self.running.subscribe, "a..b", other)
        self.network.advance(1)
        self.assertEqual(len(self.first.host.admitted), 1)

    def test_the_declaration_stays_as_it_was(self) -> None:
        """What a runtime subscribes to is its own."""
        connector = greeter()
        self.start(connector)
        self.running.subscribe("a.*", nothing)
        self.assertEqual(connector.topics, [])
        self.network.advance(1)

    def test_a_pending_command_outlives_it(self) -> None:
        """A command that waits while the only link is opened anew gets its outcome all the same."""
        self.start()
        outcome: Any = self.running.send("vcs", "LIST", timeout=5)
        self.network.settle()
        self.running.subscribe("a.*", nothing)
        self.network.advance(1)
        self.assertNoResult(outcome)
        self.first.answer(self.first.heard(kinds.COMMAND)[0], "SUCCESS", {"n": 1})
        self.assertEqual(self.successResultOf(outcome).payload, {"n": 1})


class ByeTests(RuntimeCase):
    """Protocol.md 5.2: an aggregator that leaves."""

    def test_brothers_are_used_at_once(self) -> None:
        """After `bye` what is new goes elsewhere; what is pending there finishes, then the link closes."""
        second = self.second()
        self.start(None, "127.0.0.1:1", "127.0.0.1:2")
        first = self.first.link
        outcomes: list[Any] = [self.running.send("vcs", "LIST") for _ in range(2)]
        self.network.settle()
        (command,) = self.first.heard(kinds.COMMAND)
        first.say_bye("DRAINING", "stops")
        self.network.settle()
        self.assertTrue(first.connected)
        for number in range(4):
            self.running.emit(f"topic{number}", "X")
        self.network.settle()
        self.assertEqual((len(self.first.events()), len(second.events())), (0, 4))
        self.first.answer(command, "SUCCESS")
        self.successResultOf(outcomes[0])
        self.assertFalse(first.connected)
        second.answer(second.heard(kinds.COMMAND)[0], "SUCCESS")
        self.successResultOf(outcomes[1])

    def test_it_waits_for_acknowledgements(self) -> None:
        """The link is kept until the events sent over it are acknowledged."""
        self.start()
        link = self.first.link
        promise: Any = self.running.emit("a", "X")
        link.say_bye("DRAINING", "stops")
        self.network.settle()
        self.assertTrue(link.connected)
        self.network.advance(0.05)
        self.successResultOf(promise)
        self.assertFalse(link.connected)

    def test_a_slow_consumer_links_again(self) -> None:
        """Closed as a slow consumer, it is back after a moment and catches up."""
        self.start()
        self.first.link.dismiss("SLOW_CONSUMER", "too much is waiting")
        self.network.advance(1)
        self.assertEqual((self.running.state, len(self.first.host.up)), ("ready", 2))


class BesideTests(RuntimeCase):
    """What runs beside a connector's commands."""

    def test_it_starts_with_the_network_and_stops_before_it(self) -> None:
        """Started at the first validated link, once; stopped while events still go out."""
        self.told: list[Any] = []
        case = self

        class Beside(Service):
            def startService(self) -> None:
                super().startService()
                case.told.append(case.running.state)

            def stopService(self) -> None:
                super().stopService()
                case.told.append(case.running.emit("last.words", "X"))

        self.start(Program(greeter(), lambda reactor, network, host: Beside()))
        self.first.cut()
        self.network.advance(1)
        stopped = self.stop()
        self.network.advance(1)
        self.successResultOf(stopped)
        self.assertEqual(self.told[0], "ready")
        self.successResultOf(self.told[1])
        self.assertEqual(len(self.told), 2)

    def test_one_that_cannot_start_is_logged(self) -> None:
        """The commands are carried out all the same."""

        def beside(reactor: object, network: object, host: object) -> Any:
            raise OSError("no inotify")

        self.start(Program(greeter(), beside))
        self.first.command("GREET", {"name": "x"})
        self.assertEqual(self.first.events()[-1], ("GREET", "SUCCESS"))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def beside(self, service: Any, reactor: object, network: object, host: object) -> Any:
        """What makes `service`."""
        return service

    def test_one_that_cannot_stop_is_logged(self) -> None:
        """The connector ends in good order all the same: commands at work finish, and it says bye."""
        work: Deferred[str] = Deferred()
        connector = greeter()

        @connector.command("WAIT", Greet)
        async def wait(request: Greet, job: Job) -> str:
            return await work

        for ending in (lambda: 1 / 0, lambda: fail(ZeroDivisionError())):
            service: Any = Service()
            service.stopService = ending
            self.start(Program(connector, partial(self.beside, service)))
            self.first.command("WAIT", {"name": "x"})
            stopped = self.stop()
            self.network.advance(1)
            self.assertNoResult(stopped)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            work.callback("done")
            self.network.advance(1)
            self.successResultOf(stopped)
            self.assertEqual((self.first.events()[-1], self.running.state), (("WAIT", "SUCCESS"), "stopped"))
            work = Deferred()

    def test_one_that_does_not_stop_is_not_waited_for(self) -> None:
        """Longer than for all else."""
        service: Any = Service()
        service.stopService = Deferred
        self.start(Program(greeter(), partial(self.beside, service)))
        stopped = self.stop()
        self.network.advance(4.9)
        self.assertNoResult(stopped)
        self.network.advance(1.2)
        self.successResultOf(stopped)


class StopTests(RuntimeCase):
    """`Runtime.stop`: an end in good order."""

    def setUp(self) -> None:
        super().setUp()
        self.work: Deferred[str] = Deferred()
        self.connector = greeter()

        @self.connector.command("WAIT", Greet)
        async def wait(request: Greet, job: Job) -> str:
            return await self.work

    def test_jobs_finish_first(self) -> None:
        """The outcome of what is at work goes out and is acknowledged, then the connector says bye."""
        self.start(self.connector)
        self.first.command("WAIT", {"name": "x"})
        stopped = self.stop()
        self.network.advance(1)
        self.assertNoResult(stopped)
        self.work.callback("done")
        self.network.advance(1)
        self.successResultOf(stopped)
        self.assertEqual(self.first.events(), [("WAIT", "TAKEN"), ("WAIT", "SUCCESS")])
        self.assertEqual((self.running.state, len(self.first.host.leaving)), ("stopped", 1))

    def test_what_takes_too_long_is_cancelled(self) -> None:
        """After `drain_timeout` a job fails with CANCELLED; that, too, goes out."""
        self.start(self.connector)
        self.first.command("WAIT", {"name": "x"})
        stopped = self.stop()
        self.network.advance(5.5)
        self.successResultOf(stopped)
        self.assertEqual(self.first.events()[-1], ("WAIT", "FAILURE"))
        self.assertEqual(payload_of(self.first.heard(kinds.EVENT)[-1])["code"], "CANCELLED")

    def test_the_aggregator_hears_at_once(self) -> None:
        """It gives nothing new; what comes of the commands at work is sent all the same."""
        self.start(self.connector)
        self.first.command("WAIT", {"name": "x"})
        stopped = self.stop()
        self.assertEqual(([self.first.link], False), (self.first.host.leaving, self.first.link.available))
        self.first.command("GREET", {"name": "x"})
        self.assertEqual(self.first.events(), [("WAIT", "TAKEN")])
        self.work.callback("done")
        self.network.advance(1)
        self.successResultOf(stopped)
        self.assertEqual(self.first.events(), [("WAIT", "TAKEN"), ("WAIT", "SUCCESS")])

    def test_a_command_that_was_on_its_way_is_carried_out(self) -> None:
        """As long as others are at work."""
        self.start(self.connector)
        self.first.command("WAIT", {"name": "x"})
        stopped = self.running.stop()
        assert isinstance(stopped, Deferred)
        self.first.command("GREET", {"name": "x"})
        self.assertEqual(self.first.events()[-1], ("GREET", "SUCCESS"))
        self.work.callback("done")
        self.network.advance(1)
        self.successResultOf(stopped)

    def test_a_link_that_comes_back_hears_it_again(self) -> None:
        """The aggregator that closed, or broke, gives it nothing new either."""
        self.start(self.connector)
        self.first.command("WAIT", {"name": "x"})
        stopped = self.stop()
        self.first.cut()
        self.network.advance(0.2)
        self.assertEqual(2, len(self.first.host.leaving))
        self.assertFalse(self.first.link.available)
        self.work.callback("done")
        self.network.advance(1)
        self.successResultOf(stopped)
        self.assertEqual(self.first.events()[-1], ("WAIT", "SUCCESS"))

    def test_the_log_says_what_was_finished(self) -> None:
        """And what was not."""
        told: list[LogEvent] = []
        observer: Any = told.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.start(self.connector)
        self.first.command("WAIT", {"name": "x"})
        self.first.command("WAIT", {"name": "y"})
        stopped = self.stop()
        self.network.advance(10)
        self.successResultOf(stopped)
        texts = [formatEvent(event) for event in told]
        self.assertIn(
            "git1 stops: 0 of 2 commands at work finished, 2 were cancelled;"
            " 0 events were not acknowledged, 0 commands sent had no outcome yet",
            texts,
        )

    def test_whoever_waits_learns_of_it(self) -> None:
        """Events that found no aggregator and commands without an outcome fail; nothing new is taken."""
        self.first.host.verdict = None
        self.start()
        event: Any = self.running.emit("a", "X")
        ready = self.running.ready()
        stopped = self.stop()
        self.network.advance(6)
        self.successResultOf(stopped)
        self.assertEqual(self.failureResultOf(event, EventRefused).value.code, "STOPPED")
        self.failureResultOf(ready, EventRefused)
        late: Any = self.running.emit("a", "Y")
        self.assertEqual(self.failureResultOf(late, EventRefused).value.code, "STOPPED")

    def test_stopped_twice(self) -> None:
        """Both who ask are told, also when it is over."""
        self.start()
        promises = [self.stop(), self.stop()]
        self.network.advance(3)
        promises.append(self.stop())
        for promise in promises:
            self.successResultOf(promise)


class AccountTests(RuntimeCase):
    """What a connector joins with is checked where it is made."""

    def refused(self, **changes: Any) -> str:
        """What an account with `changes` is told."""
        settings = {"logical_name": "git1", "tenant": "acme", "aggregators": ["127.0.0.1:1"], "secret": "s"}
        return str(self.assertRaises(ValueError, Account, **{**settings, **changes}))

    def test_errors_name_place_value_and_what_is_allowed(self) -> None:
        """Each wrong value has its own text; the secret is not in any."""
        self.assertEqual(self.refused(logical_name=""), "logical_name is '': must be 1 to 128 characters")
        self.assertEqual(self.refused(tenant="x" * 129)[:9], "tenant is")
        self.assertEqual(self.refused(secret=""), "secret is empty: must be the secret of this connector")
        self.assertEqual(self.refused(aggregators=[])[:20], "aggregators is empty")
        self.assertIn("must be a list", self.refused(aggregators="127.0.0.1:1"))
        self.assertIn("'nowhere'", self.refused(aggregators=["nowhere"]))
        self.assertIn("without credentials", self.refused(aggregators=["192.0.2.1:9103"]))
        self.assertIn("drain_timeout", self.refused(drain_timeout=-1))


class DeclarationTests(RuntimeCase):
    """What a runtime takes."""

    def test_a_connector_without_commands(self) -> None:
        """A program that only sends and listens is one."""
        self.start(Connector(type="cli", product="gandalf", versions=[(1, 0)]))
        self.assertEqual(self.running.state, "ready")
