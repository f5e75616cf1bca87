"""Who a shoset is, and the limits within which it works."""

from __future__ import annotations

from typing import Final

import attrs

from gandalf import __version__
from gandalf.routing.link import AGGREGATOR, CLUSTER, CONNECTOR

SOFTWARE: Final = f"gandalf {__version__}"
"""What a shoset calls its program."""

DIALS: Final = {AGGREGATOR: CLUSTER, CONNECTOR: AGGREGATOR}
"""Which type may link to which (protocol.md 5.1, ``WRONG_TYPE``)."""


READ_BYTES: Final = 128 * 1024
"""Read from a connection at one time, at the most. What a chunk costs as a whole is shared by the frames in it; from
256 KiB on the chunk itself costs more."""


@attrs.frozen
class Identity:
    """What a shoset says of itself when a link is opened (protocol.md 5.1)."""

    logical_name: str
    type: str
    tenant: str
    instance: bytes
    """Random, 16 bytes, for the life of the process."""
    bind_address: str = ""
    """The "host:port" that others are told to dial; "" when this shoset does not listen."""


@attrs.frozen
class Limits:
    """Bounds of protocol.md 2, 5 and 6.7: sizes in bytes, times in seconds."""

    max_frame: int = 8 * 1024 * 1024
    handshake_max_frame: int = 64 * 1024
    handshake_timeout: float = 10.0
    heartbeat: float = 10.0
    session_keep: float = 60.0
    high_water: int = 4 * 1024 * 1024
    unacknowledged_bytes: int = 64 * 1024 * 1024
    unacknowledged_frames: int = 100_000
    kept_bytes: int = 1024 * 1024 * 1024
    pending_bytes: int = 1024 * 1024 * 1024
    max_connections: int = 20_000
    accept_rate: float = 2500.0
    """Handshakes a second on the listening side."""
    duplicate_window: int = 200_000


ACK_FRAMES: Final = 64
"""Frames after which an acknowledgement goes out at once (protocol.md 5.3)."""

ACK_DELAY: Final = 0.01
"""Seconds after which any other goes out; protocol.md 5.3 allows 0.2."""

DEAD_INTERVALS: Final = 3
"""Heartbeat intervals of silence after which a connection is dead (protocol.md 5.2)."""

SLOWEST: Final = 1024
"""Bytes a second that a frame must come at once it has been coming for as long as a peer may be silent."""

SHORTEST_INTERVAL: Final = 0.1
"""Seconds: a peer that announces a shorter heartbeat than this is watched as if it had announced this."""

LINGER: Final = 2.0
"""Seconds that a peer has to read our last words before its connection is cut."""
