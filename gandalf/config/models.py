"""
The configuration of the programs, as it is after a file and the environment were read and checked.

A model is a table of the file, a field is a key; conf/*.toml tell their meaning to operators. Times are in
ms, sizes in bytes. All are frozen. They are made by `gandalf.config.load` and `gandalf.config.checked` only.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from gandalf.config.address import Address
from gandalf.config.types import (
    AdvertisedAddress,
    Database,
    DatabaseURI,
    Definitions,
    Directory,
    Drain,
    File,
    Format,
    Level,
    LinkAddress,
    LinkAddresses,
    Name,
    Names,
    OptionalAddress,
    OptionalFile,
    OptionalLinkAddress,
    PlainAddress,
    PythonAttribute,
    Secret,
    SecretFile,
    Timeout,
    allowed,
    at_least_one,
    between,
    check_database,
    context_of,
    secret_or_file,
)


class Section(BaseModel):
    """A table of a configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


class _Listening(Section):
    """What every shoset that listens is told."""

    logical_name: Name
    listen: LinkAddress
    advertise: AdvertisedAddress = Field(default="", validate_default=True)

    @field_validator("advertise", mode="before")
    @classmethod
    def _listen_when_empty(cls, value: object, info: ValidationInfo) -> object:
        if value != "":
            return value
        listen = info.data.get("listen")
        if not isinstance(listen, Address):
            # listen's own error says enough; any address that is in order will do here.
            return Address("localhost", 1)
        if listen.is_wildcard:
            raise ValueError(f"must be given, since nobody can dial {listen}")
        return listen

    @field_validator("advertise")
    @classmethod
    def _can_be_dialled(cls, value: Address) -> Address:
        if value.is_wildcard:
            raise ValueError("an address that nobody can dial")
        return value


