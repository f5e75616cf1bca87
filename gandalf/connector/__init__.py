"""The library with which connectors are written."""

from gandalf.connector.declare import Connector, Program
from gandalf.connector.job import Job
from gandalf.connector.network import (
    CommandError,
    CommandFailed,
    CommandRefused,
    Host,
    Network,
    Outcome,
    OutcomeTimeout,
    Promise,
    ReceivedEvent,
)

__all__ = [
    "CommandError",
    "CommandFailed",
    "CommandRefused",
    "Connector",
    "Host",
    "Job",
    "Network",
    "Outcome",
    "OutcomeTimeout",
    "Program",
    "Promise",
    "ReceivedEvent",
]
