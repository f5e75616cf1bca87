"""The start-up sequence (protocol.md 8): order, retries, what ends it, what an operator sees."""

from __future__ import annotations

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gandalf.aggregator.startup import Startup

NAMES = ["communication", "secret", "logical configuration", "database", "api"]


class Refused(Exception):
    """Nothing is to be retried after this."""


class FakeSteps:
    """Steps that do what a test tells them; records the order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failures: dict[str, list[Exception]] = {}
        self.waiting: dict[str, Deferred[None]] = {}

    async def _do(self, name: str) -> None:
        if self.failures.get(name):
            raise self.failures[name].pop(0)
        if name in self.waiting:
            await self.waiting[name]
        self.done.append(name)

    async def open_communication(self) -> None:
        await self._do("communication")

    async def prove_secret(self) -> None:
        await self._do("secret")

    async def configure(self) -> None:
        await self._do("logical configuration")

    async def open_database(self) -> None:
        await self._do("database")

    async def open_api(self) -> None:
        await self._do("api")


class StartupTests(SynchronousTestCase):
    """`Startup` over steps that are told what to do."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.steps = FakeSteps()
        self.startup = Startup(self.steps, self.clock, fatal=(Refused,), jitter=lambda: 0.0)

    def states(self) -> list[str]:
        """What an operator sees of the steps."""
        return [step.state for step in self.startup.steps]

    def test_five_steps_in_order(self) -> None:
        """All steps run in the protocol's order, and then it is ready."""
        self.assertEqual(self.states(), ["waiting"] * 5)
        self.successResultOf(ensureDeferred(self.startup.run()))
        self.assertEqual(self.steps.done, NAMES)
        self.assertEqual([step.name for step in self.startup.steps], NAMES)
        self.assertTrue(self.startup.ready)
        self.assertEqual(self.startup.current, "")

    def test_a_step_waits_for_the_one_before(self) -> None:
        """While a step runs it is shown as running, and nothing after it has begun."""
        self.steps.waiting["secret"] = Deferred()
        running = ensureDeferred(self.startup.run())
        self.assertNoResult(running)
        self.assertEqual(self.states(), ["done", "running", "waiting", "waiting", "waiting"])
        self.assertEqual(self.startup.current, "secret")
        self.assertFalse(self.startup.ready)
        self.clock.advance(3)
        self.steps.waiting["secret"].callback(None)
        self.successResultOf(running)
        self.assertEqual(self.startup.steps[1].took, 3)

    def test_a_failed_step_is_retried_with_growing_pauses(self) -> None:
        """What went wrong is shown meanwhile, and is gone when the step succeeds."""
        self.steps.failures["database"] = [ValueError("no database"), ValueError("still none"), RuntimeError()]
        running = ensureDeferred(self.startup.run())
        step = self.startup.steps[3]
        self.assertEqual((step.state, step.trouble, step.attempts), ("running", "no database", 1))
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [0.1])
        self.clock.advance(0.1)
        self.assertEqual((step.trouble, step.attempts), ("still none", 2))
        self.clock.advance(0.2)
        self.assertEqual((step.trouble, step.attempts), ("RuntimeError", 3))
        self.clock.advance(0.4)
        self.successResultOf(running)
        self.assertEqual((step.state, step.trouble, step.attempts), ("done", "", 4))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_fatal_failure_ends_it(self) -> None:
        """A refused secret comes out at once: the step is failed, nothing is retried, nothing follows."""
        self.steps.failures["secret"] = [Refused("unknown secret")]
        failure = self.failureResultOf(ensureDeferred(self.startup.run()), Refused)
        self.assertEqual(str(failure.value), "unknown secret")
        self.assertEqual(self.states(), ["done", "failed", "waiting", "waiting", "waiting"])
        self.assertEqual(self.startup.steps[1].trouble, "unknown secret")
        self.assertEqual(self.clock.getDelayedCalls(), [])
