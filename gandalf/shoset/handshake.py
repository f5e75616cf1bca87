"""Opening a link (protocol.md 5.1): the two sides of the handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gandalf.routing.topics import TopicFilter
from gandalf.shoset.arrivals import SPARE
from gandalf.shoset.host import Refusal
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.protocol import ShosetProtocol
from gandalf.shoset.session import Kept
from gandalf.shoset.settings import DIALS, SOFTWARE
from gandalf.wire import kinds
from gandalf.wire.body import take, unpack_body
from gandalf.wire.control import PROTOCOL, LinkBody, LinkedBody, RefusedBody
from gandalf.wire.envelope import Frame
from gandalf.wire.errors import Malformed

if TYPE_CHECKING:
    from gandalf.shoset.dialler import Dialler
    from gandalf.shoset.factory import ShosetFactory

FINAL_REFUSALS = frozenset({"UNSUPPORTED_VERSION", "WRONG_TYPE"})
"""Refusals after which a dialler does not come again."""


def _filter(hello: LinkBody) -> TopicFilter | None:
    try:
        return None if hello.topics is None else TopicFilter(hello.topics)
    except ValueError as error:
        raise Malformed(f"body: topics: {error}") from None


class ListenerProtocol(ShosetProtocol):
    """The side that was dialled: waits for ``link``, answers ``linked`` or ``refused``."""

    waits = False
    """Whether its turn has not come yet; it is not read before."""

    def begin(self) -> None:
        """Wait for the turn; whoever comes when many more are here than may be is cut."""
        shoset = self.shoset
        if len(shoset.connections) > shoset.limits.max_connections + SPARE:
            shoset.counters.refused["OVERLOADED"] += 1
            self.life.died()
        else:
            shoset.arrivals.arrived(self)

    def wait_for_turn(self) -> None:
        """Read nothing; the peer's time for its handshake has not begun."""
        self.waits = True
        self._stop_timer()
        self.stop_reading()

    def take_turn(self) -> None:
        """Read the peer's ``link``."""
        self.waits = False
        self._reset_timer(self.shoset.limits.handshake_timeout, self._handshake_timeout)
        self.start_reading()

    def close(self) -> None:
        """Without its turn too."""
        self.waits = False
        super().close()

    def cleanup(self) -> None:
        """Its turn does not come any more."""
        self.waits = False
        super().cleanup()

    def handshake(self, frame: Frame) -> None:
        """The dialler's first frame."""
        if frame.kind != kinds.LINK:
            raise Malformed(f"the first frame must be link, not {frame.kind}")
        version = take(unpack_body(frame.body), "protocol", int, 0)
        if version != PROTOCOL:
            # Another version may have another body: this is all that is read of it.
            self.life.refuse("UNSUPPORTED_VERSION", f"protocol {PROTOCOL} is spoken here, not {version}")
            return
        hello = LinkBody.parse(frame.body)
        refusal = self._judge(hello, frame.tenant)
        if refusal is not None:
            self.life.refuse(refusal.code, refusal.message)
            return
        topics = _filter(hello)
        shoset = self.shoset
        link = shoset.registry.session(hello.session)
        expired: list[Kept] = []
        resumed = False
        if link is None:
            link = ShosetLink(shoset, hello.session, sheds=True)
            link.logical_name, link.type, link.tenant = hello.logical_name, hello.type, frame.tenant
            link.instance = hello.instance
        elif hello.counted_with in (None, shoset.identity.instance):
            # A count that cannot be is refused here as malformed, and leaves the session as it was.
            expired = link.outbox.resume(hello.received, shoset.clock.seconds())
            link.counters.resent += link.outbox.unsent
            link.inbox.resume()
            resumed = True
        else:
            # The dialler was linked with another since, or did not hear our first answer: both count anew.
            expired = link.outbox.restart(shoset.clock.seconds())
            link.counters.resent += link.outbox.unsent
            link.inbox.restart()
            link.validated = False
        link.bind_address, link.software = hello.bind_address, hello.software
        link.filter = topics
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
                software=SOFTWARE,
            ).pack(),
        )
        shoset.link_up(link, self, resumed=resumed)
        link.expired(expired)

    def _judge(self, hello: LinkBody, tenant: str) -> Refusal | None:
        """Why this dialler is not let in, if it is not; the order is from the most to the least lasting."""
        shoset = self.shoset
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
        self._topics = dialler.topics
        self._trouble = "the connection was closed before the handshake was done"

    def begin(self) -> None:
        """Say who dials, and how much of the session was received."""
        shoset = self.shoset
        # What is settled from here on is sent again, and must not count twice.
        self._target.inbox.resume()
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
                topics=self._topics,
                counted_with=self._target.instance or None,
                software=SOFTWARE,
            ).pack(),
        )

    def handshake(self, frame: Frame) -> None:
        """The listener's answer."""
        if frame.kind == kinds.REFUSED:
            refused = RefusedBody.parse(frame.body)
            self._trouble = ""
            self._dialler.refused(refused.code, refused.message)
            self.life.finished()
            return
        if not self._dialler.wanted:
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
        resumed = self._resumes(answer)
        if resumed:
            expired = link.outbox.resume(answer.received, now)
        else:
            expired = link.outbox.restart(now, now - shoset.limits.session_keep)
            link.inbox.restart()
            link.validated = False
        link.max_frame = answer.max_frame or shoset.limits.max_frame
        # It would be refused, and with it each connection from now on.
        expired += link.outbox.let_go_of_longer(link.max_frame)
        link.counters.resent += link.outbox.unsent
        if link.logical_name != answer.logical_name:
            shoset.registry.remove(link)
        link.logical_name, link.type, link.tenant = answer.logical_name, answer.type, tenant
        link.instance, link.software = answer.instance, answer.software
        self.set_interval(answer.heartbeat)
        shoset.link_up(link, self, resumed=resumed)
        link.expired(expired)
        self._trouble = ""
        self._dialler.linked(answer.brothers, self._topics)

    def _resumes(self, answer: LinkedBody) -> bool:
        """Whether the session goes on, rather than being new to the listener.

        :raises Malformed: neither can be; the next attempt opens a session of its own.
        """
        link = self._target
        first, last = link.outbox.acknowledged, link.outbox.last
        if link.instance == answer.instance and answer.resumed is not False and first <= answer.received <= last:
            return True
        if answer.received == 0:
            return False
        # As when two processes answer in turn at one address, and each knows a part of the session.
        link.renew()
        raise Malformed(
            f"body: received must be 0 in a new session and between {first} and {last} in this one,"
            f" not {answer.received}"
        )

    def say_refused(self, code: str, message: str) -> None:
        """As every connection; while there is no link, the operator is told why."""
        self._trouble = f"{code}: {message}"
        super().say_refused(code, message)

    def gone(self) -> None:
        """The dialler dials again."""
        self._dialler.ended(self._trouble)
