"""Declaring a connector."""

from __future__ import annotations

import functools
from typing import Any, cast

from pydantic import BaseModel
from twisted.trial.unittest import SynchronousTestCase

from gandalf.connector import Connector, Job, Network, ReceivedEvent


class Empty(BaseModel):
    """A payload without fields."""


def plain(request: Empty, job: Job) -> None:
    """A handler for the thread pool."""


async def coroutine(request: Empty, job: Job) -> None:
    """A handler for the loop."""


async def reaction(event: ReceivedEvent, network: Network) -> None:
    """A reaction."""


class DeclareTests(SynchronousTestCase):
    """`Connector` and its decorators."""

    def setUp(self) -> None:
        """A connector without commands."""
        self.connector = Connector(type="vcs", product="git", versions=[(1, 0), (1, 2)])

    def test_declaration_is_kept(self) -> None:
        """What is declared is there to be read, and the functions are left as they were."""
        self.assertIs(self.connector.command("PLAIN", Empty)(plain), plain)
        self.assertIs(self.connector.command("ASYNC", Empty)(coroutine), coroutine)
        self.assertIs(self.connector.on("project.*")(reaction), reaction)
        self.assertEqual(
            (self.connector.type, self.connector.product, self.connector.versions),
            ("vcs", "git", ((1, 0), (1, 2))),
        )
        handlers = self.connector.handlers
        self.assertEqual(
            {name: handler.asynchronous for name, handler in handlers.items()},
            {"PLAIN": False, "ASYNC": True},
        )
        self.assertEqual((handlers["PLAIN"].function, handlers["PLAIN"].payload), (plain, Empty))

    def test_asynchronous_functions_are_recognised_in_disguise(self) -> None:
        """A partial of an `async def`, and an object whose `__call__` is one, run on the loop."""

        class Callable:
            async def __call__(self, request: Empty, job: Job) -> None: ...

        self.connector.command("PARTIAL", Empty)(functools.partial(coroutine))
        self.connector.command("OBJECT", Empty)(Callable())
        self.assertTrue(all(handler.asynchronous for handler in self.connector.handlers.values()))

    def test_topics_are_named_once(self) -> None:
        """Two reactions to one pattern name one topic."""

        async def another(event: ReceivedEvent, network: Network) -> None: ...

        for pattern, function in (("a.>", reaction), ("b", reaction), ("a.>", another)):
            self.connector.on(pattern)(function)
        self.assertEqual(self.connector.topics, ["a.>", "b"])
        self.assertEqual(len(self.connector.subscriptions), 3)

    def test_command_declared_twice_is_refused(self) -> None:
        """The second declaration of a command is an error that names it, and the first stays."""
        self.connector.command("PLAIN", Empty)(plain)
        with self.assertRaisesRegex(ValueError, "'PLAIN' of vcs/git is declared twice"):
            self.connector.command("PLAIN", Empty)(coroutine)
        self.assertIs(self.connector.handlers["PLAIN"].function, plain)

    def test_reaction_declared_twice_is_refused(self) -> None:
        """The same function for the same pattern is an error."""
        self.connector.on("a")(reaction)
        with self.assertRaisesRegex(ValueError, "'a' is declared twice"):
            self.connector.on("a")(reaction)

    def test_bad_pattern_is_refused(self) -> None:
        """A topic pattern that protocol.md 6.1 does not know is an error that names it."""
        for pattern in ("", "a..b", "a.>.b", "a*", ".a"):
            with self.assertRaises(ValueError) as caught:
                self.connector.on(pattern)
            self.assertIn(repr(pattern), str(caught.exception))

    def test_plain_reaction_is_refused(self) -> None:
        """A reaction that is no `async def` is an error: it would use the network from another thread."""
        with self.assertRaisesRegex(ValueError, "must be an 'async def'"):
            self.connector.on("a")(cast(Any, plain))

    def test_payload_that_is_no_model_is_refused(self) -> None:
        """The payload's type must be a pydantic model class."""
        for payload in (dict, Empty(), None):
            with self.assertRaisesRegex(ValueError, "command PLAIN: payload is .*BaseModel"):
                self.connector.command("PLAIN", cast(Any, payload))

    def test_bad_names_are_refused(self) -> None:
        """Type, product and commands are single words; the error names key, value and rule."""
        for name in ("", "a.b", "a b", "-a", "x" * 101, "é", "a\n"):
            with self.assertRaisesRegex(ValueError, "command is .*letters"):
                self.connector.command(name, Empty)
            with self.assertRaisesRegex(ValueError, "type is .*letters"):
                Connector(type=name, product="git", versions=[(1, 0)])
            with self.assertRaisesRegex(ValueError, "product is .*letters"):
                Connector(type="vcs", product=name, versions=[(1, 0)])

    def test_bad_versions_are_refused(self) -> None:
        """Versions are pairs of integers from 0, at least one, each once."""
        for versions in ([], [(1, 0), (1, 0)], [(1,)], [(1, -1)], ["1.0"], [(1, "0")]):
            with self.assertRaisesRegex(ValueError, "versions "):
                Connector(type="vcs", product="git", versions=cast(Any, versions))
