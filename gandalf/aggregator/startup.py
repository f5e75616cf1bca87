"""Starting an aggregator (protocol.md 8): five steps in order, each visible while it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from gandalf.retry import retried


@attrs.define
class Step:
    """One step, as the operator sees it; times in seconds of the clock, ``took`` in seconds."""

    name: str
    state: str = "waiting"
    since: float | None = None
    took: float | None = None
    attempts: int = 0
    trouble: str = ""


class Steps(Protocol):
    """What is done in each step; whatever they raise is retried, unless it is of a fatal kind."""

    async def open_communication(self) -> None:
        """Listen, link to every cluster address; done when one link is up."""

    async def prove_secret(self) -> None:
        """The cluster accepts this instance's secret."""

    async def configure(self) -> None:
        """The pivot of this version is known, the component is saved and fetched."""

    async def open_database(self) -> None:
        """The tenant's database is connected and its schema up to date."""

    async def open_api(self) -> None:
        """Requests are answered."""


class Startup:
    """Runs the steps, and tells how far it is.

    :param fatal: exceptions after which nothing is retried; they come out of :meth:`run`.
    :param jitter: a random number from 0 to 1.
    """

    log = Logger()

    def __init__(
        self,
        steps: Steps,
        clock: IReactorTime,
        *,
        fatal: tuple[type[Exception], ...],
        jitter: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._fatal = fatal
        self._jitter = jitter
        self._work: list[tuple[Step, Callable[[], Awaitable[None]]]] = [
            (Step("communication"), steps.open_communication),
            (Step("secret"), steps.prove_secret),
            (Step("logical configuration"), steps.configure),
            (Step("database"), steps.open_database),
            (Step("api"), steps.open_api),
        ]

    @property
    def steps(self) -> list[Step]:
        """The steps in order."""
        return [step for step, _ in self._work]

    @property
    def ready(self) -> bool:
        """Whether all is done."""
        return all(step.state == "done" for step in self.steps)

    @property
    def current(self) -> str:
        """What is being done now; "" when ready."""
        return next((step.name for step in self.steps if step.state != "done"), "")

    async def run(self) -> None:
        """Do one step after the other."""
        for step, work in self._work:
            await self._until_done(step, work)

    async def _until_done(self, step: Step, work: Callable[[], Awaitable[None]]) -> None:
        step.since = began = self._clock.seconds()
        step.state = "running"
        self.log.info("start-up: {step} ...", step=step.name)

        async def attempt() -> None:
            step.attempts += 1
            try:
                await work()
            except Exception as error:
                step.trouble = str(error) or type(error).__name__
                raise

        try:
            await retried(f"start-up: {step.name}", attempt, self._clock, self._jitter, fatal=self._fatal)
        except Exception:
            step.state = "failed"
            raise
        step.state, step.trouble = "done", ""
        step.took = self._clock.seconds() - began
        self.log.info("start-up: {step} done in {took:.3f} s", step=step.name, took=step.took)
