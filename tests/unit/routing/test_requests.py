"""6.3 Config, 6.4 Configuration, logicalConfiguration and secret, 6.4b configurationDatabase, 6.4c Heartbeat."""

from __future__ import annotations

import gc
import weakref

from gandalf.routing.link import CONNECTOR
from gandalf.routing.testing import TENANT, FakeLink
from gandalf.wire import kinds
from gandalf.wire.body import unpack_body
from gandalf.wire.envelope import LENGTH, Frame
from tests.unit.routing.support import OTHER_TENANT, Error, RoutingCase

REQUESTS = ("configuration", "logicalConfiguration", "secret")
"""Kinds of protocol.md 6.4."""


class Config(RoutingCase):
    """6.3: to one connection, once, no waiting."""

    def test_from_a_connector(self) -> None:
        """To one connection of the cluster, another each time; the target is not looked at."""
        for member in (self.member1, self.member2, self.member1):
            frame = self.make(kinds.CONFIG, {}, target="git")
            self.assertIsNone(self.route(frame, self.flow, {member: [frame]}))

    def test_from_the_cluster(self) -> None:
        """To one connection of ``target``."""
        for link in (self.git1, self.git2, self.git1):
            frame = self.make(kinds.CONFIG, {}, target="git")
            self.route(frame, self.member1, {link: [frame]})

    def test_sent_once(self) -> None:
        """Nothing is pending: neither time nor a broken connection sends it again."""
        frame = self.make(kinds.CONFIG, {}, timeout=1000)
        self.route(frame, self.flow, {self.member1: [frame]})
        self.assertEqual(self.router.pending, 0)
        self.router.link_lost(self.member1)
        self.pass_time(60)
        self.assertSent({})

    def test_too_old_when_the_connection_is_back(self) -> None:
        """It is not sent then: its origin is told ``EXPIRED``, on either side, for requests as for ``config``."""
        ways = ((self.flow, {self.member1, self.member2}), (self.member1, {self.git1, self.git2}))
        for kind in (kinds.CONFIG, *REQUESTS):
            for origin, receivers in ways:
                frame = self.make(kind, {}, timeout=1000, target="git")
                self.router.route(frame, origin)
                (link,) = (link for link in receivers if link.take())
                sent, charge = link.sent[-1]
                self.router.let_go(sent, charge, link)
                self.assertSent({origin: [Error("EXPIRED", frame)]})

    def test_too_long_when_the_connection_is_back(self) -> None:
        """``TOO_LARGE``: the peer accepts less by now."""
        frame = self.make(kinds.CONFIG, {})
        self.route(frame, self.flow, {self.member1: [frame]})
        sent, charge = self.member1.sent[-1]
        self.member1.max_frame = 10
        self.router.let_go(sent, charge, self.member1)
        self.assertSent({self.flow: [Error("TOO_LARGE", frame)]})

    def test_comes_back_under_its_uuid(self) -> None:
        """Resolved by the cluster it goes on to the connector, once."""
        frame = self.make(kinds.CONFIG, {})
        self.drop(frame, self.flow)
        resolved = frame.replace(target="git")
        self.route(resolved, self.member1, {self.git1: [resolved]})
        self.route(resolved, self.member2, {})
        self.route(frame, self.flow, {})

    def test_no_candidate(self) -> None:
        """``NO_ROUTE`` to the origin only."""
        for target in ("unknown", "bare", ""):
            frame = self.make(kinds.CONFIG, {}, target=target)
            self.route(frame, self.member1, {self.member1: [Error("NO_ROUTE", frame)]})
        self.member1.disconnect()
        self.member2.validated = False
        frame = self.make(kinds.CONFIG, {})
        self.route(frame, self.flow, {self.flow: [Error("NO_ROUTE", frame)]})

    def test_congestion(self) -> None:
        """A congested connection is no candidate while another is free; none free is ``OVERLOADED``."""
        self.git1.congested = True
        for _ in range(2):
            frame = self.make(kinds.CONFIG, {}, target="git")
            self.route(frame, self.member1, {self.git2: [frame]})
        self.git2.full = True
        frame = self.make(kinds.CONFIG, {}, target="git")
        self.route(frame, self.member1, {self.member1: [Error("OVERLOADED", frame)]})

    def test_too_large(self) -> None:
        """Longer than each member accepts: the origin is told."""
        frame = self.make(kinds.CONFIG, {})
        self.member1.max_frame = self.member2.max_frame = len(frame.raw) - LENGTH.size - 1
        self.route(frame, self.flow, {self.flow: [Error("TOO_LARGE", frame)]})


