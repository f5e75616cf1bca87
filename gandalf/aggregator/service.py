"""The aggregator as a service: wires the routing rules to the shoset, starts and ends it (protocol.md 6 and 8)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from gandalf.aggregator import serving
from gandalf.aggregator.admission import Admission
from gandalf.aggregator.commands import Commands
from gandalf.aggregator.control import Control, LogLevel
from gandalf.aggregator.database import TenantDatabase
from gandalf.aggregator.ending import Ending
from gandalf.aggregator.events import Events
from gandalf.aggregator.installation import ClusterInstallation, Fetch
from gandalf.aggregator.local import LocalOrigin
from gandalf.aggregator.replay import Replays
from gandalf.aggregator.requests import (
    ClusterRequests,
    RequestFailed,
    SecretRefused,
    database_uri,
    parsed,
    payload_text,
)
from gandalf.aggregator.spool import Spool
from gandalf.aggregator.startup import Startup
from gandalf.aggregator.status import AggregatorStatus
from gandalf.api.accounts import Accounts
from gandalf.api.attempts import Attempts
from gandalf.api.errors import NotReady
from gandalf.api.guard import Guard
from gandalf.api.resources import Resources
from gandalf.api.root import refusal
from gandalf.api.site import SilentSite
from gandalf.config import AggregatorConfig
from gandalf.network import BindFailed, CertificateNames, Listen, limits_of, rates_of
from gandalf.retry import retried
from gandalf.routing.aggregator import AggregatorRouter
from gandalf.routing.charge import Charge
from gandalf.routing.failures import WRONG_TENANT
from gandalf.routing.link import AGGREGATOR, CLUSTER, CONNECTOR
from gandalf.shoset.dialler import Connect
from gandalf.shoset.diallers import Diallers
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.host import Refusal
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.session import KeptFrame
from gandalf.shoset.settings import Identity
from gandalf.store.database import Database
from gandalf.wire.control import BrothersBody, LinkBody
from gandalf.wire.envelope import Frame
from gandalf.wire.kinds import HEARTBEAT
from gandalf.wire.runs import Run

HEARTBEAT_INTERVAL = 60.0
"""Seconds between the aggregator's own heartbeats (protocol.md 6.4c)."""

PIVOT = "aggregator"
MAJOR, MINOR = 1, 0
"""The pivot of this program, and the version of it that is implemented here."""


