"""The REST API of an aggregator, put together: its subjects, its two faces, and the open pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from gandalf.aggregator.commands import Commands
from gandalf.aggregator.control import Control
from gandalf.aggregator.event_queue import EventQueue
from gandalf.aggregator.events import Events
from gandalf.aggregator.replay import Replays
from gandalf.aggregator.status import AggregatorStatus
from gandalf.api.accounts import Accounts
from gandalf.api.cors import CORS
from gandalf.api.documentation import Documentation
from gandalf.api.edge import Edge
from gandalf.api.guard import Guard
from gandalf.api.health import HealthAPI
from gandalf.api.installation import Installation
from gandalf.api.operation import Route, routes_of
from gandalf.api.resources import Resources
from gandalf.api.root import Root
from gandalf.api.upstream.accounts import UpstreamAccounts
from gandalf.api.upstream.face import UpstreamFace
from gandalf.api.upstream.files import UpstreamFiles
from gandalf.api.upstream.installation import UpstreamTenants
from gandalf.api.upstream.rows import UpstreamRows
from gandalf.api.v1.accounts import V1Accounts
from gandalf.api.v1.commands import CommandsAPI
from gandalf.api.v1.events import EventsAPI
from gandalf.api.v1.face import V1Face
from gandalf.api.v1.installation import V1Installation
from gandalf.api.v1.operations import Operations
from gandalf.api.v1.resources import V1Resources
from gandalf.api.v1.trace import Trace
from gandalf.store.database import Database

QUEUED_EVENTS: Final = 10_000
QUEUED_BYTES: Final = 8 * 1024 * 1024
"""What waits at most for one slow client of the event stream."""


@attrs.frozen
class Tenancy:
    """What both faces stand on: who asks, log-ins, rows, and the cluster's part; `name` is the tenant's."""

    name: str
    guard: Guard
    accounts: Accounts
    resources: Resources
    installation: Installation


@attrs.frozen
class Running:
    """The instance that is looked at and steered; `database` is the tenant's, as it is at the moment."""

    observed: AggregatorStatus
    control: Control
    commands: Commands
    events: Events
    replays: Replays
    database: Callable[[], Database]
    clock: IReactorTime


def upstream_app(tenancy: Tenancy, ready: Callable[[], None]) -> Klein:
    """The Go system's API of a tenant; `ready` raises `NotReady` while it cannot be served."""
    subjects = [
        UpstreamAccounts(tenancy.accounts, tenancy.resources),
        UpstreamTenants(tenancy.resources, tenancy.guard, tenancy.installation, tenancy.name),
        UpstreamFiles(tenancy.guard),
    ]
    routes = [route for subject in subjects for route in routes_of(subject)]
    routes += UpstreamRows(tenancy.resources, tenancy.accounts.hash_for).routes()
    face = UpstreamFace()
    documentation = Documentation("Gandalf, as the Go system has it", "/ditrit/Gandalf/1.0.0", routes, face)
    return Edge(tenancy.guard, face, ready).app(documentation.routes)


def v1_app(tenancy: Tenancy, running: Running, ready: Callable[[], None]) -> Klein:
    """Today's API of a tenant, and of the instance that runs."""
    subjects = [
        V1Accounts(tenancy.accounts, tenancy.guard, tenancy.resources),
        V1Installation(tenancy.resources, tenancy.installation, tenancy.name),
        Operations(running.observed, running.control),
        CommandsAPI(running.commands, running.database, running.clock),
        EventsAPI(running.events, running.replays, lambda: EventQueue(QUEUED_EVENTS, QUEUED_BYTES), running.clock),
        Trace(running.database),
    ]
    routes: list[Route] = [route for subject in subjects for route in routes_of(subject)]
    routes += V1Resources(tenancy.resources, tenancy.accounts.hash_for).routes()
    face = V1Face()
    documentation = Documentation("Gandalf", "/api/v1", routes, face)
    return Edge(tenancy.guard, face, ready).app(documentation.routes)


def root(tenancy: Tenancy, running: Running, ready: Callable[[], None]) -> IResource:
    """All that an aggregator serves over HTTP."""
    pages = HealthAPI(running.observed).app
    return CORS(Root(upstream_app(tenancy, ready), v1_app(tenancy, running, ready), pages))
