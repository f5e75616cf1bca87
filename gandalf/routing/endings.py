"""Who waits until nothing is pending any more (protocol.md 5.2): a peer that said bye, an instance that stops."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from gandalf.routing.link import Link


class Endings:
    """Ends connections, and tells when the instance may end.

    :param pending_on: how much is pending on a link.
    :param busy: whether anything is on its way.
    """

    def __init__(self, pending_on: Callable[[Link], int], busy: Callable[[], bool]) -> None:
        self._pending_on = pending_on
        self._busy = busy
        self._leaving: dict[Link, Callable[[], None]] = {}
        self._waiters: list[Deferred[None]] = []

    def leave(self, link: Link, finish: Callable[[], None]) -> None:
        """``finish`` once nothing is pending on ``link``."""
        if self._pending_on(link):
            self._leaving[link] = finish
        else:
            finish()

    def stay(self, link: Link) -> None:
        """The connection that was to be finished is no more."""
        self._leaving.pop(link, None)

    def idle(self, link: Link) -> None:
        """Something has ended, and with it perhaps all that was pending on ``link``."""
        self.check()
        if link in self._leaving and not self._pending_on(link):
            self._leaving.pop(link)()

    def quiet(self) -> Deferred[None]:
        """Fires when nothing is on its way."""
        done: Deferred[None] = Deferred(self._waiters.remove)
        self._waiters.append(done)
        self.check()
        return done

    def check(self) -> None:
        """Something has ended."""
        if self._waiters and not self._busy():
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.callback(None)
