"""``secret``: whether a component is who it says (protocol.md 4, 6.4 and 9)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.logger import Logger

from gandalf.cluster.presence import Presence
from gandalf.cluster.requests import Answer, Handlers, Request
from gandalf.routing.link import Link
from gandalf.store.database import Database
from gandalf.store.secrets import Refused, validate_txn
from gandalf.wire.kinds import SECRET

AGGREGATOR = "aggregator"
CONNECTOR = "connector"


class Validation:
    """Judges secrets.

    :param validated: told of an aggregator link whose secret was accepted.
    :param now: seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self,
        control: Database,
        presence: Presence,
        now: Callable[[], float],
        validated: Callable[[Link], None],
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._control = control
        self._presence = presence
        self._now = now
        self._validated = validated

    @property
    def handlers(self) -> Handlers:
        """What is answered here."""
        return {SECRET: {"VALIDATION": self.validate}}

    async def validate(self, request: Request) -> Answer:
        """The aggregator's own secret when the request has no target, else that of the connector it names.

        A connector is present from here on, without waiting for its heartbeat.
        """
        link = request.link
        expected, name = (CONNECTOR, request.target) if request.target else (AGGREGATOR, link.logical_name)
        reason = self._mismatch(request, expected, name) or await self._judge(request)
        if not request.target:
            link.validated = not reason
        if reason:
            self.counters["refused"] += 1
            self.log.warn(
                "the secret of {type} {name} of tenant {tenant} is refused: {reason}",
                type=expected,
                name=name,
                tenant=request.tenant,
                reason=reason,
            )
            return Answer("false", {"reason": reason})
        self.counters["accepted"] += 1
        self.log.info("{type} {name} of {tenant} is validated", type=expected, name=name, tenant=request.tenant)
        if request.target:
            self._presence.seen(link, name)
        else:
            self._validated(link)
        return Answer("true")

    @staticmethod
    def _mismatch(request: Request, expected: str, name: str) -> str:
        """Why the claims do not fit who asks; "" when they do."""
        for key, right in (("component_type", expected), ("logical_name", name)):
            claimed = request.text(key, default="")
            if claimed != right:
                return f"context.{key} must be {right!r} here, not {claimed[:80]!r}"
        return ""

    async def _judge(self, request: Request) -> str:
        """Why the secret is not accepted; "" when it is."""
        verdict = await self._control.run(
            "validate a secret",
            validate_txn,
            request.text("component_type"),
            request.text("logical_name"),
            request.tenant,
            request.text("bind_address", default=""),
            _instance(request),
            request.text("secret", default=""),
            now=int(self._now() * 1000),
        )
        return verdict.reason if isinstance(verdict, Refused) else ""


def _instance(request: Request) -> str:
    value = request.context.get("instance", b"")
    return value.hex() if isinstance(value, bytes) else request.text("instance", default="")
