"""The laboratory's PostgreSQL. What it has committed survives its death, unlike that of the tests' server."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock

import psycopg2

from gandalf.store import dsn as dsns
from gandalf.store import embedded, tenants
from tests.integration import postgres
from tests.integration.ports import free_port

STARTED_WITHIN_S = 60.0
HEARD_WITHIN_S = 2.0
"""After which a signal is sent again."""

# Without fsync the machine must not die; a process may, since each commit is handed to the kernel.
SETTINGS = ("fsync=off", "synchronous_commit=on", "full_page_writes=off", "max_connections=200")


class DatabaseServer:
    """A server with its data in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._data = directory / "postgres"
        self._log = directory / "postgres.log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = Lock()
        self._over = False

    def start(self) -> None:
        """Start it, and wait until it answers.

        :raises RuntimeError: it does not; or the run is over.
        """
        command = [
            sys.executable,
            "-m",
            "gandalf.store.embedded",
            "--data",
            str(self._data),
            "--port",
            str(self.port),
        ]
        for setting in SETTINGS:
            command += ["--set", setting]
        with self._starting:
            if self._over:
                raise RuntimeError("the run is over")
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + STARTED_WITHIN_S
        while True:
            try:
                psycopg2.connect(self.dsn, connect_timeout=5).close()
            except (OSError, psycopg2.OperationalError) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"no PostgreSQL: {error}\n{self._log.read_text()[-2000:]}") from error
            else:
                return
            time.sleep(0.02)

    @property
    def dsn(self) -> str:
        """The superuser's, straight to the server."""
        return embedded.admin_dsn(self._data, self.port)

    def by_way_of(self, port: int) -> str:
        """The superuser's, through a proxy."""
        return dsns.replaced(self.dsn, port=str(port))

    def stop(self, how: signal.Signals) -> None:
        """SIGINT: fast, clients are disconnected; SIGQUIT: immediate, as if it had crashed."""
        while self._process is not None and self._process.poll() is None:
            # While it starts it may ignore a signal, as a shell has had it for a program in the background.
            self._process.send_signal(how)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(HEARD_WITHIN_S)

    def end(self) -> None:
        """The run is over, even where another thread is about to start it: that one does not any more."""
        with self._starting:
            self._over = True
        self.stop(signal.SIGQUIT)

    def rotate(self, tenant: str) -> None:
        """Give the role of a tenant another password."""
        with postgres.transaction(tenants.control_dsn(self.dsn)) as connection:
            tenants.rotate_password_txn(connection, tenant)

    def trace(self, tenant: str) -> Iterator[str]:
        """What the events in the trace of a tenant are called."""
        with postgres.transaction(tenants.control_dsn(self.dsn)) as control:
            address = tenants.tenant_dsn_txn(control, tenant, self.dsn)
        connection = psycopg2.connect(address)
        try:
            with connection.cursor("trace") as cursor:
                cursor.itersize = 20_000
                cursor.execute("SELECT event FROM trace WHERE kind = 'evt' AND reference IS NULL")
                for (event,) in cursor:
                    yield event
        finally:
            connection.close()
