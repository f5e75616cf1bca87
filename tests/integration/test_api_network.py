"""The API of a real network: tenants, commands, events, and what is said while the database is away."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from twisted.trial.unittest import SynchronousTestCase

from gandalf.store import dsn as dsns
from gandalf.store import embedded, tenants
from tests.integration import postgres
from tests.integration.deployment import Deployment, logs
from tests.integration.peer import Peer, dial
from tests.integration.ports import free_port
from tests.integration.programs import ROOT, Program, get_json, until
from tests.integration.walk import BASE, zero

TOPICS = "WORK,walked.%3E"
"""What is listened to: the answers to the worker's commands, and the test's own events."""

Answer = tuple[int, Any, Any]
"""Status, headers and JSON of an answer."""


def ask(api: str, method: str, path: str, body: Any = None, token: str = "") -> Answer:
    """One request."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(api + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.load(error)


def log_in(api: str, login: str, password: str) -> str:
    """A token."""
    status, _, told = ask(api, "POST", f"{BASE}/user/login", zero("User", Email=login, Password=password))
    assert status == 200, told
    return str(told["accessToken"])


class Stream:
    """The events of a topic as a browser hears them."""

    def __init__(self, case: SynchronousTestCase, api: str, token: str, topic: str, last: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}", **({"Last-Event-ID": last} if last else {})}
        request = urllib.request.Request(f"{api}/api/v1/events?topic={topic}", headers=headers)
        self._answer = urllib.request.urlopen(request, timeout=15)
        case.addCleanup(self._answer.close)

    def next(self) -> tuple[str, dict[str, Any]]:
        """The next event: its id, and what it tells."""
        id = ""
        for line in self._answer:
            key, _, value = line.decode().rstrip("\n").partition(": ")
            if key == "id":
                id = value
            elif key == "data":
                return id, json.loads(value)
        raise AssertionError("the stream has ended")

    def close(self) -> None:
        """Leave."""
        self._answer.close()


class ApiCase(SynchronousTestCase):
    """A member, and an aggregator of a tenant that administers the installation."""

    def setUp(self) -> None:
        self.network = Deployment(members=1, aggregators=1)
        self.programs: dict[str, Program] = {}
        self.start("member", self.network.member(0, administers=True))
        self.start("aggregator", self.network.aggregator(0))
        self.until(lambda: self.network.ready(0), "aggregator ready")
        self.api = f"http://127.0.0.1:{self.network.api_ports[0]}"
        self.login, self.password = self.network.logins.login[0], self.network.logins.password[0]
        self.token = log_in(self.api, self.login, self.password)

    def start(self, name: str, program: Program) -> None:
        """Start a program."""
        self.programs[name] = program
        self.addCleanup(program.end)
        program.start()

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """What ``condition`` gives once it is true."""
        return until(condition, what, 20, logs(self.programs))

    def logs_tell_none_of(self, *hidden: str) -> None:
        """No log of a program has any of these texts, and none tells of a defect."""
        for name, program in self.programs.items():
            for text in (*hidden, "Traceback", "Unhandled", "Authorization="):
                self.assertFalse(text in program.log, f"{name} logs {text[:16]!r}")


