"""Announces what waits in the spool, and takes a file away only when the network has taken charge of all it
says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.filepath import FilePath

from gandalf.connector.git.spool import Entry, Spool
from gandalf.connector.network import Host, Network

Watch: TypeAlias = Callable[[Path, Callable[[], object]], Callable[[], object] | None]
"""Have a function called whenever a file is renamed into a directory; gives what ends it, None if it cannot
be had."""

IN_FLIGHT: Final = 256
"""Files announced and not yet taken charge of, at most."""
SLOW: Final = 10.0
"""Seconds between looks into the spool when its watch tells of new files: only failures wait so long."""


class Announcer(Service):
    """Looks into the spool at its start, when told by `watch`, and every `interval` seconds if nobody
    tells."""

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        spool: Spool,
        network: Network,
        host: Host,
        *,
        interval: float,
        watch: Watch,
    ) -> None:
        self._spool = spool
        self._network = network
        self._host = host
        self._interval = interval
        self._watch = watch
        self._unwatch: Callable[[], object] | None = None
        self._asked = 0
        self._flying: set[str] = set()
        self._looking = LoopingCall(self.look)
        self._looking.clock = clock

    def startService(self) -> None:
        """Announce what has waited, and begin to watch."""
        super().startService()  # type: ignore[no-untyped-call]
        self._unwatch = self._watch(self._spool.directory, self.look)
        self._looking.start(SLOW if self._unwatch else self._interval)

    def stopService(self) -> None:
        """Begin nothing new. What is not taken charge of yet stays in the spool for the next start."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._looking.stop()
        if self._unwatch:
            self._unwatch()

    def look(self) -> None:
        """Announce what is in the spool; asked while at it, look once more after."""
        self._asked += 1
        if self._asked == 1:
            self._host.start(self._look())

    async def _look(self) -> None:
        asked = 0
        while self.running and asked != self._asked:
            asked = self._asked
            try:
                await self._announce_waiting()
            except Exception:
                self._log.failure("The spool {directory} cannot be read", directory=self._spool.directory)
        self._asked = 0

    async def _announce_waiting(self) -> None:
        skip = frozenset(self._flying)
        found = await self._host.in_thread(partial(self._spool.waiting, skip, IN_FLIGHT - len(skip)))
        for path in found.refused:
            self._log.error("A file of the spool could not be understood and was put aside: {path}", path=path)
        for entry in found.entries:
            self._flying.add(entry.path.name)
            self._host.start(self._announce(entry))

    async def _announce(self, entry: Entry) -> None:
        try:
            promises = [
                self._network.emit(announcement.topic, announcement.event, announcement.payload)
                for announcement in entry.announcements
            ]
            failure: Exception | None = None
            for promise in promises:
                try:
                    await promise
                except Exception as error:
                    failure = error
            if failure:
                raise failure
            await self._host.in_thread(partial(entry.path.unlink, missing_ok=True))
        except Exception:
            self._log.failure("{path} could not be announced and stays in the spool", path=entry.path)
            self._flying.discard(entry.path.name)
            return
        full = len(self._flying) >= IN_FLIGHT
        self._flying.discard(entry.path.name)
        if full:
            self.look()


def inotify(reactor: Any) -> Watch:
    """A watch by the kernel's inotify, where there is one and it has a watch to spare."""

    def watch(directory: Path, call: Callable[[], object]) -> Callable[[], object] | None:
        try:
            from twisted.internet.inotify import IN_MOVED_TO, INotify

            notifier = INotify(reactor)
        except (ImportError, OSError):
            return None
        notifier.startReading()
        notifier.watch(FilePath(str(directory)), mask=IN_MOVED_TO, callbacks=[lambda *_: call()])
        return lambda: notifier.loseConnection()

    return watch
