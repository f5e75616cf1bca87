"""A real aggregator among many peers (tests/integration/crowd.py): one that is greedy, and all that dial at once."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from typing import Any

import psutil
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.peer import dial
from tests.integration.ports import free_port
from tests.integration.postgres import create_database
from tests.integration.programs import ROOT, Program, get_json, until

ATTEMPTS = 3
"""The machine of a test may be busy with something else: what must hold is to hold once."""


class Crowd:
    """Peers in a process of their own."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.crowd", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def told(self) -> Any:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def go(self) -> None:
        """Let it begin anew."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """It is not needed any more."""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.kill()
        self.process.wait()


class CrowdCase(SynchronousTestCase):
    """One aggregator, and a member that answers."""

    limits = ""

    def setUp(self) -> None:
        """All is ready."""
        member = self.crowd("member", create_database())
        self.port, self.api = free_port(), free_port()
        configuration = f"""
            [aggregator]
            logical_name = "aggregator1"
            tenant = "tenant1"
            listen = "127.0.0.1:{self.port}"
            cluster = ["127.0.0.1:{member.told()["port"]}"]
            secret = "0123456789abcdef0123"
            [api]
            listen = "127.0.0.1:{self.api}"
            [limits]
            {self.limits}
        """
        self.program = Program("gandalf-aggregator", configuration).start()
        self.addCleanup(self.program.end)
        until(lambda: get_json(self.api, "/readyz"), "ready", log=lambda: self.program.log)

    def crowd(self, *arguments: object) -> Crowd:
        """Peers; ended after the test."""
        crowd = Crowd(*arguments)
        self.addCleanup(crowd.end)
        return crowd

    def senders(self, count: int, rate: float, seconds: float, wait: float = 15) -> Crowd:
        """Connectors that are validated, and have begun to send commands."""
        senders = self.crowd("senders", self.port, count, rate, seconds, wait)
        senders.told()
        return senders


class GreedyTests(CrowdCase):
    """One connector that sends as fast as it can."""

    limits = "connection_rate = 100"

    def test_the_others_do_not_notice(self) -> None:
        """Their p99 is at most three times what it was; it hears at once that it is over its limit."""
        for _ in range(ATTEMPTS):
            quiet = self.senders(20, 20, 1.5).told()
            greedy = self.senders(1, 100_000, 4, wait=0)
            others = self.senders(20, 20, 1.5).told()
            heard = greedy.told()
            self.assertEqual(others["answers"], {"TAKEN": others["sent"]})
            self.assertGreater(heard["answers"]["OVERLOADED"], 1000)
            self.assertLess(heard["answers"]["TAKEN"], 100 + 100 * 6)
            if others["p99"] <= 3 * max(quiet["p99"], 2):
                return
        self.fail(f"p99 in ms {quiet['p99']}, beside a greedy one {others['p99']}")


class DescriptorTests(CrowdCase):
    """No more files can be opened: one that is linked goes on, and nothing spins."""

    def test_no_more_files(self) -> None:
        """Who comes then is closed, and let in when there is room again."""
        linked = dial(self.port, "linked1", "c")
        self.addCleanup(linked.close)
        linked.expect("linked")
        assert self.program.process is not None
        process = psutil.Process(self.program.process.pid)
        process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 20,) * 2)
        crowd = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(100)]
        for peer in crowd:
            self.addCleanup(peer.close)
        until(lambda: "EMFILE" in self.program.log, "all used up", log=lambda: self.program.log)
        closed, _, _ = select.select(crowd, [], [], 5)
        self.assertNotEqual(closed, [])
        before = sum(process.cpu_times()[:2])
        time.sleep(1)
        self.assertLess(sum(process.cpu_times()[:2]) - before, 0.3)
        linked.send("ping", {})
        linked.expect("pong")
        for peer in crowd:
            peer.close()
        until(lambda: process.num_fds() < 40, "closed")
        late = dial(self.port, "late1", "c")
        self.addCleanup(late.close)
        late.expect("linked")


class StormTests(CrowdCase):
    """All connectors lose their connections and dial at once."""

    limits = "accept_rate = 1000"

    def test_2000_at_once(self) -> None:
        """All are validated, at the rate, new ones as well as those that resume; meanwhile commands are answered."""
        storm = self.crowd("storm", self.port, 2000)
        for _ in range(2):
            senders = self.senders(10, 20, 2)
            storm.go()
            seen, others = storm.told(), senders.told()
            self.assertEqual((seen["validated"], seen["refusals"]), (2000, {}))
            self.assertGreater(seen["max"], 1900)
            self.assertEqual(others["answers"], {"TAKEN": others["sent"]})
            self.assertLess(others["p50"], 1000)
