"""``twistd gandalf-connector --config FILE``."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.application.service import IService
from twisted.python import usage

from gandalf.config import ConfigurationError, ConnectorsConfig, load


class Options(usage.Options):
    """The command line."""

    optParameters = [["config", "c", None, "The configuration file, as conf/connectors.toml (required)."]]  # noqa: RUF012

    def postOptions(self) -> None:
        """A configuration is required."""
        if not self["config"]:
            raise usage.UsageError("--config FILE is required")


def makeService(options: Options) -> IService:
    """Check the configuration, load the connectors' code, and wire the service."""
    from twisted.internet import reactor

    from gandalf.connector.connecting import on_twisted
    from gandalf.connector.service import ConnectorsService, load_all
    from gandalf.logs import LoggedService, LogOutput
    from gandalf.network import credentials_of
    from gandalf.service import ProgramService, steady_time
    from gandalf.shoset.tls import TLSError

    steady_time(reactor)
    try:
        config = load(ConnectorsConfig, Path(options["config"]), os.environ)
        loaded = load_all(config, credentials_of(config.tls))
    except (ConfigurationError, TLSError) as error:
        raise SystemExit(str(error)) from None
    top = LoggedService(LogOutput.for_stdout(config.log.level, config.log.format))
    runner = ProgramService(reactor, expected=())
    runner.program = ConnectorsService([on_twisted(program, account, reactor) for program, account in loaded])
    runner.setServiceParent(top)  # type: ignore[no-untyped-call]
    return top