class _SecretBearing(Section):
    """
    What a component that proves itself with a secret is told. `secret` is the file's content if it is
    given.
    """

    secret_file: SecretFile = Field(default="", validate_default=True)
    secret: Secret = SecretStr("")

    @field_validator("secret")
    @classmethod
    def _from_file(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        return SecretStr(secret_or_file(value, info, "secret_file"))


class TLS(Section):
    """[tls]: PEM files. Without this table links are plain TCP, on loopback addresses only."""

    ca: File
    certificate: File
    key: File


class API(Section):
    """
    [api]: the REST interface. `writers` are the roles that may write. `two_administrators`: nothing is created or
    deleted until two users administer the tenant.
    """

    listen: PlainAddress = Field(default="127.0.0.1:9203", validate_default=True)
    writers: Names = ("Writer",)
    two_administrators: Annotated[bool, allowed("true or false")] = True


class Pool(Section):
    """[database]: the connections to the tenant's database."""

    connections: Annotated[int, between(1, 100, "connections")] = 2
    statement_timeout: Annotated[int, between(100, 600_000, "ms")] = 30_000


class Spool(Section):
    """[spool]: where events wait on disk while the whole cluster is away, if anywhere."""

    directory: Directory = Field(default="", validate_default=True)
    max_bytes: Annotated[int, between(2**20, 2**40, "bytes")] = 2**30
    fsync: Annotated[Literal["always", "interval", "never"], allowed("always, interval or never")] = "always"
    fsync_interval: Annotated[int, between(1, 10_000, "ms")] = 50


class Status(Section):
    """[status]: where a cluster member tells its state over HTTP, if anywhere."""

    listen: OptionalAddress = Field(default="", validate_default=True)


class Trace(Section):
    """[trace]: what a cluster member keeps of one tenant's trace while its database does not take it."""

    queued_records: Annotated[int, between(1, 10_000_000, "records")] = 20_000
    queued_bytes: Annotated[int, between(1024, 2**36, "bytes")] = 64 * 2**20


class Log(Section):
    """[log]"""

    level: Level = "info"
    format: Format = "text"


class Limits(Section):
    """[limits] of a program that dials only: the bounds of protocol.md 2, 5 and 6, bytes and ms."""

    max_frame: Annotated[int, between(1024, 2**30, "bytes")] = 8 * 2**20
    handshake_max_frame: Annotated[int, between(1024, 2**20, "bytes, at most max_frame")] = 64 * 2**10
    handshake_timeout: Annotated[int, between(100, 600_000, "ms")] = 10_000
    heartbeat: Annotated[int, between(100, 600_000, "ms")] = 10_000
    high_water: Annotated[int, between(1024, 2**30, "bytes")] = 4 * 2**20
    unacknowledged_bytes: Annotated[int, between(1024, 2**34, "bytes, at least max_frame")] = 64 * 2**20
    unacknowledged_frames: Annotated[int, between(1, 10_000_000, "frames")] = 100_000
    duplicate_window: Annotated[int, between(1000, 10_000_000, "messages")] = 200_000

    @field_validator("handshake_max_frame")
    @classmethod
    def _not_above_max_frame(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("max_frame", value):
            raise ValueError(f"more than max_frame, which is {info.data['max_frame']}")
        return value

    @field_validator("unacknowledged_bytes")
    @classmethod
    def _not_below_max_frame(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("max_frame", value):
            raise ValueError(f"less than max_frame, which is {info.data['max_frame']}")
        return value


class ListenerLimits(Limits):
    """[limits] of a program that listens as well."""

    session_keep: Annotated[int, between(0, 3_600_000, "ms")] = 60_000
    kept_bytes: Annotated[int, between(1024, 2**40, "bytes")] = 2**30
    pending_bytes: Annotated[int, between(1024, 2**40, "bytes")] = 2**30
    max_connections: Annotated[int, between(1, 1_000_000, "connections")] = 20_000
    accept_rate: Annotated[int, between(1, 100_000, "connections a second")] = 2500


_Rate = Annotated[int, between(0, 1_000_000, "messages a second, 0 for no limit")]
_Burst = Annotated[int, between(0, 10_000_000, "messages, 0 for as many as in a second")]


class AggregatorLimits(ListenerLimits):
    """[limits] of an aggregator: also what connectors may send."""

    connection_rate: _Rate = 0
    connection_burst: _Burst = 0
    tenant_rate: _Rate = 0
    tenant_burst: _Burst = 0

    @field_validator("connection_burst", "tenant_burst")
    @classmethod
    def _of_a_limit(cls, value: int, info: ValidationInfo) -> int:
        rate = f"{str(info.field_name).removesuffix('burst')}rate"
        if value and not info.data.get(rate, value):
            raise ValueError(f"{rate} is 0, so that there is no limit")
        return value


class Aggregator(_SecretBearing, _Listening):
    """[aggregator]"""

    tenant: Name
    cluster: LinkAddresses
    max_timeout: Timeout = 10_000
    drain_timeout: Drain = 10_000


class Cluster(_Listening):
    """
    [cluster]. `database` is the content of `database_file` if that is given. `administrators` are the tenants
    whose aggregators may act for every tenant.
    """

    database_file: SecretFile = Field(default="", validate_default=True)
    database: Database = DatabaseURI("")
    administrators: Names = ("gandalf",)
    definitions: Definitions = ()
    max_timeout: Timeout = 10_000
    drain_timeout: Drain = 10_000

    @field_validator("database")
    @classmethod
    def _a_database(cls, value: DatabaseURI, info: ValidationInfo) -> DatabaseURI:
        uri = secret_or_file(value, info, "database_file")
        if uri:
            check_database(uri)
        return DatabaseURI(uri)


class ConnectorCommon(Section):
    """[connector]: what all connectors of one process share."""

    tenant: Name
    aggregators: LinkAddresses


class Connector(_SecretBearing):
    """
    One of [[connectors]]. `options` is the connector's own to check; `bind` is None if it does not listen.
    """

    logical_name: Name
    use: PythonAttribute
    bind: OptionalLinkAddress = Field(default="", validate_default=True)
    options: Annotated[dict[str, Any], allowed("a table, whose keys the connector's own page tells")] = {}

    @field_validator("logical_name")
    @classmethod
    def _once(cls, value: str, info: ValidationInfo) -> str:
        names = context_of(info).names
        if value in names:
            raise ValueError("another of [[connectors]] has this logical name")
        names.add(value)
        return value


class AggregatorConfig(Section):
    """aggregator.toml"""

    aggregator: Aggregator
    tls: TLS | None = None
    api: API
    database: Pool
    spool: Spool
    limits: AggregatorLimits
    log: Log


class ClusterConfig(Section):
    """cluster.toml"""

    cluster: Cluster
    tls: TLS | None = None
    status: Status
    trace: Trace
    limits: ListenerLimits
    log: Log


class ConnectorsConfig(Section):
    """connectors.toml"""

    connector: ConnectorCommon
    connectors: Annotated[
        tuple[Connector, ...],
        BeforeValidator(at_least_one),
        allowed("at least one table [[connectors]]"),
    ]
    tls: TLS | None = None
    limits: Limits
    log: Log


class Operator(_SecretBearing):
    """[operator]. `database_file` is checked, and read by whoever needs the control database."""

    logical_name: Name = "operator"
    tenant: Name
    aggregators: LinkAddresses
    api: PlainAddress = Field(default="127.0.0.1:9203", validate_default=True)
    credentials_file: OptionalFile = Field(default="", validate_default=True)
    database_file: SecretFile = Field(default="", validate_default=True)


class OperatorConfig(Section):
    """operator.toml"""

    operator: Operator
    tls: TLS | None = None
