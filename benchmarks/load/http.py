"""The load of an HTTP server: connections kept alive, one request at a time on each."""

from __future__ import annotations

import json
import select
import socket
from http.client import HTTPConnection
from typing import Any

from benchmarks.load.one_way import Rate
from benchmarks.load.shared import Child, Counters, carrying, timed

CONNECTIONS = 8


def request(port: int, path: str, token: str = "") -> bytes:
    """A GET."""
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{bearer}Accept: */*\r\n\r\n".encode()


def post(port: int, path: str, content: object, token: str = "") -> Any:
    """What a POST of JSON is answered with.

    :raises RuntimeError: it fails.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request("POST", path, json.dumps(content), headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{path}: {answer.status} {said!r}")
        return json.loads(said)
    finally:
        connection.close()


def measure(port: int, asked: bytes, pid: int, *, seconds: float, warm: float) -> Rate:
    """Answers a second; each must be a 200."""
    counters = Counters()
    child = Child(lambda: _ask(port, asked, counters), False)
    with carrying("HTTP", [child]):
        rate, cpu_us = timed(counters, lambda: [pid], seconds=seconds, warm=warm)
        counters.stop()
        child.result()
    return Rate(rate, cpu_us)


def body(port: int, asked: bytes) -> bytes:
    """What one answer contains.

    :raises RuntimeError: it is not a 200.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(asked)
        data = bytearray()
        while not (end := _end(data)):
            data += sock.recv(1 << 16)
    head = data.index(b"\r\n\r\n")
    content = bytes(data[head + 4 : end])
    if b"content-length:" in bytes(data[:head]).lower():
        return content
    parts = []
    while size := int(content[: content.index(b"\r\n")], 16):
        start = content.index(b"\r\n") + 2
        parts.append(content[start : start + size])
        content = content[start + size + 2 :]
    return b"".join(parts)


def _end(data: bytearray) -> int:
    """Where the answer that `data` begins with ends; 0 when it is not whole yet."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0
    lines = bytes(data[:head]).lower()
    if not lines.startswith(b"http/1.1 200"):
        raise RuntimeError(f"the server says {bytes(data[:200])!r}")
    at = lines.find(b"content-length:")
    if at >= 0:
        end = head + 4 + int(lines[at + 15 :].split(b"\r\n", 1)[0])
        return end if len(data) >= end else 0
    at = head + 4
    while (line := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line], 16)
        at = line + 2 + size + 2
        if not size:
            return at if len(data) >= at else 0
    return 0


def _ask(port: int, asked: bytes, counters: Counters) -> None:
    poll, socks, buffers = select.poll(), {}, {}
    for _ in range(CONNECTIONS):
        sock = socket.create_connection(("127.0.0.1", port))
        socks[sock.fileno()], buffers[sock.fileno()] = sock, bytearray()
        poll.register(sock, select.POLLIN)
        sock.sendall(asked)
    count = 0
    while not counters.stopped:
        for number, _ in poll.poll(50):
            data = socks[number].recv(1 << 18)
            if not data:
                raise ConnectionError("the server closed the connection")
            buffer = buffers[number]
            buffer += data
            if end := _end(buffer):
                del buffer[:end]
                count += 1
                counters.received = count
                socks[number].sendall(asked)
