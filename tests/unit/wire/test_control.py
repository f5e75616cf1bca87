"""The bodies of link control (protocol.md 5)."""

from __future__ import annotations

from typing import Any, Final

import msgpack
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.wire.body import unpack_body
from gandalf.wire.control import (
    PROTOCOL,
    AckBody,
    BrothersBody,
    ByeBody,
    LinkBody,
    LinkedBody,
    RefusedBody,
)
from gandalf.wire.errors import Malformed, WireError
from tests.unit.wire import support
from tests.unit.wire.support import EXAMPLES, refusal

AnyBody = LinkBody | LinkedBody | RefusedBody | ByeBody | BrothersBody | AckBody

INSTANCE = bytes(range(16))
SESSION = bytes(range(16, 32))

LINK: Final[dict[str, Any]] = {
    "protocol": 1,
    "logical_name": "agg",
    "type": "a",
    "bind_address": "host:9000",
    "instance": INSTANCE,
    "session": SESSION,
    "received": 7,
    "heartbeat": 10_000,
    "topics": ["build.*", ">"],
}
LINKED: Final[dict[str, Any]] = {
    "protocol": 1,
    "logical_name": "clu",
    "type": "cl",
    "instance": INSTANCE,
    "received": 9,
    "heartbeat": 5_000,
    "max_frame": 8_388_608,
    "brothers": ["one:1", "two:2"],
}
REFUSED: Final[dict[str, Any]] = {"code": "DRAINING", "message": "going"}
BYE: Final[dict[str, Any]] = {"reason": "SLOW_CONSUMER", "message": "too slow"}
BROTHERS: Final[dict[str, Any]] = {"logical_name": "clu", "addresses": ["one:1", "two:2"]}
ACK: Final[dict[str, Any]] = {"received": 64}

BODIES: Final[list[tuple[type[AnyBody], dict[str, Any]]]] = [
    (LinkBody, LINK),
    (LinkedBody, LINKED),
    (RefusedBody, REFUSED),
    (ByeBody, BYE),
    (BrothersBody, BROTHERS),
    (AckBody, ACK),
]

WRONG: Final[dict[type, list[object]]] = {
    int: [-1, -(2**63), True, False, 1.0, "1", b"1", None, [1], {}],
    str: [b"text", 1, True, None, ["text"], {}],
    bytes: [bytes(15), bytes(17), b"", "sixteen letters.", 1, None, [], {}],
    list: ["text", b"text", 1, None, {"a": 1}, ["a", 1], [b"a"], [None], [["a"]]],
}

names = support.texts
text_tuples = st.lists(support.texts, max_size=20).map(tuple)
every_body: st.SearchStrategy[AnyBody] = st.one_of(
    st.builds(
        LinkBody,
        support.uints,
        names,
        names,
        names,
        support.uuids,
        support.uuids,
        support.uints,
        support.uints,
        st.none() | text_tuples,
    ),
    st.builds(
        LinkedBody,
        support.uints,
        names,
        names,
        support.uuids,
        support.uints,
        support.uints,
        support.uints,
        text_tuples,
        st.none() | st.booleans(),
    ),
    st.builds(RefusedBody, names, names),
    st.builds(ByeBody, names, names),
    st.builds(BrothersBody, names, text_tuples),
    st.builds(AckBody, support.uints),
)


class RoundTrip(SynchronousTestCase):
    """What was packed is read again."""

    @EXAMPLES
    @given(every_body)
    def test_every_body(self, body: AnyBody) -> None:
        """Each body with any values comes back as it was."""
        self.assertEqual(type(body).parse(body.pack()), body)

    def test_keys_on_the_wire(self) -> None:
        """The keys and types are those of protocol.md 5, no more and no fewer."""
        for kind, values in BODIES:
            body = kind.parse(msgpack.packb(values))
            self.assertEqual(unpack_body(body.pack()), values, kind.__name__)
            for key, value in values.items():
                self.assertEqual(getattr(body, key), tuple(value) if isinstance(value, list) else value)

    def test_protocol(self) -> None:
        """Version 1 is spoken here."""
        self.assertEqual(PROTOCOL, 1)

    def test_topics_named_none_and_not_named(self) -> None:
        """An empty list of topics, which asks for nothing, is not the same as none, which asks for all."""
        for topics in ((), None, ("a",)):
            values = {**LINK, "topics": topics}
            packed = LinkBody(**values).pack()
            self.assertEqual("topics" in unpack_body(packed), topics is not None)
            self.assertEqual(LinkBody.parse(packed).topics, topics)

    def test_whether_a_session_was_resumed(self) -> None:
        """Our addition to ``linked`` is said when it is known, and what another peer means by it is ignored."""
        for resumed in (True, False, None):
            packed = LinkedBody(**{**LINKED, "brothers": (), "resumed": resumed}).pack()
            self.assertEqual("resumed" in unpack_body(packed), resumed is not None)
            self.assertIs(LinkedBody.parse(packed).resumed, resumed)
        others: list[object] = [1, "yes", None, [], {}]
        for other in others:
            self.assertIsNone(LinkedBody.parse(msgpack.packb({**LINKED, "resumed": other})).resumed)