class TenantTests(ApiCase):
    """What its clients do with an installation."""

    def test_every_resource_and_a_new_tenant(self) -> None:
        """The walk finds no difference. A tenant made over the API can be used with what came back and nothing else;
        the old tenant's role cannot look into its database; no log has a token, a password or a query string."""
        told = {
            "api": self.api,
            "tenant": self.network.tenant,
            "login": self.network.logins.login,
            "password": self.network.logins.password,
        }
        credentials = Path(self.programs["aggregator"].directory.name, "credentials.json")
        credentials.write_text(json.dumps(told))
        command = [sys.executable, "-m", "tests.integration.walk", str(credentials)]
        walked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(walked.returncode, 0, walked.stdout + walked.stderr)

        name = f"acme-{uuid.uuid4().hex[:8]}"
        status, _, made = ask(self.api, "POST", f"{BASE}/tenant", zero("Tenant", Name=name), self.token)
        self.assertEqual(status, 201, made)
        self.assert_closed_to_the_old_role(name)
        api = self.start_aggregator_of(name, made["secret"])
        token = log_in(api, made["login"], made["password"])
        status, _, users = ask(api, "GET", f"{BASE}/user?Authorization=Bearer+{token}", token=token)
        self.assertEqual((status, {each["Email"] for each in users}), (200, set(made["logins"])))
        # A token is good for its own tenant only.
        self.assertEqual(ask(api, "GET", f"{BASE}/user", token=self.token)[0], 403)
        self.logs_tell_none_of(self.token, token, self.password, made["password"], made["secret"])

    def assert_closed_to_the_old_role(self, tenant: str) -> None:
        """The role that this tenant's aggregator was given may connect to its own database only."""
        own = self.network.tenant_dsn()
        psycopg2.connect(own).close()
        with postgres.transaction(self.network.control) as connection:
            database = dsns.parse(tenants.tenant_dsn_txn(connection, tenant, self.network.control))["dbname"]
        with self.assertRaises(psycopg2.OperationalError) as caught:
            psycopg2.connect(dsns.replaced(own, dbname=database))
        self.assertIn("permission denied for database", str(caught.exception))

    def start_aggregator_of(self, tenant: str, secret: str) -> str:
        """Its API's address, when it is ready."""
        listen, served = free_port(), free_port()
        program = Program(
            "gandalf-aggregator",
            f"""
            [aggregator]
            logical_name = "{tenant}"
            tenant = "{tenant}"
            listen = "127.0.0.1:{listen}"
            cluster = ["127.0.0.1:{self.network.member_ports[0]}"]
            secret = "{secret}"
            [api]
            listen = "127.0.0.1:{served}"
            """,
        )
        self.start("aggregator of the new tenant", program)
        self.until(lambda: get_json(served, "/readyz"), "the new tenant's aggregator ready")
        return f"http://127.0.0.1:{served}"


