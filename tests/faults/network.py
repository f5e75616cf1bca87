"""The network that is put to the test: members, instances of two tenants, connectors, proxies."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from gandalf.rest import RestClient, RestError
from gandalf.store import secrets, tenants
from gandalf.wire.body import unpack_body
from tests.faults.cast import Cast, Player
from tests.faults.database import DatabaseServer
from tests.faults.pipe import FAIR, Weather
from tests.faults.process import Process
from tests.faults.proxy import NOBODY, Proxy, envelope
from tests.faults.schedule import Stage
from tests.integration import postgres
from tests.integration.ports import free_port
from tests.integration.programs import ROOT, get_json

NORTH, SOUTH = "north", "south"
MEMBERS: Final = ("m1", "m2")
INSTANCES: Final = {NORTH: ("a1", "a2"), SOUTH: ("b1",)}
DATABASE: Final = "database"

# Names are the same in both tenants: what is meant for one must not reach its namesake.
WORKERS: Final = (
    (NORTH, "c1", ("w1", "w2", "w3")),
    (NORTH, "c2", ("w4", "w5", "w6")),
    (SOUTH, "c3", ("w1", "w2")),
)
PEERS: Final = ((NORTH, "p1", ("x1", "x2", "x3", "x4")), (SOUTH, "p2", ("x1",)))

LIMITS: Final = """
[limits]
heartbeat = 1000
handshake_timeout = 2000
duplicate_window = 15000
high_water = 65536
"""
"""Less than by default, so that what takes minutes elsewhere shows within seconds. But what a lost member had not
acknowledged comes again when it is back, after `session_keep` and what the database is away for then: the window
covers 40 s of the load of a connector, some 370 messages a second. It is full after a minute, from which on memory is
looked at."""

LISTENER_LIMITS: Final = LIMITS + "session_keep = 25000\n"


def players() -> tuple[Player, ...]:
    """All connectors."""
    listed = [
        (name, tenant, process, peer)
        for group, peer in ((WORKERS, False), (PEERS, True))
        for tenant, process, names in group
        for name in names
    ]
    return tuple(Player(index, *entry) for index, entry in enumerate(listed))


def stage() -> Stage:
    """What there is to be broken."""
    instances = tuple(name for names in INSTANCES.values() for name in names)
    connectors = [(tenant, process) for tenant, process, _ in (*WORKERS, *PEERS)]
    links = [f"{instance}>{member}" for instance in instances for member in MEMBERS]
    links += [f"{process}>{instance}" for tenant, process in connectors for instance in INSTANCES[tenant]]
    return Stage(MEMBERS, instances, tuple(process for _, process in connectors), tuple(links))


class Network:
    """Everything that runs.

    :param directory: where configurations, logs and histories go.
    """

    def __init__(
        self, directory: Path, reactor: Any, *, events: float, commands: float, seed: int, spared: tuple[str, ...]
    ) -> None:
        self.directory = directory
        self.database = DatabaseServer(directory)
        self.processes: dict[str, Process] = {}
        self.proxies: dict[str, Proxy] = {}
        self.weather: list[tuple[Callable[[str, str], bool], Weather]] = []
        """What goes on: for which dialler and listener."""
        self._reactor = reactor
        self._random = random.Random(seed)
        self._ports: dict[str, int] = {}
        self._status: dict[str, int] = {}
        self._clients: dict[str, RestClient] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._events, self._commands = events, commands
        self._players = players()
        self.stage = attrs.evolve(stage(), spared=spared)

    # Making it. `prepare` blocks, `listen` is for the reactor's thread, `configure` blocks again.

    def prepare(self) -> None:
        """Start the database."""
        self.database.start()

    def listen(self) -> None:
        """Put a proxy before each listener."""
        self._ports[DATABASE] = self.database.port
        for name in (*MEMBERS, *(name for names in INSTANCES.values() for name in names)):
            self._ports[name], self._status[name] = free_port(), free_port()
        for name, port in self._ports.items():
            self.proxies[name] = Proxy(
                name,
                port,
                reactor=self._reactor,
                random=self._random.random,
                name_of=self._name_of if name != DATABASE else lambda hello: NOBODY,
                weather_of=self._weather_of,
            )

    def configure(self) -> None:
        """Make tenants, secrets and configurations."""
        admin = self.database.by_way_of(self.proxies[DATABASE].port)
        control = tenants.control_dsn(self.database.dsn)
        tenants.bootstrap(self.database.dsn, now=0)
        self.cast = Cast(
            self._players,
            self._events,
            self._commands,
            {tenant: tuple(map(self._address, names)) for tenant, names in INSTANCES.items()},
        )
        self.cast.save(self.directory / "cast.json")
        for member in MEMBERS:
            self._add(member, "gandalf-cluster", self._member(member, admin) + LISTENER_LIMITS)
        for tenant, instances in INSTANCES.items():
            logins = tenants.create_tenant(control, tenant, now=0)
            for instance in instances:
                self._add(instance, "gandalf-aggregator", self._instance(instance, tenant, control) + LISTENER_LIMITS)
                self._names[tenant, self._address(instance)] = instance
                self._clients[instance] = RestClient(
                    f"127.0.0.1:{self._status[instance]}", logins.login[0], logins.password[0]
                )
        for tenant, process, _ in WORKERS:
            self._add(process, "gandalf-connector", self._workers(process, tenant, control) + LIMITS)
        for _, process, _ in PEERS:
            for player in self._of(process):
                secret = self._secret(control, "connector", player.name, player.tenant)
                (self.directory / f"secret-{player.index}").write_text(secret)
            command = [sys.executable, "-m", "tests.faults.peers", str(self.directory), process]
            self.processes[process] = Process(process, command, self.directory / f"{process}.log")
        for player in self._players:
            self._names[player.tenant, player.name] = player.process

    def _of(self, process: str) -> list[Player]:
        return [player for player in self._players if player.process == process]

    def _address(self, name: str) -> str:
        return f"127.0.0.1:{self.proxies[name].port}"

    def _secret(self, control: str, component_type: str, name: str, tenant: str) -> str:
        with postgres.transaction(control) as connection:
            return secrets.create_txn(connection, component_type, name, tenant, now=0).secret

    def _add(self, name: str, plugin: str, configuration: str) -> None:
        config = self.directory / f"{name}.toml"
        config.write_text(configuration)
        twistd = str(Path(sys.executable).parent / "twistd")
        command = [twistd, "--nodaemon", "--pidfile=", plugin, "--config", str(config)]
        self.processes[name] = Process(name, command, self.directory / f"{name}.log")

    def _member(self, name: str, admin: str) -> str:
        return f"""
            [cluster]
            logical_name = "cluster1"
            listen = "127.0.0.1:{self._ports[name]}"
            advertise = "{self._address(name)}"
            database = "{admin}"
            definitions = ["{ROOT / "conf" / "definitions"}"]
            max_timeout = 5000
            drain_timeout = 4000
            [status]
            listen = "127.0.0.1:{self._status[name]}"
        """

    def _instance(self, name: str, tenant: str, control: str) -> str:
        return f"""
            [aggregator]
            logical_name = "aggregator1"
            tenant = "{tenant}"
            listen = "127.0.0.1:{self._ports[name]}"
            advertise = "{self._address(name)}"
            cluster = {json.dumps([self._address(member) for member in MEMBERS])}
            secret = "{self._secret(control, "aggregator", "aggregator1", tenant)}"
            max_timeout = 5000
            drain_timeout = 4000
            [api]
            listen = "127.0.0.1:{self._status[name]}"
        """

    def _workers(self, process: str, tenant: str, control: str) -> str:
        connectors = "".join(
            f"""
            [[connectors]]
            logical_name = "{player.name}"
            use = "tests.faults.worker:program"
            secret = "{self._secret(control, "connector", player.name, tenant)}"
            options = {{ index = {player.index}, directory = "{self.directory}" }}
            """
            for player in self._of(process)
        )
        return f"""
            [connector]
            tenant = "{tenant}"
            aggregators = {json.dumps([self._address(name) for name in INSTANCES[tenant]])}
            {connectors}
        """

    # The weather.

    def _weather_of(self, dialler: str, listener: str) -> Weather:
        weather = FAIR
        for matches, more in self.weather:
            if matches(dialler, listener):
                weather = weather.with_(more)
        return weather

    def weather_changed(self) -> None:
        """After :attr:`weather` was changed."""
        for proxy in self.proxies.values():
            proxy.weather_changed()

    def _name_of(self, hello: bytes) -> str:
        values = envelope(hello)
        if not values or values[0] != "link":
            return NOBODY
        body = unpack_body(values[7])
        named = body.get("bind_address") if body.get("type") == "a" else body.get("logical_name")
        return self._names.get((values[2], str(named)), NOBODY)

    # Looking at it; these block.

    def whole(self) -> str:
        """What is not as it should be when nothing is broken; "" when all is."""
        for name in self.processes:
            trouble = self._trouble(name)
            if trouble:
                return trouble
        return ""

    def status(self, name: str) -> dict[str, Any] | None:
        """What a member or an instance tells of itself; None while it does not."""
        if name in MEMBERS:
            told: dict[str, Any] | None = get_json(self._status[name], "/api/v1/status")
        else:
            told = self._ask(name, "/api/v1/status")
        return told

    def _ask(self, instance: str, path: str) -> Any:
        try:
            return self._clients[instance].get(path)
        except RestError:
            return None

    def _tell(self, instance: str, method: str, path: str, body: dict[str, Any]) -> bool:
        client = self._clients[instance]
        try:
            client._ask(method, path, body, client._logged_in())
        except RestError:
            return False
        return True

    def drain(self, instance: str) -> bool:
        """Whether an instance could be told over its API to end."""
        status = self.status(instance)
        return status is not None and self._tell(instance, "POST", "/api/v1/drain", {"instance": status["instance"]})

    def disconnect(self, instance: str, value: float) -> bool:
        """End one of the connections of an instance; whether that could be told to it."""
        links = self._ask(instance, "/api/v1/connections")
        if not links:
            return False
        session = links[int(value * len(links))]["session"]
        return self._tell(instance, "DELETE", f"/api/v1/connections/{session}", {})

    def _trouble(self, name: str) -> str:
        if not self.processes[name].running:
            return f"{name} does not run"
        if name not in self._status:
            return ""
        status = self.status(name)
        if not status or not status["ready"]:
            return f"{name} is not ready"
        if name in MEMBERS:
            return ""
        if not all(member["linked"] and member["validated"] for member in status["cluster"]):
            return f"{name} does not have every member"
        (tenant,) = [tenant for tenant, names in INSTANCES.items() if name in names]
        links = self._ask(name, "/api/v1/connections") or []
        there = {link["logical_name"] for link in links if link["state"] == "established" and link["validated"]}
        missing = {player.name for player in self._players if player.tenant == tenant} - there
        return f"{name} does not have {sorted(missing)}" if missing else ""

    def pending(self) -> str:
        """What members and instances still have on hand; "" when it is nothing."""
        for name in self._status:
            status = self.status(name)
            if status is None:
                return f"{name} does not tell"
            left = {what: count for what, count in status["pending"].items() if count}
            if left:
                return f"{name} has {left}"
        return ""
