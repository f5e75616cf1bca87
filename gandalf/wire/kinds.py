"""The kinds of messages (protocol.md 4)."""

from __future__ import annotations

from typing import Final

EVENT: Final = "evt"
COMMAND: Final = "cmd"
CONFIG: Final = "config"
CONFIGURATION: Final = "configuration"
LOGICAL_CONFIGURATION: Final = "logicalConfiguration"
CONFIGURATION_DATABASE: Final = "configurationDatabase"
SECRET: Final = "secret"
HEARTBEAT: Final = "heartbeat"

LINK: Final = "link"
LINKED: Final = "linked"
REFUSED: Final = "refused"
BROTHERS: Final = "brothers"
BYE: Final = "bye"
ACK: Final = "ack"
PING: Final = "ping"
PONG: Final = "pong"

ROUTED: Final = frozenset(
    {
        EVENT,
        COMMAND,
        CONFIG,
        CONFIGURATION,
        LOGICAL_CONFIGURATION,
        CONFIGURATION_DATABASE,
        SECRET,
        HEARTBEAT,
    }
)
"""Kinds that are routed, counted and acknowledged (protocol.md 5.3)."""

CONTROL: Final = frozenset({LINK, LINKED, REFUSED, BROTHERS, BYE, ACK, PING, PONG})
"""Link control: never routed, never counted."""

KINDS: Final = ROUTED | CONTROL
