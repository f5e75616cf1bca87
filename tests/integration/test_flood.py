"""An instance under a flood from peers that misbehave: its memory stays below what docs/operators.md states."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gandalf.shoset.settings import Limits
from tests.integration.deployment import Deployment, logs
from tests.integration.peer import Peer, dial, frame
from tests.integration.programs import Program, until
from tests.memory import KIB, MIB, bound_of_limits

LIMITS = {
    "max_frame": 128 * KIB,
    "handshake_max_frame": 16 * KIB,
    "high_water": 256 * KIB,
    "unacknowledged_bytes": MIB,
    "unacknowledged_frames": 2000,
    "kept_bytes": 2 * MIB,
    "pending_bytes": 2 * MIB,
    "duplicate_window": 20_000,
    "max_connections": 20,
}

SECONDS = 6.0
"""How long they go on."""

UNREAD = 4096
"""Bytes of the buffers of a socket that is not read."""


class FloodTests(SynchronousTestCase):
    """A real member, a real instance with small limits, and eight kinds of misbehaviour at once."""

    def setUp(self) -> None:
        self.network = Deployment(members=1, aggregators=1)
        limits = "\n".join(f"{name} = {value}" for name, value in LIMITS.items())
        self.instance = self.network.aggregator(0, more=f"[limits]\n{limits}")
        programs = {"member": self.network.member(0), "aggregator": self.instance}
        for program in programs.values():
            self.addCleanup(program.end)
            program.start()
        until(lambda: self.network.ready(0), "ready", log=logs(programs))
        self.over = time.monotonic() + SECONDS
        self.sent = 0
        self.identities: dict[str, dict[str, Any]] = {}

    def peer(self, name: str, *, validated: bool = True, reads: bool = True, **link: object) -> Peer:
        """A connector that is linked; one that does not read takes as little as a socket can."""
        self.identities[name] = {"session": os.urandom(16), "instance": os.urandom(16), **link}
        peer = self.dial(name)
        self.addCleanup(peer.close)
        self.assertEqual(peer.expect("linked", "refused").kind, "linked")
        if validated:
            claims = {"component_type": "connector", "logical_name": name, "bind_address": "", "instance": bytes(16)}
            claims["secret"] = self.network.secret("connector", name)
            peer.send("secret", {"command": "VALIDATION", "context": claims}, tenant=self.network.tenant)
            self.assertEqual(peer.expect("secret").body["payload"], "true")
            peer.ack()
        if not reads:
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD)
        return peer

    def dial(self, name: str, **link: object) -> Peer:
        """A connection of the session of a peer."""
        identity = {**self.identities[name], **link}
        return dial(self.network.aggregator_ports[0], name, "c", tenant=self.network.tenant, **identity)

    def flood(self, name: str, peer: Peer, data: Callable[[], bytes]) -> None:
        """Send as fast as it is taken, and read nothing; closed for it, come again."""
        rest = b""
        while time.monotonic() < self.over:
            peer.sock.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                try:
                    rest = rest or data()
                    sent = peer.sock.send(rest)
                    self.sent += sent
                    rest = rest[sent:]
                except ConnectionError:
                    peer.close()
                    peer, rest = self.dial(name, received=1), b""
        peer.close()

    def break_again_and_again(self) -> None:
        """Sessions that are left behind."""
        while time.monotonic() < self.over:
            with contextlib.suppress(OSError, AssertionError):
                peer = dial(self.network.aggregator_ports[0], "broken", "c", tenant=self.network.tenant)
                peer.expect("linked", "refused")
                peer.sock.sendall(self.frames("evt", {"topic": "a"}, 50))
                peer.close()

    def frames(self, kind: str, body: dict[str, Any], count: int, **envelope: Any) -> bytes:
        """So many, each new."""
        tenant = self.network.tenant
        return b"".join(frame(kind, body, tenant=tenant, **envelope) for _ in range(count))

    def test_memory(self) -> None:
        """It goes on below its bound, and answers when they have gone."""
        before = resident(self.instance)
        text = "x" * 2000
        events: dict[str, Any] = {"topic": "a", "payload": text}
        commands: dict[str, Any] = {"command": "X", "payload": text}
        mute = self.peer("mute", topics=["none"], reads=False)
        mute.send("heartbeat", {"event": "HEARTBEAT", "context": {}}, tenant=self.network.tenant)
        for number in range(3):
            self.peer(f"unread{number}", reads=False)
        partial = self.peer("partial")
        partial.sock.sendall((128 * KIB).to_bytes(4, "big") + bytes(100 * KIB))
        again = self.frames("evt", {"topic": "b"}, 1, uuid=os.urandom(16)) * 200
        floods: dict[str, Callable[[], bytes]] = {
            "stranger": lambda: self.frames("evt", {"topic": "a"}, 50),
            "pinger": lambda: self.frames("ping", {}, 50),
            "emitter": lambda: self.frames("evt", events, 20),
            "asker": lambda: self.frames("cmd", commands, 20, target="mute", timeout=10_000),
            "repeater": lambda: again,
        }
        peers = {name: self.peer(name, validated=name != "stranger", topics=["none"]) for name in floods}
        threads = [
            threading.Thread(target=self.flood, args=(name, peers[name], data)) for name, data in floods.items()
        ]
        threads.append(threading.Thread(target=self.break_again_and_again))
        for thread in threads:
            thread.start()
        most = 0
        while time.monotonic() < self.over:
            most = max(most, resident(self.instance))
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        bound = bound_of_limits(Limits(**LIMITS), members=1)
        print(f"\n{self.sent >> 20} MiB were sent; {(most - before) >> 20} MiB more, at most {bound >> 20} may be")
        self.assertLess(most - before, bound)
        self.assertGreater(self.sent, 2 * MIB)
        self.assertTrue(until(lambda: self.network.ready(0), "it answers"))
        self.assertNotIn("Traceback", self.instance.log)


def resident(program: Program) -> int:
    """Bytes of memory that a process has."""
    assert program.process is not None
    lines = Path(f"/proc/{program.process.pid}/status").read_text().splitlines()
    (kib,) = [line.split()[1] for line in lines if line.startswith("VmRSS")]
    return int(kib) * 1024
