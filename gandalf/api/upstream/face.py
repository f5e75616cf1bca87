"""How the Go system's API reads bodies, and how it tells errors: flat objects of texts with the key `error`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gandalf.api.errors import Trouble
from gandalf.api.operation import Operation

# So spelled there.
REFUSALS: Final = {"POST": "Invalid request payload", "PUT": "Invalid resquest payload"}

SHORT: Final = {"invalid state": "Invalid state"}
"""What `error` says by itself, for clients that compare it; the details are in `message`."""


class UpstreamFace:
    """See `gandalf.api.edge.Face`."""

    lenient = True

    def refusal(self, operation: Operation, detail: str) -> str:
        """Upstream's words, and what is wrong."""
        return f"{REFUSALS.get(operation.method, 'Invalid request')}: {detail}"

    def error(self, trouble: Trouble) -> tuple[int, str, Mapping[str, object]]:
        """`error` is what the command line prints; a client of the web front end reads `message`."""
        error = SHORT.get(trouble.title, trouble.detail)
        return trouble.status, "application/json", {"error": error, "message": trouble.detail}