class Requests(RoutingCase):
    """6.4: from a connector to one connection of the cluster, and back."""

    def ask(self, kind: str, origin: FakeLink, **envelope: str) -> Frame:
        """A request that has gone to the cluster."""
        frame = self.make(kind, {"command": "ASK"}, **envelope)  # type: ignore[arg-type]
        self.drop(frame, origin)
        return frame

    def test_from_a_connector(self) -> None:
        """To one member, the tenant set to ours and the target to the connector's name, all else as it came."""
        for kind in REQUESTS:
            for tenant in (TENANT, OTHER_TENANT, ""):
                frame = self.make(kind, {"command": "ASK"}, tenant=tenant, target="somebody", timeout=7)
                self.router.route(frame, self.git1)
                (sent,) = self.member1.take() + self.member2.take()
                self.assertEqual((sent.tenant, sent.target), (TENANT, "git"))
                self.assertEqual(
                    (sent.kind, sent.uuid, sent.reference, sent.timeout, sent.timestamp, sent.body),
                    (frame.kind, frame.uuid, frame.reference, frame.timeout, frame.timestamp, frame.body),
                )
                self.assertSent({})

    def test_reply(self) -> None:
        """Back on the connection that asked, to nobody else; ours is the tenant."""
        for kind in REQUESTS:
            request = self.ask(kind, self.git2)
            reply = self.make(kind, {"command": "ASK_REPLY"}, reference=request.uuid, tenant=OTHER_TENANT)
            self.assertIsNone(self.route(reply, self.member2, {self.git2: [reply.replace(tenant=TENANT)]}))
            request = self.ask(kind, self.git2)
            reply = self.make(kind, {"command": "ASK_REPLY"}, reference=request.uuid)
            self.route(reply, self.member1, {self.git2: [reply]})

    def test_reply_comes_once(self) -> None:
        """A second reply to one request has no asker any more."""
        request = self.ask("configuration", self.git1)
        reply = self.make("configuration", {}, reference=request.uuid)
        self.route(reply, self.member1, {self.git1: [reply]})
        self.route(reply, self.member1, {})
        self.assertEqual(self.router.counters["duplicates"], 1)
        self.route(self.make("configuration", {}, reference=request.uuid), self.member1, {})
        self.assertEqual(self.router.counters["replies that nobody asked for"], 1)

    def test_reply_to_a_brother_when_the_asker_is_gone(self) -> None:
        """Another connection of the same logical name gets it, whether or not the session is kept."""
        for gone in (lambda: None, lambda: self.links.remove(self.git1)):
            request = self.ask("configuration", self.git1)
            self.git1.disconnect()
            gone()
            reply = self.make("configuration", {}, reference=request.uuid)
            self.route(reply, self.member1, {self.git2: [reply]})
            self.git1.reconnect()

    def test_reply_not_to_a_brother_that_may_not_have_it(self) -> None:
        """One that leaves, or whose secret nobody has seen, is passed over; the session that is kept gets it."""
        for attribute in ("available", "validated"):
            request = self.ask("configuration", self.git1)
            self.git1.disconnect()
            setattr(self.git2, attribute, False)
            reply = self.make("configuration", {}, reference=request.uuid)
            self.route(reply, self.member1, {self.git1: [reply]})
            setattr(self.git2, attribute, True)
            self.git1.reconnect()

    def test_reply_to_a_secret_goes_to_a_brother_that_is_not_validated(self) -> None:
        """That is what it is about to be."""
        request = self.ask("secret", self.bare)
        self.bare.disconnect()
        again = FakeLink(CONNECTOR, "bare", label="again", validated=False)
        self.links.add(again)
        reply = self.make("secret", {"command": "VALIDATION_REPLY", "payload": "maybe"}, reference=request.uuid)
        self.route(reply, self.member1, {again: [reply]})
        self.assertFalse(again.validated)

    def test_reply_whose_asker_is_gone_for_good(self) -> None:
        """Dropped and counted."""
        request = self.ask("configuration", self.flow)
        self.flow.disconnect()
        self.links.remove(self.flow)
        reply = self.make("configuration", {}, reference=request.uuid)
        self.route(reply, self.member1, {})
        self.assertEqual(self.router.counters["replies whose asker is gone"], 1)

    def test_an_asker_that_is_gone_for_good_is_let_go_of(self) -> None:
        """What it asked is remembered, whose it was as well, but nothing of its session."""
        brother = FakeLink(CONNECTOR, "bare")
        gone, request = weakref.ref(self.bare), self.make(kinds.SECRET, {})
        self.drop(request, self.bare)
        self.member1.acknowledge()
        self.links.remove(self.bare)
        self.router.link_gone(self.bare)
        del self.bare
        gc.collect()
        self.assertIsNone(gone())
        self.links.add(brother)
        reply = self.make(kinds.SECRET, {"command": "VALIDATION_REPLY", "payload": "true"}, reference=request.uuid)
        self.route(reply, self.member1, {brother: [reply]})

    def test_reply_whose_asker_is_unknown(self) -> None:
        """Dropped and counted, wherever it comes from."""
        for kind in REQUESTS:
            for origin in (self.member1, self.git1):
                self.route(self.make(kind, {}, reference=self.make.uuid()), origin, {})
        self.assertEqual(self.router.counters["replies that nobody asked for"], 6)

    def test_reply_too_large_for_the_asker(self) -> None:
        """Whoever replied is told; the asker's connection is not broken by it."""
        request = self.make("configuration", {}, target="git")
        self.drop(request, self.member1)
        reply = self.make("configuration", {}, reference=request.uuid)
        self.member1.max_frame = len(reply.raw) - LENGTH.size - 1
        self.route(reply, self.git1, {self.git1: [Error("TOO_LARGE", reply)]})

    def test_no_candidate_congestion_too_large(self) -> None:
        """As for 6.3: the origin alone is told."""
        for kind in REQUESTS:
            self.member1.congested = self.member2.congested = True
            frame = self.make(kind, {})
            self.route(frame, self.git1, {self.git1: [Error("OVERLOADED", frame)]})
            self.member1.congested = self.member2.congested = False
            self.member1.available = self.member2.available = False
            frame = self.make(kind, {})
            self.route(frame, self.git1, {self.git1: [Error("NO_ROUTE", frame)]})
            self.member1.available = self.member2.available = True
            # What counts is the length with the tenant and target that it gets.
            frame = self.make(kind, {}, target="", tenant="")
            self.member1.max_frame = self.member2.max_frame = len(frame.raw) - LENGTH.size + 9
            self.route(frame, self.git1, {self.git1: [Error("TOO_LARGE", frame)]})
            self.member1.max_frame = self.member2.max_frame = len(frame.raw) - LENGTH.size + 10
            frame = self.make(kind, {}, target="", tenant="")
            self.router.route(frame, self.git1)
            self.assertEqual(len(self.member1.take() + self.member2.take()), 1)
            self.member1.max_frame = self.member2.max_frame = 8 << 20

    def test_duplicates(self) -> None:
        """A request sent twice is asked once."""
        for kind in REQUESTS:
            frame = self.ask(kind, self.git1)
            self.route(frame, self.git1, {})


