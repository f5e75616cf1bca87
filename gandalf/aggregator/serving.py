"""The REST API of an aggregator, put together: what it is given, and the two faces that it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.web.resource import IResource

from gandalf.aggregator.installation import ClusterInstallation, Fetch
from gandalf.aggregator.requests import ClusterRequests
from gandalf.api.accounts import Accounts
from gandalf.api.attempts import Attempts
from gandalf.api.cors import CORS
from gandalf.api.edge import Edge
from gandalf.api.guard import Guard
from gandalf.api.operation import Route, routes_of
from gandalf.api.resources import Resources
from gandalf.api.root import Root
from gandalf.api.upstream.accounts import UpstreamAccounts
from gandalf.api.upstream.face import UpstreamFace
from gandalf.api.upstream.files import UpstreamFiles
from gandalf.api.upstream.installation import UpstreamTenants
from gandalf.api.upstream.rows import UpstreamRows
from gandalf.config import AggregatorConfig
from gandalf.store.database import Database


@attrs.frozen
class Surroundings:
    """What the API needs of the process.

    `seconds` is the clock, `now` the time in seconds since the epoch; `in_thread` calls a function that takes its
    time away from the reactor; `fetch` gets a file over HTTP; `database` is the tenant's, as it is at the moment;
    `ready` raises `NotReady` while requests cannot be served.
    """

    config: AggregatorConfig
    seconds: Callable[[], float]
    now: Callable[[], float]
    in_thread: Callable[..., Deferred[Any]]
    fetch: Fetch
    database: Callable[[], Database]
    requests: ClusterRequests
    ready: Callable[[], None]


def upstream_routes(around: Surroundings, guard: Guard, accounts: Accounts, resources: Resources) -> list[Route]:
    """All operations of the Go system's API."""
    own = around.config.aggregator
    installation = ClusterInstallation(around.requests, own.logical_name, around.fetch, around.in_thread)
    subjects = [
        UpstreamAccounts(accounts, resources),
        UpstreamTenants(resources, guard, installation, own.tenant),
        UpstreamFiles(guard),
    ]
    routes = [route for subject in subjects for route in routes_of(subject)]
    return [*routes, *UpstreamRows(resources, accounts.hash_for).routes()]
