"""The spool of a configuration, with a thread of its own."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from gandalf.aggregator.spool import Spool
from gandalf.config import AggregatorConfig
from gandalf.store.spool import SpoolStore


def spool_of(config: AggregatorConfig, reactor: Any) -> Spool | None:
    """None: ``spool.directory`` is empty. The thread runs as long as the reactor does."""
    settings, own = config.spool, config.aggregator
    if settings.directory is None:
        return None
    pool = ThreadPool(0, 1, "spool")
    reactor.callWhenRunning(pool.start)
    reactor.addSystemEventTrigger("after", "shutdown", pool.stop)

    def in_thread(function: Any, *arguments: Any) -> Deferred[Any]:
        return deferToThreadPool(reactor, pool, function, *arguments)

    return Spool(
        SpoolStore(settings.directory, (own.tenant, own.logical_name), synced=settings.fsync != "never"),
        max_bytes=settings.max_bytes,
        interval=settings.fsync_interval / 1000 if settings.fsync == "interval" else 0.0,
        clock=reactor,
        now=time.time,
        in_thread=in_thread,
    )
