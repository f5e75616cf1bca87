"""How HTTP is served."""

from __future__ import annotations

from twisted.web.http import Request
from twisted.web.server import Site


class SilentSite(Site):
    """Writes no access log: a query string may hold a token, and probes would drown everything else."""

    noisy = False
    displayTracebacks = False

    def log(self, request: Request) -> None:
        """Nothing."""
