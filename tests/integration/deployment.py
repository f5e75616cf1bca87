"""A whole network of real programs for a test: configuration, secrets, and how to tell that all of it is there."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trustme

from gandalf.connector.account import Account
from gandalf.rest import RestClient, RestError
from gandalf.shoset.tls import load_credentials
from gandalf.store import secrets, tenants
from tests.integration import postgres
from tests.integration.ports import free_port
from tests.integration.programs import ROOT, Program, get_json

_numbers = itertools.count(1)


class Certificates:
    """An authority, and certificates of its own making in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca)

    def files(self, *names: str) -> tuple[Path, Path, Path]:
        """Authority, certificate and key for a shoset that bears these names."""
        issued = self._authority.issue_cert(*names)
        certificate, key = (self._directory / f"{names[0]}.{kind}.pem" for kind in ("certificate", "key"))
        issued.private_key_pem.write_to_path(key)
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return self.ca, certificate, key


class Deployment:
    """Members, aggregator instances and connectors of a new tenant; nothing is started here.

    :param certificates: None for plain TCP.
    """

    def __init__(self, *, members: int, aggregators: int, certificates: Certificates | None = None) -> None:
        self.tenant = f"tenant-{next(_numbers)}"
        self.control = postgres.control_dsn()
        self.logins = tenants.create_tenant(self.control, self.tenant, now=0)
        self.member_ports = [free_port() for _ in range(members)]
        self.aggregator_ports = [free_port() for _ in range(aggregators)]
        self.api_ports = [free_port() for _ in range(aggregators)]
        login, password = self.logins.login[0], self.logins.password[0]
        self._clients = [RestClient(f"127.0.0.1:{port}", login, password) for port in self.api_ports]
        self._certificates = certificates

    def secret(self, component_type: str, logical_name: str) -> str:
        """A new secret of a component."""
        with postgres.transaction(self.control) as connection:
            return secrets.create_txn(connection, component_type, logical_name, self.tenant, now=0).secret

    def tenant_dsn(self) -> str:
        """The tenant's database."""
        with postgres.transaction(self.control) as connection:
            return tenants.tenant_dsn_txn(connection, self.tenant, self.control)

    def member(self, number: int, *, administers: bool = False, more: str = "") -> Program:
        """A cluster member; the tenant may act for others if it `administers` the installation; `more` tables."""
        return Program(
            "gandalf-cluster",
            f"""
            [cluster]
            logical_name = "cluster1"
            listen = "127.0.0.1:{self.member_ports[number]}"
            database = "{self.control}"
            definitions = ["{ROOT / "conf" / "definitions"}"]
            administrators = {json.dumps(["gandalf", *([self.tenant] if administers else [])])}
            {self._tls("cluster1")}
            {more}
            """,
        )

    def aggregator(self, number: int, *, secret: str | None = None, more: str = "") -> Program:
        """An instance of the aggregator, with `more` tables in its configuration."""
        return Program(
            "gandalf-aggregator",
            f"""
            [aggregator]
            logical_name = "aggregator1"
            tenant = "{self.tenant}"
            listen = "127.0.0.1:{self.aggregator_ports[number]}"
            cluster = {json.dumps([f"127.0.0.1:{port}" for port in self.member_ports])}
            secret = "{secret or self.secret("aggregator", "aggregator1")}"
            [api]
            listen = "127.0.0.1:{self.api_ports[number]}"
            {self._tls("aggregator1")}
            {more}
            """,
        )

    def workers(self, names: Sequence[str], acts: Path, certificate: str = "") -> Program:
        """A process with a worker (tests/integration/workers.py) of each name."""
        connectors = "\n".join(
            f"""
            [[connectors]]
            logical_name = "{name}"
            use = "tests.integration.workers:program"
            secret = "{self.secret("connector", name)}"
            options = {{ acts = "{acts}" }}
            """
            for name in names
        )
        return Program(
            "gandalf-connector",
            f"""
            [connector]
            tenant = "{self.tenant}"
            aggregators = {json.dumps(self.aggregators)}
            {connectors}
            {self._tls(*([certificate] if certificate else names))}
            """,
        )

    def account(self, logical_name: str) -> Account:
        """For a connector in the test's own process."""
        credentials = None
        if self._certificates is not None:
            credentials = load_credentials(*self._certificates.files(logical_name), datetime.now(UTC))
        return Account(
            logical_name=logical_name,
            tenant=self.tenant,
            aggregators=self.aggregators,
            secret=self.secret("connector", logical_name),
            credentials=credentials,
        )

    @property
    def aggregators(self) -> list[str]:
        """What connectors dial."""
        return [f"127.0.0.1:{port}" for port in self.aggregator_ports]

    def ready(self, number: int) -> bool:
        """Whether an instance of the aggregator is ready."""
        return get_json(self.api_ports[number], "/readyz") is not None

    def shown(self, number: int, path: str) -> Any:
        """What an instance of the aggregator shows an administrator of the tenant at ``path``; None while it does
        not."""
        try:
            return self._clients[number].get(path)
        except RestError:
            return None

    def cluster_whole(self) -> bool:
        """Whether every aggregator has a validated link to every member."""
        statuses = [self.shown(number, "/api/v1/status") for number in range(len(self.api_ports))]
        return all(
            status and all(member["linked"] and member["validated"] for member in status["cluster"])
            for status in statuses
        )

    def connections(self, number: int) -> list[dict[str, Any]]:
        """The validated connections of an instance."""
        links = self.shown(number, "/api/v1/connections") or []
        return [link for link in links if link["state"] == "established" and link["validated"]]

    def _tls(self, *names: str) -> str:
        if self._certificates is None:
            return ""
        ca, certificate, key = self._certificates.files(*names, "127.0.0.1")
        return f"""
            [tls]
            ca = "{ca}"
            certificate = "{certificate}"
            key = "{key}"
        """


def logs(programs: dict[str, Program]) -> Callable[[], str]:
    """The end of what each program said."""
    return lambda: "\n".join(f"--- {name}\n{program.log[-3000:]}" for name, program in programs.items())
