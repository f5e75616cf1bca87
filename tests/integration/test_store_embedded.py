"""The embedded PostgreSQL as a process: started, stopped, killed, started again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import psycopg2
from twisted.trial.unittest import TestCase

from gandalf.store import embedded
from tests.integration.ports import free_port

from . import postgres


class EmbeddedTests(TestCase):
    """One server for each test, in a directory that only its owner can enter."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).resolve()
        self.directory.mkdir(mode=0o700)
        self.data = self.directory / "postgres"

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server on a free port."""
        self.port = free_port()
        process = postgres.start(self.data, self.port)
        self.addCleanup(postgres.stop, process)
        return process

    def query(self, statement: str) -> object:
        """The first value that a statement gives."""
        connection = psycopg2.connect(embedded.admin_dsn(self.data, self.port))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                row = cursor.fetchone() if cursor.description else None
                return row[0] if row else None
        finally:
            connection.close()

    def test_it_keeps_what_it_has(self) -> None:
        """The process is the server itself; after an orderly end the data is there again, on another port."""
        process = self.start()
        self.assertEqual((self.data / "postmaster.pid").read_text().split()[0], str(process.pid))
        self.query("CREATE TABLE t AS SELECT 7 AS a")
        postgres.stop(process)
        self.assertEqual(process.returncode, 0)
        self.start()
        self.assertEqual(self.query("SELECT a FROM t"), 7)

    def test_killed(self) -> None:
        """After SIGKILL it starts again at once, also when its process id has been given to another program."""
        process = self.start()
        self.query("CREATE TABLE t AS SELECT 7 AS a")
        self.query("CHECKPOINT")  # the tests' servers do not wait for the disk at each commit
        process.kill()
        process.wait()
        lock = self.data / "postmaster.pid"
        _, rest = lock.read_text().split("\n", 1)
        lock.write_text(f"{os.getpid()}\n{rest}")
        self.start()
        self.assertEqual(self.query("SELECT a FROM t"), 7)

    def test_a_start_that_died(self) -> None:
        """What is left of an unfinished first start is made anew."""
        unfinished = self.directory / "postgres.new"
        unfinished.mkdir()
        (unfinished / "PG_VERSION").write_text("half")
        self.start()
        self.assertEqual(self.query("SELECT 1"), 1)
        self.assertFalse(unfinished.exists())

    def test_only_loopback_and_only_with_a_password(self) -> None:
        """It listens on 127.0.0.1, and lets nobody in without the password."""
        self.start()
        self.assertEqual(self.query("SHOW listen_addresses"), "127.0.0.1")
        self.assertEqual(self.query("SHOW unix_socket_directories"), "")
        self.assertEqual(self.query("SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'scram-sha-256'"), 0)
        with self.assertRaises(psycopg2.OperationalError):
            psycopg2.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres")

    def test_nothing_outside_its_directory(self) -> None:
        """Beside the data there are the password and the lock, and all of it can be removed by its owner."""
        self.start()
        names = {path.name for path in self.directory.iterdir()}
        self.assertEqual(names, {"postgres", "postgres.password", "postgres.lock", "postgres.log"})

    def run_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command, to its end."""
        command = [sys.executable, "-m", "gandalf.store.embedded", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    def test_a_second_server(self) -> None:
        """In the same directory it says that one is running, and ends."""
        self.start()
        second = self.run_command("--data", str(self.data), "--port", str(free_port()))
        self.assertEqual(second.returncode, 1)
        self.assertEqual(second.stderr, f"Error: a server is running in {self.data} already\n")
        self.assertEqual(self.query("SELECT 1"), 1)

    def test_a_port_in_use(self) -> None:
        """It ends, naming the port."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            outcome = self.run_command("--data", str(self.data), "--port", port)
        self.assertEqual(outcome.returncode, 1)
        self.assertIn(port, outcome.stderr)

    def test_bad_settings(self) -> None:
        """A setting without a value is refused before anything is made."""
        outcome = self.run_command("--data", str(self.data), "--port", "5433", "--set", "fsync")
        self.assertEqual(outcome.returncode, 2)
        self.assertIn("'fsync' is not NAME=VALUE", outcome.stderr)
        self.assertEqual(list(self.directory.iterdir()), [])
