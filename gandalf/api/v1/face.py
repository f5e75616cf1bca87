"""How `/api/v1` reads bodies, and how it tells errors: as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gandalf.api.errors import NOT_SIGNED_IN, Trouble
from gandalf.api.operation import Operation

PROBLEM: Final = "application/problem+json"


class V1Face:
    """See `gandalf.api.edge.Face`."""

    lenient = False

    def refusal(self, operation: Operation, detail: str) -> str:
        """What is wrong, and nothing else."""
        return detail

    def error(self, trouble: Trouble) -> tuple[int, str, Mapping[str, object]]:
        """Whoever is not known is told to log in (401), which is not the same as a right that is missing (403)."""
        status = 401 if trouble.title == NOT_SIGNED_IN else trouble.status
        problem = {"type": "about:blank", "title": trouble.title, "status": status, "detail": trouble.detail}
        return status, PROBLEM, {**problem, **trouble.more}
