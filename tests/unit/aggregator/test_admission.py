"""Limits on what connectors send: refused at once, or not read for a while; nothing is lost."""

from __future__ import annotations

import json
from typing import ClassVar

from twisted.internet.defer import ensureDeferred

from gandalf.aggregator.admission import FULL_READ, SMALL_READ
from gandalf.routing.charge import Charge
from gandalf.routing.overload import LEAST_REFUSALS
from gandalf.shoset.link import ShosetLink
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import Frame
from gandalf.wire.runs import Run
from tests.unit.aggregator.support import LISTEN
from tests.unit.aggregator.traffic import TrafficCase, Worker


class LimitedCase(TrafficCase):
    """What the limits of a class do."""

    def setUp(self) -> None:
        """All buckets are full."""
        super().setUp()
        self.network.advance(60)
        assert self.aggregator.admission is not None
        self.admission = self.aggregator.admission

    def emit(self, worker: Worker, count: int) -> list[bytes]:
        """Events in one run; their uuids."""
        with worker.shoset.batch:
            sent = [worker.emit("a.b", "X").uuid for _ in range(count)]
        self.settle()
        return sent

    def ask(self, worker: Worker, count: int, kind: str = "cmd") -> list[bytes]:
        """Requests in one run; their uuids."""
        frames = [worker.shoset.frame(kind, {"command": "MUTE"}, target="nobody") for _ in range(count)]
        with worker.shoset.batch:
            for frame in frames:
                worker.link.send(frame)
        self.settle()
        return [frame.uuid for frame in frames]

    def arrived(self, kind: str = "evt") -> list[bytes]:
        """What the cluster got, in order."""
        return [frame.uuid for frame, _ in self.cluster.host.received if frame.kind == kind]

    def refusals(self, worker: Worker) -> list[Frame]:
        """The error events that a connector got."""
        return [
            frame
            for frame, _ in worker.host.received
            if frame.kind == "evt" and unpack_body(frame.body).get("event") == "OVERLOADED"
        ]

    def shown(self, worker: Worker) -> tuple[int, int]:
        """Refusals and pauses of a connection, as an operator sees them."""
        one = self.aggregator.observed.connection(worker.link.session.hex())
        return one["refused_over_limit"], one["pauses_over_limit"]


