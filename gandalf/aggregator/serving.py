"""The REST API of an aggregator, put together: what it is given, and the faces that it shows."""

from __future__ import annotations

from collections.abc import Callable

from klein import Klein

from gandalf.api.accounts import Accounts
from gandalf.api.edge import Edge
from gandalf.api.guard import Guard
from gandalf.api.installation import Installation
from gandalf.api.operation import Route, routes_of
from gandalf.api.resources import Resources
from gandalf.api.upstream.accounts import UpstreamAccounts
from gandalf.api.upstream.face import UpstreamFace
from gandalf.api.upstream.files import UpstreamFiles
from gandalf.api.upstream.installation import UpstreamTenants
from gandalf.api.upstream.rows import UpstreamRows


def upstream_routes(
    guard: Guard, accounts: Accounts, resources: Resources, installation: Installation, tenant: str
) -> list[Route]:
    """All operations of the Go system's API."""
    subjects = [
        UpstreamAccounts(accounts, resources),
        UpstreamTenants(resources, guard, installation, tenant),
        UpstreamFiles(guard),
    ]
    routes = [route for subject in subjects for route in routes_of(subject)]
    return [*routes, *UpstreamRows(resources, accounts.hash_for).routes()]


def upstream_app(
    guard: Guard,
    accounts: Accounts,
    resources: Resources,
    installation: Installation,
    tenant: str,
    ready: Callable[[], None],
) -> Klein:
    """The Go system's API of a tenant; `ready` raises `NotReady` while it cannot be served."""
    routes = upstream_routes(guard, accounts, resources, installation, tenant)
    return Edge(guard, UpstreamFace(), ready).app(routes)
