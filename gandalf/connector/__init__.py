"""The library with which connectors are written."""

from gandalf.connector.account import Account
from gandalf.connector.connecting import connect, run
from gandalf.connector.declare import Connector, Program
from gandalf.connector.emitting import EventRefused
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
from gandalf.connector.runtime import Runtime
from gandalf.connector.validation import SecretRefused

__all__ = [
    "Account",
    "CommandError",
    "CommandFailed",
    "CommandRefused",
    "Connector",
    "EventRefused",
    "Host",
    "Job",
    "Network",
    "Outcome",
    "OutcomeTimeout",
    "Program",
    "Promise",
    "ReceivedEvent",
    "Runtime",
    "SecretRefused",
    "connect",
    "run",
]
