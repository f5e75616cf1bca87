"""Filters of topics (protocol.md 6.1)."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.routing.topics import TopicFilter
from tests.unit.wire.support import EXAMPLES

WORDS = ["a", "b", "aa", "é", "a+", "[ab]", "a|b", "(", "^", "$", "\\", "\n", "a\n", " ", "A", "?", "#"]

words = st.sampled_from(WORDS)
patterns = st.tuples(
    st.lists(words | st.just("*"), max_size=4), st.sampled_from([["*"], [">"], ["a"], ["b"], ["a|b"]])
).map(lambda parts: ".".join(parts[0] + parts[1]))
topics = st.lists(words | st.just(""), min_size=1, max_size=6).map(".".join)


def reference(pattern: str, topic: str) -> bool:
    """The rule of protocol.md 6.1, word by word; a word is not empty."""
    wanted, given_words = pattern.split("."), topic.split(".")
    if not all(given_words):
        return False
    if wanted[-1] == ">":
        wanted.pop()
        if len(given_words) <= len(wanted):
            return False
        given_words = given_words[: len(wanted)]
    return len(wanted) == len(given_words) and all(
        want in ("*", word) for want, word in zip(wanted, given_words, strict=True)
    )


class Matching(SynchronousTestCase):
    """Which topics match."""

    def test_table(self) -> None:
        """``*`` is one word, ``>`` one or more to the end, all else is itself."""
        table: list[tuple[str, list[str], list[str]]] = [
            ("build", ["build"], ["", "Build", "builds", "build.done", "a.build", "build.", ".build", "build\n"]),
            ("build.done", ["build.done"], ["build", "buildxdone", "build.done.now", "done.build"]),
            ("*", ["build", "x", "*"], ["", "build.done", ".", "build."]),
            ("build.*", ["build.done", "build.x"], ["build", "build.", "build.a.b", "x.done"]),
            ("*.done", ["build.done"], [".done", "done", "a.build.done"]),
            ("build.*.done", ["build.a.done"], ["build.done", "build..done", "build.a.b.done"]),
            ("*.*", ["a.b"], ["a", "a.b.c", "a.", ".b", "."]),
            (">", ["a", "a.b", "a.b.c.d"], ["", ".", "a.", ".a", "a..b"]),
            ("build.>", ["build.a", "build.a.b.c"], ["build", "build.", "builds.a", "build..a", "x.build.a"]),
            ("*.>", ["a.b", "a.b.c"], ["a", "a.", ".b"]),
            ("a.*.>", ["a.b.c", "a.b.c.d"], ["a.b", "a", "b.b.c"]),
            ("a+.[x]", ["a+.[x]"], ["aa.x", "a.x"]),
            ("a|b", ["a|b"], ["a", "b"]),
            ("déploiement.*", ["déploiement.prêt"], ["deploiement.pret"]),
            ("two words", ["two words"], ["twowords"]),
        ]
        for pattern, matching, others in table:
            matches = TopicFilter([pattern]).matches
            for topic in matching:
                self.assertIs(matches(topic), True, f"{pattern} {topic}")
                self.assertIs(reference(pattern, topic), True, f"{pattern} {topic}")
            for topic in others:
                self.assertIs(matches(topic), False, f"{pattern} {topic}")
                self.assertIs(reference(pattern, topic), False, f"{pattern} {topic}")

    def test_any_of_several(self) -> None:
        """One that matches is enough, a longer one behind a shorter one too."""
        topic_filter = TopicFilter(iter(["a", "a.b", "c.>"]))
        self.assertEqual(topic_filter.patterns, ("a", "a.b", "c.>"))
        found = {topic: topic_filter.matches(topic) for topic in ("a", "a.b", "c.d.e", "c", "a.c", "b")}
        self.assertEqual([topic for topic, matches in found.items() if matches], ["a", "a.b", "c.d.e"])

    def test_none(self) -> None:
        """A list without patterns matches nothing."""
        for topic in ("", "a", "a.b", ">"):
            self.assertIs(TopicFilter([]).matches(topic), False)

    @EXAMPLES
    @given(st.lists(patterns, max_size=4), st.lists(topics, min_size=1, max_size=8))
    def test_against_the_rule(self, chosen: list[str], asked: list[str]) -> None:
        """The filter says what the rule, worked word by word, says."""
        topic_filter = TopicFilter(chosen)
        for topic in asked:
            expected = any(reference(pattern, topic) for pattern in chosen)
            self.assertIs(topic_filter.matches(topic), expected, f"{chosen} {topic!r}")

    @EXAMPLES
    @given(patterns, st.data())
    def test_topics_made_from_the_pattern(self, pattern: str, data: st.DataObject) -> None:
        """A topic that fills in a pattern's wildcards matches it; one with an empty word does not."""
        filled: list[str] = []
        for word in pattern.split("."):
            if word == ">":
                filled += data.draw(st.lists(words, min_size=1, max_size=3))
            else:
                filled.append(data.draw(words) if word == "*" else word)
        matches = TopicFilter([pattern]).matches
        self.assertTrue(matches(".".join(filled)))
        filled[data.draw(st.integers(0, len(filled) - 1))] = ""
        self.assertFalse(matches(".".join(filled)))

    @EXAMPLES
    @given(st.text(max_size=30), st.text(max_size=30))
    def test_any_text(self, pattern: str, topic: str) -> None:
        """Any text is a topic; any text is a pattern or is refused, and then only with a ValueError."""
        try:
            matches = TopicFilter([pattern]).matches
        except ValueError as error:
            self.assertIn(repr(pattern), str(error))
            self.assertTrue(not all(pattern.split(".")) or "*" in pattern or ">" in pattern)
        else:
            self.assertIs(matches(topic), reference(pattern, topic))
            self.assertTrue(matches(pattern))

    def test_many_patterns_take_no_more_than_their_bytes(self) -> None:
        """As many as a ``link`` can name, from whoever links, are kept with each session; each of them matches."""
        for many in ([f"{number:x}.>" for number in range(9000)], ["a.*.>"] * 10_000, [".".join(["*"] * 32_000)]):
            many = [pattern[:] for pattern in many]
            tracemalloc.start()
            try:
                topic_filter = TopicFilter(many)
                taken = tracemalloc.get_traced_memory()[0]
            finally:
                tracemalloc.stop()
            self.assertLess(taken, 80 * 1024)
            self.assertEqual(topic_filter.patterns, tuple(dict.fromkeys(many)))
            self.assertTrue(topic_filter.matches(many[-1].replace("*", "x").replace(">", "y")))

    def test_long_topics_take_no_long_time(self) -> None:
        """Many wildcards on a long topic that fails in its last word do not multiply the work."""
        long = ".".join(["word"] * 20_000)
        self.assertFalse(TopicFilter([".".join(["*"] * 2000) + ".>", "*.>"]).matches(long + "."))
        self.assertTrue(TopicFilter(["*.>"]).matches(long))


class Refusals(SynchronousTestCase):
    """What is no pattern."""

    def test_named_in_the_error(self) -> None:
        """The error names the pattern and says what is allowed."""
        for pattern in ("", ".", ".a", "a.", "a..b", "a*", "*a", "a.b*.c", "**", ">>", "a>", "a.>b", "*>"):
            with self.assertRaises(ValueError) as caught:
                TopicFilter(["right", pattern])
            self.assertIn(f"topic {pattern!r}: words are separated by single dots", str(caught.exception))

    def test_rest_only_at_the_end(self) -> None:
        """``>`` is the last word."""
        for pattern in (">.a", "a.>.b", ">.>", ">."):
            with self.assertRaises(ValueError) as caught:
                TopicFilter([pattern])
            self.assertIn(f"topic {pattern!r}: '>' must be the last word", str(caught.exception))
