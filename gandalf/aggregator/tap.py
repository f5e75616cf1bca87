"""``twistd gandalf-aggregator --config FILE``."""

from __future__ import annotations

import os
import random
import time
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from gandalf.config import AggregatorConfig, ConfigurationError, load


class Options(usage.Options):
    """The command line."""

    optParameters = [["config", "c", None, "The configuration file, as conf/aggregator.toml (required)."]]  # noqa: RUF012

    def postOptions(self) -> None:
        """A configuration is required."""
        if not self["config"]:
            raise usage.UsageError("--config FILE is required")


def makeService(options: Options) -> IService:
    """Check the configuration, and wire the service."""
    from gandalf.memory import prepare_memory, settle_memory

    prepare_memory()
    from treq.client import HTTPClient
    from twisted.internet import reactor as global_reactor
    from twisted.internet.threads import deferToThreadPool
    from twisted.web.client import Agent

    from gandalf.aggregator.database import TenantDatabase
    from gandalf.aggregator.fetching import fetch
    from gandalf.aggregator.requests import SecretRefused
    from gandalf.aggregator.service import AggregatorService
    from gandalf.aggregator.spooling import spool_of
    from gandalf.descriptors import make_room
    from gandalf.logs import LoggedService, LogOutput
    from gandalf.network import BindFailed, certificate_names, credentials_of, dials, listen
    from gandalf.service import ProgramService, favour_the_reactor, steady_time
    from gandalf.shoset.tls import TLSError

    reactor: Any = global_reactor
    steady_time(reactor)
    try:
        config = load(AggregatorConfig, Path(options["config"]), os.environ)
        credentials = credentials_of(config.tls)
    except (ConfigurationError, TLSError) as error:
        raise SystemExit(str(error)) from None
    output = LogOutput.for_stdout(config.log.level, config.log.format)
    top = LoggedService(output)
    favour_the_reactor()
    make_room(config.limits.max_connections)
    runner = ProgramService(reactor, expected=(BindFailed, SecretRefused), started=partial(settle_memory, reactor))
    runner.program = AggregatorService(
        config,
        clock=reactor,
        connect=dials(reactor, credentials),
        listen=lambda address, factory, key: listen(reactor, address, factory, credentials, key),
        listen_http=lambda address, factory, key: listen(reactor, address, factory, None, key),
        certificate_names=certificate_names(credentials),
        database=TenantDatabase(
            reactor,
            connections=config.database.connections,
            statement_timeout=config.database.statement_timeout,
        ),
        now=time.time,
        random=os.urandom,
        jitter=random.random,
        failed=runner.fail,
        drain_requested=runner.drain,
        log_level=output,
        in_thread=lambda function, *arguments: deferToThreadPool(
            reactor, reactor.getThreadPool(), function, *arguments
        ),
        fetch=lambda url: fetch(HTTPClient(Agent(reactor)), url),
        spool=spool_of(config, reactor),
    )
    runner.setServiceParent(top)  # type: ignore[no-untyped-call]
    return top
