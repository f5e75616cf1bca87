"""Opening a link, the listening side (protocol.md 5.1), against a peer that speaks by hand."""

from __future__ import annotations

from typing import Any

from gandalf.shoset.host import Refusal
from gandalf.shoset.settings import SOFTWARE, Limits
from gandalf.shoset.testing import RawPeer, unique
from gandalf.wire import kinds
from gandalf.wire.body import pack_body
from gandalf.wire.envelope import LENGTH
from tests.unit.shoset.support import ShosetTestCase


class LinkedTest(ShosetTestCase):
    """A link that is let in."""

    def test_linked_says_all_that_5_1_lists(self) -> None:
        """The answer bears protocol, name, type, instance, count, interval, limit and brothers; and the program."""
        shoset, _ = self.listen(limits=Limits(heartbeat=7.0))
        shoset.set_brothers(("b:1", "b:2"))
        peer = self.linked(shoset)
        (body,) = peer.heard(kinds.LINKED)
        self.assertEqual(
            {
                "protocol": 1,
                "logical_name": "a-name",
                "type": "a",
                "instance": shoset.identity.instance,
                "received": 0,
                "heartbeat": 7000,
                "max_frame": 8 * 1024 * 1024,
                "brothers": ["b:1", "b:2"],
                "resumed": False,
                "software": SOFTWARE,
            },
            body,
        )
        self.assertEqual("acme", peer.frames[0].tenant)
        self.assertFalse(peer.ended)
        self.assertEqual(1, shoset.counters.accepted)

    def test_the_link_knows_what_the_dialler_said(self) -> None:
        """Name, type, tenant, instance, address and topics of the dialler are the link's; the host is told."""
        shoset, host = self.listen()
        peer = self.linked(shoset, bind_address="c:9", topics=["build.*", "git.>"])
        link = host.link
        self.assertEqual([(link, False)], host.up)
        self.assertEqual(
            ("raw", "c", "acme", peer.identity["instance"], "c:9"),
            (link.logical_name, link.type, link.tenant, link.instance, link.bind_address),
        )
        self.assertEqual(("build.*", "git.>"), link.topics)
        self.assertTrue(link.filters)
        self.assertTrue(link.wants("git.push.main"))
        self.assertFalse(link.wants("build"))
        self.assertTrue(link.available)
        self.assertFalse(link.validated)
        self.assertEqual([link], shoset.registry.of_type("c"))
        self.assertEqual([link], shoset.registry.named("c", "raw"))
        self.assertIn("raw", repr(link))

    def test_the_program_of_the_dialler(self) -> None:
        """It is known as far as the dialler says, in at most 64 characters."""
        shoset, host = self.listen()
        for said, known in (("gandalf 9.9", "gandalf 9.9"), ("x" * 65, "x" * 64), (5, ""), (None, "")):
            self.linked(shoset, software=said)
            self.assertEqual(known, host.link.software)

    def test_no_topics_means_all(self) -> None:
        """A link that names no topics wants every event; one that names none of them, nothing."""
        shoset, host = self.listen()
        self.linked(shoset)
        self.assertFalse(host.link.filters)
        self.assertIsNone(host.link.topics)
        self.assertTrue(host.link.wants("anything"))
        self.linked(shoset, topics=[])
        self.assertFalse(host.link.wants("anything"))

    def test_unknown_keys_in_link_are_ignored(self) -> None:
        """A body may bring what a later version adds (protocol.md 2)."""
        shoset, _ = self.listen()
        peer = self.linked(shoset, colour="blue", future={"a": [1]}, counted_with=5)
        self.assertEqual(1, len(peer.heard(kinds.LINKED)))

    def test_link_byte_by_byte(self) -> None:
        """However the network cuts the bytes, the handshake is the same."""
        shoset, host = self.listen()
        peer = RawPeer("c")
        cable = self.joined(peer, shoset)
        cable.dialling.held = True
        peer.say_link()
        frame = peer.say(kinds.EVENT)
        while cable.dialling.deliver(1):
            pass
        self.network.settle()
        self.assertEqual(kinds.LINKED, peer.frames[0].kind)
        self.assertEqual([frame.uuid], host.uuids)

    def test_a_long_frame_right_behind_link(self) -> None:
        """Once link is read the long limit holds, for the rest of the same chunk too."""
        shoset, host = self.listen()
        peer = RawPeer("c")
        self.joined(peer, shoset)
        peer.say_link()
        frame = peer.say(kinds.EVENT, {"payload": b"x" * 100_000})
        self.network.settle()
        self.assertEqual([frame.uuid], host.uuids)


