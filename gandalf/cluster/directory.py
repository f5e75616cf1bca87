"""Which logical components of a tenant speak which pivot, known without asking the database each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

FRESH: Final = 1.0
"""Seconds for which what was looked up is good enough to say that nobody speaks a pivot."""

Speakers = dict[str, tuple[str, ...]]
"""Logical names by pivot."""


@attrs.define
class _Tenant:
    speakers: Speakers = attrs.field(factory=dict)
    components: frozenset[str] = frozenset()
    as_of: float = float("-inf")
    """When the look-up began that brought it, in seconds of the clock; long ago if something was saved since."""
    loading: bool = False
    again: bool = False
    """Something was saved while a look-up was under way, which may not have seen it."""
    waiters: list[Deferred[None]] = attrs.field(factory=list)


class Directory:
    """Looked up at first use, when something is saved, when nobody is found, and at intervals (:meth:`refresh_all`).

    :param load: looks up the speakers of a tenant.
    """

    log = Logger()

    def __init__(self, load: Callable[[str], Deferred[Speakers]], clock: IReactorTime) -> None:
        self._load = load
        self._clock = clock
        self._tenants: dict[str, _Tenant] = {}

    def speaking(self, tenant: str, pivot: str) -> tuple[str, ...]:
        """The logical names of the components that speak ``pivot``, as far as is known now."""
        known = self._tenants.get(tenant)
        return known.speakers.get(pivot, ()) if known is not None else ()

    def lists(self, tenant: str, logical_name: str) -> bool:
        """Whether it is known of this component which pivots it speaks."""
        known = self._tenants.get(tenant)
        return known is not None and logical_name in known.components

    def fresh(self, tenant: str) -> bool:
        """Whether what is known is hardly older than now."""
        known = self._tenants.get(tenant)
        return known is not None and self._clock.seconds() - known.as_of <= FRESH

    def refresh(self, tenant: str) -> Deferred[None]:
        """Look it up; fires when done, and fails as the look-up does."""
        known = self._tenants.setdefault(tenant, _Tenant())
        waiter: Deferred[None] = Deferred(known.waiters.remove)
        known.waiters.append(waiter)
        if not known.loading:
            self._begin(tenant, known)
        return waiter

    def saved(self, tenant: str) -> None:
        """A component of ``tenant`` was saved."""
        known = self._tenants.setdefault(tenant, _Tenant())
        known.as_of = float("-inf")
        if known.loading:
            known.again = True
        else:
            self._begin(tenant, known)

    def refresh_all(self) -> None:
        """Look up again whatever was used before."""
        for tenant, known in self._tenants.items():
            if not known.loading:
                self._begin(tenant, known)

    def _begin(self, tenant: str, known: _Tenant) -> None:
        began = self._clock.seconds()
        known.loading, known.again = True, False

        def loaded(speakers: Speakers) -> None:
            known.speakers = speakers
            if not known.again:
                known.as_of = began
            known.components = frozenset(name for names in speakers.values() for name in names)
            self._ended(tenant, known, None)

        def failed(failure: Failure) -> None:
            self.log.warn(
                "the components of tenant {tenant} cannot be looked up: {reason}",
                tenant=tenant,
                reason=failure.getErrorMessage(),
            )
            self._ended(tenant, known, failure)

        self._load(tenant).addCallbacks(loaded, failed)

    def _ended(self, tenant: str, known: _Tenant, failure: Failure | None) -> None:
        known.loading = False
        if known.again and failure is None:
            self._begin(tenant, known)
            return
        waiters, known.waiters = known.waiters, []
        for waiter in waiters:
            if failure is None:
                waiter.callback(None)
            else:
                waiter.errback(failure)
