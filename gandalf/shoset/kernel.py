"""What the kernel knows of a connection."""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any, Final

_UNACKED: Final = struct.Struct("=24xI")
_RECEIVED_MS: Final = struct.Struct("=52x2I")
"""In Linux's ``tcp_info``: packets on their way; ms since data and since an acknowledgement came."""


def innermost(transport: Any) -> Any:
    """The transport that has the socket: what is under TLS, if it is used."""
    while (inner := getattr(transport, "transport", None)) is not None:
        transport = inner
    return transport


def unanswered(transport: Any) -> float:
    """Seconds since the peer's kernel was heard, while something that we sent waits for its acknowledgement; else 0.

    For a connection that is not read, where it cannot be told from what the peer says whether anybody is there. A
    peer that does not read either has nothing on its way to it. Always 0 where the system does not tell.
    """
    transport = innermost(transport)
    if not sys.platform.startswith("linux") or not hasattr(transport, "getHandle"):
        return 0.0
    try:
        info: bytes = transport.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED_MS.size)
    except OSError:
        return 0.0
    if len(info) < _RECEIVED_MS.size or _UNACKED.unpack_from(info) == (0,):
        return 0.0
    data_ms, acknowledgement_ms = _RECEIVED_MS.unpack_from(info)
    return float(min(data_ms, acknowledgement_ms)) / 1000
