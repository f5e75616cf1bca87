"""Starting and ending the local network. Each step does what is not done yet."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gandalf.local import orphans, ports, preparation, readiness
from gandalf.local.errors import LocalError
from gandalf.local.places import Places
from gandalf.local.plan import Plan, make_plan
from gandalf.local.supervision import Supervisor
from gandalf.local.waiting import until

DATABASE, ROUTERS, CONNECTORS = "postgresql", ("cluster", "aggregator"), "connectors"
"""The programs. They wait for each other by themselves, but connectors that are let in late complain meanwhile."""

Say = Callable[[str], object]

_TURN_WITHIN_S = 180.0


def start(places: Places, environment: Mapping[str, str], say: Say) -> None:
    """Start what does not run, and return when all is ready. `say` is told what goes on, a line at a time.

    Raises `LocalError`, and the errors of the configuration and the store.
    """
    began = time.monotonic()
    plan = make_plan(places, environment)
    with _my_turn(places, say):
        supervisor = Supervisor(places)
        running = supervisor.pid() is not None
        if running and not readiness.missing(plan, plan.connectors):
            say("The local network runs already.")
            say(summary(plan))
            return
        try:
            if not running:
                _launch(plan, supervisor, say)
            _carry_on(plan, supervisor, say)
        except BaseException:
            if not running:
                # What it was started with may be what is wrong: the next start begins with supervisord again.
                supervisor.end()
            raise
    say(f"The local network is ready, after {time.monotonic() - began:.1f} s.")
    say(summary(plan))


def stop(places: Places, say: Say) -> None:
    """End the network, and return when all of it has ended. Raises `LocalError`."""
    with _my_turn(places, say):
        ended = Supervisor(places).end()
        left = orphans.end_orphans(places)
    _say_left(left, say)
    if ended:
        say("The local network has ended. Its data stays in var/.")
    elif not left:
        say("The local network does not run.")


def _say_left(processes: list[int], say: Say) -> None:
    if processes:
        say(f"Programs that a killed supervisord had left are ended: {len(processes)}.")


def _launch(plan: Plan, supervisor: Supervisor, say: Say) -> None:
    left = orphans.end_orphans(plan.places)
    _say_left(left, say)
    ports.check_free(plan.listeners)
    supervisor.launch(plan.environment)


def _carry_on(plan: Plan, supervisor: Supervisor, say: Say) -> None:
    first = not plan.places.postgres.exists()
    say("Making the database ..." if first else "Starting the database ...")
    supervisor.start(DATABASE)
    preparation.wait_for_database(plan, lambda: supervisor.check(DATABASE))
    preparation.prepare(plan, int(time.time() * 1000))
    say("Starting the cluster member and the aggregator ...")
    for program in ROUTERS:
        supervisor.start(program)
    readiness.wait_until_ready(plan, (), lambda: supervisor.check(DATABASE, *ROUTERS))
    say("Starting the connectors ...")
    supervisor.start(CONNECTORS)
    readiness.wait_until_ready(plan, plan.connectors, lambda: supervisor.check(DATABASE, *ROUTERS, CONNECTORS))


def summary(plan: Plan) -> str:
    """Addresses, how to log in, and what to try."""
    return f"""
  API         http://{plan.api}/api/v1/docs    log in as one of the administrators in var/credentials.json
  aggregator  {plan.aggregator}    of {plan.tenant}; connectors dial this
  cluster     {plan.cluster}
  PostgreSQL  127.0.0.1:{plan.postgres_port}
  logs        var/log/

Try (another terminal for `watch`):
  .venv/bin/gandalf status
  .venv/bin/gandalf watch
  .venv/bin/gandalf send vcs.CREATE_REPOSITORY name=demo
  git clone var/repositories/demo.git
  .venv/bin/gandalf emit project.requested REQUESTED name=apollo
  make stop"""


@contextmanager
def _my_turn(places: Places, say: Say) -> Iterator[None]:
    """Keep other starts and stops of the same network waiting."""
    places.var.mkdir(exist_ok=True)
    # The working directory is part of how supervisord's socket is found.
    os.chdir(places.root)
    with Path(places.lock).open("ab") as file:
        if not _locked(file.fileno()):
            say("Waiting for another start or stop of this network ...")
            if not until(lambda: _locked(file.fileno()), _TURN_WITHIN_S):
                raise LocalError(f"another start or stop holds {places.lock} for more than {_TURN_WITHIN_S:.0f} s")
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
