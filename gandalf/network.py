"""From configuration to a shoset that listens and dials: what the three programs do alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
)
from twisted.internet.interfaces import IListeningPort, IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory

from gandalf.config import TLS, Address, AggregatorLimits, Limits, ListenerLimits
from gandalf.routing.overload import Rates
from gandalf.shoset import settings, tls
from gandalf.shoset.dialler import Connect
from gandalf.shoset.tls_transport import over_tls

BACKLOG = 4096
"""Connections that wait to be accepted: reconnection storms are large, and who is not kept comes again after 1 s."""

CONNECT_TIMEOUT = 5.0
"""Seconds that one attempt to connect to one address may take."""

ATTEMPT_TIMEOUT = 15.0
"""Seconds for all of an attempt: looking the name up, which may hang by itself, and each of its addresses."""


Listen = Callable[[Address, IProtocolFactory, str], Awaitable[IListeningPort]]
"""Listens on an address with a factory; the last argument is the address's key in the configuration."""

CertificateNames = Callable[[Any], frozenset[str] | None]
"""The names that the certificate of a transport's peer bears; None when links are plain TCP."""


class BindFailed(Exception):
    """An address cannot be listened on; the text names the configuration's key."""


def limits_of(limits: Limits) -> settings.Limits:
    """The bounds of the shoset, in its units, from those of the configuration (ms)."""
    listening = limits if isinstance(limits, ListenerLimits) else ListenerLimits(**limits.model_dump())
    return settings.Limits(
        max_frame=limits.max_frame,
        handshake_max_frame=limits.handshake_max_frame,
        handshake_timeout=limits.handshake_timeout / 1000,
        heartbeat=limits.heartbeat / 1000,
        session_keep=listening.session_keep / 1000,
        kept_bytes=listening.kept_bytes,
        pending_bytes=listening.pending_bytes,
        high_water=limits.high_water,
        unacknowledged_bytes=limits.unacknowledged_bytes,
        unacknowledged_frames=limits.unacknowledged_frames,
        max_connections=listening.max_connections,
        accept_rate=listening.accept_rate,
        duplicate_window=limits.duplicate_window,
    )


def rates_of(limits: AggregatorLimits) -> Rates:
    """The limits on what connectors send, from those of the configuration."""
    return Rates(limits.connection_rate, limits.connection_burst, limits.tenant_rate, limits.tenant_burst)


def credentials_of(section: TLS | None) -> tls.Credentials | None:
    """The certificates of [tls], read; None without that table.

    :raises gandalf.shoset.tls.TLSError: a file cannot be used.
    """
    if section is None:
        return None
    return tls.load_credentials(section.ca, section.certificate, section.key, datetime.now(UTC))


def dials(reactor: Any, credentials: tls.Credentials | None) -> Connect:
    """How this process dials: TLS with ``credentials``, plain TCP without.

    A name is looked up at each call, and each of its addresses is tried until one takes the connection.
    """

    def connect(address: str, factory: Factory) -> Deferred[IProtocol]:
        target = Address.parse(address)
        endpoint: Any = HostnameEndpoint(reactor, target.host.encode(), target.port, timeout=CONNECT_TIMEOUT)
        attempt: Deferred[Any]
        if credentials is None:
            attempt = endpoint.connect(factory)
        else:
            attempt = endpoint.connect(over_tls(credentials.client(target.host), factory, dials=True))
            attempt.addCallback(attrgetter("wrappedProtocol"))
        return attempt.addTimeout(ATTEMPT_TIMEOUT, reactor)

    return connect


async def listen(
    reactor: Any, address: Address, factory: IProtocolFactory, credentials: tls.Credentials | None, key: str
) -> IListeningPort:
    """Listen on ``address``; ``key`` is its name in the configuration.

    :raises BindFailed: it cannot be bound.
    """
    endpoint: Any
    if credentials is not None:
        factory = over_tls(credentials.server(), factory, dials=False)
    if ":" in address.host:
        endpoint = TCP6ServerEndpoint(reactor, address.port, backlog=BACKLOG, interface=address.host)
    else:
        endpoint = TCP4ServerEndpoint(reactor, address.port, backlog=BACKLOG, interface=_ip(address.host))
    try:
        port: IListeningPort = await endpoint.listen(factory)
    except Exception as error:
        raise BindFailed(f"{key} = {address}: cannot listen there: {error}") from None
    return port


def _ip(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def certificate_names(credentials: tls.Credentials | None) -> CertificateNames:
    """What a listener checks a dialler's logical name against (protocol.md 5.1); nothing on plain TCP."""
    if credentials is None:
        return lambda transport: None
    return lambda transport: tls.names_of(transport.getPeerCertificate())
