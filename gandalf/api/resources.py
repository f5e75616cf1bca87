"""The resources: one implementation behind both faces of the API. Each call is one transaction, which begins with
who asks and what he or she may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from gandalf.api.guard import Guard
from gandalf.api.policy import Forbidden, allows, require_change, rule_of, scope_of
from gandalf.store import assignments, rows, trees
from gandalf.store.model import Loads, Many, Model, Record, Value
from gandalf.store.models import AUTHORIZATION, DOMAIN, PRODUCT, ROLE, TENANT, USER
from gandalf.store.principals import ADMINISTRATOR, Principal
from gandalf.store.rows import EVERYTHING, Page
from gandalf.store.state import require_two_txn, settle_txn

T = TypeVar("T")

Records = list[Record]

Check = Callable[[Record], None]
"""Raises when a row is not in the state that the client thinks."""

ANY_STATE: Check = lambda record: None  # noqa: E731

CREATED_ELSEWHERE = frozenset({TENANT.name})
"""Models whose creation is more than a row."""

_SETTLING = frozenset({"User", "Role", "Authorization", "Domain"})
"""Models whose rows decide who is an administrator."""


class Resources:
    """Lists, reads, creates, changes and deletes rows for a user.

    Deferreds fail with `Forbidden`, `NotSignedIn` and the errors of `gandalf.store`.

    :param two_administrators: whether nothing is created or deleted before there are two (`gandalf.store.state`).
    """

    def __init__(self, guard: Guard, *, two_administrators: bool) -> None:
        self._guard = guard
        self._two_administrators = two_administrators

    def list(
        self,
        user: UUID,
        model: Model,
        shown: Callable[[Records], T],
        *,
        page: Page = EVERYTHING,
        loads: Loads | None = None,
    ) -> Deferred[T]:
        """The rows that the user may see, `shown`: in the thread of the query, for a list may be long."""

        def list_rows_txn(connection: Connection, principal: Principal) -> T:
            found = rows.list_txn(connection, model, scope=scope_of(principal, model), page=page)
            rows.load_txn(connection, model, found, loads or {})
            return shown(found)

        return self._guard.read(f"list {model.plural}", user, list_rows_txn)

    def read(self, user: UUID, model: Model, id: UUID, *, loads: Loads | None = None) -> Deferred[Record]:
        """The row of an id."""
        return self._one(
            user, model, loads, lambda connection, scope: rows.read_txn(connection, model, id, scope=scope)
        )

    def named(self, user: UUID, model: Model, name: str, *, loads: Loads | None = None) -> Deferred[Record]:
        """The row of a name."""
        return self._one(
            user, model, loads, lambda connection, scope: rows.read_named_txn(connection, model, name, scope=scope)
        )

    def _one(
        self, user: UUID, model: Model, loads: Loads | None, find: Callable[[Connection, rows.Scope], Record]
    ) -> Deferred[Record]:
        def read_row_txn(connection: Connection, principal: Principal) -> Record:
            found = find(connection, scope_of(principal, model))
            rows.load_txn(connection, model, [found], loads or {})
            return found

        return self._guard.read(f"read a {model.words}", user, read_row_txn)

    def create(
        self, user: UUID, model: Model, values: Mapping[str, Value], *, below: UUID | None = None
    ) -> Deferred[Record]:
        """Store a row; `below` is its parent in a tree, which decides then."""
        now = self._guard.milliseconds()

        def create_row_txn(connection: Connection, principal: Principal) -> Record:
            domain = below if model is DOMAIN else rows.domain_of_txn(connection, model, values)
            require_change(principal, model, domain, "creating")
            if not _makes_administrators(connection, model, values, principal):
                self._require_two_txn(connection)
            if below is not None:
                created = trees.create_below_txn(connection, model, below, values, now=now)
            else:
                created = rows.create_txn(connection, model, _completed(connection, model, values), now=now)
            _settle(connection, model)
            return created

        return self._guard.run(f"create a {model.words}", user, create_row_txn)

    def update(
        self, user: UUID, model: Model, id: UUID, values: Mapping[str, Value], *, check: Check = ANY_STATE
    ) -> Deferred[Record]:
        """Change `values` of a row; what is not among them stays."""
        now = self._guard.milliseconds()

        def update_row_txn(connection: Connection, principal: Principal) -> Record:
            before = rows.read_txn(connection, model, id, scope=scope_of(principal, model), lock=True)
            check(before)
            _require_update(connection, principal, model, before, values)
            change = trees.change_txn if model.tree else rows.update_txn
            after = change(connection, model, before, values, now=now)
            _settle(connection, model)
            return after

        return self._guard.run(f"update a {model.words}", user, update_row_txn)

    def delete(self, user: UUID, model: Model, id: UUID, *, check: Check = ANY_STATE) -> Deferred[None]:
        """Remove a row for good; in a tree, with all below it."""

        def delete_row_txn(connection: Connection, principal: Principal) -> None:
            before = rows.read_txn(connection, model, id, scope=scope_of(principal, model), lock=True)
            check(before)
            require_change(principal, model, rows.domain_of_txn(connection, model, before), "deleting")
            self._require_two_txn(connection)
            remove = trees.remove_txn if model.tree else rows.delete_txn
            remove(connection, model, id)
            _settle(connection, model)

        return self._guard.run(f"delete a {model.words}", user, delete_row_txn)

    def tree(self, user: UUID, model: Model, shown: Callable[[Record], T]) -> Deferred[T]:
        """The root, with `Childs` all the way down, `shown`: of domains, the branches that the user may see."""

        def read_tree_txn(connection: Connection, principal: Principal) -> T:
            return shown(trees.tree_txn(connection, model, visible=scope_of(principal, model)))

        return self._guard.run(f"read the tree of {model.plural}", user, read_tree_txn)

    def assigned(self, user: UUID, what: Many, domain: UUID) -> Deferred[Records]:
        """What is assigned to a domain."""

        def read_assigned_txn(connection: Connection, principal: Principal) -> Records:
            return assignments.assigned_txn(connection, what, domain, scope=scope_of(principal, DOMAIN))

        return self._guard.run("what is assigned to a domain", user, read_assigned_txn)

    def assign(self, user: UUID, what: Many, domain: UUID, id: UUID, *, withdraw: bool = False) -> Deferred[None]:
        """Assign it to a domain, or no longer."""

        def change_assigned_txn(connection: Connection, principal: Principal) -> None:
            rows.read_txn(connection, DOMAIN, domain, scope=scope_of(principal, DOMAIN))
            require_change(principal, DOMAIN, domain, "changing what is assigned to")
            self._require_two_txn(connection)
            change = assignments.withdraw_txn if withdraw else assignments.assign_txn
            change(connection, what, domain, id)

        return self._guard.run("assign to a domain", user, change_assigned_txn)

    def require_valid_state(self, user: UUID) -> Deferred[None]:
        """Fails with `InvalidState` while nothing may be created."""
        return self._guard.run("state", user, lambda connection, principal: self._require_two_txn(connection))

    def _require_two_txn(self, connection: Connection) -> None:
        if self._two_administrators:
            require_two_txn(connection)


def _require_update(
    connection: Connection, principal: Principal, model: Model, before: Record, values: Mapping[str, Value]
) -> None:
    """The user must have the right where the row is, and where it goes to."""
    if model is USER and before["id"] == principal.user and not allows(principal, rule_of(model).change, None):
        if values.get("email", before["email"]) != before["email"] or values.get("deleted_at") is not None:
            raise Forbidden("changing a user's email or hiding a user needs an administrator of the tenant")
        return
    require_change(principal, model, rows.domain_of_txn(connection, model, before), "updating")
    after = {**before, **values}
    if model is DOMAIN:
        parent = values.get("parent_id")
        if parent is not None and parent != before["parent_id"]:
            require_change(principal, model, parent if isinstance(parent, UUID) else None, "moving")
    else:
        require_change(principal, model, rows.domain_of_txn(connection, model, after), "updating")


def _makes_administrators(
    connection: Connection, model: Model, values: Mapping[str, Value], principal: Principal
) -> bool:
    """Whether it is what ends the state in which nothing else is created."""
    if model is USER:
        return True
    if model is not AUTHORIZATION or values.get("domain_id") != principal.root:
        return False
    page = Page(filters={"id": values.get("role_id"), "name": ADMINISTRATOR})
    return bool(rows.list_txn(connection, ROLE, page=page))


def _completed(connection: Connection, model: Model, values: Mapping[str, Value]) -> Mapping[str, Value]:
    """A product without a repository gets the one of its name in its domain's git."""
    domain = values.get("domain_id")
    if model is not PRODUCT or values.get("repository_url") or not isinstance(domain, UUID):
        return values
    place = rows.list_txn(connection, DOMAIN, page=Page(filters={"id": domain}))
    if not place or not place[0]["git_url"]:
        return values
    return {**values, "repository_url": f"{place[0]['git_url']}/{values.get('name', '')}.git"}


def _settle(connection: Connection, model: Model) -> None:
    if model.name in _SETTLING:
        settle_txn(connection)
