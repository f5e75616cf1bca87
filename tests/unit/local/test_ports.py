"""Addresses that are taken are told before anything starts."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from gandalf.config import Address
from gandalf.local.errors import LocalError
from gandalf.local.plan import Listener
from gandalf.local.ports import check_free


class Ports(SynchronousTestCase):
    """`check_free`"""

    def taken(self) -> int:
        """A port that somebody listens on."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        port: int = listening.getsockname()[1]
        return port

    def test_a_taken_port_is_named_with_what_changes_it(self) -> None:
        """Who wants it, the port, and the key."""
        port = self.taken()
        listener = Listener("the aggregator", Address("127.0.0.1", port), "[aggregator] listen")
        error = str(self.assertRaises(LocalError, check_free, [listener]))
        for said in ("the aggregator", f"port {port} of 127.0.0.1", "taken", "[aggregator] listen"):
            self.assertIn(said, error)

    def test_all_that_are_taken_are_told_at_once(self) -> None:
        """One line each."""
        listeners = [Listener(name, Address("127.0.0.1", self.taken()), "x") for name in ("first", "second")]
        error = str(self.assertRaises(LocalError, check_free, listeners))
        self.assertEqual([line.split()[0] for line in error.splitlines()], ["first", "second"])

    def test_a_free_port(self) -> None:
        """Nothing is said, and the port stays free: also one of a connection that was closed just now."""
        listening = socket.create_server(("127.0.0.1", 0))
        address = Address("127.0.0.1", listening.getsockname()[1])
        client = socket.create_connection((address.host, address.port))
        accepted, _ = listening.accept()
        accepted.close()
        client.close()
        listening.close()
        check_free([Listener("it", address, "x")])
        check_free([Listener("it", address, "x")])

    def test_an_address_that_is_not_ours(self) -> None:
        """The system's reason is told."""
        listener = Listener("the aggregator", Address("192.0.2.1", 9103), "x")
        error = str(self.assertRaises(LocalError, check_free, [listener]))
        self.assertIn("192.0.2.1", error)
        self.assertNotIn("taken", error)
