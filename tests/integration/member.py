"""A real ``twistd gandalf-cluster`` on a real PostgreSQL, and peers that speak to it as foreign aggregators would."""

from __future__ import annotations

import atexit
import functools
import itertools
import json
import time
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from gandalf.store import secrets, tenants
from gandalf.store.trace import search_txn
from tests.integration import postgres
from tests.integration.peer import Message, dial
from tests.integration.ports import free_port
from tests.integration.programs import Program, get_json, until

CONTROL = "gandalf"
ONE, OTHER = "member-one", "member-other"
OPS = "member-ops"
"""An administrator, at the member that is shared."""
DEFINITIONS = """
pivots:
  - {name: aggregator, major: 1, minor: 0, keys: [{name: repository_url, type: url}]}
  - {name: vcs, major: 1, minor: 0, commandtypes: [{name: CREATE_REPOSITORY}]}
productconnectors:
  - {name: git, major: 1, minor: 0, pivot: {name: vcs, major: 1, minor: 0}, product: {name: git}}
"""
names = itertools.count(1)


@functools.cache
def control_dsn() -> str:
    """The control database's URI; the tenants that the tests use are there."""
    control = postgres.control_dsn()
    with postgres.transaction(control) as connection:
        there = {tenant.name for tenant in tenants.list_txn(connection)}
    for name in {ONE, OTHER, OPS} - there:
        tenants.create_tenant(control, name, now=0)
    return control


class Aggregator:
    """A foreign aggregator on one link to a member."""

    def __init__(self, case: SynchronousTestCase, port: int, name: str, tenant: str, **hello: Any) -> None:
        self.name, self.tenant = name, tenant
        self.peer = dial(port, name, "a", tenant=tenant, **hello)
        case.addCleanup(self.peer.close)
        self.linked = self.peer.expect("linked", "refused")
        self.acknowledged = 0

    def send(self, kind: str, body: dict[str, Any], **envelope: Any) -> bytes:
        """Send a frame of the aggregator's tenant; returns its uuid."""
        envelope.setdefault("tenant", self.tenant)
        return self.peer.send(kind, body, **envelope)

    def ask(self, kind: str, command: str, context: dict[str, Any], payload: str = "", **envelope: Any) -> Message:
        """Send a request; returns the reply to it."""
        body = {"command": command, "context": context, "payload": payload, "major": 1, "minor": 0}
        uuid = self.send(kind, body, **envelope)
        reply = self.peer.expect(kind)
        assert reply.reference == uuid, "the reply to another request"
        assert reply.body["command"] == command + "_REPLY", reply.body
        return reply

    def validate(self, secret: str, name: str = "", **context: Any) -> Message:
        """Present a secret: the aggregator's own, or that of a connector behind it."""
        claims = {
            "component_type": "connector" if name else "aggregator",
            "logical_name": name or self.name,
            "bind_address": "",
            "secret": secret,
            "instance": b"\0" * 16,
            **context,
        }
        return self.ask("secret", "VALIDATION", claims, target=name)

    def acked(self, received: int, timeout: float = 10.0) -> bool:
        """Whether the member acknowledges so many routed frames in time."""
        deadline = time.monotonic() + timeout
        while self.acknowledged < received:
            try:
                self.acknowledged = self.peer.expect("ack", timeout=deadline - time.monotonic()).body["received"]
            except (TimeoutError, ValueError):
                return False
        return True

    def event(self, timeout: float = 10.0) -> Message:
        """The next event."""
        return self.peer.expect("evt", timeout=timeout)

    def error(self) -> tuple[str, bytes | None, dict[str, Any]]:
        """The next event, which must be an error event: its code, what it is about, and its payload."""
        event = self.event()
        assert event.body["topic"] == "error", event
        return event.body["event"], event.reference, json.loads(event.body["payload"])


