"""All the addresses that a process dials: those it was given, and those it was told (protocol.md 5.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from gandalf.shoset.dialler import Connect, Dialler

if TYPE_CHECKING:
    from gandalf.shoset.factory import ShosetFactory
    from gandalf.shoset.link import ShosetLink


class Diallers:
    """One dialler an address. What was given is dialled for ever; what was told, as long as anyone tells it.

    :param jitter: a random number from 0 to 1.
    :param topics: what a connector asks for (protocol.md 6.1); links opened from now on when it is changed.
    """

    def __init__(
        self,
        shoset: ShosetFactory,
        connect: Connect,
        *,
        jitter: Callable[[], float],
        topics: tuple[str, ...] | None = None,
    ) -> None:
        self._shoset = shoset
        self._connect = connect
        self._jitter = jitter
        self.topics = topics
        self._given: tuple[str, ...] = ()
        self._told: dict[str, tuple[str, ...]] = {}
        self._diallers: dict[str, Dialler] = {}
        self._stopped = False

    def __iter__(self) -> Iterator[Dialler]:
        return iter(list(self._diallers.values()))

    def start(self, addresses: Iterable[str]) -> None:
        """Dial ``addresses`` for ever."""
        self._given = tuple(addresses)
        self._stopped = False
        for address in self._given:
            self._dial(address)

    def told(self, by: str, addresses: tuple[str, ...]) -> None:
        """The listener at ``by`` says that these are its brothers: link to those that we do not have."""
        if by not in self._diallers:
            return
        self._told[by] = addresses
        for address in addresses:
            self._dial(address)
        known = {*self._given, *(address for told in self._told.values() for address in told)}
        for address, dialler in list(self._diallers.items()):
            if address not in known and not dialler.link.connected:
                self._drop(address)

    def same_instance(self, link: ShosetLink) -> bool:
        """Whether ``link`` leads to a process that is linked already under another address; it is dropped then."""
        twins = [
            other
            for other in self._diallers.values()
            if other.link is not link and other.link.connected and other.link.instance == link.instance
        ]
        if twins and link.address not in self._given:
            self._drop(link.address)
            return True
        return False

    def stop(self) -> None:
        """Dial no more; connections stay until they are closed."""
        self._stopped = True
        for dialler in self._diallers.values():
            dialler.stop()

    def _dial(self, address: str) -> None:
        if address in self._diallers or self._stopped:
            return
        dialler = Dialler(
            self._shoset,
            address,
            self._connect,
            jitter=self._jitter,
            found=lambda addresses: self.told(address, addresses),
            topics=self.topics,
        )
        self._diallers[address] = dialler
        dialler.start()

    def _drop(self, address: str) -> None:
        dialler = self._diallers.pop(address)
        self._told.pop(address, None)
        dialler.stop()
        dialler.link.forget()
