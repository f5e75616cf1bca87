"""Asking supervisord, and what its answers mean."""

from __future__ import annotations

import http.client
import os
import subprocess
import xmlrpc.client
from pathlib import Path
from typing import Any

from gandalf.local import orphans, supervision
from gandalf.local.errors import LocalError
from gandalf.local.places import Places
from gandalf.local.supervision import Supervisor, is_alive
from tests.unit.local.support import LocalCase


class FakeRPC:
    """supervisord's interface; `states` are those of its programs, `error` what it answers instead."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.states: dict[str, str] = {"cluster": "RUNNING"}
        self.started: list[str] = []

    def getPID(self) -> int:
        """See supervisor.rpcinterface."""
        if self.error:
            raise self.error
        return 5

    def getAllProcessInfo(self) -> list[dict[str, Any]]:
        """See supervisor.rpcinterface."""
        return [
            {"name": name, "statename": state, "spawnerr": "", "description": "Exited too quickly"}
            for name, state in self.states.items()
        ]

    def startProcess(self, name: str, wait: bool) -> bool:
        """See supervisor.rpcinterface."""
        if name in self.started:
            raise xmlrpc.client.Fault(60, "ALREADY_STARTED")
        self.started.append(name)
        return True


class Supervision(LocalCase):
    """`Supervisor`"""

    def setUp(self) -> None:
        """A supervisor whose supervisord is `self.rpc`."""
        super().setUp()
        self.rpc = FakeRPC()
        self.patch(Supervisor, "_rpc", self.rpc)
        self.supervisor = Supervisor(self.places)

    def test_it_runs(self) -> None:
        """It says its process id."""
        self.assertEqual(self.supervisor.pid(), 5)

    def test_it_does_not_run(self) -> None:
        """No socket, a connection that breaks, one that is just ending: None."""
        for error in (
            FileNotFoundError(),
            ConnectionRefusedError(),
            http.client.RemoteDisconnected("x"),
            http.client.BadStatusLine(""),
            xmlrpc.client.Fault(6, "SHUTDOWN_STATE"),
        ):
            self.rpc.error = error
            self.assertIsNone(self.supervisor.pid())
        self.assertFalse(self.supervisor.end())

    def test_another_fault_comes_out(self) -> None:
        """It would be a defect here."""
        self.rpc.error = xmlrpc.client.Fault(1, "UNKNOWN_METHOD")
        self.assertRaises(xmlrpc.client.Fault, self.supervisor.pid)

    def test_a_program_is_started_once(self) -> None:
        """Asked for again, it stays as it is."""
        self.supervisor.start("cluster")
        self.supervisor.start("cluster")
        self.assertEqual(self.rpc.started, ["cluster"])

    def test_programs_that_do_well(self) -> None:
        """Neither those that run nor those that are not asked after are told."""
        self.rpc.states = {"cluster": "RUNNING", "aggregator": "STARTING", "connectors": "FATAL"}
        self.supervisor.check("cluster", "aggregator")

    def test_a_program_that_failed(self) -> None:
        """Its name, its state, and the end of its log."""
        self.places.log.mkdir(parents=True)
        (self.places.log / "cluster.log").write_text("".join(f"line {n}\n" for n in range(100)))
        for state in ("BACKOFF", "FATAL", "EXITED"):
            self.rpc.states["cluster"] = state
            error = str(self.assertRaises(LocalError, self.supervisor.check, "cluster"))
            for said in ("cluster", state, "Exited too quickly", "line 99"):
                self.assertIn(said, error)
            self.assertNotIn("line 80\n", error)

    def test_a_program_that_said_nothing(self) -> None:
        """An empty log, or none, is told as such."""
        self.rpc.states["cluster"] = "FATAL"
        self.assertIn("no log", str(self.assertRaises(LocalError, self.supervisor.check, "cluster")))
        self.places.log.mkdir(parents=True)
        (self.places.log / "cluster.log").touch()
        self.assertIn("empty", str(self.assertRaises(LocalError, self.supervisor.check, "cluster")))

    def test_it_does_not_end(self) -> None:
        """After a while that is an error, which names the process."""
        self.patch(os, "kill", lambda pid, number: None)
        self.patch(supervision, "until", lambda condition, seconds: condition())
        self.patch(supervision, "is_alive", lambda pid: True)
        self.assertIn("process 5", str(self.assertRaises(LocalError, self.supervisor.end)))

    def test_it_cannot_be_started(self) -> None:
        """What it said is told: here its configuration is gone."""
        (self.places.configuration / "supervisord-local.conf").unlink()
        self.rpc.error = FileNotFoundError()
        error = str(self.assertRaises(LocalError, self.supervisor.launch, dict(os.environ)))
        self.assertIn("supervisord-local.conf", error)


class Paths(LocalCase):
    """The path of supervisord's socket."""

    def test_a_deep_directory(self) -> None:
        """However deep the checkout lies, the path fits a socket's address."""
        shallow, deep = Places(Path("/a")), Places(Path("/a" * 80))
        self.assertIn("unix:///a/var/supervisor.sock", vars(Supervisor(shallow)).values())
        self.assertIn("unix:///proc/self/cwd/var/supervisor.sock", vars(Supervisor(deep)).values())


class Processes(LocalCase):
    """`is_alive`, `end_orphans`"""

    def test_alive(self) -> None:
        """Oneself is, a process that has ended is not, whether or not anybody asked after it."""
        self.assertTrue(is_alive(os.getpid()))
        child = subprocess.Popen(["true"])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        self.assertFalse(is_alive(child.pid))
        child.wait()
        self.assertFalse(is_alive(child.pid))

    def test_no_orphans_without_a_trace_of_supervisord(self) -> None:
        """No file, or a broken one."""
        self.assertEqual(orphans.end_orphans(self.places), [])
        self.places.var.mkdir()
        (self.places.var / "supervisord.pid").write_text("x")
        self.assertEqual(orphans.end_orphans(self.places), [])

    def test_nobody_is_ended_while_the_leader_of_the_session_lives(self) -> None:
        """It may be a stranger who has got its number."""
        self.places.var.mkdir()
        (self.places.var / "supervisord.pid").write_text(str(os.getsid(0)))
        self.patch(orphans, "is_alive", lambda pid: True)
        self.patch(os, "kill", lambda pid, number: self.fail("a process was ended"))
        self.assertEqual(orphans.end_orphans(self.places), [])

    def test_an_orphan_that_does_not_end(self) -> None:
        """Is killed."""
        sent: list[tuple[int, int]] = []
        self.places.var.mkdir()
        (self.places.var / "supervisord.pid").write_text("77")
        self.patch(orphans, "_processes", lambda: [78, 79])
        self.patch(orphans, "_session", lambda pid: {78: 77, 79: None}[pid])
        self.patch(orphans, "is_alive", lambda pid: pid == 78 and len(sent) < 2)  # 77 has ended
        self.patch(orphans, "until", lambda condition, seconds: condition())
        self.patch(os, "kill", lambda pid, number: sent.append((pid, int(number))))
        self.assertEqual(orphans.end_orphans(self.places), [78])
        self.assertEqual(sent, [(78, 2), (78, 9)])
