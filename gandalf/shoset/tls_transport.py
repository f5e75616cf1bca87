"""The transport of a link over TLS."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol


class LinkTLS(TLSMemoryBIOProtocol):
    """Gives a connection what one read from the socket brought in one piece, and encrypts what is written at once.

    TLS has records of 16 KiB at most, each of which would be worked on, and carried on, by itself. Twisted's own
    transport keeps short writes until the reactor's next turn, to join them; links have joined theirs already.
    """

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the network."""
        protocol: Any = self.wrappedProtocol
        protocol.gather()
        try:
            super().dataReceived(data)  # type: ignore[no-untyped-call]  # Twisted's has no types
        finally:
            protocol.gathered()


def over_tls(context: Any, factory: IProtocolFactory, *, dials: bool) -> TLSMemoryBIOFactory:
    """``factory``, of :class:`gandalf.shoset.protocol.ShosetProtocol`, behind TLS.

    :param context: what Twisted makes TLS connections from, for the side that ``dials`` or for the other.
    """
    wrapping = TLSMemoryBIOFactory(context, dials, factory)
    wrapping.protocol = LinkTLS
    return wrapping
