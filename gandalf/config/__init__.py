"""
The configuration of the three programs: aggregator.toml, cluster.toml and connectors.toml. It is checked as a
whole before anything starts; any key can be overridden by an environment variable. conf/*.toml tell the keys.

    config = load(AggregatorConfig, Path("conf/aggregator.toml"), os.environ)
"""

from gandalf.config.address import Address
from gandalf.config.errors import ConfigurationError, Problem
from gandalf.config.loading import checked, load
from gandalf.config.masking import masked
from gandalf.config.models import (
    TLS,
    AggregatorConfig,
    ClusterConfig,
    Connector,
    ConnectorsConfig,
    Limits,
    ListenerLimits,
    Log,
)

__all__ = [
    "TLS",
    "Address",
    "AggregatorConfig",
    "ClusterConfig",
    "ConfigurationError",
    "Connector",
    "ConnectorsConfig",
    "Limits",
    "ListenerLimits",
    "Log",
    "Problem",
    "checked",
    "load",
    "masked",
]
