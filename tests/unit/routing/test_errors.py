"""6.6 Error events."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.errors import ErrorEvents, ErrorRecord, readable
from gandalf.routing.link import CLUSTER, CONNECTOR
from gandalf.routing.testing import TENANT, FakeLink, FrameMaker
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import make_frame
from tests.unit.routing.support import OTHER_TENANT, Error, RoutingCase, payload_of


class ErrorEvent(SynchronousTestCase):
    """What an error event looks like."""

    def setUp(self) -> None:
        """Two origins."""
        self.make = FrameMaker("flow")
        self.errors = ErrorEvents(FrameMaker(first=1 << 64), lambda: 1234.5, remembered=3)
        self.git = FakeLink(CONNECTOR, "git")
        self.member = FakeLink(CLUSTER, "cluster")

    def test_envelope_and_body(self) -> None:
        """``evt``, topic ``error``, event the code, reference the offending uuid, the aggregator's tenant."""
        frame = self.make.command(target="vcs", tenant=OTHER_TENANT)
        error = self.errors.about(frame, self.git, "NO_ROUTE", "nobody is there")
        assert error is not None
        self.assertEqual((error.kind, error.reference, error.tenant), ("evt", frame.uuid, TENANT))
        body = unpack_body(error.body)
        self.assertEqual((body["topic"], body["event"]), ("error", "NO_ROUTE"))
        self.assertEqual(
            json.loads(body["payload"]),
            {
                "code": "NO_ROUTE",
                "message": "nobody is there",
                "kind": "cmd",
                "tenant": OTHER_TENANT,
                "target": "vcs",
                "origin": "git",
            },
        )

    def test_target_is_whoever_made_the_message(self) -> None:
        """The connector it came from; from the cluster, its ``source``, or the member where there is none."""
        table = (
            (self.make.command(), self.git, "git"),
            (self.make.command(), self.member, "flow"),
            (FrameMaker("").command(), self.member, "cluster"),
            (FrameMaker("x" * 256).command(), self.member, "x" * 256),
            (FrameMaker("x" * 257).command(), self.member, "cluster"),
            (make_frame("cmd", bytes(16), TENANT, "", None, 0, 0, b"\xc1"), self.member, "cluster"),
            (make_frame("cmd", bytes(16), TENANT, "", None, 0, 0, b"\x81\xa6source\x07"), self.member, "cluster"),
        )
        for frame, origin, target in table:
            error = self.errors.about(frame, origin, "TIMEOUT", "")
            self.assertEqual(error is not None and error.target, target)

    def test_an_error_event_is_never_answered(self) -> None:
        """By another; it is remembered all the same. Topic ``error`` makes it one, of an event only."""
        for origin in (self.git, self.member):
            self.assertIsNone(self.errors.about(self.make.event("error"), origin, "TOO_LARGE", ""))
        self.assertIsNotNone(self.errors.about(self.make.event("error.of.mine"), self.git, "TOO_LARGE", ""))
        self.assertIsNotNone(self.errors.about(self.make("cmd", {"topic": "error"}), self.git, "NO_ROUTE", ""))
        self.assertEqual(self.errors.counts, {"TOO_LARGE": 3, "NO_ROUTE": 1})

    def test_the_latest_are_remembered(self) -> None:
        """So many, with what an operator needs to know."""
        frames = [self.make.event(target=str(number), tenant=OTHER_TENANT) for number in range(5)]
        for frame in frames:
            self.errors.about(frame, self.git, "WRONG_TENANT", "message")
        self.assertEqual([record.uuid for record in self.errors.recent], [frame.uuid for frame in frames[2:]])
        self.assertEqual(
            self.errors.recent[-1],
            ErrorRecord(1234.5, "WRONG_TENANT", "message", frames[4].uuid, "evt", OTHER_TENANT, "4", "git"),
        )

    def test_what_a_peer_made_long_is_cut(self) -> None:
        """A name of megabytes is neither sent to every member, which would refuse the frame, nor remembered."""
        for long in ("x" * 1_000_000, "\x00" * 1_000_000, "\U0001f600" * 1_000_000):
            frame = self.make.event(tenant=long, target=long)
            error = self.errors.about(frame, self.git, "WRONG_TENANT", f"{long!r}")
            assert error is not None
            self.assertLess(len(error.raw), 32 * 1024)
            self.assertTrue(str(payload_of(error)["tenant"]).startswith(long[:100]))
            self.assertTrue(str(payload_of(error)["target"]).endswith("..."))
            record = self.errors.recent[-1]
            self.assertLess(len(record.tenant + record.target + record.message), 3000)

    def test_what_is_of_usual_length_is_not_cut(self) -> None:
        """256 characters."""
        name = "n" * 256
        error = self.errors.about(self.make.event(tenant=name, target=name), self.git, "WRONG_TENANT", "m" * 1000)
        assert error is not None
        payload = payload_of(error)
        self.assertEqual((payload["tenant"], payload["target"], payload["message"]), (name, name, "m" * 1000))


class Readable(SynchronousTestCase):
    """Bodies that may be anything."""

    def test_what_cannot_be_read(self) -> None:
        """Is as good as empty."""
        make = FrameMaker()
        self.assertEqual(readable(make("evt", {"topic": "t"}))["topic"], "t")
        for body in (b"", b"\xc1", b"\x90", b"\x81\x01\x01", b"\x80\x80"):
            self.assertEqual(readable(make_frame("evt", bytes(16), "t", "", None, 0, 0, body)), {})


class ErrorsGoToTheOriginOnly(RoutingCase):
    """Errors of 6.2 and 6.3 refer to their command, and are for its origin."""

    def test_to_the_connection_it_came_on(self) -> None:
        """Not to the origin's brother, nor to the cluster, nor to the command's target."""
        for member in (self.member1, self.member2):
            member.disconnect()
        command = self.make.command(target="flow")
        self.route(command, self.git2, {self.git2: [Error("NO_ROUTE", command)]})

    def test_error_of_ours_that_comes_back(self) -> None:
        """By way of the cluster and a brother of this instance: it is for nobody here any more."""
        frame = self.make.event(tenant=OTHER_TENANT)
        self.router.route(frame, self.git1)
        (error,) = self.member1.take()
        self.forget_sent()
        self.route(error, self.member2, {})
        self.assertEqual(self.router.counters["duplicates"], 1)

    def test_error_event_of_others(self) -> None:
        """It is an event as any: what cannot be carried of it is not answered."""
        frame = self.make.event("error", "NO_ROUTE", target="git")
        self.route(frame, self.member1, {link: [frame] for link in (self.member2, self.git1, self.git2)})
        frame = self.make.event("error", "FAILED")
        for member in (self.member1, self.member2):
            member.max_frame = 10
        self.route(frame, self.git1, {})
        self.assertEqual(self.router.errors.counts, {"TOO_LARGE": 1})