class RequestsFromTheCluster(RoutingCase):
    """6.4, without ``reference``: to one connection of ``target``."""

    def test_to_one_connection_of_the_target(self) -> None:
        """The tenant is set to ours, the target left."""
        for number, kind in enumerate(REQUESTS):
            frame = self.make(kind, {}, target="git", tenant=OTHER_TENANT)
            link = (self.git1, self.git2)[number % 2]
            self.route(frame, self.member1, {link: [frame.replace(tenant=TENANT)]})

    def test_bytes_as_they_came(self) -> None:
        """Where nothing is changed."""
        frame = self.make("configuration", {}, target="git")
        self.route(frame, self.member1, {self.git1: [frame]})

    def test_no_route(self) -> None:
        """``NO_ROUTE`` to the member that asked, when there is no such connection."""
        for kind in REQUESTS:
            for target in ("unknown", "bare", ""):
                frame = self.make(kind, {}, target=target)
                self.route(frame, self.member2, {self.member2: [Error("NO_ROUTE", frame)]})

    def test_reply(self) -> None:
        """Back on the cluster connection that asked."""
        for asking in (self.member1, self.member2):
            request = self.make("configuration", {}, target="git")
            self.drop(request, asking)
            reply = self.make("configuration", {}, reference=request.uuid)
            self.route(reply, self.git2, {asking: [reply]})

    def test_reply_to_another_member(self) -> None:
        """When the connection that asked is gone."""
        request = self.make("configuration", {}, target="git")
        self.drop(request, self.member1)
        self.member1.disconnect()
        reply = self.make("configuration", {}, reference=request.uuid)
        self.route(reply, self.git1, {self.member2: [reply]})

    def test_reply_of_a_member(self) -> None:
        """What a member asked of a connector, another member does not answer."""
        request = self.make("configuration", {}, target="git")
        self.drop(request, self.member1)
        self.route(self.make("configuration", {}, reference=request.uuid), self.member2, {})
        self.assertEqual(self.router.counters["replies that nobody asked for"], 1)


