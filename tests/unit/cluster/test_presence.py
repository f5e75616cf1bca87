"""Which connectors are behind which aggregator link."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cluster import presence
from gandalf.cluster.presence import EXPIRY, Presence
from gandalf.routing.link import AGGREGATOR
from gandalf.routing.testing import TENANT, FakeLink


class PresenceTest(SynchronousTestCase):
    """Coming, staying and going."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.presence = Presence(self.clock.seconds)
        self.one, self.two = FakeLink(AGGREGATOR, "a"), FakeLink(AGGREGATOR, "a")

    def test_seen(self) -> None:
        """A connector is behind every link over which it was seen, in its tenant only."""
        self.presence.seen(self.one, "git")
        self.presence.seen(self.two, "git")
        self.assertEqual(self.presence.links(TENANT, "git"), [self.one, self.two])
        self.assertEqual(self.presence.links("other", "git"), [])
        self.assertEqual(self.presence.links(TENANT, "jira"), [])
        self.assertEqual(len(self.presence), 1)

    def test_expires(self) -> None:
        """After three minutes without a heartbeat it is absent, even before it is forgotten."""
        self.presence.seen(self.one, "git")
        self.clock.advance(EXPIRY)
        self.assertEqual(self.presence.links(TENANT, "git"), [self.one])
        self.clock.advance(1)
        self.assertEqual(self.presence.links(TENANT, "git"), [])
        self.assertEqual(EXPIRY, 180)

    def test_heartbeats_keep_it(self) -> None:
        """Each heartbeat counts anew, for the link that brought it."""
        self.presence.seen(self.one, "git")
        self.presence.seen(self.two, "git")
        self.clock.advance(EXPIRY - 1)
        self.presence.seen(self.two, "git")
        self.clock.advance(2)
        self.presence.expire()
        self.assertEqual(self.presence.links(TENANT, "git"), [self.two])
        self.assertEqual(self.presence.behind(self.one), frozenset())
        self.assertEqual(self.presence.behind(self.two), frozenset({"git"}))

    def test_no_more_than_an_aggregator_has(self) -> None:
        """One that names any number of connectors is believed up to a bound; those that it has go on being there."""
        self.patch(presence, "MOST", 2)
        for name in ("a", "b", "c", "b"):
            self.presence.seen(self.one, name)
        self.presence.seen(self.two, "c")
        self.assertEqual(self.presence.behind(self.one), frozenset({"a", "b"}))
        self.assertEqual(self.presence.links(TENANT, "c"), [self.two])

    def test_link_gone(self) -> None:
        """With a link everybody behind it is gone at once; over other links they stay."""
        self.presence.seen(self.one, "git", "vcs")
        self.presence.seen(self.one, "jira")
        self.presence.seen(self.two, "git")
        self.presence.gone(self.one)
        self.assertEqual(self.presence.links(TENANT, "git"), [self.two])
        self.assertEqual(self.presence.links(TENANT, "jira"), [])
        self.assertEqual(self.presence.claiming(TENANT, "vcs"), ["git"])

    def test_claims(self) -> None:
        """What a connector says last that it speaks counts, until it is absent; saying nothing changes nothing."""
        self.presence.seen(self.one, "git", "vcs")
        self.presence.seen(self.one, "git")
        self.assertEqual(self.presence.claiming(TENANT, "vcs"), ["git"])
        self.presence.seen(self.one, "git", "forge")
        self.assertEqual(self.presence.claiming(TENANT, "vcs"), [])
        self.assertEqual(self.presence.claiming(TENANT, "forge"), ["git"])
        self.assertEqual(self.presence.claiming("other", "forge"), [])
        self.presence.gone(self.one)
        self.assertEqual(self.presence.claiming(TENANT, "forge"), [])

    @given(
        st.lists(
            st.one_of(
                st.tuples(
                    st.just("seen"), st.integers(0, 2), st.sampled_from("abc"), st.sampled_from(["", "p", "q"])
                ),
                st.tuples(st.just("gone"), st.integers(0, 2)),
                st.tuples(st.just("wait"), st.integers(1, 100)),
                st.tuples(st.just("expire")),
            )
        )
    )
    def test_like_a_plain_list(self, steps: list[tuple[object, ...]]) -> None:
        """Whatever happens, the links are those over which it was seen last within the time; nothing is left over."""
        clock = Clock()
        presence = Presence(clock.seconds)
        links = [FakeLink(AGGREGATOR, "a", tenant=tenant) for tenant in ("t", "t", "u")]
        seen: dict[tuple[int, str], float] = {}
        for step, *arguments in steps:
            if step == "seen":
                number, name, pivot = arguments
                assert isinstance(number, int)
                presence.seen(links[number], str(name), str(pivot))
                seen[number, str(name)] = clock.seconds()
            elif step == "gone":
                presence.gone(links[int(str(arguments[0]))])
                seen = {key: at for key, at in seen.items() if key[0] != arguments[0]}
            elif step == "wait":
                clock.advance(int(str(arguments[0])))
            else:
                presence.expire()
        for name in "abc":
            for tenant in "tu":
                expected = {
                    links[number]
                    for (number, known), at in seen.items()
                    if known == name and links[number].tenant == tenant and clock.seconds() - at <= EXPIRY
                }
                self.assertEqual(set(presence.links(tenant, name)), expected)
        clock.advance(EXPIRY + 1)
        presence.expire()
        self.assertEqual(len(presence), 0)
        self.assertEqual(presence.claiming("t", "p") + presence.claiming("u", "p"), [])
