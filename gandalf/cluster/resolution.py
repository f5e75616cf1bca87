"""Who can take a command: its target, or the components that speak its pivot, as far as present (protocol.md 9)."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from gandalf.cluster.directory import Directory
from gandalf.cluster.presence import Presence
from gandalf.cluster.routes import Route, routes

NAMED = 10
"""Components that the reason of a refusal names."""


@attrs.frozen
class Resolution:
    """What was found: ``routes``, and when there is none the ``reason``; ``group`` says what was looked for."""

    routes: tuple[Route, ...]
    group: str
    reason: str = ""


class Resolver:
    """Resolves without waiting for the database, unless nobody was found and what is known may be out of date."""

    def __init__(self, directory: Directory, presence: Presence, clock: IReactorTime) -> None:
        self._directory = directory
        self._presence = presence
        self._clock = clock

    def resolve(self, tenant: str, target: str, pivot: str) -> Resolution:
        """By what is known now."""
        if target:
            group = f"connector {target!r} of tenant {tenant!r}"
            return self._resolution(tenant, (target,), group, f"{group} is not present", named=True)
        group = f"the components of tenant {tenant!r} that speak {pivot!r}"
        names = self._speaking(tenant, pivot)
        if not pivot:
            reason = "the message names neither a target nor, in context.connector_type, a pivot"
        elif not names:
            reason = f"no logical component of tenant {tenant!r} speaks the pivot {pivot!r}"
        else:
            named = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
            reason = f"none of {group} is present: {named}"
        return self._resolution(tenant, names, group, reason, named=False)

    def settled(self, tenant: str, target: str, pivot: str, found: Resolution) -> bool:
        """Whether looking the components up again cannot lead to more."""
        return bool(found.routes or target or not pivot or self._directory.fresh(tenant))

    def resolve_anew(self, tenant: str, pivot: str, budget: float) -> Deferred[Resolution]:
        """As :meth:`resolve`, after the components were looked up, which may take ``budget`` seconds; never fails."""
        looked_up = self._directory.refresh(tenant)
        looked_up.addTimeout(budget, self._clock)

        def found(_: None) -> Resolution:
            return self.resolve(tenant, "", pivot)

        def failed(failure: Failure) -> Resolution:
            known = self.resolve(tenant, "", pivot)
            why = "in time" if failure.check(TimeoutError) else "at the moment"
            return attrs.evolve(known, reason=f"{known.reason}; the database could not be asked {why}")

        return looked_up.addCallbacks(found, failed)

    def _speaking(self, tenant: str, pivot: str) -> tuple[str, ...]:
        """By what is stored; of a connector of which nothing is stored, by what its heartbeat says."""
        claiming = self._presence.claiming(tenant, pivot)
        unknown = [name for name in claiming if not self._directory.lists(tenant, name)]
        return (*self._directory.speaking(tenant, pivot), *unknown)

    def _resolution(self, tenant: str, names: tuple[str, ...], group: str, reason: str, *, named: bool) -> Resolution:
        found = routes(names, lambda name: self._presence.links(tenant, name), named=named)
        return Resolution(tuple(found), group, "" if found else reason)
