"""The rule of two administrators: until a second one exists, nothing is created or deleted.

The table `state` holds whether two exist, as of the last change to who is an administrator.
"""

from __future__ import annotations

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from . import tenant_schema as tables
from .errors import Conflict
from .principals import administrators_txn

ENOUGH = 2


class InvalidState(Conflict):
    """There is no second administrator yet."""


class LastAdministrator(Conflict):
    """Nobody would be left who may administer the tenant."""


def require_two_txn(connection: Connection) -> None:
    """Raise `InvalidState` while there is no second administrator."""
    if not connection.execute(select(tables.state.c.admin)).scalar():
        raise InvalidState(
            "Invalid state: until a second user is Administrator on the root domain nothing is created or deleted,"
            " except users and that authorization"
        )


def settle_txn(connection: Connection) -> None:
    """Take note of how many administrators there are, after a change to users, roles or authorizations.

    Raises `LastAdministrator` when none is left.
    """
    # Of two that each remove one of the last two administrators, the second waits here, and counts what is left.
    connection.execute(select(tables.state).with_for_update())
    administrators = administrators_txn(connection)
    if not administrators:
        raise LastAdministrator("the tenant would have no administrator left")
    enough = len(administrators) >= ENOUGH
    row = insert(tables.state).values(id=1, admin=enough)
    connection.execute(row.on_conflict_do_update(index_elements=["id"], set_={"admin": enough}))