class RefusedTest(ShosetTestCase):
    """Every refusal of 5.1: one ``refused``, then the end, and no link."""

    def refuse(self, code: str, words: str = "", *, type: str = "c", **link: object) -> None:
        """A dialler that says ``link`` is refused."""
        shoset, host = self.listen()
        peer = self.linked(shoset, type, **link)
        self.assert_refused(peer, code, words)
        self.assertEqual([kinds.REFUSED], [frame.kind for frame in peer.frames])
        self.assertEqual([], host.up)
        self.assertEqual(0, len(shoset.registry))
        self.assertEqual({code: 1}, dict(shoset.counters.refused))

    def test_unsupported_version(self) -> None:
        """Another version of the protocol."""
        self.refuse("UNSUPPORTED_VERSION", "not 2", protocol=2)

    def test_unsupported_version_none(self) -> None:
        """No version at all."""
        self.refuse("UNSUPPORTED_VERSION", "not 0", protocol=None)

    def test_unsupported_version_whatever_else_changed(self) -> None:
        """A later version may have changed the rest of the body: its dialler hears of the version."""
        self.refuse("UNSUPPORTED_VERSION", "not 2", protocol=2, instance=None, session="text", topics="all")

    def test_wrong_type(self) -> None:
        """Only connectors link to an aggregator."""
        self.refuse("WRONG_TYPE", "'cl'", type="cl")

    def test_wrong_type_same(self) -> None:
        """An aggregator does not link to an aggregator."""
        self.refuse("WRONG_TYPE", "'a'", type="a")

    def test_wrong_type_unknown(self) -> None:
        """A type that is none."""
        self.refuse("WRONG_TYPE", "'zz'", type="zz")

    def test_wrong_type_at_the_cluster(self) -> None:
        """Only aggregators link to the cluster."""
        shoset, _ = self.listen("cl")
        self.assert_refused(self.linked(shoset, "c"), "WRONG_TYPE")
        self.assert_refused(self.linked(shoset, "cl"), "WRONG_TYPE")
        self.assertEqual(1, len(self.linked(shoset, "a").heard(kinds.LINKED)))

    def test_wrong_type_to_a_connector(self) -> None:
        """Nobody links to a connector."""
        shoset, _ = self.listen("c")
        for type in ("cl", "a", "c"):
            self.assert_refused(self.linked(shoset, type), "WRONG_TYPE")

    def test_malformed_empty_name(self) -> None:
        """A dialler without a name."""
        self.refuse("MALFORMED", "logical_name", logical_name=None)

    def test_malformed_topics(self) -> None:
        """A pattern that is none."""
        self.refuse("MALFORMED", "topics", topics=["a..b"])

    def test_malformed_topics_no_list(self) -> None:
        """Topics that are no list."""
        self.refuse("MALFORMED", "topics", topics="all")

    def test_malformed_session(self) -> None:
        """A session that is not 16 bytes."""
        self.refuse("MALFORMED", "session", session=b"short")

    def test_malformed_instance(self) -> None:
        """No instance."""
        self.refuse("MALFORMED", "instance", instance=None)

    def test_malformed_received(self) -> None:
        """A count below nothing."""
        self.refuse("MALFORMED", "received", received=-1)

    def test_malformed_heartbeat(self) -> None:
        """An interval that is no number."""
        self.refuse("MALFORMED", "heartbeat", heartbeat="often")

    def test_wrong_tenant(self) -> None:
        """What the host says of the dialler is the refusal; it is asked with the envelope's tenant."""
        shoset, host = self.listen()
        host.refusal = Refusal("WRONG_TENANT", "not ours")
        peer = RawPeer("c", tenant="other")
        self.link_again(peer, shoset)
        self.assert_refused(peer, "WRONG_TENANT", "not ours")
        ((hello, tenant),) = host.admitted
        self.assertEqual(("raw", "other"), (hello.logical_name, tenant))

    def test_not_authorised_by_certificate(self) -> None:
        """The certificate has to bear the logical name."""
        names: list[frozenset[str] | None] = []
        shoset, _ = self.listen(certificate_names=lambda transport: names[-1])
        names.append(frozenset({"another"}))
        self.assert_refused(self.linked(shoset), "NOT_AUTHORISED", "certificate")
        names.append(frozenset({"another", "raw"}))
        self.assertEqual(1, len(self.linked(shoset).heard(kinds.LINKED)))

    def test_not_authorised_session_of_another_instance(self) -> None:
        """A session resumed by another instance than opened it; the owner does not notice."""
        shoset, host = self.listen()
        owner = self.linked(shoset)
        thief = owner.again()
        self.link_again(thief, shoset, instance=unique())
        self.assert_refused(thief, "NOT_AUTHORISED", "session")
        self.owner_goes_on(owner, host)

    def test_not_authorised_session_of_another_name(self) -> None:
        """A session resumed by another logical name than opened it; the owner does not notice."""
        shoset, host = self.listen()
        owner = self.linked(shoset)
        thief = owner.again()
        self.link_again(thief, shoset, logical_name="thief")
        self.assert_refused(thief, "NOT_AUTHORISED", "session")
        self.owner_goes_on(owner, host)

    def owner_goes_on(self, owner: RawPeer, host: Any) -> None:
        """The link of ``owner`` works as before."""
        frame = owner.say(kinds.EVENT)
        self.network.settle()
        self.assertEqual([frame.uuid], host.uuids)
        self.assertFalse(owner.ended)

    def test_draining(self) -> None:
        """An instance about to stop takes nobody new, and keeps those it has."""
        shoset, host = self.listen()
        owner = self.linked(shoset)
        shoset.draining = True
        self.assert_refused(self.linked(shoset), "DRAINING")
        self.owner_goes_on(owner, host)

    def test_overloaded(self) -> None:
        """One connection more than is allowed; when another leaves there is room."""
        shoset, _ = self.listen(limits=Limits(max_connections=2))
        peers = [self.linked(shoset), self.linked(shoset)]
        self.assert_refused(self.linked(shoset), "OVERLOADED", "2 connections")
        peers[0].transport.loseConnection()  # type: ignore[union-attr]
        self.network.settle()
        self.assertEqual(1, len(self.linked(shoset).heard(kinds.LINKED)))

    def test_refusals_that_last_are_told_first(self) -> None:
        """A dialler that can never link hears so even from an instance that drains."""
        shoset, host = self.listen()
        shoset.draining = True
        host.refusal = Refusal("WRONG_TENANT", "")
        self.assert_refused(self.linked(shoset, "a", protocol=3), "UNSUPPORTED_VERSION")
        self.assert_refused(self.linked(shoset, "a"), "WRONG_TYPE")
        self.assert_refused(self.linked(shoset), "WRONG_TENANT")

    def test_malformed_not_link_first(self) -> None:
        """Anything but link as the first frame."""
        for kind in sorted(kinds.KINDS - {kinds.LINK}):
            shoset, host = self.listen()
            peer = RawPeer("c")
            self.joined(peer, shoset)
            peer.say(kind)
            self.network.settle()
            self.assert_refused(peer, "MALFORMED", kind)
            self.assertEqual([], host.received)

    def test_malformed_body(self) -> None:
        """A link whose body is no map."""
        for body in (b"", b"\xc1", b"\x90", b"\x81\xa1k", pack_body({}) + b"\x00"):
            shoset, _ = self.listen()
            peer = RawPeer("c")
            self.joined(peer, shoset)
            peer.say(kinds.LINK, body)
            self.network.settle()
            self.assert_refused(peer, "MALFORMED", "body")

    def test_malformed_envelope(self) -> None:
        """Bytes that are no envelope, an HTTP request among them."""
        for data in (LENGTH.pack(3) + b"abc", LENGTH.pack(0), LENGTH.pack(1) + b"\xc1"):
            shoset, _ = self.listen()
            peer = RawPeer("c")
            self.joined(peer, shoset)
            peer.write(data)
            self.network.settle()
            self.assert_refused(peer, "MALFORMED", "envelope")

    def test_too_large_before_the_handshake(self) -> None:
        """64 KiB are the limit before link is read; refused from the length alone."""
        shoset, _ = self.listen()
        for length in (64 * 1024 + 1, 2**31, 2**32 - 1, int.from_bytes(b"GET ", "big")):
            peer = RawPeer("c")
            self.joined(peer, shoset)
            peer.write(LENGTH.pack(length))
            self.network.settle()
            self.assert_refused(peer, "TOO_LARGE", "65536")

    def test_handshake_frame_of_64_kib_is_read(self) -> None:
        """A link as long as the limit."""
        shoset, _ = self.listen()
        peer = RawPeer("c")
        body = {**peer.identity, "session": peer.session}
        empty = len(peer.frame(kinds.LINK, {**body, "pad": b"x" * 60_000}).raw) - LENGTH.size - 60_000
        self.joined(peer, shoset)
        frame = peer.say(kinds.LINK, {**body, "pad": b"x" * (64 * 1024 - empty)})
        self.network.settle()
        self.assertEqual(64 * 1024 + LENGTH.size, len(frame.raw))
        self.assertEqual(1, len(peer.heard(kinds.LINKED)))

    def test_handshake_timeout(self) -> None:
        """A peer has exactly 10 s, however it dawdles."""
        shoset, _ = self.listen()
        peer = RawPeer("c")
        self.joined(peer, shoset)
        for _ in range(3):
            self.network.advance(3.0)
            peer.write(b"\x00")
        self.network.advance(0.999)
        self.assertEqual([], peer.frames)
        self.network.advance(0.001)
        self.assert_refused(peer, "HANDSHAKE_TIMEOUT", "10 s")

    def test_no_handshake_timeout_once_linked(self) -> None:
        """A peer that linked in time may be silent for longer."""
        shoset, _ = self.listen()
        peer = RawPeer("c")
        self.joined(peer, shoset)
        self.network.advance(9.9)
        peer.say_link()
        self.network.advance(10.0)
        self.assertEqual([], peer.heard(kinds.REFUSED))
        self.assertFalse(peer.ended)

    def test_a_peer_that_goes_before_it_spoke(self) -> None:
        """Nothing is left of it."""
        shoset, host = self.listen()
        cable = self.joined(RawPeer("c"), shoset)
        cable.cut()
        self.assertEqual(frozenset(), shoset.connections)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(([], []), (host.up, host.down))
