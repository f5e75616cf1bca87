"""The REST API of a running network under load, and what that does to routing.

    python benchmarks/rest.py [--clients 200] [--seconds 60] [--rate 1.0] [--api 127.0.0.1:9203]

It needs a network of `make run`: the log-in is taken from var/credentials.json, the link from var/operator.toml.
Clients read lists, single rows, and create and delete rows of both faces, each with a connection of its own, `--rate`
requests a second each (0: as fast as they are answered). Beside them one connector sends a command after the other;
its time to the receipt is measured before, during and after.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASE = "/ditrit/Gandalf/1.0.0"


class Client:
    """One client with a connection that is kept."""

    def __init__(self, address: str, token: str) -> None:
        self._host, port = address.rsplit(":", 1)
        self._port = int(port)
        self._token = token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Status and body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        content = b"" if body is None else json.dumps(body).encode()
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        if "content-length:" in head:
            length = int(head.split("content-length:")[1].split("\r\n", 1)[0])
            return status, await reader.readexactly(length)
        content = b""
        while size := int(await reader.readline(), 16):
            content += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return status, content

    def close(self) -> None:
        """Leave."""
        if self._streams is not None:
            self._streams[1].close()


async def work(
    number: int, client: Client, until: float, rate: float, times: dict[str, list[float]], bad: Counter[str]
) -> None:
    """What one client does."""

    async def timed(what: str, method: str, path: str, body: object = None) -> bytes:
        began = time.perf_counter()
        status, content = await client.ask(method, path, body)
        times[what].append(time.perf_counter() - began)
        if status >= 400:
            bad[f"{what}: {status}"] += 1
        if rate:
            await asyncio.sleep(random.expovariate(rate))
        return content

    await asyncio.sleep(random.random() * (1 / rate if rate else 0.1))
    while time.monotonic() < until:
        await timed("list roles", "GET", f"{BASE}/role")
        await timed("list roles (v1)", "GET", "/api/v1/roles")
        await timed("list domains, loaded", "GET", f"{BASE}/domain")
        await timed("status", "GET", "/api/v1/status")
        created = json.loads(await timed("create", "POST", f"{BASE}/role", {"Name": f"b{number}-{random.random()}"}))
        await timed("read", "GET", f"{BASE}/role/{created['ID']}")
        await timed("delete", "DELETE", f"{BASE}/role/{created['ID']}")


PROBE = """
import os, statistics, sys, time
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater
from gandalf.cli.link import linked
from gandalf.config import OperatorConfig, load
async def probe(seconds):
    config = load(OperatorConfig, Path("var/operator.toml"), os.environ)
    took = []
    async with linked(config, reactor) as runtime:
        receipts = {}
        runtime.on_answer = lambda event: receipts.setdefault(event.reference, time.perf_counter())
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.perf_counter()
            first = []
            runtime.on_answer = lambda event: first.append(time.perf_counter())
            await runtime.send("vcs", "LIST_REPOSITORIES", {}, timeout=10)
            took.append(first[0] - began)
            await deferLater(reactor, 0.02, lambda: None)
    took.sort()
    print(len(took), *(round(took[int(len(took) * q)] * 1000, 3) for q in (0.5, 0.9, 0.99)))
ensureDeferred(probe(float(sys.argv[1]))).addErrback(lambda f: f.printTraceback()).addBoth(lambda _: reactor.stop())
reactor.run()
"""


def probe(seconds: float) -> subprocess.Popen[str]:
    """Start the connector that sends one command after the other."""
    command = [sys.executable, "-c", PROBE, str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def receipts(process: subprocess.Popen[str]) -> str:
    """What it measured."""
    count, *quantiles = process.communicate()[0].split()
    return f"p50 {quantiles[0]} ms, p90 {quantiles[1]} ms, p99 {quantiles[2]} ms of {count} commands"


def rss() -> float:
    """The memory of the aggregator that runs here, in MiB."""
    import psutil

    (found,) = (
        process
        for process in psutil.process_iter(["cmdline"])
        if str(ROOT / "conf" / "aggregator.toml") in (process.info["cmdline"] or ())
    )
    size: int = found.memory_info().rss
    return size / 2**20


async def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=1.0, help="requests a second of each client; 0: no pause")
    parser.add_argument("--api", default="127.0.0.1:9203")
    arguments = parser.parse_args()
    told = json.loads((ROOT / "var" / "credentials.json").read_text())
    first = Client(arguments.api, "")
    body = {"login": told["login"][0], "password": told["password"][0]}
    token = json.loads((await first.ask("POST", "/api/v1/login", body))[1])["token"]
    first.close()
    quiet = probe(10.0)
    await asyncio.to_thread(quiet.wait)
    print("receipts without load: ", receipts(quiet), flush=True)
    times: dict[str, list[float]] = defaultdict(list)
    bad: Counter[str] = Counter()
    clients = [Client(arguments.api, token) for _ in range(arguments.clients)]
    until = time.monotonic() + arguments.seconds
    loaded = probe(arguments.seconds - 5)
    working = [
        asyncio.ensure_future(work(number, client, until, arguments.rate, times, bad))
        for number, client in enumerate(clients)
    ]
    await asyncio.sleep(min(10.0, arguments.seconds / 2))
    early = rss()
    await asyncio.gather(*working)
    late = rss()
    for client in clients:
        client.close()
    await asyncio.to_thread(loaded.wait)
    print("receipts under load:   ", receipts(loaded))
    total = sum(map(len, times.values()))
    print(f"{total} requests, {total / arguments.seconds:.0f} a second; errors: {dict(bad) or 'none'}")
    print(f"memory of the aggregator: {early:.1f} MiB early, {late:.1f} MiB at the end")
    print(f"{'':24}{'requests':>9}{'p50 ms':>9}{'p90 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for what, took in times.items():
        cut = statistics.quantiles(took, n=100, method="inclusive")
        row = (cut[49], cut[89], cut[98], max(took))
        print(f"{what:24}{len(took):9}" + "".join(f"{value * 1000:9.1f}" for value in row))


if __name__ == "__main__":
    asyncio.run(main())
