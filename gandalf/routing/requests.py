"""Configuration, logicalConfiguration, secret, configurationDatabase: requests and replies (protocol.md 6.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from twisted.logger import Logger

from gandalf.routing import failures
from gandalf.routing.errors import readable
from gandalf.routing.fallthrough import FallThrough, accepts, length_of, validated
from gandalf.routing.link import CLUSTER, CONNECTOR, Link, Links
from gandalf.routing.replies import Askers, verdict
from gandalf.wire.envelope import Frame
from gandalf.wire.kinds import SECRET


class SendOnce(Protocol):
    """Sends a frame to one of the candidates of a group, or tells its origin why not (protocol.md 6.3)."""

    def __call__(self, frame: Frame, origin: Link, group: str, candidates: Sequence[Link]) -> None: ...


class RequestRules:
    """What an aggregator does with them.

    :param own: requests of the aggregator's own, on their way to the cluster.
    :param answer: tells the origin of a frame why it was not carried.
    :param database: told of a ``configurationDatabase`` frame that came unasked (protocol.md 6.4b).
    :param validated: called when the connection of a connector is.
    """

    log = Logger()

    def __init__(
        self,
        tenant: str,
        links: Links,
        own: FallThrough,
        send_once: SendOnce,
        answer: Callable[[Frame, Link, str, str], None],
        counters: Counter[str],
        database: Callable[[Frame], None],
        validated: Callable[[], None],
    ) -> None:
        self._tenant = tenant
        self._links = links
        self._own = own
        self._send_once = send_once
        self._answer = answer
        self._counters = counters
        self._database = database
        self._validated = validated
        self._askers = Askers(links)

    # 6.4 Configuration, logicalConfiguration, secret

    def request(self, frame: Frame, origin: Link) -> None:
        """A request, to one connection of the other side; or a reply, to whoever asked."""
        if frame.reference is not None:
            self._reply(frame, origin)
            return
        if origin.type == CLUSTER:
            asked = self._own_tenant(frame)
            group, candidates = f"connector {frame.target!r}", self._links.named(CONNECTOR, frame.target)
        else:
            asked = frame.replace(tenant=self._tenant, target=origin.logical_name)
            group, candidates = "the cluster", self._links.of_type(CLUSTER)
        self._askers.remember(asked, origin)
        self._send_once(asked, origin, group, validated(candidates))

    def forget(self, link: Link) -> None:
        """The session of ``link`` is forgotten."""
        self._askers.forget(link)

    def _reply(self, frame: Frame, origin: Link) -> None:
        if origin.type == CLUSTER and self._own.answer(frame):
            return
        asker = self._askers.take(frame, origin)
        if asker is None:
            self._counters["replies that nobody asked for"] += 1
            return
        receiver, reply = self._askers.receiver(asker, frame), self._own_tenant(frame)
        if receiver is None:
            self._counters["replies whose asker is gone"] += 1
            return
        if not accepts(receiver, reply):
            message = f"{length_of(reply)} bytes is more than {asker.logical_name!r}, who asked, accepts"
            self._answer(frame, origin, failures.TOO_LARGE, message)
            return
        receiver.send(reply)
        if frame.kind == SECRET and asker.type == CONNECTOR and asker.link is not None:
            self._read_validation(frame, asker.link)

    def _read_validation(self, reply: Frame, asker: Link) -> None:
        """The cluster's word on a connector's secret passes by."""
        word = verdict(reply)
        if word is None:
            return
        if word.accepted:
            asker.validated = True
            self._validated()
            self.log.info("{name} is validated", name=asker.logical_name)
            return
        self.log.warn("the secret of {name} is refused: {reason}", name=asker.logical_name, reason=word.reason)
        self._counters["secrets refused"] += 1
        asker.dismiss(failures.NOT_VALIDATED, word.reason or "the cluster does not accept the secret")
        asker.forget()

    def _own_tenant(self, frame: Frame) -> Frame:
        return frame if frame.tenant == self._tenant else frame.replace(tenant=self._tenant)

    # 6.4b configurationDatabase

    def configuration_database(self, frame: Frame, origin: Link) -> None:
        """For the aggregator itself, never forwarded."""
        if origin.type == CONNECTOR:
            message = "configurationDatabase is between the cluster and the aggregator only"
            self._answer(frame, origin, failures.NOT_AUTHORISED, message)
        elif frame.reference is None or not self._own.answer(frame):
            if readable(frame).get("command", "") in _NAMING:
                self._database(frame)
            else:
                # As a reply that comes when it is no longer waited for.
                self._counters["replies that nobody asked for"] += 1


_NAMING: Final = ("", "CONFIGURATION_DATABASE", "CONFIGURATION_DATABASE_REPLY")
"""Commands of frames that name the aggregator's own database."""