class Validation(RoutingCase):
    """6.4: the aggregator reads passing ``VALIDATION_REPLY``."""

    def reply(self, payload: object, origin: FakeLink | None = None, **body: object) -> Frame:
        """A reply to the secret that ``origin`` (else ``bare``) has just sent."""
        request = self.make(kinds.SECRET, {"command": "VALIDATION"})
        self.drop(request, origin or self.bare)
        values = {"command": "VALIDATION_REPLY", "payload": payload, **body}
        return self.make(kinds.SECRET, values, reference=request.uuid)

    def test_true(self) -> None:
        """The connection is validated, and the connector has the reply; from now on it is heard."""
        for payload in ("true", b"true"):
            self.bare.validated = False
            reply = self.reply(payload)
            self.route(reply, self.member1, {self.bare: [reply]})
            self.assertTrue(self.bare.validated)
            self.assertEqual((self.bare.dismissed, self.bare.forgotten), ([], False))
        command = self.make.command()
        self.router.route(command, self.bare)
        self.assertEqual(self.member1.take() + self.member2.take(), [command])
        self.drop(self.make.event(reference=command.uuid), self.member1)

    def test_topics_of_who_is_validated_later(self) -> None:
        """It has the events that it asked for from then on, of topics that were seen before too."""
        self.bare.topics = ("a.*",)
        self.drop(self.make.event("a.b"), self.flow)
        self.drop(self.reply("true"), self.member1)
        self.router.route(self.make.event("a.b"), self.flow)
        self.assertEqual(len(self.bare.take()), 1)
        self.forget_sent()

    def test_false(self) -> None:
        """The connector has the reply, then a ``bye``, and its session is not resumed."""
        for payload in ("false", b"false"):
            link = FakeLink(CONNECTOR, "new", validated=False)
            self.links.add(link)
            reply = self.reply(payload, link, context={"reason": "revoked"})
            self.route(reply, self.member1, {link: [reply]})
            self.assertEqual(link.calls, ["send", "dismiss", "forget"])
            self.assertEqual(link.dismissed, [("NOT_VALIDATED", "revoked")])
            self.assertFalse(link.validated)
        self.assertEqual(self.router.counters["secrets refused"], 2)

    def test_false_without_a_reason(self) -> None:
        """Whatever stands in the context."""
        for context in ({}, "reason", None, {"reason": ""}):
            link = FakeLink(CONNECTOR, "new", validated=False)
            self.links.add(link)
            self.drop(self.reply("false", link, context=context), self.member1)
            self.assertEqual(link.dismissed, [("NOT_VALIDATED", "the cluster does not accept the secret")])

    def test_neither(self) -> None:
        """What is not understood changes nothing; the connector has it all the same."""
        for payload in ("True", "", "1", True, 1, None, {"a": 1}):
            reply = self.reply(payload)
            self.route(reply, self.member1, {self.bare: [reply]})
            self.assertEqual((self.bare.validated, self.bare.dismissed), (False, []), payload)

    def test_another_command(self) -> None:
        """Only ``VALIDATION_REPLY`` validates."""
        reply = self.reply("true", command="VALIDATION")
        self.route(reply, self.member1, {self.bare: [reply]})
        self.assertFalse(self.bare.validated)

    def test_another_kind(self) -> None:
        """A ``configuration`` does not validate, whatever it says."""
        request = self.make(kinds.SECRET, {"command": "VALIDATION"})
        self.drop(request, self.bare)
        body = {"command": "VALIDATION_REPLY", "payload": "true"}
        self.drop(self.make(kinds.CONFIGURATION, body, reference=request.uuid), self.member1)
        self.assertFalse(self.bare.validated)

    def test_only_the_asker(self) -> None:
        """Not its brother, though that one has the same name."""
        self.git1.validated = self.git2.validated = False
        self.drop(self.reply("true", self.git1), self.member1)
        self.assertEqual((self.git1.validated, self.git2.validated), (True, False))

    def test_nobody_accepts_its_own_secret(self) -> None:
        """A reply that comes from a connector is dropped and counted; the cluster's still counts."""
        request = self.make(kinds.SECRET, {"command": "VALIDATION"})
        self.drop(request, self.bare)
        body = {"command": "VALIDATION_REPLY", "payload": "true"}
        for origin in (self.bare, self.git1):
            self.route(self.make(kinds.SECRET, body, reference=request.uuid), origin, {})
        self.assertFalse(self.bare.validated)
        self.assertEqual(self.router.counters["replies that nobody asked for"], 2)
        reply = self.make(kinds.SECRET, body, reference=request.uuid)
        self.route(reply, self.member2, {self.bare: [reply]})
        self.assertTrue(self.bare.validated)

    def test_a_member_that_asks_for_a_secret(self) -> None:
        """What a connector replies validates nobody."""
        request = self.make(kinds.SECRET, {}, target="git")
        self.drop(request, self.member1)
        self.member1.validated = False
        reply = self.make(kinds.SECRET, {"command": "VALIDATION_REPLY", "payload": "true"}, reference=request.uuid)
        self.route(reply, self.git1, {self.member1: [reply]})
        self.assertFalse(self.member1.validated)


