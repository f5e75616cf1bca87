"""The connectors of one process, as named in its configuration."""

from __future__ import annotations

from collections.abc import Sequence

from gandalf.config import ConfigurationError, ConnectorsConfig, Problem
from gandalf.connector.account import Account
from gandalf.connector.declare import Program
from gandalf.connector.programs import load
from gandalf.connector.runtime import Runtime
from gandalf.network import limits_of
from gandalf.shoset.tls import Credentials


def load_all(config: ConnectorsConfig, credentials: Credentials | None) -> list[tuple[Program, Account]]:
    """The code that each of [[connectors]] names, made ready, and what it joins the network with.

    :raises ConfigurationError: with all that is wrong with them.
    """
    loaded: list[tuple[Program, Account]] = []
    problems: list[Problem] = []
    for index, section in enumerate(config.connectors):
        try:
            program = load(section.use, section.options)
        except ValueError as error:
            problems.append(Problem(f"connectors[{index}]", "", str(error), "", f"connector {section.logical_name}"))
            continue
        account = Account(
            logical_name=section.logical_name,
            tenant=config.connector.tenant,
            aggregators=[str(address) for address in config.connector.aggregators],
            secret=section.secret.get_secret_value(),
            bind_address="" if section.bind is None else str(section.bind),
            credentials=credentials,
            limits=limits_of(config.limits),
        )
        loaded.append((program, account))
    if problems:
        raise ConfigurationError(problems)
    return loaded


class ConnectorsService:
    """Implements :class:`gandalf.service.Program`. One whose secret is refused does not end the others."""

    def __init__(self, runtimes: Sequence[Runtime]) -> None:
        self.runtimes = tuple(runtimes)

    async def start(self) -> None:
        """Dial; each connector is there as soon as an aggregator is, and its secret accepted."""
        for runtime in self.runtimes:
            runtime.start()

    async def drain(self) -> None:
        """End all of them in good order, at the same time."""
        for stopping in [runtime.stop() for runtime in self.runtimes]:
            await stopping

    async def stop(self) -> None:
        """End all of them without waiting for what is at work."""
        for stopping in [runtime.stop(0) for runtime in self.runtimes]:
            await stopping
