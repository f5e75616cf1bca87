"""Why a frame cannot be carried to whom it is for (protocol.md 6.6)."""

from __future__ import annotations

from typing import Final

from gandalf.wire.runs import Parcel

NO_ROUTE: Final = "NO_ROUTE"
TIMEOUT: Final = "TIMEOUT"
OVERLOADED: Final = "OVERLOADED"
TOO_LARGE: Final = "TOO_LARGE"
EXPIRED: Final = "EXPIRED"
MALFORMED: Final = "MALFORMED"
WRONG_TENANT: Final = "WRONG_TENANT"
NOT_VALIDATED: Final = "NOT_VALIDATED"
NOT_AUTHORISED: Final = "NOT_AUTHORISED"


class RoutingFailure(Exception):
    """``code`` is one of protocol.md 6.6; the text tells the operator what happened.

    :param parcel: what was not carried; None: all of what was to be.
    """

    def __init__(self, code: str, message: str, parcel: Parcel | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.parcel = parcel