class OwnRequests(RoutingCase):
    """6.4: a reply to a request of the aggregator's own is consumed."""

    def test_reply_is_consumed(self) -> None:
        """It goes to nobody; only the cluster can give it."""
        for kind in (*REQUESTS, "configurationDatabase"):
            request = self.make(kind, {})
            result = self.router.own.send(request, "the cluster", [self.member1], 5.0)
            self.assertSent({self.member1: [request]})
            reply = self.make(kind, {}, reference=request.uuid)
            if kind in REQUESTS:
                self.route(reply, self.git1, {})
                self.assertNoResult(result)
                reply = self.make(kind, {}, reference=request.uuid)
            self.assertIsNone(self.route(reply, self.member2, {}))
            self.assertIs(self.successResultOf(result), reply)
        self.assertEqual(self.databases, [])

    def test_falls_through_when_the_connection_breaks(self) -> None:
        """As in 6.2."""
        request = self.make("configuration", {})
        result = self.router.own.send(request, "the cluster", [self.member1, self.member2], 5.0)
        self.assertSent({self.member1: [request]})
        self.router.link_lost(self.member1)
        self.assertSent({self.member2: [request]})
        result.cancel()
        self.failureResultOf(result)

    def test_events_do_not_answer_it(self) -> None:
        """Here the reply is the ``_REPLY``."""
        request = self.make("configuration", {})
        result = self.router.own.send(request, "the cluster", [self.member1], 5.0)
        self.drop(self.make.event("error", "OVERLOADED", reference=request.uuid), self.member1)
        self.assertNoResult(result)
        result.cancel()
        self.failureResultOf(result)


