"""Connections that are ready to carry a load, and what is sent on them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

import attrs

from benchmarks.load.inbound import Inbound


class Outgoing(Protocol):
    """Makes messages."""

    size: int
    """Bytes of each."""

    def many(self, count: int) -> bytes | memoryview:
        """So many."""


@attrs.define
class End:
    """A connection of a load generator, and how what comes on it is read."""

    sock: socket.socket
    inbound: Inbound


@attrs.define
class OneWay:
    """Messages from `source` to `sink`.

    :param pids: of the processes under test.
    """

    name: str
    source: End
    outgoing: Outgoing
    sink: End
    pids: Callable[[], list[int]]


@attrs.define
class RoundTrip:
    """Messages from `driver` to `responder`, each answered.

    `second` is another driver, whose messages the same responder answers.
    """

    name: str
    driver: End
    outgoing: Outgoing
    responder: End
    pids: Callable[[], list[int]]
    second: End | None = None
    second_outgoing: Outgoing | None = None