class OperationTests(ApiCase):
    """Commands and events, on a database server of its own, which goes away."""

    def setUp(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="gandalf-postgres-"))
        self.addCleanup(shutil.rmtree, directory)
        self.data, self.port = directory / "data", free_port()
        self.server = postgres.start(self.data, self.port)
        self.addCleanup(lambda: postgres.stop(self.server))
        admin = embedded.admin_dsn(self.data, self.port)
        tenants.bootstrap(admin, now=0)
        self.patch(postgres, "control_dsn", lambda: tenants.control_dsn(admin))
        super().setUp()
        acts = directory / "acts"
        acts.mkdir()
        self.start("worker", self.network.workers(["worker1"], acts))
        self.until(lambda: self.command(1)[0] == 200, "the worker answers")

    def command(self, number: int) -> Answer:
        """Have the worker do something over the API."""
        body = {"type": "work", "command": "WORK", "payload": {"number": number}, "wait": 10_000}
        return ask(self.api, "POST", "/api/v1/commands", body, self.token)

    def connector(self, name: str) -> Peer:
        """A connector written from the protocol alone."""
        peer = dial(self.network.aggregator_ports[0], name, "c", tenant=self.network.tenant)
        self.addCleanup(peer.close)
        self.assertEqual(peer.expect("linked", "refused").kind, "linked")
        claims = {
            "component_type": "connector",
            "logical_name": name,
            "secret": self.network.secret("connector", name),
        }
        body = {"command": "VALIDATION", "context": {**claims, "bind_address": "", "instance": bytes(16)}}
        peer.send("secret", body, tenant=self.network.tenant)
        self.assertEqual(peer.expect("secret").body["payload"], "true")
        return peer

    def test_commands_and_events_while_the_database_comes_and_goes(self) -> None:
        """A command comes back, and the stream shows what answered it. While PostgreSQL is away the API says 503,
        why, and when to ask again, and commands go on between connectors; what passed then is not lost to a stream
        that resumes. A new password of the tenant's role is noticed within seconds."""
        last = self.commands_and_events()
        hidden = [self.token, self.password, *self.passwords()]
        self.database_away(self.connector("driver1"))
        self.resumed(last)
        self.password_changed()
        hidden += self.passwords()
        self.logs_tell_none_of(*hidden)
        server_log = self.data.with_name("data.log").read_text()
        self.assertEqual([text[:8] for text in hidden if text in server_log], [])

    def commands_and_events(self) -> str:
        """Returns the id of the last event that was heard."""
        stream = Stream(self, self.api, self.token, TOPICS)
        status, _, life = self.command(7)
        self.assertEqual(status, 200, f"{life}\n{logs(self.programs)()}")
        self.assertEqual((life["state"], life["outcome"]["payload"]["number"]), ("SUCCESS", 7))
        for state in ("TAKEN", "SUCCESS"):
            last, told = stream.next()
            self.assertEqual((told["event"], told["reference"], told["source"]), (state, life["uuid"], "worker1"))
        stream.close()
        return last

    def database_away(self, driver: Peer) -> None:
        """Stop PostgreSQL, and start it again."""
        postgres.stop(self.server)
        for path, reason in ((f"{BASE}/role", "error"), ("/api/v1/roles", "detail")):
            status, headers, told = ask(self.api, "GET", path, token=self.token)
            self.assertEqual((status, headers["Retry-After"]), (503, "2"))
            self.assertIn("Connection refused", told[reason])
        body = {"command": "WORK", "source": "driver1", "context": {"connector_type": "work"}}
        work = {**body, "payload": '{"number": 8}'}
        sent = driver.send("cmd", work, tenant=self.network.tenant, timeout=5000)
        answers = [driver.expect("evt") for _ in range(2)]
        self.assertEqual([answer.reference for answer in answers], [sent, sent])
        self.assertEqual([answer.body["event"] for answer in answers], ["TAKEN", "SUCCESS"])
        self.server = postgres.start(self.data, self.port)
        self.until(lambda: ask(self.api, "GET", f"{BASE}/role", token=self.token)[0] == 200, "the API is back")

    def resumed(self, last: str) -> None:
        """What was not heard comes first, then what passes now."""
        event = {"topic": "walked.here", "event": "WALKED", "payload": {"number": 1}}
        self.assertEqual(ask(self.api, "POST", "/api/v1/events", event, self.token)[0], 201)
        stream = Stream(self, self.api, self.token, TOPICS, last)
        self.assertEqual([stream.next()[1]["event"] for _ in range(3)], ["TAKEN", "SUCCESS", "WALKED"])
        again = {**event, "event": "RUN"}
        self.assertEqual(ask(self.api, "POST", "/api/v1/events", again, self.token)[0], 201)
        self.assertEqual(stream.next()[1]["event"], "RUN")

    def password_changed(self) -> None:
        """Nobody may connect with the old one any more, and who is connected is thrown out."""
        with postgres.transaction(self.network.control) as connection:
            tenants.rotate_password_txn(connection, self.network.tenant)
        role = dsns.parse(self.network.tenant_dsn())["user"]
        ended = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}")
        postgres.execute(self.network.control, ended.format(sql.Literal(role)))
        status, headers, told = ask(self.api, "GET", f"{BASE}/role", token=self.token)
        self.assertEqual((status, headers["Retry-After"]), (503, "2"), told)
        self.until(lambda: ask(self.api, "GET", f"{BASE}/role", token=self.token)[0] == 200, "the API goes on")

    def passwords(self) -> list[str]:
        """That of the tenant's role, as it is now."""
        return [dsns.parse(self.network.tenant_dsn())["password"]]