class ConfigurationDatabase(RoutingCase):
    """6.4b: for the aggregator itself, never forwarded."""

    def test_asked_for(self) -> None:
        """The reply goes to whoever asked in here, and to nobody else."""
        request = self.make(kinds.CONFIGURATION_DATABASE, {})
        result = self.router.own.send(request, "the cluster", [self.member1], 5.0)
        self.forget_sent()
        reply = self.make(kinds.CONFIGURATION_DATABASE, {}, reference=request.uuid)
        self.route(reply, self.member1, {})
        self.assertIs(self.successResultOf(result), reply)
        self.assertEqual(self.databases, [])

    def test_unasked(self) -> None:
        """The aggregator is told, whether it has a reference or a target or none; a connector never is."""
        for reference in (None, self.make.uuid()):
            for target in ("", "git"):
                frame = self.make(kinds.CONFIGURATION_DATABASE, {}, reference=reference, target=target)
                self.assertIsNone(self.route(frame, self.member1, {}))
                self.assertIs(self.databases.pop(), frame)
        self.assertEqual(self.databases, [])

    def test_a_late_reply_to_another_request(self) -> None:
        """Is counted as any that nobody asked for: it does not name the aggregator's database."""
        for command in ("CREATE_DATABASE_REPLY", "LIST_SECRETS_REPLY"):
            reply = self.make(kinds.CONFIGURATION_DATABASE, {"command": command}, reference=self.make.uuid())
            self.route(reply, self.member1, {})
        for command in ("CONFIGURATION_DATABASE", "CONFIGURATION_DATABASE_REPLY"):
            frame = self.make(kinds.CONFIGURATION_DATABASE, {"command": command})
            self.route(frame, self.member1, {})
            self.assertIs(self.databases.pop(), frame)
        self.assertEqual(self.databases, [])
        self.assertEqual(self.router.counters["replies that nobody asked for"], 2)

    def test_twice(self) -> None:
        """A duplicate as any other."""
        frame = self.make(kinds.CONFIGURATION_DATABASE, {})
        for origin in (self.member1, self.member2, self.member1):
            self.route(frame, origin, {})
        self.assertEqual(len(self.databases), 1)

    def test_from_a_connector(self) -> None:
        """``NOT_AUTHORISED`` to the origin; neither the cluster nor the aggregator hears of it."""
        for reference in (None, self.make.uuid()):
            frame = self.make(kinds.CONFIGURATION_DATABASE, {}, reference=reference, target="git")
            self.route(frame, self.git1, {self.git1: [Error("NOT_AUTHORISED", frame)]})
        self.assertEqual(self.databases, [])

    def test_a_connector_does_not_answer_for_the_cluster(self) -> None:
        """Not even when it knows the uuid."""
        request = self.make(kinds.CONFIGURATION_DATABASE, {})
        result = self.router.own.send(request, "the cluster", [self.member1], 5.0)
        self.forget_sent()
        reply = self.make(kinds.CONFIGURATION_DATABASE, {}, reference=request.uuid)
        self.route(reply, self.git1, {self.git1: [Error("NOT_AUTHORISED", reply)]})
        self.assertNoResult(result)
        result.cancel()
        self.failureResultOf(result)