class Reading(SynchronousTestCase):
    """Bodies that peers made."""

    def test_unknown_keys_are_ignored(self) -> None:
        """Keys that protocol.md does not name, and the common ones, change nothing."""
        more = {"": 1, "future": {"a": [1, None, {"b": 2.5}]}, "payload": b"p", "token": "t", "major": 2}
        for kind, values in BODIES:
            self.assertEqual(
                kind.parse(msgpack.packb({**more, **values})), kind.parse(msgpack.packb(values)), kind.__name__
            )

    def test_each_key_of_another_type(self) -> None:
        """The error names the key, whichever it is and whatever else stands there."""
        for kind, values in BODIES:
            for key, right in values.items():
                for wrong in WRONG[type(right)]:
                    error = refusal(kind.parse, msgpack.packb({**values, key: wrong}))
                    self.assertIsInstance(error, Malformed)
                    self.assertTrue(
                        str(error).startswith(f"body: {key} must be "), f"{kind.__name__} {key} {wrong!r}: {error}"
                    )

    def test_identities_are_sixteen_bytes(self) -> None:
        """An instance or a session of another length, or none, is refused, and the length is told."""
        for kind, values, key in (
            (LinkBody, LINK, "instance"),
            (LinkBody, LINK, "session"),
            (LinkedBody, LINKED, "instance"),
        ):
            for length in (0, 15, 17, 32):
                error = refusal(kind.parse, msgpack.packb({**values, key: bytes(length)}))
                self.assertEqual(str(error), f"body: {key} must be bin of 16 bytes, not {length}")
            left = {name: value for name, value in values.items() if name != key}
            error = refusal(kind.parse, msgpack.packb(left))
            self.assertEqual(str(error), f"body: {key} must be bin of 16 bytes, not 0")

    def test_left_out(self) -> None:
        """Text and numbers left out are "" and 0, lists empty; only ``topics`` says more by being left out."""
        self.assertEqual(
            LinkBody.parse(msgpack.packb({"instance": INSTANCE, "session": SESSION})),
            LinkBody(0, "", "", "", INSTANCE, SESSION, 0, 0, None),
        )
        self.assertEqual(
            LinkedBody.parse(msgpack.packb({"instance": INSTANCE})),
            LinkedBody(0, "", "", INSTANCE, 0, 0, 0, (), None),
        )
        self.assertEqual(RefusedBody.parse(b"\x80"), RefusedBody("", ""))
        self.assertEqual(ByeBody.parse(b"\x80"), ByeBody("", ""))
        self.assertEqual(BrothersBody.parse(b"\x80"), BrothersBody("", ()))

    def test_an_ack_has_its_count(self) -> None:
        """An ``ack`` that acknowledges nothing is malformed."""
        error = refusal(AckBody.parse, b"\x80")
        self.assertIn("body: received must be uint", str(error))

    def test_not_a_body(self) -> None:
        """What is no body is malformed in every kind."""
        for kind, _ in BODIES:
            for packed in (b"", b"\xc0", b"\x90", b"\xc1", b"\x80\x80", *support.HOSTILE.values()):
                self.assertIsInstance(refusal(kind.parse, packed), Malformed)

    @EXAMPLES
    @given(support.mutated(every_body.map(lambda body: body.pack())))
    def test_mutated_bytes(self, packed: bytes) -> None:
        """A damaged body is read or refused by every kind; what is read can be packed and read again."""
        for kind, _ in BODIES:
            try:
                body = kind.parse(packed)
            except WireError:
                continue
            self.assertEqual(kind.parse(body.pack()), body)
