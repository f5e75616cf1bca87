"""``twistd gandalf-cluster --config FILE``."""

from __future__ import annotations

import os
import random
import time
from functools import partial
from pathlib import Path

from twisted.application.service import IService
from twisted.python import usage

from gandalf.config import ClusterConfig, ConfigurationError, load

THREADS = 20
"""At most so many threads wait for databases."""


class Options(usage.Options):
    """The command line."""

    optParameters = [["config", "c", None, "The configuration file, as conf/cluster.toml (required)."]]  # noqa: RUF012

    def postOptions(self) -> None:
        """A configuration is required."""
        if not self["config"]:
            raise usage.UsageError("--config FILE is required")


def makeService(options: Options) -> IService:
    """Check the configuration and the definitions, and wire the member."""
    from gandalf.memory import prepare_memory, settle_memory

    prepare_memory()
    from twisted.internet import reactor

    from gandalf.cluster.member import ClusterMember
    from gandalf.descriptors import make_room
    from gandalf.logs import LoggedService, LogOutput
    from gandalf.network import BindFailed, credentials_of
    from gandalf.service import ProgramService, steady_time
    from gandalf.shoset.tls import TLSError
    from gandalf.store.defaults import load_defaults
    from gandalf.store.definitions import InvalidDefinition
    from gandalf.store.errors import StoreError

    steady_time(reactor)
    try:
        config = load(ClusterConfig, Path(options["config"]), os.environ)
        credentials = credentials_of(config.tls)
        defaults = load_defaults(config.cluster.definitions)
    except (ConfigurationError, TLSError) as error:
        raise SystemExit(str(error)) from None
    except (InvalidDefinition, OSError) as error:
        raise SystemExit(f"cluster.definitions: {error}") from None
    reactor.suggestThreadPoolSize(THREADS)  # type: ignore[attr-defined]  # IReactorThreads
    top = LoggedService(LogOutput.for_stdout(config.log.level, config.log.format))
    make_room(config.limits.max_connections)
    runner = ProgramService(reactor, expected=(BindFailed, StoreError), started=partial(settle_memory, reactor))
    runner.program = ClusterMember(
        config,
        credentials,
        defaults,
        reactor=reactor,
        now=time.time,
        random=os.urandom,
        jitter=random.random,
    )
    runner.setServiceParent(top)  # type: ignore[no-untyped-call]
    return top
