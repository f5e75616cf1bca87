"""How HTTP is served: what a connection and a request may take, and what every answer carries."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import cast
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import ILogObserver, LogEvent, Logger
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from zope.interface import implementer

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a request's body, unless a site is told otherwise."""

MAX_CONNECTIONS = 1000
"""Connections of a site; whoever comes when so many are open is cut off."""

IDLE = 60.0
"""Seconds without a byte after which a connection on which no request is worked at is closed."""

START = 30.0
"""Seconds in which a request has to arrive; `SLOWEST` gives long ones more."""

SLOWEST = 4096
"""Bytes a second at which a request has to arrive after its first `START` seconds."""

LINGER = 5.0
"""Seconds for which the rest of a refused body is read and dropped: who is cut off while sending sees no answer."""

UNSENT_PERIODS = 10
"""How many times `IDLE` a client that is slow to take a long answer is waited for."""

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?)?(:[0-9]{0,5})?", re.ASCII)

Refusal = Callable[[IRequest, int, str], bytes]
"""Makes the body of an error (request, status, message) that arises before any handler; may set headers."""


def flat_refusal(request: IRequest, status: int, message: str) -> bytes:
    """``{"error": message, "message": message}``."""
    request.setHeader(b"content-type", b"application/json")
    return json.dumps({"error": message, "message": message}).encode() + b"\n"


@implementer(ILogObserver)
def _unheard(event: LogEvent) -> None:
    """That an idle connection is closed is no news."""


class Channel(http.HTTPChannel):
    """A connection of HTTP/1.1 whose requests have to arrive within a bound, however steadily bytes drip in."""

    site: SilentSite

    _log = Logger(observer=_unheard)
    _busy = False  # with an answer; what arrives meanwhile waits for it
    _since: float | None = None  # when the request now arriving began
    _received = 0
    _discarding = False
    _unsent = False
    _patience = UNSENT_PERIODS

    def connectionMade(self) -> None:
        """There is a client, or one too many."""
        self.site.connections += 1
        super().connectionMade()
        if self.site.connections > MAX_CONNECTIONS:
            self.forceAbortClient()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self.site.connections -= 1
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        """Parse on, unless the request takes too long or was refused."""
        if self._discarding:
            return
        if not self._busy and self._too_slow(len(data)):
            self.forceAbortClient()
            return
        super().dataReceived(data)

    def _too_slow(self, size: int) -> bool:
        now = self.site.reactor.seconds()
        if self._since is None:
            self._since, self._received = now, 0
        self._received += size
        return now - self._since > START + self._received / SLOWEST

    def allContentReceived(self) -> None:
        """The request is complete."""
        self._since, self._busy = None, True
        super().allContentReceived()

    def requestDone(self, request: http.Request) -> None:
        """The answer is written; the next request may begin, or may have arrived already."""
        self._busy = False
        super().requestDone(request)

    def discard(self) -> None:
        """Drop what still comes, for `LINGER` seconds, then close."""
        self._discarding = True
        self.setTimeout(LINGER)

    def pauseProducing(self) -> None:
        """The transport has more to send than the client takes."""
        self._unsent = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """The client took all of it."""
        self._unsent, self._patience = False, UNSENT_PERIODS
        self.resetTimeout()
        super().resumeProducing()

    def timeoutConnection(self) -> None:
        """Close; but let a slow client have what it asked for."""
        if self._unsent and self._patience > 0:
            self._patience -= 1
            self.setTimeout(self.site.timeOut)
        else:
            super().timeoutConnection()


