"""Where frames come from that no connection brings."""

from __future__ import annotations

from typing import ClassVar

from gandalf.routing.link import CONNECTOR


class Origin:
    """What is alike in them as a :class:`gandalf.routing.link.Link`: to the router, connectors that want nothing.

    They are not among the links of the registry: nothing is routed to them. What they are sent are the error events
    about their own frames.
    """

    type = CONNECTOR
    validated = True
    congested: ClassVar = False
    full: ClassVar = False
    filters: ClassVar = True

    def __init__(self, logical_name: str, tenant: str) -> None:
        self.logical_name = logical_name
        self.tenant = tenant

    def wants(self, topic: str) -> bool:
        """Nothing, whatever its topic."""
        return False

    def pause(self) -> None:
        """Nothing comes from here."""

    def resume(self) -> None:
        """Nothing comes from here."""

    def dismiss(self, reason: str, message: str) -> None:
        """There is no connection."""

    def forget(self) -> None:
        """There is no session."""
