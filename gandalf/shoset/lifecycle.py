"""The life of a connection (protocol.md 5), as one state machine.

::

    greeting --greeted--> established --farewell--> leaving --finished--> closing
        |                     |                        |                     |
        +------ refuse -------+------- refuse ---------+--> closing          |
        |                     |                        |                     |
        +------------------ died / lost ---------------+---------------------+--> closed

In *greeting* only the handshake is read; in *established* everything; in *leaving* what is pending is finished;
in *closing* nothing is read any more, and the peer has a moment to read our last words.
"""

from __future__ import annotations

import enum
from typing import Protocol

from automat import TypeMachineBuilder


class Phase(enum.Enum):
    """The states of the machine, as an operator reads them."""

    GREETING = "greeting"
    ESTABLISHED = "established"
    LEAVING = "leaving"
    CLOSING = "closing"
    CLOSED = "closed"


class Conduct(Protocol):
    """What a connection does on its way; implemented by the protocol class."""

    def establish(self) -> None:
        """The handshake is done: read everything."""

    def leave(self) -> None:
        """One of the two has said bye: start nothing new."""

    def say_refused(self, code: str, message: str) -> None:
        """Send ``refused``."""

    def close(self) -> None:
        """Read no more, let the peer read what was sent, then close."""

    def cut(self) -> None:
        """Close at once."""

    def cleanup(self) -> None:
        """The connection is no more: stop timers, tell the link."""


class Life(Protocol):
    """What can happen to a connection."""

    def greeted(self) -> None:
        """The handshake succeeded."""

    def refuse(self, code: str, message: str) -> None:
        """The peer broke the protocol, or is not let in."""

    def farewell(self) -> None:
        """A ``bye`` was said or heard."""

    def finished(self) -> None:
        """Nothing is pending any more, or nothing will be waited for: close in good order."""

    def died(self) -> None:
        """The peer was silent for too long."""

    def lost(self) -> None:
        """The transport reports the end."""


_builder = TypeMachineBuilder(Life, Conduct)  # type: ignore[type-abstract]  # a Protocol serves as well
_greeting = _builder.state("greeting")
_established = _builder.state("established")
_leaving = _builder.state("leaving")
_closing = _builder.state("closing")
_closed = _builder.state("closed")


@_greeting.upon(Life.greeted).to(_established)
def _establish(life: Life, conduct: Conduct) -> None:
    conduct.establish()


@_greeting.upon(Life.refuse).to(_closing)
@_established.upon(Life.refuse).to(_closing)
@_leaving.upon(Life.refuse).to(_closing)
def _refuse(life: Life, conduct: Conduct, code: str, message: str) -> None:
    conduct.say_refused(code, message)
    conduct.close()


@_established.upon(Life.farewell).to(_leaving)
def _leave(life: Life, conduct: Conduct) -> None:
    conduct.leave()


@_greeting.upon(Life.finished).to(_closing)
@_established.upon(Life.finished).to(_closing)
@_leaving.upon(Life.finished).to(_closing)
def _close(life: Life, conduct: Conduct) -> None:
    conduct.close()


@_greeting.upon(Life.died).to(_closing)
@_established.upon(Life.died).to(_closing)
@_leaving.upon(Life.died).to(_closing)
@_closing.upon(Life.died).loop()
def _cut(life: Life, conduct: Conduct) -> None:
    conduct.cut()


@_greeting.upon(Life.lost).to(_closed)
@_established.upon(Life.lost).to(_closed)
@_leaving.upon(Life.lost).to(_closed)
@_closing.upon(Life.lost).to(_closed)
def _cleanup(life: Life, conduct: Conduct) -> None:
    conduct.cleanup()


@_leaving.upon(Life.farewell).loop()
@_closing.upon(Life.farewell).loop()
@_closing.upon(Life.finished).loop()
@_closed.upon(Life.farewell).loop()
@_closed.upon(Life.finished).loop()
@_closed.upon(Life.died).loop()
def _already(life: Life, conduct: Conduct) -> None:
    """Said again: nothing more is to be done."""


@_closing.upon(Life.refuse).loop()
@_closed.upon(Life.refuse).loop()
def _refused_already(life: Life, conduct: Conduct, code: str, message: str) -> None:
    """The first reason is the one that was told."""


new_life = _builder.build()
"""Makes the machine of one connection from its :class:`Conduct`."""
