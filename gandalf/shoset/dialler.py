"""Dialling an address for ever (protocol.md 5.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from gandalf.shoset.handshake import FINAL_REFUSALS, DiallerProtocol
from gandalf.shoset.link import ShosetLink

if TYPE_CHECKING:
    from gandalf.shoset.factory import ShosetFactory

Connect = Callable[[str, Factory], "Deferred[IProtocol]"]
"""Dials "host:port" with a factory; the name is looked up anew at each call."""

FIRST_DELAY = 0.05
FACTOR = 1.7
LONGEST_DELAY = 10.0
HELD = 5.0
"""Seconds a link has to hold before the delay starts from the beginning again."""


class Dialler(Factory):
    """Keeps one link to one address.

    Delays between attempts grow from 0.05 s to 10 s, each shortened at random by up to a half.

    :param connect: makes the connection (plain or TLS).
    :param jitter: a random number from 0 to 1.
    :param found: told the addresses of brothers that the listener named.
    :param topics: what a connector asks for (protocol.md 6.1); None: all.
    """

    noisy = False
    log = Logger()

    def __init__(
        self,
        shoset: ShosetFactory,
        address: str,
        connect: Connect,
        *,
        jitter: Callable[[], float],
        found: Callable[[tuple[str, ...]], None] = lambda addresses: None,
        topics: tuple[str, ...] | None = None,
    ) -> None:
        self.shoset = shoset
        self.address = address
        self.topics = topics
        self.link = ShosetLink(shoset, shoset.random(16), sheds=False)
        self.link.address = address
        self.trouble = ""
        """Why there is no link at the moment, for the operator."""
        self._connect = connect
        self._jitter = jitter
        self._found = found
        self._delay = FIRST_DELAY
        self._linked_at: float | None = None
        self._attempt: Deferred[IProtocol] | None = None
        self._waiting: IDelayedCall | None = None
        self.wanted = False
        """Whether it dials, or goes on to when the connection is gone."""

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """The dialling side of a new connection."""
        return DiallerProtocol(self.shoset, self)

    def start(self) -> None:
        """Dial now."""
        self.wanted = True
        self._dial()

    def stop(self) -> None:
        """Dial no more; a link that is up stays until it is closed."""
        self.wanted = False
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if self._attempt is not None:
            self._attempt.cancel()

    def ask_for(self, topics: tuple[str, ...]) -> None:
        """Ask for these topics: the link is opened anew, which loses nothing (protocol.md 5.3)."""
        self.topics = topics
        self.link.dismiss("TOPICS", "linking again with other topics")

    def linked(self, brothers: tuple[str, ...], topics: tuple[str, ...] | None) -> None:
        """The handshake succeeded, in which ``topics`` were asked for."""
        self.trouble = ""
        self._linked_at = self.shoset.clock.seconds()
        self._found(brothers)
        if self.topics is not None and self.topics != topics:
            # They have changed since, when there was no link yet that could be opened anew.
            self.ask_for(self.topics)

    def refused(self, code: str, message: str) -> None:
        """The listener does not let us in (protocol.md 5.1)."""
        self._troubled(f"refused: {code}: {message}")
        if code in FINAL_REFUSALS:
            self.wanted = False

    def ended(self, trouble: str) -> None:
        """A connection is gone: dial again after a while. ``trouble``: why it came to no link, if not told yet."""
        if trouble:
            self._troubled(trouble)
        if self._linked_at is not None and self.shoset.clock.seconds() - self._linked_at >= HELD:
            self._delay = FIRST_DELAY
        self._linked_at = None
        self._again()

    def _dial(self) -> None:
        self._waiting = None
        self._attempt = maybeDeferred(self._connect, self.address, self)
        self._attempt.addCallbacks(self._connected, self._failed)

    def _connected(self, protocol: IProtocol) -> None:
        self._attempt = None

    def _failed(self, failure: Failure) -> None:
        self._attempt = None
        if self.wanted:
            self._troubled(f"{failure.type.__name__ if failure.type else ''}: {failure.getErrorMessage()}")
            self._again()

    def _troubled(self, trouble: str) -> None:
        """Tell the operator, once as long as nothing changes."""
        if trouble != self.trouble:
            self.trouble = trouble
            self.log.error("cannot link to {address}: {trouble}", address=self.address, trouble=trouble)

    def _again(self) -> None:
        if self.wanted:
            delay = self._delay * (1 - self._jitter() / 2)
            self._delay = min(self._delay * FACTOR, LONGEST_DELAY)
            self._waiting = self.shoset.clock.callLater(delay, self._dial)
