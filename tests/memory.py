"""The bound on the memory of an instance, as docs/operators.md states it."""

from __future__ import annotations

from typing import Final

from gandalf.shoset.arrivals import SPARE
from gandalf.shoset.settings import Limits

KIB: Final = 1024
MIB: Final = 1024 * KIB


def bound_of_limits(limits: Limits, members: int) -> int:
    """Bytes that an instance with so many members may take for its peers, besides what a constant bounds."""
    connections = limits.max_connections * (2 * limits.max_frame + 512 * KIB)
    arriving = SPARE * 4 * limits.handshake_max_frame
    sessions = 2 * limits.max_connections * 128 * KIB
    kept = 2 * limits.kept_bytes
    for_members = members * (2 * limits.unacknowledged_bytes + KIB * limits.unacknowledged_frames)
    pending = 2 * 2 * limits.pending_bytes
    duplicates = 4 * 100 * limits.duplicate_window
    return connections + arriving + sessions + kept + for_members + pending + duplicates
