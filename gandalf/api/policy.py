"""Who may do what with the rows of each model: the one table, and how it is applied.

Rights come from authorizations: a role on a domain holds there and on all domains below. Any role lets one read.
Roles that the configuration names (`api.writers`) let one write. `Administrator` lets one do everything; who has it
on the root domain is an administrator of the tenant. Rows that belong to no domain are judged by the root domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from uuid import UUID

import attrs

from gandalf.store.model import Model
from gandalf.store.principals import Principal
from gandalf.store.rows import Scope


class Forbidden(Exception):
    """The user may not do this; the text says who may."""


class Level(Enum):
    """What is needed, on the domain of a row."""

    USER = "any user"
    READER = "a user with any role on the domain, or on one above it"
    WRITER = "a user with a role that may write on the domain, or on one above it"
    ADMINISTRATOR = "an Administrator of the domain, or of one above it"


@attrs.frozen
class Rule:
    """What seeing a row and changing it (creating, updating, deleting) need."""

    see: Level
    change: Level


TENANT_WIDE = Rule(Level.USER, Level.ADMINISTRATOR)
"""Of models whose rows belong to no domain."""

IN_DOMAIN = Rule(Level.READER, Level.WRITER)
"""Of models whose rows belong to a domain."""

RULES: Mapping[str, Rule] = {
    "Domain": Rule(Level.READER, Level.ADMINISTRATOR),
    "Authorization": Rule(Level.READER, Level.ADMINISTRATOR),
    # Values may be credentials of tools.
    "KeyValue": Rule(Level.ADMINISTRATOR, Level.ADMINISTRATOR),
}
"""Exceptions to these two. One more: users may change themselves, but not who they are (their email)."""


def rule_of(model: Model) -> Rule:
    """The rule that holds for a model."""
    return RULES.get(model.name) or (IN_DOMAIN if model.domain is not None else TENANT_WIDE)


def allows(principal: Principal, level: Level, domain: UUID | None) -> bool:
    """Whether the user has `level` on `domain`; None is the root."""
    if level is Level.USER:
        return True
    place = principal.root if domain is None else domain
    domains = {
        Level.READER: principal.reading,
        Level.WRITER: principal.writing,
        Level.ADMINISTRATOR: principal.administering,
    }[level]
    # A right on the root is one everywhere, also where there is no domain: whoever has it is told just that.
    return place in domains or principal.root in domains


def require(principal: Principal, level: Level, domain: UUID | None, what: str) -> None:
    """Raise `Forbidden` unless the user has `level` on `domain`; `what` completes "... needs"."""
    if not allows(principal, level, domain):
        where = "of the whole tenant" if domain is None else f"of the domain {domain}"
        raise Forbidden(f"{what} needs {level.value} ({where})")


def scope_of(principal: Principal, model: Model) -> Scope:
    """The domains whose rows of this model the user may see; None for all.

    Raises `Forbidden` when the rows belong to no domain and the user may not see them.
    """
    rule = rule_of(model)
    if model.domain is None:
        require(principal, rule.see, None, f"seeing a {model.words}")
        return None
    if allows(principal, rule.see, None):
        return None
    return principal.reading


def require_change(principal: Principal, model: Model, domain: UUID | None, verb: str) -> None:
    """Raise `Forbidden` unless the user may `verb` a row of this model that belongs to `domain`."""
    require(principal, rule_of(model).change, domain, f"{verb} a {model.words}")
