"""Opening a link (protocol.md 5.1): the two sides of the handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gandalf.shoset.host import Refusal
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.protocol import ShosetProtocol
from gandalf.shoset.settings import DIALS
from gandalf.wire import kinds
from gandalf.wire.control import PROTOCOL, LinkBody, LinkedBody, RefusedBody
from gandalf.wire.envelope import Frame
from gandalf.wire.errors import Malformed

if TYPE_CHECKING:
    from gandalf.shoset.dialler import Dialler
    from gandalf.shoset.factory import ShosetFactory

FINAL_REFUSALS = frozenset({"UNSUPPORTED_VERSION", "WRONG_TYPE"})
"""Refusals after which a dialler does not come again."""


class ListenerProtocol(ShosetProtocol):
    """The side that was dialled: waits for ``link``, answers ``linked`` or ``refused``."""

    def handshake(self, frame: Frame) -> None:
        """The dialler's first frame."""
        if frame.kind != kinds.LINK:
            raise Malformed(f"the first frame must be link, not {frame.kind}")
        hello = LinkBody.parse(frame.body)
        refusal = self._judge(hello, frame.tenant)
        if refusal is not None:
            self.life.refuse(refusal.code, refusal.message)
            return
        shoset = self.shoset
        link = shoset.registry.session(hello.session)
        expired = []
        resumed = link is not None
        if link is None:
            link = ShosetLink(shoset, hello.session, sheds=True)
            link.logical_name, link.type, link.tenant = hello.logical_name, hello.type, frame.tenant
            link.instance = hello.instance
        else:
            # A count that cannot be is refused here as malformed, and leaves the session as it was.
            expired = link.outbox.resume(hello.received, shoset.clock.seconds())
            link.counters.resent += link.outbox.unsent
            link.inbox.resume()
        link.bind_address = hello.bind_address
        self._subscribe(link, hello)
        self.set_interval(hello.heartbeat)
        self.say(
            kinds.LINKED,
            LinkedBody(
                protocol=PROTOCOL,
                logical_name=shoset.identity.logical_name,
                type=shoset.identity.type,
                instance=shoset.identity.instance,
                received=link.inbox.received,
                heartbeat=int(shoset.limits.heartbeat * 1000),
                max_frame=shoset.limits.max_frame,
                brothers=shoset.brothers,
                resumed=resumed,
            ).pack(),
        )
        shoset.link_up(link, self, resumed=resumed)
        for kept in expired:
            shoset.host.frame_expired(kept, link)

    @staticmethod
    def _subscribe(link: ShosetLink, hello: LinkBody) -> None:
        try:
            link.subscribe(hello.topics)
        except ValueError as error:
            raise Malformed(f"body: topics: {error}") from None

    def _judge(self, hello: LinkBody, tenant: str) -> Refusal | None:
        """Why this dialler is not let in, if it is not; the order is from the most to the least lasting."""
        shoset = self.shoset
        if hello.protocol != PROTOCOL:
            return Refusal("UNSUPPORTED_VERSION", f"protocol {PROTOCOL} is spoken here, not {hello.protocol}")
        if DIALS.get(hello.type) != shoset.identity.type:
            return Refusal("WRONG_TYPE", f"a peer of type {hello.type!r} may not link to {shoset.identity.type!r}")
        if not hello.logical_name:
            return Refusal("MALFORMED", "logical_name must not be empty")
        refusal = shoset.host.admit(hello, tenant)
        if refusal is not None:
            return refusal
        names = shoset.certificate_names(self.transport)
        if names is not None and hello.logical_name not in names:
            return Refusal("NOT_AUTHORISED", f"the certificate does not bear the name {hello.logical_name!r}")
        link = shoset.registry.session(hello.session)
        if link is not None and (link.instance, link.logical_name) != (hello.instance, hello.logical_name):
            return Refusal("NOT_AUTHORISED", "this session was opened by another instance or logical name")
        if shoset.draining:
            return Refusal("DRAINING", "this instance is about to stop; use its brothers")
        if len(shoset.connections) > shoset.limits.max_connections:
            return Refusal("OVERLOADED", f"no more than {shoset.limits.max_connections} connections")
        return None


class DiallerProtocol(ShosetProtocol):
    """The side that dials: says ``link``, waits for ``linked``."""

    def __init__(self, factory: ShosetFactory, dialler: Dialler) -> None:
        super().__init__(factory)
        self._dialler = dialler
        self._target = dialler.link

    def begin(self) -> None:
        """Say who dials, and how much of the session was received."""
        shoset = self.shoset
        self.say(
            kinds.LINK,
            LinkBody(
                protocol=PROTOCOL,
                logical_name=shoset.identity.logical_name,
                type=shoset.identity.type,
                bind_address=shoset.identity.bind_address,
                instance=shoset.identity.instance,
                session=self._target.session,
                received=self._target.inbox.received,
                heartbeat=int(shoset.limits.heartbeat * 1000),
                topics=self._dialler.topics,
            ).pack(),
        )

    def handshake(self, frame: Frame) -> None:
        """The listener's answer."""
        if frame.kind == kinds.REFUSED:
            refused = RefusedBody.parse(frame.body)
            self._dialler.refused(refused.code, refused.message)
            self.life.finished()
            return
        if frame.kind != kinds.LINKED:
            raise Malformed(f"the answer to link must be linked or refused, not {frame.kind}")
        answer = LinkedBody.parse(frame.body)
        if answer.protocol != PROTOCOL:
            self.life.refuse("UNSUPPORTED_VERSION", f"protocol {PROTOCOL} is spoken here, not {answer.protocol}")
        elif answer.type != DIALS[self.shoset.identity.type]:
            self.life.refuse("WRONG_TYPE", f"a peer of type {answer.type!r} is not what was dialled")
        else:
            self._linked(answer, frame.tenant)

    def _linked(self, answer: LinkedBody, tenant: str) -> None:
        shoset, link = self.shoset, self._target
        now = shoset.clock.seconds()
        resumed = (
            link.instance == answer.instance
            and answer.resumed is not False
            and answer.received >= link.outbox.acknowledged
        )
        if resumed:
            expired = link.outbox.resume(answer.received, now)
            link.inbox.resume()
        else:
            expired = link.outbox.restart(now, now - shoset.limits.session_keep)
            link.inbox.restart()
            link.validated = False
        link.counters.resent += link.outbox.unsent
        if link.logical_name != answer.logical_name:
            shoset.registry.remove(link)
        link.logical_name, link.type, link.tenant = answer.logical_name, answer.type, tenant
        link.instance = answer.instance
        link.max_frame = answer.max_frame or shoset.limits.max_frame
        self.set_interval(answer.heartbeat)
        self._dialler.linked(answer.brothers)
        shoset.link_up(link, self, resumed=resumed)
        for kept in expired:
            shoset.host.frame_expired(kept, link)

    def cleanup(self) -> None:
        """As every connection; then the dialler dials again."""
        super().cleanup()
        self._dialler.ended()
