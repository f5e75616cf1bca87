"""Writing to a socket without waiting for the reactor to come round."""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection


def writes_at_once(transport: object) -> bool:
    """Whether :func:`write_at_once` is for ``transport``: plain TCP. TLS has a buffer of its own."""
    return isinstance(transport, Connection)


def write_at_once(transport: Any, data: bytes) -> None:
    """Hand ``data`` to the kernel now if nothing waits before it, and the rest to the transport's buffer.

    A transport's own ``write`` leaves all of it to the next turn of the reactor, which has to be asked for it and
    told that it is over: most of what a short message costs. Nothing else may write to ``transport``.
    """
    if transport.connected and not transport.disconnecting and not transport.dataBuffer:
        sent = transport.writeSomeData(data)
        if sent == len(data):
            return
        # What is no number is the loss of the connection, which the transport will find by itself.
        if type(sent) is int and sent > 0:
            data = data[sent:]
        transport.write(data)
        # Moves what waits into `dataBuffer`, which is how it is known here.
        transport.doWrite()
    else:
        transport.write(data)
