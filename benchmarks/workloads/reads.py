"""Reads of a list over the REST API."""

from __future__ import annotations

import sys
from typing import Final

from benchmarks.load import http
from benchmarks.peers.process import Servers
from benchmarks.report import Report
from benchmarks.settings import Settings
from tests.integration.deployment import Deployment
from tests.integration.ports import free_port
from tests.integration.programs import ROOT, until

NAME: Final = "reads"
ROLES: Final = 10
PATHS: Final = {"gandalf": "/ditrit/Gandalf/1.0.0/role", "gandalf v1": "/api/v1/roles"}


def run(settings: Settings, report: Report) -> None:
    """A list of roles, and bare handlers that return the same bytes."""
    report.remark(
        NAME,
        f"{http.CONNECTIONS} connections, one request at a time on each. gandalf: a token checked, who asks and the "
        f"list read from PostgreSQL, a list of {ROLES} roles and more rendered. The bare handlers return the bytes "
        "of that list from memory, without looking at the request.",
    )
    network = Deployment(members=1, aggregators=1)
    programs = [network.member(0), network.aggregator(0)]
    servers = Servers()
    try:
        for program in programs:
            program.start()
        until(lambda: network.ready(0), "ready", timeout=60, log=lambda: programs[1].log)
        api = network.api_ports[0]
        login = {"login": network.logins.login[0], "password": network.logins.password[0]}
        token = http.post(api, "/api/v1/login", login)["token"]
        for number in range(ROLES):
            http.post(api, PATHS["gandalf"], {"Name": f"role {number}"}, token)
        aggregator = programs[1].process
        assert aggregator is not None
        asked = {name: http.request(api, path, token) for name, path in PATHS.items()}
        content = http.body(api, asked["gandalf"])
        (servers.directory / "page").write_bytes(content)
        subjects = [(name, api, said, aggregator.pid) for name, said in asked.items()]
        for kind in ("klein", "twisted"):
            port = free_port()
            command = [sys.executable, "-m", "benchmarks.peers.web", kind, str(port), str(servers.directory / "page")]
            server = servers.start(command, kind, port, {"PYTHONPATH": str(ROOT)})
            name = {"klein": "bare Klein", "twisted": "bare Twisted Web"}[kind]
            subjects.append((name, port, http.request(port, "/page"), server.process.pid))
        for _ in range(settings.rounds):
            for name, port, said, pid in subjects:
                found = http.measure(port, said, pid, seconds=settings.seconds, warm=settings.warm)
                case = f"a list of {len(content):,} B"
                report.add(NAME, case, name, found.rate, unit="reads/s", cpu_us=found.cpu_us)
    finally:
        servers.close()
        for program in reversed(programs):
            program.end()