class MemberCase(SynchronousTestCase):
    """Tests with members of their own."""

    def secret(self, component_type: str, logical_name: str, tenant: str = ONE) -> str:
        """A new secret."""
        with postgres.transaction(control_dsn()) as connection:
            return secrets.create_txn(connection, component_type, logical_name, tenant, now=0).secret

    def dsn(self, tenant: str = ONE) -> str:
        """A tenant's database."""
        with postgres.transaction(control_dsn()) as connection:
            return tenants.tenant_dsn_txn(connection, tenant, control_dsn())

    def program(self, extra: str = "", *, definitions: str = DEFINITIONS, keep: bool = False, **keys: str) -> Program:
        """A member that is not started; its ports are :attr:`port` and :attr:`status`."""
        control_dsn()
        self.port, self.status = free_port(), free_port()
        values = {"listen": f"127.0.0.1:{self.port}", "database": postgres.admin_dsn(), **keys}
        given = "".join(f'{key} = "{value}"\n' for key, value in values.items())
        program = Program(
            "gandalf-cluster",
            f'[cluster]\nlogical_name = "cluster1"\ndefinitions = ["definitions.yaml"]\n{given}{extra}\n'
            f'[status]\nlisten = "127.0.0.1:{self.status}"\n',
        )
        if keep:
            atexit.register(program.end)
        else:
            self.addCleanup(program.end)
        Path(program.directory.name, "definitions.yaml").write_text(definitions)
        return program

    def start(self, extra: str = "") -> Program:
        """A member that is ready."""
        program = self.program(extra).start()
        self.ready(program)
        return program

    def ready(self, program: Program) -> None:
        """Wait until the member of :attr:`status` is ready."""
        assert program.process is not None
        process = program.process
        until(lambda: get_json(self.status, "/readyz") or process.poll() is not None, "ready")
        self.assertIsNone(process.poll(), program.log)

    def aggregator(
        self, name: str = "", tenant: str = ONE, *, port: int = 0, valid: bool = True, **hello: Any
    ) -> Aggregator:
        """An aggregator that is linked, and validated unless told otherwise."""
        aggregator = Aggregator(self, port or self.port, name or f"aggregator{next(names)}", tenant, **hello)
        self.assertEqual(aggregator.linked.kind, "linked", aggregator.linked)
        if valid:
            secret = self.secret("aggregator", aggregator.name, tenant)
            claims = {"bind_address": hello["bind_address"]} if "bind_address" in hello else {}
            reply = aggregator.validate(secret, **claims)
            self.assertEqual(reply.body["payload"], "true", reply.body)
        return aggregator

    def connector(self, aggregator: Aggregator, name: str = "", pivot: str = "") -> str:
        """Make a connector present behind ``aggregator``; with a pivot by a heartbeat. Returns its name."""
        name = name or f"connector{next(names)}"
        if pivot:
            context = {"component_type": "connector", "logical_name": name, "connector_type": pivot}
            aggregator.send("heartbeat", {"event": "HEARTBEAT", "context": context})
        else:
            reply = aggregator.validate(self.secret("connector", name, aggregator.tenant), name)
            self.assertEqual(reply.body["payload"], "true", reply.body)
        return name

    def trace(self, uuid: bytes, tenant: str = ONE) -> list[Any]:
        """What the trace has of a message."""
        with postgres.transaction(self.dsn(tenant)) as connection:
            return search_txn(connection, uuid=uuid)


class SharedMemberCase(MemberCase):
    """Tests that share one member, which ends with the run."""

    member: ClassVar[Program | None] = None
    ports: ClassVar[tuple[int, int]]

    def setUp(self) -> None:
        """Start it for the first of these tests."""
        shared = SharedMemberCase
        if shared.member is None:
            extra = f'max_timeout = 4000\nadministrators = ["{CONTROL}", "{OPS}"]'
            shared.member = self.program(extra, keep=True).start()
            shared.ports = self.port, self.status
            self.ready(shared.member)
        self.port, self.status = shared.ports

    @property
    def log(self) -> str:
        """What the member said so far."""
        assert SharedMemberCase.member is not None
        return SharedMemberCase.member.log