class ConnectionLimit(LimitedCase):
    """One connection."""

    limits: ClassVar[dict[str, int]] = {"connection_rate": 10, "connection_burst": 4}

    def test_requests_over_the_limit_are_answered_at_once(self) -> None:
        """With the limit and when to try again; the others of the run are carried."""
        self.cluster.mute.add("MUTE")
        for kind in ("cmd", "config", "configuration", "logicalConfiguration"):
            uuids = self.ask(self.git, 6, kind)
            self.assertEqual(self.arrived(kind)[-4:], uuids[:4])
            told = self.refusals(self.git)[-2:]
            self.assertEqual([frame.reference for frame in told], uuids[4:])
            body = unpack_body(told[0].body)
            self.assertEqual(body["context"], {"retry_after": 100})
            message = json.loads(body["payload"])["message"]
            self.assertIn("this connection: 10 messages a second, 4 at once; try again in 0.1 s", message)
            self.network.advance(0.4)
        self.assertEqual(self.shown(self.git), (8, 0))
        self.assertEqual(self.aggregator.observed.status()["errors"]["OVERLOADED"], 8)
        self.network.advance(10)

    def test_after_the_time_told_it_is_carried(self) -> None:
        """And not before."""
        self.cluster.mute.add("MUTE")
        self.ask(self.git, 4)
        self.network.advance(0.09)
        self.ask(self.git, 1)
        self.assertEqual(len(self.refusals(self.git)), 1)
        self.network.advance(0.011)
        self.ask(self.git, 1)
        self.assertEqual(len(self.refusals(self.git)), 1)
        self.network.advance(10)

    def test_events_over_the_limit_wait(self) -> None:
        """All of a run are taken; then nothing is read until they are paid for. Order is kept, nothing is lost."""
        first = self.emit(self.git, 9)
        self.assertEqual(self.arrived(), first)
        self.assertEqual(self.aggregator.observed.status()["limits"]["connections not read"], 1)
        second = self.emit(self.git, 1)
        self.network.advance(0.59)
        self.assertEqual(self.arrived(), first)
        self.network.advance(0.02)
        self.assertEqual(self.arrived(), first + second)
        self.assertEqual(self.refusals(self.git), [])
        self.assertEqual(self.shown(self.git), (0, 1))
        self.assertEqual(
            self.aggregator.observed.status()["limits"], {"refused": 0, "pauses": 1, "connections not read": 0}
        )

    def test_runs(self) -> None:
        """What is within the limit is routed in one piece; what is not is measured frame by frame, and pays alike."""
        counts: list[int] = []
        route_run = self.aggregator.router.route_run

        def noting(run: Run, link: ShosetLink) -> Charge | None:
            counts.append(run.count)
            return route_run(run, link)

        self.patch(self.aggregator.router, "route_run", noting)
        first = self.emit(self.git, 4)
        self.assertTrue(counts)
        self.assertEqual(self.shown(self.git), (0, 0))
        counts.clear()
        second = self.emit(self.git, 4)
        self.assertEqual(counts, [])
        self.assertEqual(self.arrived(), first + second)
        self.assertEqual(self.shown(self.git), (0, 1))
        self.network.advance(1)

    def test_a_run_that_is_routed_frame_by_frame_pays_once(self) -> None:
        """As when some of it is sent again after a reconnection: what is within the limit is not refused."""
        for kind in ("evt", "cmd"):
            self.cluster.mute.add("MUTE")
            frames = [self.git.shoset.frame(kind, {"command": "MUTE"}, target="nobody") for _ in range(4)]
            for count in (3, 4):
                with self.git.shoset.batch:
                    for frame in frames[:count]:
                        self.git.link.send(frame)
                self.settle()
                self.assertEqual(self.arrived(kind), [frame.uuid for frame in frames[:count]])
                self.network.advance(10)
        self.assertEqual(self.shown(self.git), (0, 0))

    def test_answers_wait_as_events_do(self) -> None:
        """What answers something is not refused."""
        frames = [self.git.shoset.frame("configuration", {}, reference=bytes(16)) for _ in range(6)]
        with self.git.shoset.batch:
            for frame in frames:
                self.git.link.send(frame)
        self.settle()
        self.assertEqual(self.refusals(self.git), [])
        self.assertEqual(self.shown(self.git), (0, 1))
        self.network.advance(1)

    def test_others_are_not_held_up(self) -> None:
        """Nor do they pay."""
        other = self.worker("other1")
        self.network.advance(10)
        self.emit(self.git, 50)
        sent = self.emit(other, 4)
        self.assertEqual(self.arrived()[-4:], sent)
        self.assertEqual(self.shown(other), (0, 0))
        self.network.advance(10)

    def test_a_new_connection_of_the_session_is_over_the_limit_still(self) -> None:
        """Whoever comes again has not paid; it is not read before."""
        first = self.emit(self.git, 9)
        self.network.cable.cut()
        self.network.advance(0.06)
        self.assertTrue(self.git.link.connected)
        second = self.emit(self.git, 1)
        self.assertEqual(self.arrived(), first)
        self.network.advance(0.6)
        self.assertEqual(self.arrived(), first + second)

    def test_refused_too_often(self) -> None:
        """Whoever goes on all the same is not read for a while."""
        self.ask(self.git, 4 + LEAST_REFUSALS)
        self.assertEqual(self.aggregator.observed.status()["limits"]["connections not read"], 0)
        self.ask(self.git, 100)
        self.assertEqual(self.aggregator.observed.status()["limits"]["connections not read"], 1)
        self.ask(self.git, 100)
        self.assertEqual(len(self.refusals(self.git)), LEAST_REFUSALS + 100)
        self.network.advance(0.11)
        self.assertEqual(len(self.refusals(self.git)), LEAST_REFUSALS + 199)
        self.network.advance(10)

    def test_small_pieces_while_over_the_limit(self) -> None:
        """So that a run of it is short; large ones again when it has rested."""
        transport = self.network.cable.listening
        self.ask(self.git, 4 + LEAST_REFUSALS + 1)
        self.assertEqual(vars(transport)["bufferSize"], SMALL_READ)
        self.network.advance(1.1)
        self.emit(self.git, 1)
        self.assertEqual(vars(transport)["bufferSize"], FULL_READ)

    def test_both_reasons_not_to_read(self) -> None:
        """Paid for, it is not read as long as the cluster takes nothing; and the other way round."""
        for cluster_first in (False, True):
            link = self.aggregator.shoset.registry.named("c", "git1")[0]
            sent = self.emit(self.git, 9)
            link.pause()
            late = self.emit(self.git, 1)
            if cluster_first:
                link.resume()
                self.settle()
            else:
                self.network.advance(1)
            self.assertEqual(self.arrived()[-9:], sent)
            link.resume()
            self.network.advance(1)
            self.assertEqual(self.arrived()[-1:], late)

    def test_a_session_that_is_forgotten(self) -> None:
        """Leaves nothing behind, and its timer neither."""
        self.emit(self.git, 50)
        link = self.aggregator.shoset.registry.named("c", "git1")[0]
        self.aggregator.shoset.forget(link)
        self.assertEqual(self.admission.describe_link(link), {"refused_over_limit": 0, "pauses_over_limit": 0})
        self.assertEqual(self.aggregator.observed.status()["limits"]["connections not read"], 0)
        self.network.advance(10)

    def test_the_end(self) -> None:
        """Whoever waits then leaves no timer behind."""
        self.emit(self.git, 200)
        ending = ensureDeferred(self.aggregator.stop())
        self.network.advance(3)
        self.successResultOf(ending)
        owners = [getattr(getattr(call, "func", None), "__self__", None) for call in self.clock.getDelayedCalls()]
        self.assertNotIn(self.admission, owners)

    def test_the_cluster_has_no_limit(self) -> None:
        """However much it sends."""
        frames = [self.cluster.send("evt", {"topic": "a", "event": "X"}, target="git1") for _ in range(50)]
        self.settle()
        got = [frame.uuid for frame, _ in self.git.host.received if frame.kind == "evt"]
        self.assertEqual(got, [frame.uuid for frame in frames])
        self.assertEqual(self.aggregator.observed.status()["limits"]["pauses"], 0)


