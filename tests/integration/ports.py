"""Ports for programs that are started by tests."""

from __future__ import annotations

import random
import socket
from typing import Final

RANGE: Final = range(20_000, 32_000)
"""Below those that systems give to outgoing connections: a port of theirs could be taken while a program restarts."""

_given: set[int] = set()


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens, and that was not given before in this process.

    :raises OSError: there is none.
    """
    for port in random.sample(RANGE, len(RANGE)):
        if port not in _given and _free(port):
            _given.add(port)
            return port
    raise OSError(f"all of {len(RANGE)} ports from {RANGE.start} on are taken")


def _free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