class AggregatorService:
    """One instance of a tenant's aggregator; implements :class:`gandalf.shoset.host.Host`.

    :param clock: time for every timer and interval.
    :param connect: dials a cluster member.
    :param listen: listens for connectors on an address of the configuration.
    :param listen_http: listens for clients of the API.
    :param certificate_names: the names that a connector's certificate bears (protocol.md 5.1).
    :param database: where the tenant's database is kept open.
    :param now: seconds since the epoch.
    :param random: as ``os.urandom``.
    :param jitter: a random number from 0 to 1.
    :param in_thread: calls a function that takes its time away from the reactor.
    :param fetch: gets a file over HTTP.
    :param spool: keeps events while the whole cluster is away; None: connectors keep them.
    :param failed: called when the instance cannot go on while it runs: the cluster refuses its secret.
    :param drain_requested: asks the program to end in good order, as ``SIGTERM`` does; again: nothing more.
    :param log_level: where the level of the log is changed.
    """

    log = Logger()

    def __init__(
        self,
        config: AggregatorConfig,
        *,
        clock: IReactorTime,
        connect: Connect,
        listen: Listen,
        listen_http: Listen,
        certificate_names: CertificateNames,
        database: TenantDatabase,
        now: Callable[[], float],
        random: Callable[[int], bytes],
        jitter: Callable[[], float],
        failed: Callable[[Exception], None],
        drain_requested: Callable[[], None],
        log_level: LogLevel,
        in_thread: Callable[..., Deferred[Any]],
        fetch: Fetch,
        spool: Spool | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        own = config.aggregator
        self._max_timeout = own.max_timeout / 1000
        self._listen, self._listen_http = listen, listen_http
        self._failed = failed
        self._jitter = jitter
        self._named = ""
        self._tasks: set[Deferred[None]] = set()
        self._ports: list[IListeningPort] = []
        self._linked: Deferred[None] = Deferred()
        self._validated: Deferred[None] = Deferred()
        limits = limits_of(config.limits)
        self.shoset = ShosetFactory(
            Identity(own.logical_name, AGGREGATOR, own.tenant, random(16), str(own.advertise)),
            limits,
            self,
            clock=clock,
            now=now,
            random=random,
            max_timeout=self._max_timeout,
            certificate_names=certificate_names,
        )
        self.router = AggregatorRouter(
            own.tenant,
            self.shoset.registry,
            self.shoset.frame,
            clock=clock,
            now=now,
            max_timeout=self._max_timeout,
            duplicate_window=limits.duplicate_window,
            database=self._database_named,
            logical_name=own.logical_name,
            pending_bytes=limits.pending_bytes,
            keeper=spool,
        )
        self.spool = spool
        if spool is not None:
            spool.serve(self.router, self.shoset.registry, self.shoset.batch)
        rates = rates_of(config.limits)
        self.admission = Admission(rates, own.tenant, self.router.errors, clock) if rates.limited else None
        """Limits on what connectors send, if there are any."""
        self._ending = Ending(self.shoset, self.router, clock)
        self.diallers = Diallers(self.shoset, connect, jitter=jitter)
        self.database = database
        self._origin = LocalOrigin(own.logical_name, own.tenant, limits.max_frame)
        self.commands = Commands(
            self.router, self._origin, self.shoset.frame, clock=clock, now=now, max_timeout=self._max_timeout
        )
        self.events = Events(self.router, self._origin, self.shoset.frame, now=now)
        self.replays = Replays(self.events, lambda: database.current, clock)
        self.control = Control(config, log_level, drain_requested)
        self.startup = Startup(self, clock, fatal=(BindFailed, SecretRefused), jitter=jitter)
        self._requests = ClusterRequests(
            self.router.own,
            lambda: self.shoset.registry.of_type(CLUSTER),
            self.shoset.frame,
            self._max_timeout,
        )
        self._heartbeat = LoopingCall(self._send_heartbeat)
        self._heartbeat.clock = clock
        self.observed = AggregatorStatus(self.shoset, self.router, self.startup, self.diallers, self.admission, spool)
        self._api = serving.root(self._tenancy(in_thread, fetch, now), self._running(), self._require_ready)

    def _tenancy(
        self, in_thread: Callable[..., Deferred[Any]], fetch: Fetch, now: Callable[[], float]
    ) -> serving.Tenancy:
        own, api = self.config.aggregator, self.config.api
        guard = Guard(self._current_database, own.tenant, api.writers, now)
        accounts = Accounts(guard, self._current_database, Attempts(self.clock), in_thread)
        resources = Resources(guard, two_administrators=api.two_administrators)
        installation = ClusterInstallation(self._requests, own.logical_name, fetch, in_thread)
        return serving.Tenancy(own.tenant, guard, accounts, resources, installation)

    def _running(self) -> serving.Running:
        return serving.Running(
            self.observed,
            self.control,
            self.commands,
            self.events,
            self.replays,
            self._current_database,
            self.clock,
        )

    def _current_database(self) -> Database:
        return self.database.current

    def _require_ready(self) -> None:
        """The API answers when the start-up is done, and until the end."""
        if not self.startup.ready:
            raise NotReady(f"this aggregator is starting: {self.startup.current}")

    # Start and end.

    async def start(self) -> None:
        """Do the steps of protocol.md 8; done when the API answers.

        :raises BindFailed: an address cannot be listened on.
        :raises SecretRefused: the cluster does not accept the secret.
        """
        identity = self.shoset.identity
        self.log.info(
            "aggregator {name} of tenant {tenant}, instance {instance}",
            name=identity.logical_name,
            tenant=identity.tenant,
            instance=identity.instance.hex(),
        )
        if self.spool is not None:
            await self.spool.open()
        await self.startup.run()
        self.log.info(
            "ready: connectors dial {address}, the API is at http://{api}",
            address=identity.bind_address,
            api=self.config.api.listen,
        )

    async def drain(self) -> None:
        """End in good order (protocol.md 5.2): what is pending finishes, or its time is over."""
        self._origin.dismiss("DRAINING", "this instance stops; use its brothers")
        drained = await self._ending.drain(self.config.aggregator.drain_timeout / 1000)
        self.log.info(
            "drained: {drained}; {asked} commands of the API had no outcome yet",
            drained=str(drained),
            asked=self.commands.in_flight,
        )
        await self.stop()

    async def stop(self) -> None:
        """Let go of everything."""
        self._origin.dismiss("DRAINING", "this instance stops")
        self.commands.stop()
        self.events.stop()
        self.diallers.stop()
        if self._heartbeat.running:
            self._heartbeat.stop()
        for task in list(self._tasks):
            task.cancel()
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        for link in self.shoset.registry:
            link.dismiss("DRAINING", "this instance stops")
        await self.shoset.close()
        self.shoset.stop()
        if self.admission is not None:
            self.admission.stop()
        if self.spool is not None:
            await self.spool.close()
        await self.database.close()

    # Steps of protocol.md 8.

    async def open_communication(self) -> None:
        """Listen, link to every cluster address; done when one link is up."""
        if not self._ports:
            own, api = self.config.aggregator, self.config.api
            site = SilentSite(self._api, reactor=self.clock, refusal=refusal)
            self._ports.append(await self._listen_http(api.listen, site, "api.listen"))
            self._ports.append(await self._listen(own.listen, self.shoset, "aggregator.listen"))
            self.diallers.start(str(address) for address in own.cluster)
        await self._linked

    async def prove_secret(self) -> None:
        """Each link proves the secret when it comes up; done when one is accepted."""
        await self._validated
        self._heartbeat.start(HEARTBEAT_INTERVAL)

    async def configure(self) -> None:
        """The pivot of this version, then what this component is: saved and fetched; connectors are heard."""
        pivot = {"name": PIVOT, "major": MAJOR, "minor": MINOR}
        await self._requests.pivot(pivot)
        await self._requests.logical_configuration(
            {"logicalname": self.shoset.identity.logical_name, "type": PIVOT, "pivot": pivot}
        )
        with self.shoset.batch:
            self.router.open()

    async def open_database(self) -> None:
        """Connect to the database that the cluster names."""
        own = self.shoset.identity
        await self.database.use(await self._requests.database(own.logical_name, own.tenant))

    async def open_api(self) -> None:
        """The API has been listening all along to show the start-up; from now on it says that it is ready."""

    # shoset.host.Host

    def admit(self, hello: LinkBody, tenant: str) -> Refusal | None:
        """A connector of another tenant is not let in (protocol.md 5.1)."""
        own = self.shoset.identity.tenant
        if tenant != own:
            return Refusal(WRONG_TENANT, f"this aggregator serves tenant {own!r}, not {tenant!r}")
        return None

    def link_up(self, link: ShosetLink, resumed: bool) -> None:
        """A member has to hear our secret first; a connector proves its own."""
        if link.type != CLUSTER:
            self.router.link_up(link)
            return
        if self.diallers.same_instance(link):
            return
        self.router.to_cluster.member_linked(link)
        if not self._linked.called:
            self._linked.callback(None)
        if self.shoset.draining:
            self._ending.say_bye(link)
        if link.validated:
            self.router.link_up(link)
        else:
            self._spawn(self._prove(link))

    def link_leaving(self, link: ShosetLink) -> None:
        """Finish what is pending there."""
        self.router.leaving(link, link.part)

    def link_down(self, link: ShosetLink) -> None:
        """What waits there goes elsewhere."""
        self.router.link_lost(link)
        self._ending.link_down()

    def link_gone(self, link: ShosetLink) -> None:
        """Nothing waits for it any more."""
        self.router.link_gone(link)
        if self.admission is not None:
            self.admission.forget(link)

    def link_relieved(self, link: ShosetLink) -> None:
        """Whoever was held up is read again."""
        self.router.relieved()

    def frame_received(self, frame: Frame, link: ShosetLink) -> Charge | None:
        """Protocol.md 6, within the limits on what connectors send."""
        if self.admission is not None and link.type == CONNECTOR and not self.admission.let_through(frame, link):
            return None
        return self.router.route(frame, link)

    def run_received(self, run: Run, link: ShosetLink) -> Charge | None:
        """The same, for frames alike; a run that is not wholly within the limits comes frame by frame."""
        if self.admission is None or link.type != CONNECTOR:
            return self.router.route_run(run, link)
        if not self.admission.let_run_through(run, link):
            return None
        charge = self.router.route_run(run, link)
        if charge is None:
            self.admission.run_came_apart(run, link)
        return charge

    def frame_expired(self, kept: KeptFrame, link: ShosetLink) -> None:
        """Protocol.md 5.3."""
        frame, _, charge = kept
        self.router.let_go(frame, charge, link)

    def brothers_received(self, brothers: BrothersBody, link: ShosetLink) -> None:
        """A member tells of its peers, or of our own brothers (protocol.md 9)."""
        if link.type != CLUSTER:
            # Whom we name to connectors is what they dial, and show their secrets to.
            self.router.counters["brothers told by a connector"] += 1
        elif brothers.logical_name == self.shoset.identity.logical_name:
            own = self.shoset.identity.bind_address
            self.shoset.set_brothers(tuple(address for address in brothers.addresses if address != own))
        else:
            self.diallers.told(link.address, brothers.addresses)

    # What goes on beside.

    async def _prove(self, link: ShosetLink) -> None:
        """Send ``VALIDATION`` over ``link``, again if nobody could say, until it is accepted or broken."""
        identity, connection = self.shoset.identity, link.connection
        context: dict[str, object] = {
            "component_type": PIVOT,
            "logical_name": identity.logical_name,
            "bind_address": identity.bind_address,
            "secret": self.config.aggregator.secret.get_secret_value(),
            "instance": identity.instance,
        }
        try:
            await retried(
                f"secret at {link.address}",
                lambda: self._requests.validate(link, context),
                self.clock,
                self._jitter,
                fatal=(SecretRefused,),
                wanted=lambda: link.connection is connection,
            )
        except SecretRefused as error:
            self._refused(error)
        if link.validated:
            self.router.link_up(link)
            self.router.introduce(link)
            if not self._validated.called:
                self._validated.callback(None)

    def _refused(self, error: SecretRefused) -> None:
        refusal = SecretRefused(f"the cluster refuses the secret of this aggregator: {error}")
        if self._validated.called:
            self._failed(refusal)
        else:
            self._validated.errback(refusal)

    def _send_heartbeat(self) -> None:
        identity = self.shoset.identity
        context = {
            "component_type": PIVOT,
            "logical_name": identity.logical_name,
            "bind_address": identity.bind_address,
        }
        heartbeat = self.shoset.frame(HEARTBEAT, {"event": "HEARTBEAT", "context": context})
        for link in self.shoset.registry.of_type(CLUSTER):
            if link.available and link.validated:
                link.send(heartbeat)

    def _database_named(self, frame: Frame) -> None:
        """The cluster names the database unasked, when the credentials were rotated (protocol.md 6.4b)."""
        try:
            payload = parsed(payload_text(frame), "CONFIGURATION_DATABASE")
            self._named = database_uri(payload, self.shoset.identity.tenant)
        except RequestFailed as error:
            self.log.error("configurationDatabase from the cluster cannot be used: {error}", error=str(error))
            return
        dsn = self._named
        self._spawn(
            retried(
                "new database",
                lambda: self.database.use(dsn),
                self.clock,
                self._jitter,
                wanted=lambda: self._named == dsn,
            )
        )

    def _connectors(self) -> list[ShosetLink]:
        return [link for link in self.shoset.registry if link.type != CLUSTER]

    def _spawn(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        """Let ``work`` go on beside; it ends with the service."""
        task = ensureDeferred(work)
        self._tasks.add(task)

        def ended(result: object) -> object:
            self._tasks.discard(task)
            if isinstance(result, Failure):
                result.trap(CancelledError)
            return None

        task.addBoth(ended)
        task.addErrback(lambda failure: self.log.failure("a task of the aggregator failed", failure))
