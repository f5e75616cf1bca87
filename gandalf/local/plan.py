"""What is to run: read from conf/ and the environment, checked as a whole, and made to fit together.

A network of one machine needs little more than the files in conf/ say. Files under var/ are put in the place
of secrets, and when an address was changed where it is listened on, those who dial it are told.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import attrs

from gandalf.config import TLS, Address, AggregatorConfig, ClusterConfig, ConnectorsConfig, load
from gandalf.config.models import Cluster
from gandalf.local.errors import LocalError
from gandalf.local.places import Places
from gandalf.store import embedded

OPERATOR = "operator"
"""The logical name as which the command `gandalf` links to the aggregator."""

_LATER = "not made yet, but it will be there"
_ADMINISTRATORS = "GANDALF_CLUSTER__CLUSTER__ADMINISTRATORS"


@attrs.frozen
class Component:
    """Who needs a secret; `address` is where it listens, "" for nowhere."""

    type: str
    logical_name: str
    address: str
    secret_file: Path


@attrs.frozen
class Listener:
    """An address that is listened on: by whom, and how it is changed."""

    what: str
    address: Address
    changed_by: str


@attrs.frozen
class Plan:
    """The local network. `environment` is that of its programs."""

    places: Places
    environment: Mapping[str, str]
    tenant: str
    components: tuple[Component, ...]
    listeners: tuple[Listener, ...]
    postgres_port: int
    cluster: Address
    aggregator: Address
    api: Address
    tls: TLS | None

    @property
    def connectors(self) -> tuple[str, ...]:
        """The logical names of the connectors that it runs."""
        return tuple(
            component.logical_name
            for component in self.components
            if component.type == "connector" and component.logical_name != OPERATOR
        )


def make_plan(places: Places, environment: Mapping[str, str]) -> Plan:
    """The plan for conf/ in `places` and the variables in `environment`.

    Raises `gandalf.config.ConfigurationError` for what stands in the files, `LocalError` for the rest.
    """
    if not (places.configuration / "supervisord-local.conf").is_file():
        raise LocalError(f"there is no conf/supervisord-local.conf in {places.root}: start it in a checkout")
    cluster, aggregator, connectors = _configurations(places, environment)
    own = aggregator.aggregator
    tenant, address, api = own.tenant, own.advertise, aggregator.api.listen
    _one_tenant(tenant, connectors.connector.tenant)

    def component(type: str, name: str, bind: Address | None) -> Component:
        where = str(bind) if bind else ""
        return Component(type, name, where, places.secret(tenant, name, where))

    aggregators = component("aggregator", own.logical_name, address)
    connected = [component("connector", each.logical_name, each.bind) for each in connectors.connectors]
    variables = {
        "GANDALF_CLUSTER__CLUSTER__DATABASE_FILE": str(places.database),
        _ADMINISTRATORS: ",".join(_administrators(cluster, tenant, environment)),
        "GANDALF_AGGREGATOR__AGGREGATOR__SECRET_FILE": str(aggregators.secret_file),
    }
    for number, each in enumerate(connected):
        variables[f"GANDALF_CONNECTOR__CONNECTORS__{number}__SECRET_FILE"] = str(each.secret_file)
    if cluster.cluster.advertise not in own.cluster:
        variables["GANDALF_AGGREGATOR__AGGREGATOR__CLUSTER"] = str(cluster.cluster.advertise)
    if address not in connectors.connector.aggregators:
        variables["GANDALF_CONNECTOR__CONNECTOR__AGGREGATORS"] = str(address)
    port = _postgres_port(environment)
    return Plan(
        places=places,
        environment=_environment(environment, variables),
        tenant=tenant,
        components=(aggregators, *connected, component("connector", OPERATOR, None)),
        listeners=_listeners(cluster, aggregator, port),
        postgres_port=port,
        cluster=cluster.cluster.advertise,
        aggregator=address,
        api=api,
        tls=connectors.tls,
    )


def _configurations(
    places: Places, environment: Mapping[str, str]
) -> tuple[ClusterConfig, AggregatorConfig, ConnectorsConfig]:
    """The three files, checked; in the place of the secrets, which may not be made yet, stands a text."""
    directory = places.configuration
    given = {
        **environment,
        **_instead("GANDALF_CLUSTER__CLUSTER__DATABASE", "postgresql://localhost/gandalf"),
        **_instead("GANDALF_AGGREGATOR__AGGREGATOR__SECRET", _LATER),
    }
    for number in range(_number_of_connectors(directory / "connectors.toml")):
        given |= _instead(f"GANDALF_CONNECTOR__CONNECTORS__{number}__SECRET", _LATER)
    return (
        load(ClusterConfig, directory / "cluster.toml", given),
        load(AggregatorConfig, directory / "aggregator.toml", given),
        load(ConnectorsConfig, directory / "connectors.toml", given),
    )


def _instead(variable: str, text: str) -> dict[str, str]:
    return {variable: text, f"{variable}_FILE": ""}


def _number_of_connectors(path: Path) -> int:
    """How many tables [[connectors]] there are; 0 for a file that has worse errors, which its check tells."""
    try:
        tables = tomllib.loads(path.read_text("utf-8")).get("connectors")
    except (OSError, ValueError):
        return 0
    return len(tables) if isinstance(tables, list) else 0


def _one_tenant(aggregators: str, connectors: str) -> None:
    if aggregators != connectors:
        raise LocalError(
            f"the tenant is {aggregators!r} in conf/aggregator.toml, but {connectors!r} in conf/connectors.toml:"
            " a local network has one"
        )


def _administrators(cluster: ClusterConfig, tenant: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The local tenant too, unless it was said who: all can be tried with one log-in then."""
    said = cluster.cluster.administrators
    untouched = _ADMINISTRATORS not in environment and said == Cluster.model_fields["administrators"].default
    return (*said, tenant) if untouched and tenant not in said else said


def _postgres_port(environment: Mapping[str, str]) -> int:
    text = environment.get(embedded.PORT_VARIABLE, str(embedded.PORT))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65535):
        raise LocalError(f"{embedded.PORT_VARIABLE} is {text!r}: allowed is a port, 1 to 65535")
    return int(text)


def _listeners(cluster: ClusterConfig, aggregator: AggregatorConfig, postgres: int) -> tuple[Listener, ...]:
    def key(section: str, file: str, variable: str) -> str:
        return f"[{section}] listen in conf/{file}.toml, or the variable {variable}"

    listeners = [
        Listener("PostgreSQL", Address(embedded.HOST, postgres), f"the variable {embedded.PORT_VARIABLE}"),
        Listener(
            "the cluster member",
            cluster.cluster.listen,
            key("cluster", "cluster", "GANDALF_CLUSTER__CLUSTER__LISTEN"),
        ),
        Listener(
            "the aggregator",
            aggregator.aggregator.listen,
            key("aggregator", "aggregator", "GANDALF_AGGREGATOR__AGGREGATOR__LISTEN"),
        ),
        Listener(
            "the aggregator's API",
            aggregator.api.listen,
            key("api", "aggregator", "GANDALF_AGGREGATOR__API__LISTEN"),
        ),
    ]
    if cluster.status.listen:
        variable = "GANDALF_CLUSTER__STATUS__LISTEN"
        listeners.append(
            Listener("the cluster member's status", cluster.status.listen, key("status", "cluster", variable))
        )
    return tuple(listeners)


def _environment(environment: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    path = str(Path(sys.executable).parent), environment.get("PATH", os.defpath)
    return {**environment, **variables, "PATH": os.pathsep.join(path)}
