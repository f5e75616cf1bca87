"""Who is linked: by session, by type and by name, against a model."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.shoset.registry import Registry
from gandalf.shoset.testing import unique


class Link:
    """As far as the registry looks at one."""

    def __init__(self, type: str = "c", logical_name: str = "git") -> None:
        self.type, self.logical_name, self.session = type, logical_name, unique()


class RegistryTest(SynchronousTestCase):
    """Adding and removing, in any order."""

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 7)), max_size=60))
    def test_against_a_model(self, steps: list[tuple[bool, int]]) -> None:
        """What was added and not removed is found; what is not there is removed in vain, and added once."""
        registry, model = Registry(), set[Any]()
        links: list[Any] = [Link("c" if number % 2 else "cl", f"n{number % 3}") for number in range(8)]
        for adds, number in steps:
            if adds:
                registry.add(links[number])
                model.add(links[number])
            else:
                registry.remove(links[number])
                model.discard(links[number])
            self.assertEqual((len(registry), set(registry)), (len(model), model))
            for link in links:
                self.assertEqual(link in registry, link in model)
                self.assertIs(registry.session(link.session), link if link in model else None)
                brothers = registry.named(link.type, link.logical_name)
                named = {each for each in model if (each.type, each.logical_name) == (link.type, link.logical_name)}
                self.assertEqual((set(brothers), len(brothers)), (named, len(named)))
            for type in ("c", "cl", "a"):
                found = registry.of_type(type)
                typed = {each for each in model if each.type == type}
                self.assertEqual((set(found), len(found)), (typed, len(typed)))

    def test_the_others_stay(self) -> None:
        """Whichever is removed."""
        for removed in range(3):
            registry = Registry()
            links: list[Any] = [Link() for _ in range(3)]
            for link in links:
                registry.add(link)
            registry.remove(links.pop(removed))
            self.assertEqual(set(registry.of_type("c")), set(links))
            registry.remove(links.pop())
            self.assertEqual(registry.named("c", "git"), links)

    def test_forgetting_many(self) -> None:
        """Twenty thousand of one name in one turn, the latest first: milliseconds, not seconds."""
        registry = Registry()
        links: list[Any] = [Link() for _ in range(20_000)]
        for link in links:
            registry.add(link)
        began = time.process_time()
        for link in reversed(links):
            registry.remove(link)
        self.assertLess(time.process_time() - began, 0.5)
        self.assertEqual(len(registry), 0)
