"""A client that speaks bytes to a site in memory, through real HTTP parsing."""

from __future__ import annotations

import io
from http.client import HTTPResponse
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.resource import IResource

from gandalf.api.site import SilentSite


class _Transport(StringTransport):
    """Counts aborts, and closes at once."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class Exchange:
    """One connection to a site of `resource`."""

    def __init__(self, resource: IResource, **options: Any) -> None:
        self.clock = Clock()
        self.site = SilentSite(resource, reactor=self.clock, **options)
        self.transport = _Transport(peerAddress=IPv4Address("TCP", "192.0.2.1", 50000))
        protocol = self.site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 50000))
        assert protocol is not None
        self.protocol: Any = protocol
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Bytes from the client."""
        self.protocol.dataReceived(data)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """A whole request and its answer; underscores in the names of headers are hyphens."""
        self.transport.clear()
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in ({"Host": "localhost"} | headers).items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        return self.answer(method)

    def answer(self, method: str = "GET") -> Answer:
        """What came back, to a request of this method."""
        return Answer(self.transport.value(), method)

    @property
    def closed(self) -> bool:
        """Whether the site ended the connection, in good order or not."""
        return self.transport.disconnecting or self.transport.aborted


class Answer:
    """The first answer in `data`: status, headers, body; `rest` is what came after it."""

    def __init__(self, data: bytes, method: str) -> None:
        file = io.BytesIO(data)
        response = HTTPResponse(cast(Any, _Socket(file)), method=method)
        response.begin()
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()
        self.rest = data[file.tell() :] if not file.closed else b""


class _Socket:
    def __init__(self, file: io.BytesIO) -> None:
        self._file = file

    def makefile(self, mode: str) -> io.BytesIO:
        return self._file
