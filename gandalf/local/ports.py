"""Whether the addresses of the network are free, said before anything is started that would fail for it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from gandalf.local.errors import LocalError
from gandalf.local.plan import Listener


def check_free(listeners: Iterable[Listener]) -> None:
    """Raise `LocalError` that names every address which cannot be listened on, why, and what changes it."""
    troubles = [f"{_said(listener, trouble)}" for listener in listeners if (trouble := _trouble(listener))]
    if troubles:
        raise LocalError("\n".join(troubles))


def _trouble(listener: Listener) -> str:
    address = listener.address
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            return "it is taken by another program" if error.errno == errno.EADDRINUSE else str(error)
    return ""


def _said(listener: Listener, trouble: str) -> str:
    return (
        f"{listener.what} cannot listen on port {listener.address.port} of {listener.address.host}: {trouble}."
        f" End that program, or change {listener.changed_by}."
    )