class Heartbeat(RoutingCase):
    """6.4c."""

    def test_from_a_connector(self) -> None:
        """To every cluster connection; to no connector."""
        frame = self.make(kinds.HEARTBEAT, {"event": "HEARTBEAT"})
        self.assertIsNone(self.route(frame, self.git1, {self.member1: [frame], self.member2: [frame]}))

    def test_wrong_tenant(self) -> None:
        """It is sent once the tenant is right: until then it is answered as an event of a wrong tenant."""
        frame = self.make(kinds.HEARTBEAT, {}, tenant=OTHER_TENANT)
        error = Error("WRONG_TENANT", frame)
        self.route(frame, self.git1, {self.git1: [error], self.member1: [error], self.member2: [error]})

    def test_only_while_it_is_news(self) -> None:
        """It is not kept for a member that is absent, has not accepted our secret, or has enough to do."""
        for attribute, value in (("available", False), ("validated", False), ("full", True)):
            before = getattr(self.member1, attribute)
            setattr(self.member1, attribute, value)
            frame = self.make(kinds.HEARTBEAT, {})
            self.route(frame, self.git1, {self.member2: [frame]})
            setattr(self.member1, attribute, before)

    def test_not_to_a_member_that_does_not_accept_its_length(self) -> None:
        """It would break the connection."""
        frame = self.make(kinds.HEARTBEAT, {})
        self.member1.max_frame = len(frame.raw) - LENGTH.size - 1
        self.route(frame, self.git1, {self.member2: [frame]})

    def test_from_the_cluster(self) -> None:
        """Nobody is interested, whatever its tenant."""
        for tenant in (TENANT, OTHER_TENANT):
            self.route(self.make(kinds.HEARTBEAT, {}, tenant=tenant), self.member1, {})
        self.assertEqual(self.router.errors.counts, {})

    def test_introduction(self) -> None:
        """A member that comes anew is told the latest of each connector that is here, under uuids of ours."""
        for link in (self.git1, self.git2, self.git2, self.flow, self.bare):
            body = {"event": "HEARTBEAT", "context": {"logical_name": link.logical_name, "of": len(link.sent)}}
            self.drop(self.make(kinds.HEARTBEAT, body, tenant=TENANT, target="t"), link)
        self.router.link_gone(self.git1)
        self.flow.disconnect()
        self.router.introduce(self.member2)
        (told,) = self.member2.take()
        self.assertEqual((told.kind, told.tenant, told.target), (kinds.HEARTBEAT, TENANT, "t"))
        self.assertEqual(unpack_body(told.body)["context"]["logical_name"], "git")
        self.assertEqual(unpack_body(told.body)["source"], "somebody")
        latest = [frame for frame, _ in self.member2.sent if frame.kind == kinds.HEARTBEAT][2]
        self.assertEqual((told.body, told.uuid == latest.uuid), (latest.body, False))

    def test_introduction_that_is_too_long(self) -> None:
        """It would break the connection, as any heartbeat."""
        self.drop(self.make(kinds.HEARTBEAT, {}), self.git1)
        self.member1.max_frame = 10
        self.router.introduce(self.member1)
        self.assertSent({})

    def test_introduction_to_a_member_for_which_much_waits(self) -> None:
        """It waits with the rest: without it the member would find nobody here until the next heartbeats."""
        self.drop(self.make(kinds.HEARTBEAT, {}), self.git1)
        self.member1.full = True
        self.router.introduce(self.member1)
        self.assertEqual(len(self.member1.take()), 1)

    def test_duplicate(self) -> None:
        """Dropped as any other."""
        frame = self.make(kinds.HEARTBEAT, {})
        self.drop(frame, self.git1)
        self.route(frame, self.git1, {})


class Asked(RoutingCase):
    """Who is asked is of the other side."""

    def test_members_are_no_brothers_of_connectors(self) -> None:
        """A connector named as the cluster does not get a reply for a member."""
        impostor = FakeLink(CONNECTOR, "cluster", label="impostor")
        self.links.add(impostor)
        request = self.make("configuration", {}, target="git")
        self.drop(request, self.member1)
        self.member1.disconnect()
        reply = self.make("configuration", {}, reference=request.uuid)
        self.route(reply, self.git1, {self.member2: [reply]})
