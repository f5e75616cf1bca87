"""From the start of a program to its being ready."""

from __future__ import annotations

import http.client
import time
from typing import Final

from benchmarks.report import Report
from benchmarks.settings import Settings
from tests.integration.deployment import Deployment
from tests.integration.programs import until

NAME: Final = "start"
STEP: Final = 0.005
"""Seconds between two looks."""


def run(settings: Settings, report: Report) -> None:
    """An aggregator of a network whose member and database run already."""
    report.remark(
        NAME,
        "From starting `twistd gandalf-aggregator` until `/readyz` answers 200, looked at every 5 ms: linked, its "
        "secret accepted, configured, connected to its database with the schema up to date, API open.",
    )
    network = Deployment(members=1, aggregators=1)
    member = network.member(0)
    secret = network.secret("aggregator", "aggregator1")
    try:
        member.start()
        _once(network, secret)
        for _ in range(settings.rounds):
            took = _once(network, secret)
            report.add(NAME, "aggregator, exec to ready", "gandalf", took, unit="s", higher_is_better=False)
    finally:
        member.end()


def _once(network: Deployment, secret: str) -> float:
    program = network.aggregator(0, secret=secret)
    began = time.perf_counter()
    try:
        program.start()
        until(lambda: _ready(network.api_ports[0]), "ready", timeout=60, log=lambda: program.log)
        return time.perf_counter() - began
    finally:
        program.end()


def _ready(port: int) -> bool:
    time.sleep(STEP)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
