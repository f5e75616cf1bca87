"""A cluster member as a program: wires the rules to the shoset and the database, starts and ends (protocol.md 9)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from gandalf.api.operations import OperationsAPI
from gandalf.api.site import SilentSite
from gandalf.cluster import rotation
from gandalf.cluster.authority import Authority
from gandalf.cluster.brothers import INTERVAL, Brothers
from gandalf.cluster.component_secrets import ComponentSecrets
from gandalf.cluster.configurations import Configurations
from gandalf.cluster.databases import Databases
from gandalf.cluster.directory import Directory
from gandalf.cluster.presence import Presence
from gandalf.cluster.requests import Requests, merged
from gandalf.cluster.resolution import Resolver
from gandalf.cluster.rotation import Rotation
from gandalf.cluster.router import ClusterRouter
from gandalf.cluster.status import MemberStatus
from gandalf.cluster.tenants import POOL_SIZE, Tenants
from gandalf.cluster.validation import Validation
from gandalf.config import ClusterConfig
from gandalf.network import certificate_names, limits_of, listen
from gandalf.retry import retried
from gandalf.routing.charge import Charge
from gandalf.routing.failures import WRONG_TENANT
from gandalf.routing.link import AGGREGATOR, CLUSTER, Link
from gandalf.shoset.factory import ShosetFactory
from gandalf.shoset.host import Refusal
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.session import KeptFrame
from gandalf.shoset.settings import Identity
from gandalf.shoset.tls import Credentials
from gandalf.store.database import Database
from gandalf.store.defaults import Defaults
from gandalf.store.dsn import masked
from gandalf.store.errors import DatabaseUnavailable, StoreError
from gandalf.store.seed import CONTROL_TENANT
from gandalf.store.speakers import speakers_txn
from gandalf.store.tenants import bootstrap, control_dsn
from gandalf.wire.control import BrothersBody, LinkBody
from gandalf.wire.envelope import Frame
from gandalf.wire.runs import Run

UPKEEP: Final = 10.0
"""Seconds between two looks at what may have been changed by others: tenants, components; and at who is absent."""

FAREWELL: Final = 2.0
"""Seconds that saying good-bye to the other members may take."""


class ClusterMember:
    """One member of the cluster; implements :class:`gandalf.shoset.host.Host`.

    :param defaults: the definitions that every tenant can have.
    :param reactor: network, time and threads.
    :param now: seconds since the epoch.
    :param random: as ``os.urandom``.
    :param jitter: a random number from 0 to 1.
    """

    log = Logger()

    def __init__(
        self,
        config: ClusterConfig,
        credentials: Credentials | None,
        defaults: Defaults,
        *,
        reactor: Any,
        now: Callable[[], float],
        random: Callable[[int], bytes],
        jitter: Callable[[], float],
    ) -> None:
        self.config = config
        self.clock = reactor
        self._created = reactor.seconds()
        own = config.cluster
        self._credentials = credentials
        self._reactor = reactor
        self._now = now
        self._jitter = jitter
        self._admin = own.database.get_secret_value()
        self._ports: list[IListeningPort] = []
        limits = limits_of(config.limits)
        max_timeout = own.max_timeout / 1000
        self.shoset = ShosetFactory(
            Identity(own.logical_name, CLUSTER, CONTROL_TENANT, random(16), str(own.advertise)),
            limits,
            self,
            clock=reactor,
            now=now,
            random=random,
            max_timeout=max_timeout,
            certificate_names=certificate_names(credentials),
        )
        self.control = Database(control_dsn(self._admin), reactor=reactor)
        self.tenants = Tenants(
            self.control,
            reactor,
            lambda tenant, hold: self.router.hold(tenant, hold),
            open_database=lambda dsn: Database(dsn, reactor=reactor, pool_size=POOL_SIZE),
            queued_records=config.trace.queued_records,
            queued_bytes=config.trace.queued_bytes,
        )
        self.presence = Presence(reactor.seconds)
        self.directory = Directory(
            lambda tenant: self.tenants.get(tenant).database.run("components by pivot", speakers_txn), reactor
        )
        self.validation = Validation(self.control, self.presence, now, self._validated)
        authority = Authority(own.administrators, self.tenants.exists)
        configurations = Configurations(
            lambda tenant: self.tenants.get(tenant).database, authority, defaults, self.directory.saved, now
        )
        self._rotation = Rotation(self.control, lambda: self.shoset.registry.of_type(AGGREGATOR), self.shoset.frame)
        databases = Databases(
            self.control, authority, now, lambda tenant: self.tenants.refresh(), self._rotation.handed_out
        )
        component_secrets = ComponentSecrets(self.control, authority, now)
        self.requests = Requests(
            merged(self.validation.handlers, configurations.handlers, databases.handlers, component_secrets.handlers),
            self.shoset.frame,
            lambda link, reply: self.router.reply(link, reply),
        )
        self.router = ClusterRouter(
            self.shoset.frame,
            clock=reactor,
            now=now,
            max_timeout=max_timeout,
            duplicate_window=limits.duplicate_window,
            presence=self.presence,
            resolver=Resolver(self.directory, self.presence, reactor),
            record=lambda tenant, record, done: self.tenants.get(tenant).recorder.record(record, done),
            request=self.requests.received,
            member=str(own.advertise),
            pending_bytes=limits.pending_bytes,
        )
        self.shown = MemberStatus(
            self.shoset,
            self.router,
            self.tenants,
            self.presence,
            self.requests,
            self.validation,
            database=masked(self.control.dsn),
        )
        self.brothers = Brothers(self.control, self.shoset)
        self._announcement: Deferred[None] | None = None
        """One that is not at its time, because an aggregator has come."""
        self._announcing = self._loop(self._announce)
        self._rotating = self._loop(self._rotation.look)
        self._upkeep = self._loop(self._keep_up)

    # Start and end.

    async def start(self) -> None:
        """Reach the database, bring its tables up to date, then listen; done when aggregators can link.

        :raises BindFailed: an address cannot be listened on.
        :raises StoreError: the database does not let this member do its work.
        """
        identity, config = self.shoset.identity, self.config
        self.log.info(
            "cluster member {name}, instance {instance}", name=identity.logical_name, instance=identity.instance.hex()
        )
        if config.status.listen is not None:
            site = SilentSite(OperationsAPI(self.shown).resource(), reactor=self._reactor)
            self._ports.append(await listen(self._reactor, config.status.listen, site, None, "status.listen"))
        self.shown.state = "starting: database"
        await retried("database", self._open, self._reactor, self._jitter, expected=(DatabaseUnavailable,))
        self.shown.state = "starting: listening"
        self._ports.append(
            await listen(self._reactor, config.cluster.listen, self.shoset, self._credentials, "cluster.listen")
        )
        self._announcing.start(INTERVAL)
        self._upkeep.start(UPKEEP, now=False)
        self._rotating.start(rotation.INTERVAL, now=False)
        self.shown.state, self.shown.trouble = "ready", ""
        self.log.info(
            "ready: aggregators dial {address}; {count} tenants; started in {took:.3f} s",
            address=identity.bind_address,
            count=len(self.tenants.names),
            took=self.clock.seconds() - self._created,
        )

    async def drain(self) -> None:
        """End in good order (protocol.md 5.2): what is pending has its time to finish, and the trace is written."""
        shoset, router = self.shoset, self.router
        began = self.clock.seconds()
        limit = self.config.cluster.drain_timeout / 1000
        pending, unsettled = router.pending, router.unsettled
        self.shown.state, shoset.draining = "draining", True
        self._stop_loops()
        # The others shall not send anybody here any more; it need not be waited for.
        self._spawn(self._say_farewell())
        with shoset.batch:
            for link in shoset.registry:
                # We still send: the commands that came before they heard it go on, and what answers them.
                link.say_bye("DRAINING", "this member stops; use its brothers", sends=True)
        quiet = router.quiet()
        quiet.addTimeout(limit, self.clock)
        with suppress(TimeoutError):
            await quiet
        given_up = await self.tenants.flush(max(limit - (self.clock.seconds() - began), 0.0))
        self.log.info(
            "drained: {finished} of {pending} pending commands and {recorded} of {unsettled} events finished;"
            " {left} commands and {given_up} records were given up",
            finished=max(pending - router.pending, 0),
            pending=pending,
            recorded=max(unsettled - router.unsettled, 0),
            unsettled=unsettled,
            left=router.pending,
            given_up=given_up,
        )
        await self.stop()

    async def stop(self) -> None:
        """Let go of everything."""
        self.shown.state = "stopping"
        self._stop_loops()
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        self.requests.stop()
        with self.shoset.batch:
            for link in self.shoset.registry:
                link.finish()
        await self.shoset.close()
        self.shoset.stop()
        await self.tenants.flush(0.0)
        await self.tenants.close()
        await self._say_farewell()
        await self.control.close()

    # shoset.host.Host

    def admit(self, hello: LinkBody, tenant: str) -> Refusal | None:
        """An aggregator of a tenant that is not known is not let in; it comes again if the tenant is new."""
        if self.tenants.known(tenant):
            return None
        return Refusal(WRONG_TENANT, f"this cluster has no tenant {tenant!r}")

    def link_up(self, link: ShosetLink, resumed: bool) -> None:
        """It is told who else there is; its secret comes next."""
        self.router.link_up(link)
        self.brothers.link_up(link)

    def link_leaving(self, link: ShosetLink) -> None:
        """Finish what is pending there."""
        self.router.leaving(link, link.part)

    def link_down(self, link: ShosetLink) -> None:
        """What waits there goes elsewhere."""
        self.router.link_lost(link)

    def link_gone(self, link: ShosetLink) -> None:
        """Nobody is behind it any more."""
        self.router.link_gone(link)
        self.brothers.link_gone(link)

    def link_relieved(self, link: ShosetLink) -> None:
        """Nobody was held up by it: an aggregator that does not keep up is closed, and catches up (5.3, 6.7)."""

    def frame_received(self, frame: Frame, link: ShosetLink) -> Charge | None:
        """Protocol.md 9."""
        return self.router.route(frame, link)

    def run_received(self, run: Run, link: ShosetLink) -> Charge | None:
        """The same, for frames alike."""
        return self.router.route_run(run, link)

    def frame_expired(self, kept: KeptFrame, link: ShosetLink) -> None:
        """Protocol.md 5.3: a command that was here has gone to others, or timed out, by itself."""
        self.router.counters["expired"] += 1

    def brothers_received(self, brothers: BrothersBody, link: ShosetLink) -> None:
        """Whom a member dials nobody has to tell: it dials nobody."""

    # What goes on beside.

    async def _open(self) -> None:
        """Make the control database or bring it up to date; know the tenants."""
        try:
            now = int(self._now() * 1000)
            if await self.control.call("make the control database", bootstrap, self._admin, now=now) is not None:
                # Their passwords may be told once, but not to a log.
                self.log.warn("the control database was new; the passwords of its administrators have to be set anew")
            await self.tenants.load()
        except StoreError as error:
            self.shown.trouble = str(error)
            raise

    def _validated(self, link: Link) -> None:
        """An aggregator may take part: its tenant is going to be used, and its brothers are to be told."""
        self.directory.refresh(link.tenant).addErrback(lambda failure: failure.trap(StoreError))
        if self._announcement is None:
            self._announcement = self._spawn(self._announce())
            self._announcement.addBoth(self._announced)

    def _announced(self, _: object) -> None:
        self._announcement = None

    async def _announce(self) -> None:
        try:
            await self.brothers.announce()
            self.shown.trouble = ""
        except DatabaseUnavailable as error:
            if not self.shown.trouble:
                self.log.warn("this member cannot be announced: {reason}", reason=str(error))
            self.shown.trouble = str(error)

    async def _keep_up(self) -> None:
        self.tenants.refresh()
        self.directory.refresh_all()
        self.presence.expire()

    async def _say_farewell(self) -> None:
        """Tell the other members; a database that is away is not waited for."""
        farewell = ensureDeferred(self.brothers.leave())
        farewell.addTimeout(FAREWELL, self.clock)
        with suppress(StoreError, TimeoutError):
            await farewell

    def _stop_loops(self) -> None:
        for loop in (self._announcing, self._upkeep, self._rotating):
            if loop.running:
                loop.stop()

    def _loop(self, work: Callable[[], Any]) -> LoopingCall:
        loop = LoopingCall(lambda: self._spawn(work()))
        loop.clock = self._reactor
        return loop

    def _spawn(self, work: Any) -> Deferred[None]:
        return ensureDeferred(work).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("a task of the member failed", failure)
