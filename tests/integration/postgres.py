"""One real PostgreSQL server for a whole test run, started when first asked for and stopped at its end."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
from psycopg2 import sql
from sqlalchemy import Connection, NullPool, create_engine

from gandalf.store import dsn as dsns
from gandalf.store import embedded, tenants
from gandalf.store.migrate import migrate
from tests.integration.ports import free_port

STARTED_WITHIN_S = 60.0
_numbers = itertools.count(1)


def start(data: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a server (durability switched off, for speed) and wait until it answers.

    Raises `RuntimeError` with its output when it ends, or does not answer in time. `stop` ends it.
    """
    log = data.with_name(data.name + ".log").open("ab")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "gandalf.store.embedded",
        "--data",
        data,
        "--port",
        str(port),
    ]
    for setting in ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200"):
        command += ["--set", setting]
    with log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    deadline = time.monotonic() + STARTED_WITHIN_S
    while True:
        try:
            psycopg2.connect(embedded.admin_dsn(data, port), connect_timeout=5).close()
            return process
        except (OSError, psycopg2.OperationalError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                stop(process)
                output = Path(log.name).read_text()
                raise RuntimeError(f"no PostgreSQL on port {port}: {error}\n{output}") from error
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server of `start`, disconnecting its clients; nothing happens when it has ended already."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait()


@functools.cache
def admin_dsn() -> str:
    """The superuser's URI of this run's server, which is started by the first call."""
    directory = Path(tempfile.mkdtemp(prefix="gandalf-postgres-"))
    atexit.register(shutil.rmtree, directory)
    data, port = directory / "data", free_port()
    atexit.register(stop, start(data, port))
    return embedded.admin_dsn(data, port)


def create_database() -> str:
    """The superuser's URI of a new, empty database."""
    name = f"test_{next(_numbers)}"
    execute(admin_dsn(), sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return dsns.replaced(admin_dsn(), dbname=name)


def execute(dsn: str, statement: str | sql.Composable) -> None:
    """Run one statement outside a transaction."""
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@functools.cache
def control_dsn() -> str:
    """The control database's URI of this run's server, with the cluster's tables and the tenant `gandalf`."""
    tenants.bootstrap(admin_dsn(), now=0)
    return tenants.control_dsn(admin_dsn())


def create_tenant_tables() -> str:
    """The superuser's URI of a new database with a tenant's tables, empty."""
    dsn = create_database()
    migrate(dsn, "tenant")
    return dsn


@contextlib.contextmanager
def transaction(dsn: str) -> Iterator[Connection]:
    """A transaction on a connection of its own."""
    engine = create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(dsn), poolclass=NullPool)
    with engine.begin() as connection:
        yield connection