class Request(server.Request):
    """A request whose body is bounded while it comes in, and whose query string cannot get into a log.

    ``uri`` is the path alone when handlers see it; the query is in ``args``. ``content`` holds the body, which
    nobody has parsed.
    """

    channel: Channel
    site: SilentSite
    defaultContentType = b"text/plain; charset=utf-8"

    _log = Logger()
    _refused = False
    _size = 0

    def gotLength(self, length: int | None) -> None:
        """The headers are complete: refuse a body that is announced to be too long."""
        too_long = length is not None and length > self.channel.site.max_body
        super().gotLength(0 if too_long else length)
        if too_long:
            self._refuse_body()

    def handleContentChunk(self, data: bytes) -> None:
        """Store a piece of the body, or refuse it when it is getting too long."""
        if self._refused:
            return
        self._size += len(data)
        if self._size > self.channel.site.max_body:
            self._refuse_body()
        else:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of it is here."""
        if self._refused:
            self.channel.loseConnection()
        else:
            super().requestReceived(command, path, version)

    def _refuse_body(self) -> None:
        channel = self.channel
        self._refused = True
        if self.content is not None:
            self.content.close()
        self.site = channel.site
        self.requestHeaders.removeHeader(b"expect")  # or the channel would still ask for the body
        self.method, self.clientproto = channel._command, channel._version
        self.uri = self.path = channel._path.split(b"?", 1)[0]
        self.setHeader(b"connection", b"close")
        limit = self.site.max_body
        self._answer(http.REQUEST_ENTITY_TOO_LARGE, f"the body is too long: at most {limit} bytes are taken")
        channel.discard()

    def process(self) -> None:
        """Answer, if path and host can be understood."""
        self.uri = self.path
        self.site = self.channel.site
        if not _is_text(unquote_to_bytes(self.path)):
            self._answer(http.NOT_FOUND, "there is nothing at this path: paths are UTF-8 without NUL")
            self.finish()
        elif not _HOST.fullmatch(self.getHeader(b"host") or b""):
            self._answer(http.BAD_REQUEST, "the header Host must be a host name or address, with or without :port")
            self.finish()
        else:
            super().process()

    def write(self, data: bytes) -> None:
        """Send a piece of the answer; the first takes the headers along that every answer has."""
        if not self.startedWriting:
            self.setHeader(b"server", b"gandalf")
            self.setHeader(b"date", http.datetimeToString())
            self.setHeader(b"x-content-type-options", b"nosniff")
        super().write(data)

    def processingFailed(self, reason: Failure) -> Failure:
        """Log a defect, and answer 500; an answer that is under way is broken off instead."""
        self._log.failure("cannot answer {method} {path}", reason, method=self.method, path=self.path)
        if self.startedWriting:
            self.channel.forceAbortClient()
        else:
            self._answer(http.INTERNAL_SERVER_ERROR, "an internal error, which the log of this instance describes")
            self.finish()
        return reason

    def _answer(self, status: int, message: str) -> None:
        self.setResponseCode(status)
        body = self.site.refusal(cast(IRequest, self), status, message)
        self.setHeader(b"content-length", b"%d" % len(body))
        self.write(body)


class SilentSite(server.Site):
    """A site with bounds on what clients send.

    It writes no access log: a query string may hold a token, and probes would drown everything else.

    :param reactor: for the timeouts.
    :param max_body: bytes of a request's body; a longer one is not stored, and is answered 413 at once.
    :param refusal: makes the bodies of the errors that the site itself answers: 400, 404, 413, 500.
    """

    noisy = False
    displayTracebacks = False
    protocol = Channel  # type: ignore[assignment]  # declared as the function that chooses between HTTP/1.1 and 2
    requestFactory = Request

    def __init__(
        self,
        resource: IResource,
        *,
        reactor: IReactorTime,
        max_body: int = MAX_BODY,
        refusal: Refusal = flat_refusal,
    ) -> None:
        super().__init__(resource, reactor=reactor, timeout=IDLE, parsePOSTFormSubmission=False)
        self.connections = 0
        """How many are open."""
        self.max_body = max_body
        self.refusal = refusal

    def acceptableProtocols(self) -> list[bytes]:
        """What is offered in the TLS handshake: the bounds are those of HTTP/1.1."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Nothing: Twisted would keep the time of day for the access log, every second."""

    def log(self, request: http.Request) -> None:
        """Nothing."""


def _is_text(path: bytes) -> bool:
    try:
        return "\0" not in path.decode()
    except UnicodeDecodeError:
        return False