class TenantLimit(LimitedCase):
    """All connections together."""

    limits: ClassVar[dict[str, int]] = {"tenant_rate": 10, "tenant_burst": 4}

    def setUp(self) -> None:
        """Three connectors."""
        super().setUp()
        self.others = [self.worker("other1"), self.worker("other2")]
        self.network.advance(10)

    def test_requests(self) -> None:
        """Whoever comes too late is told that it is the tenant's limit."""
        self.cluster.mute.add("MUTE")
        self.ask(self.git, 3)
        uuids = self.ask(self.others[0], 2)
        self.assertEqual(self.arrived("cmd")[-1:], uuids[:1])
        (told,) = self.refusals(self.others[0])
        self.assertIn("over the limit of tenant 'acme'", json.loads(unpack_body(told.body)["payload"])["message"])
        self.assertEqual(self.shown(self.others[0]), (1, 0))
        self.network.advance(10)

    def test_a_run_that_is_routed_frame_by_frame_pays_once(self) -> None:
        """The tenant too: nobody else is refused for it."""
        self.cluster.mute.add("MUTE")
        frames = [self.git.shoset.frame("cmd", {"command": "MUTE"}, target="nobody") for _ in range(3)]
        for count in (2, 3):
            with self.git.shoset.batch:
                for frame in frames[:count]:
                    self.git.link.send(frame)
            self.settle()
            self.ask(self.others[0], 1)
            self.network.advance(10)
        self.assertEqual(self.arrived("cmd")[:2], [frame.uuid for frame in frames[:2]])
        self.assertIn(frames[2].uuid, self.arrived("cmd"))
        for worker in (self.git, self.others[0]):
            self.assertEqual(self.shown(worker), (0, 0))

    def test_events_take_turns(self) -> None:
        """Those that wait are read again one after the other, the first that was paused first."""
        taken = self.emit(self.git, 6)
        for other in self.others:
            taken += self.emit(other, 1)
        waiting = [uuid for worker in (self.others[1], self.others[0], self.git) for uuid in self.emit(worker, 1)]
        self.assertEqual(self.arrived(), taken)
        self.assertEqual(self.aggregator.observed.status()["limits"]["connections not read"], 3)
        turns = []
        self.network.advance(0.01)
        for _ in range(12):
            turns.append(len(self.arrived()) - len(taken))
            self.network.advance(0.1)
        self.assertEqual(self.arrived()[len(taken) :], [waiting[2], waiting[1], waiting[0]])
        # Four more than the burst were taken: 0.5 s until there is a token, then 0.1 s each.
        self.assertEqual(turns[:9], [0, 0, 0, 0, 0, 1, 2, 3, 3])
        self.network.advance(1)
        self.assertEqual(self.aggregator.observed.status()["limits"]["connections not read"], 0)

    def test_secrets_and_strangers_do_not_use_it_up(self) -> None:
        """A connector can prove its secret however much the tenant sends; who has not cannot use up its tokens."""
        shoset, host, link = self.connector("stranger1", address=LISTEN)
        self.cluster.mute.add("VALIDATION")
        for _ in range(50):
            link.send(shoset.frame("secret", {"command": "VALIDATION", "context": {}}))
            self.settle()
        stranger = Worker(shoset, host, link)
        self.assertEqual(self.refusals(stranger), [])
        link.validated = True  # it thinks so
        self.ask(stranger, 5)
        self.emit(stranger, 20)
        errors = [unpack_body(frame.body)["event"] for frame, _ in host.received if frame.kind == "evt"]
        self.assertEqual(errors, ["NOT_VALIDATED"] * 25)
        self.assertEqual(self.refusals(self.git), [])
        self.cluster.mute.add("MUTE")
        self.ask(self.git, 4)
        self.assertEqual(self.refusals(self.git), [])
        self.network.advance(10)


class NoLimit(TrafficCase):
    """As by default."""

    def test_nothing_is_limited(self) -> None:
        """And nothing is shown of limits."""
        self.assertIsNone(self.aggregator.admission)
        status = self.aggregator.observed.status()
        self.assertIsNone(status["limits"])
        self.assertNotIn("refused_over_limit", self.aggregator.observed.connections()[1])
        with self.git.shoset.batch:
            sent = [self.git.emit("a", "X").uuid for _ in range(5000)]
        self.settle()
        self.assertEqual([frame.uuid for frame, _ in self.cluster.host.received if frame.kind == "evt"], sent)
