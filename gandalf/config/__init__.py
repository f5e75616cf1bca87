"""
The configuration of the programs: aggregator.toml, cluster.toml, connectors.toml and operator.toml. It is
checked as a whole before anything starts; any key can be overridden by an environment variable. conf/*.toml
tell the keys.

    config = load(AggregatorConfig, Path("conf/aggregator.toml"), os.environ)
"""

from gandalf.config.address import Address
from gandalf.config.errors import ConfigurationError, Problem
from gandalf.config.loading import checked, load
from gandalf.config.masking import masked
from gandalf.config.models import (
    TLS,
    AggregatorConfig,
    AggregatorLimits,
    ClusterConfig,
    Connector,
    ConnectorsConfig,
    Limits,
    ListenerLimits,
    Log,
    OperatorConfig,
)

__all__ = [
    "TLS",
    "Address",
    "AggregatorConfig",
    "AggregatorLimits",
    "ClusterConfig",
    "ConfigurationError",
    "Connector",
    "ConnectorsConfig",
    "Limits",
    "ListenerLimits",
    "Log",
    "OperatorConfig",
    "Problem",
    "checked",
    "load",
    "masked",
]
