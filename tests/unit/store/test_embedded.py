"""The embedded server's files and its lock, without a server."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gandalf.store import embedded, unprivileged
from gandalf.store.dsn import parse


class EmbeddedTests(SynchronousTestCase):
    """The steps that come before `postgres`."""

    def setUp(self) -> None:
        directory = Path(self.mktemp()).resolve()
        directory.mkdir()
        self.data = directory / "data"

    def test_the_password_is_made_once_and_is_private(self) -> None:
        """The first call makes it, readable for its owner only; the next returns the same."""
        first = embedded.password(self.data)
        self.assertGreaterEqual(len(first), 32)
        self.assertEqual(embedded.password(self.data), first)
        mode = stat.S_IMODE(embedded.password_file(self.data).stat().st_mode)
        self.assertEqual(mode, 0o600)

    def test_the_administrators_address(self) -> None:
        """It names the superuser, the password, loopback and the port."""
        password = embedded.password(self.data)
        self.assertEqual(
            parse(embedded.admin_dsn(self.data, 5433)),
            {
                "user": "postgres",
                "password": password,
                "host": "127.0.0.1",
                "port": "5433",
                "dbname": "postgres",
            },
        )

    def test_a_lost_password_is_not_replaced(self) -> None:
        """With data but without its password a new one would be wrong: the error says which file is missing."""
        self.data.mkdir()
        error = self.assertRaises(embedded.EmbeddedError, embedded.password, self.data)
        self.assertIn(str(embedded.password_file(self.data)), str(error))

    def test_one_server_at_a_time(self) -> None:
        """A second claim fails while the first is held, and succeeds after."""
        self.patch(embedded, "ORPHANS_END_WITHIN_S", -1.0)
        first = embedded.claim(self.data)
        error = self.assertRaises(embedded.EmbeddedError, embedded.claim, self.data)
        self.assertIn("running", str(error))
        os.close(first)
        os.close(embedded.claim(self.data))

    def test_binaries_of_the_version_that_made_the_data(self) -> None:
        """The newest for new data; for data of a version that is not installed, an error naming both."""
        self.assertTrue((embedded.binaries(self.data) / "initdb").exists())
        self.data.mkdir()
        (self.data / "PG_VERSION").write_text("9\n")
        error = self.assertRaises(embedded.EmbeddedError, embedded.binaries, self.data)
        self.assertIn("needs PostgreSQL 9; installed: [1", str(error))


class UnprivilegedTests(SynchronousTestCase):
    """`cease_to_be_root`, with the system calls replaced."""

    def setUp(self) -> None:
        self.calls: list[str] = []
        self.patch(unprivileged, "_give", lambda tree, uid, gid: self.calls.append(f"give to {uid}"))
        self.patch(unprivileged, "_become", lambda libc, uid, gid: self.calls.append(f"become {uid}"))
        self.patch(unprivileged, "_enter_namespace", lambda libc, uid, gid: self.calls.append("namespace"))

    def test_an_ordinary_user_stays(self) -> None:
        """Nothing is done for who is not root."""
        self.patch(os, "geteuid", lambda: 1000)
        unprivileged.cease_to_be_root(Path("data"))
        self.assertEqual(self.calls, [])

    def test_root_enters_a_namespace(self) -> None:
        """Root's files stay root's, and a namespace is enough."""
        self.patch(os, "geteuid", lambda: 0)
        unprivileged.cease_to_be_root(Path("data"))
        self.assertEqual(self.calls, ["give to 0", "namespace"])

    def test_root_without_namespaces_becomes_nobody(self) -> None:
        """Where they are forbidden the data is given to nobody, then nobody runs the server."""

        def forbidden(*_: Any) -> None:
            raise OSError(1, "not allowed")

        self.patch(os, "geteuid", lambda: 0)
        self.patch(unprivileged, "_enter_namespace", forbidden)
        unprivileged.cease_to_be_root(Path("data"))
        nobody = pwd.getpwnam("nobody").pw_uid
        self.assertEqual(self.calls, ["give to 0", f"give to {nobody}", f"become {nobody}"])
