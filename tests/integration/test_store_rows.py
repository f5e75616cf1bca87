"""Rows of every model on a real server."""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Iterator
from typing import Any

import attrs
from sqlalchemy import Connection, insert, select

from gandalf.store import rows
from gandalf.store import tenant_schema as tables
from gandalf.store.errors import Conflict, NotFound
from gandalf.store.model import Loads, Model, Record
from gandalf.store.models import (
    AUTHORIZATION,
    DOMAIN,
    ENVIRONMENT,
    ENVIRONMENT_TYPE,
    EVENT_TYPE_TO_POLL,
    LIBRARY,
    MODELS,
    PRODUCT,
    RESOURCE,
    ROLE,
    TAG,
    USER,
)
from gandalf.store.times import at

from . import postgres
from .tenant_tables import TenantTables, connected, interleaved, plant


class EveryModelTests(TenantTables):
    """What holds for each of `MODELS`."""

    def test_stored_and_read(self) -> None:
        """A row is found as it was stored: in the list, by id, and by name where it has one."""
        for model in MODELS.values():
            record = self.plant(model, now=1_500)
            self.assertEqual(record["created_at"], at(1_500), model.name)
            self.assertEqual(record["updated_at"], at(1_500), model.name)
            self.assertIsNone(record["deleted_at"], model.name)
            self.assertEqual(set(record), {column.name for column in model.table.columns}, model.name)
            self.assertIn(record, rows.list_txn(self.connection, model), model.name)
            self.assertEqual(rows.read_txn(self.connection, model, record["id"]), record, model.name)
            self.assertEqual(rows.read_txn(self.connection, model, record["id"], lock=True), record, model.name)
            if model.can("named"):
                name = record[model.label]
                self.assertEqual(rows.read_named_txn(self.connection, model, name), record, model.name)

    def test_nothing_given(self) -> None:
        """A row of which nothing is said has empty texts, zeros and unset references."""
        for model in MODELS.values():
            record = rows.create_txn(self.connection, model, {}, now=1)
            for field in model.fields:
                empty = {"text": "", "int8": 0, "bool": False, "uuid": None}[field.type]
                self.assertEqual(record[field.column], empty, f"{model.name}.{field.key}")

    def test_changed(self) -> None:
        """An update changes what it names and the time; each reference can be unset."""
        for model in MODELS.values():
            before = self.plant(model)
            unset = {field.column: None for field in model.references if not model.tree}
            texts = {field.column: f"new {field.key}" for field in model.fields if field.type == "text"}
            after = rows.update_txn(self.connection, model, before, {**unset, **texts}, now=2_000)
            self.assertEqual(after, {**before, **unset, **texts, "updated_at": at(2_000)}, model.name)
            self.assertEqual(rows.read_txn(self.connection, model, before["id"]), after, model.name)

    def test_deleted(self) -> None:
        """What is deleted is no longer found, and others stay."""
        for model in MODELS.values():
            record, other = self.plant(model), self.plant(model)
            rows.delete_txn(self.connection, model, record["id"])
            error = self.assertRaises(NotFound, rows.read_txn, self.connection, model, record["id"])
            self.assertEqual(str(error), f"there is no {model.words} '{record['id']}'")
            listed = rows.list_txn(self.connection, model)
            self.assertNotIn(record, listed, model.name)
            self.assertIn(other, listed, model.name)

    def test_hidden(self) -> None:
        """A row with `deleted_at` is in no list, and found neither by id nor by name."""
        for model in MODELS.values():
            before = self.plant(model)
            hidden = rows.update_txn(self.connection, model, before, {"deleted_at": at(5)}, now=6)
            self.assertEqual(hidden["deleted_at"], at(5), model.name)
            self.assertNotIn(hidden, rows.list_txn(self.connection, model), model.name)
            self.assertRaises(NotFound, rows.read_txn, self.connection, model, before["id"])
            if model.can("named"):
                self.assertRaises(NotFound, rows.read_named_txn, self.connection, model, before[model.label])

    def test_the_id_is_made_here(self) -> None:
        """An id among the values is ignored: neither taken by a new row, nor given to one that exists."""
        for model in MODELS.values():
            existing, sent = self.plant(model), uuid.uuid4()
            created = self.plant(model, id=existing["id"])
            self.assertNotEqual(created["id"], existing["id"], model.name)
            updated = rows.update_txn(self.connection, model, existing, {"id": sent}, now=1)
            self.assertEqual(updated["id"], existing["id"], model.name)

    def test_references_lead_somewhere(self) -> None:
        """A reference to nothing, or to a hidden row, is refused by name, at creation and at an update."""
        for model in MODELS.values():
            record = self.plant(model)
            for field in model.references:
                other = MODELS[field.refers]
                hidden = self.plant(other)
                rows.update_txn(self.connection, other, hidden, {"deleted_at": at(1)}, now=1)
                for id in (uuid.uuid4(), hidden["id"]):
                    wrong = {field.column: id}
                    message = f"{field.key}: there is no {other.words} '{id}'"
                    error = self.assertRaises(Conflict, self.plant, model, **wrong)
                    self.assertEqual(str(error), message)
                    error = self.assertRaises(Conflict, self.update, model, record, **wrong)
                    self.assertEqual(str(error), message)

    def test_unique_values(self) -> None:
        """What may not be alike is refused by name, at creation and at an update, also when the other is hidden."""
        for model in MODELS.values():
            for columns in rows.unique_columns(model):
                taken, other = self.plant(model), self.plant(model)
                same = {column: taken[column] for column in columns}
                what = " and ".join(f"{column} '{value}'" for column, value in same.items())
                message = f"there is already another {model.words} of {what}"
                self.assertEqual(str(self.assertRaises(Conflict, self.plant, model, **same)), message)
                self.assertEqual(str(self.assertRaises(Conflict, self.update, model, other, **same)), message)
                self.update(model, taken, **same)
                self.update(model, taken, deleted_at=at(1))
                error = self.assertRaises(Conflict, self.plant, model, **same)
                self.assertEqual(str(error), f"{message}, which is hidden")

    def update(self, model: Model, before: Record, **values: Any) -> Record:
        """Change a row."""
        return rows.update_txn(self.connection, model, before, values, now=2)


class UpdateTests(TenantTables):
    """`update_txn`."""

    def test_the_time_is_now(self) -> None:
        """What a client sends back as the time of the last change does not count; that of the creation does."""
        before = self.plant(ROLE)
        sent = {"created_at": at(7), "updated_at": at(8)}
        after = rows.update_txn(self.connection, ROLE, before, sent, now=9)
        self.assertEqual((after["created_at"], after["updated_at"]), (at(7), at(9)))

    def test_a_reference_that_stays(self) -> None:
        """A row whose user was hidden meanwhile can be read, changed and sent back."""
        granted = self.plant(AUTHORIZATION, domain_id=self.root)
        user = rows.read_txn(self.connection, USER, granted["user_id"])
        rows.update_txn(self.connection, USER, user, {"deleted_at": at(1)}, now=1)
        after = rows.update_txn(self.connection, AUTHORIZATION, granted, granted, now=2)
        self.assertEqual(after["user_id"], user["id"])


class InUseTests(TenantTables):
    """What is in use is neither deleted nor hidden."""

    def test_every_reference(self) -> None:
        """A reference that does not own keeps what it refers to; with one that does, the row goes too."""
        for user in MODELS.values():
            for field in user.references:
                model = MODELS[field.refers]
                if user is model:
                    continue
                used = self.plant(model)
                using = self.plant(user, **{field.column: used["id"]})
                if field.owned:
                    rows.delete_txn(self.connection, model, used["id"])
                    self.assertRaises(NotFound, rows.read_txn, self.connection, user, using["id"])
                    continue
                message = f"the {model.words} is in use by the {user.words} '{using[user.label]}'"
                self.assertEqual(self.refusal(model, used), [message, message])

    def test_what_is_assigned(self) -> None:
        """A tag or library of a domain is in use by that domain."""
        for model, through, column in (
            (TAG, tables.domain_tags, "tag_id"),
            (LIBRARY, tables.domain_libraries, "library_id"),
        ):
            used = self.plant(model)
            self.connection.execute(insert(through).values({"domain_id": self.root, column: used["id"]}))
            message = f"the {model.words} is in use by the domain 'root'"
            self.assertEqual(self.refusal(model, used), [message, message])

    def test_many_users(self) -> None:
        """All kinds are named, and of each the first ten in order, with the number of the others."""
        domain = self.plant(DOMAIN)
        for number in range(12):
            self.plant(PRODUCT, name=f"p{number:02}", domain_id=domain["id"])
        self.plant(RESOURCE, name="r", domain_id=domain["id"])
        error = self.assertRaises(Conflict, rows.delete_txn, self.connection, DOMAIN, domain["id"])
        names = ", ".join(f"'p{number:02}'" for number in range(10))
        self.assertEqual(str(error), f"the domain is in use by the product {names} and 2 more and the resource 'r'")

    def test_hidden_users(self) -> None:
        """What is hidden, and so can be neither found nor removed, keeps nothing from being removed."""
        domain, role = self.plant(DOMAIN), self.plant(ROLE)
        product = self.plant(PRODUCT, domain_id=domain["id"])
        granted = self.plant(AUTHORIZATION, role_id=role["id"], domain_id=self.root)
        for model, record in ((PRODUCT, product), (AUTHORIZATION, granted)):
            rows.update_txn(self.connection, model, record, {"deleted_at": at(1)}, now=1)
        rows.delete_txn(self.connection, DOMAIN, domain["id"])
        rows.delete_txn(self.connection, ROLE, role["id"])
        names = select(PRODUCT.table.c.name, PRODUCT.table.c.domain_id)
        self.assertEqual(self.connection.execute(names).all(), [(product["name"], None)])

    def test_assigned_to_what_is_hidden(self) -> None:
        """Nor does a hidden domain keep a tag."""
        tag, domain = self.plant(TAG), self.plant(DOMAIN)
        assigned = {"domain_id": domain["id"], "tag_id": tag["id"]}
        self.connection.execute(insert(tables.domain_tags).values(assigned))
        rows.update_txn(self.connection, DOMAIN, domain, {"deleted_at": at(1)}, now=1)
        rows.delete_txn(self.connection, TAG, tag["id"])
        self.assertRaises(NotFound, rows.read_txn, self.connection, TAG, tag["id"])

    def refusal(self, model: Model, record: Record) -> list[str]:
        """The texts with which deleting and hiding are refused."""
        hide = {"deleted_at": at(1)}
        delete = self.assertRaises(Conflict, rows.delete_txn, self.connection, model, record["id"])
        hidden = self.assertRaises(Conflict, rows.update_txn, self.connection, model, record, hide, now=1)
        return [str(delete), str(hidden)]


class ScopeTests(TenantTables):
    """Rows outside the scope are as if they were not there."""

    def test_every_model(self) -> None:
        """Of models with a domain only rows of the scope's domains are seen; of others all."""
        mine, other = self.plant(DOMAIN)["id"], self.plant(DOMAIN)["id"]
        for model in MODELS.values():
            seen, unseen = self.placed(model, mine), self.placed(model, other)
            everything = [seen["id"], unseen["id"]]
            visible = {record["id"] for record in rows.list_txn(self.connection, model, scope=frozenset({mine}))}
            found = [id for id in everything if id in visible]
            self.assertEqual(found, everything[:1] if model.domain else everything, model.name)
            for record in (seen, unseen):
                if record["id"] in visible:
                    self.assertEqual(self.read(model, record, mine), record)
                else:
                    self.assertRaises(NotFound, self.read, model, record, mine)
                    named = functools.partial(rows.read_named_txn, scope={mine})
                    self.assertRaises(NotFound, named, self.connection, model, str(record[model.label]))
            if model.domain:
                self.assertEqual(rows.list_txn(self.connection, model, scope=frozenset()), [], model.name)

    def test_where_a_row_belongs(self) -> None:
        """The domain that decides on a row is told from its values."""
        domain = self.plant(DOMAIN)["id"]
        for model in MODELS.values():
            record = self.placed(model, domain)
            told = rows.domain_of_txn(self.connection, model, record)
            self.assertEqual(told, domain if model.domain else None, model.name)
            self.assertIsNone(rows.domain_of_txn(self.connection, model, {}), model.name)
        nowhere = {"resource_id": uuid.uuid4()}
        self.assertIsNone(rows.domain_of_txn(self.connection, EVENT_TYPE_TO_POLL, nowhere))

    def read(self, model: Model, record: Record, domain: uuid.UUID) -> Record:
        """Read within the scope of one domain."""
        return rows.read_txn(self.connection, model, record["id"], scope=frozenset({domain}), lock=True)

    def placed(self, model: Model, domain: uuid.UUID) -> Record:
        """A row in a domain, if its model has one."""
        if model.domain is None:
            return self.plant(model)
        if model is DOMAIN:
            return rows.read_txn(self.connection, DOMAIN, domain)
        if model.domain.of:
            resource = self.plant(RESOURCE, domain_id=domain)
            return self.plant(model, **{model.domain.column: resource["id"]})
        return self.plant(model, **{model.domain.column: domain})


class PageTests(TenantTables):
    """`list_txn` with a `Page`."""

    def test_the_order(self) -> None:
        """Rows come as they were created; in another order if it is asked for."""
        names = ["b", "c", "a"]
        for now, name in enumerate(names):
            self.plant(LIBRARY, name=name, now=now)
        self.assertEqual(self.names(), names)
        self.assertEqual(self.names(order="name"), ["a", "b", "c"])
        self.assertEqual(self.names(order="name", descending=True), ["c", "b", "a"])
        self.assertEqual(self.names(order="name", limit=2), ["a", "b"])

    def test_filters(self) -> None:
        """Rows of these values; None means unset."""
        domain = self.plant(DOMAIN)["id"]
        placed = self.plant(PRODUCT, domain_id=domain, logo="x")
        free = self.plant(PRODUCT, domain_id=None, logo="x")
        self.plant(PRODUCT, domain_id=domain, logo="y")
        for filters, wanted in (
            ({"domain_id": domain, "logo": "x"}, [placed]),
            ({"domain_id": None}, [free]),
            ({"domain_id": domain, "logo": "z"}, []),
        ):
            self.assertEqual(rows.list_txn(self.connection, PRODUCT, page=rows.Page(filters)), wanted)

    def test_pages(self) -> None:
        """Through pages nothing is lost or repeated, in each order, both ways, whatever values are alike."""
        for model in MODELS.values():
            made = [self.plant(model, now=number // 4) for number in range(9)]
            for record in made[::2]:
                alike = {field.column: "alike" for field in model.fields if field.type == "text" and not field.unique}
                if not any(set(columns) & set(alike) for columns in rows.unique_columns(model)):
                    rows.update_txn(self.connection, model, record, alike, now=1)
            for order in model.orders:
                for descending in (False, True):
                    page = rows.Page(order=order, descending=descending, limit=2)
                    paged = list(self.paged(model, page))
                    whole = rows.list_txn(self.connection, model, page=attrs.evolve(page, limit=None))
                    self.assertEqual(paged, whole, f"{model.name} by {order}")
                    self.assertEqual(len({record["id"] for record in paged}), len(paged))
                    self.assertLessEqual(len(made), len(paged))

    def test_a_row_that_is_gone(self) -> None:
        """The last row seen may have been deleted before the next page is asked for."""
        for name in "abcd":
            self.plant(LIBRARY, name=name)
        page = rows.Page(order="name", limit=2)
        first = rows.list_txn(self.connection, LIBRARY, page=page)
        rows.delete_txn(self.connection, LIBRARY, first[-1]["id"])
        rest = attrs.evolve(page, after=("b", first[-1]["id"]))
        self.assertEqual([r["name"] for r in rows.list_txn(self.connection, LIBRARY, page=rest)], ["c", "d"])

    def names(self, **page: Any) -> list[str]:
        """The names of the libraries on a page."""
        return [record["name"] for record in rows.list_txn(self.connection, LIBRARY, page=rows.Page(**page))]

    def paged(self, model: Model, page: rows.Page) -> Iterator[Record]:
        """All rows, page by page."""
        while found := rows.list_txn(self.connection, model, page=page):
            yield from found
            page = attrs.evolve(page, after=(found[-1][page.order], found[-1]["id"]))


class LoadTests(TenantTables):
    """`load_txn`."""

    def loaded(self, model: Model, id: uuid.UUID, loads: Loads) -> Record:
        """A row with what is loaded beside it."""
        record = rows.read_txn(self.connection, model, id)
        rows.load_txn(self.connection, model, [record], loads)
        return record

    def test_what_is_declared(self) -> None:
        """Every model's rows can be loaded as its list and its read say; nothing else is loaded."""
        for model in MODELS.values():
            for loads in (model.listed, model.read):
                record = self.loaded(model, self.plant(model)["id"], loads)
                self.assertEqual(set(record) - {column.name for column in model.table.columns}, set(loads))

    def test_nested(self) -> None:
        """The row that a reference leads to; None where it is unset, or that row is hidden."""
        user, role = self.plant(USER), self.plant(ROLE)
        granted = self.plant(AUTHORIZATION, user_id=user["id"], role_id=role["id"], domain_id=None)
        wanted: Loads = {"User": {}, "Role": {}, "Domain": {}}
        self.assertEqual(
            self.loaded(AUTHORIZATION, granted["id"], wanted),
            {**granted, "User": user, "Role": role, "Domain": None},
        )
        rows.update_txn(self.connection, USER, user, {"deleted_at": at(1)}, now=1)
        self.assertIsNone(self.loaded(AUTHORIZATION, granted["id"], wanted)["User"])

    def test_many(self) -> None:
        """The rows that refer here, as they were created, without hidden ones; none is an empty list."""
        domain = self.plant(DOMAIN)["id"]
        made = [self.plant(PRODUCT, domain_id=domain, now=now) for now in (3, 1, 2)]
        self.plant(PRODUCT, domain_id=self.root)
        hidden = self.plant(PRODUCT, domain_id=domain)
        rows.update_txn(self.connection, PRODUCT, hidden, {"deleted_at": at(1)}, now=1)
        found = self.loaded(DOMAIN, domain, {"Products": {}, "Environments": {}})
        self.assertEqual(found["Products"], [made[1], made[2], made[0]])
        self.assertEqual(found["Environments"], [])

    def test_many_to_many(self) -> None:
        """What is assigned, each to each of its owners."""
        one, two = self.plant(DOMAIN)["id"], self.plant(DOMAIN)["id"]
        a, b = self.plant(TAG, now=1), self.plant(TAG, now=2)
        for domain, tag in ((one, b), (one, a), (two, b)):
            row = {"domain_id": domain, "tag_id": tag["id"]}
            self.connection.execute(insert(tables.domain_tags).values(row))
        self.assertEqual(self.loaded(DOMAIN, one, {"Tags": {}})["Tags"], [a, b])
        self.assertEqual(self.loaded(DOMAIN, two, {"Tags": {}})["Tags"], [b])

    def test_within(self) -> None:
        """Beside what is loaded more can be loaded."""
        type = self.plant(ENVIRONMENT_TYPE)
        domain = self.plant(DOMAIN)
        made = self.plant(ENVIRONMENT, domain_id=domain["id"], environment_type_id=type["id"])
        loads: Loads = {"Environments": {"EnvironmentType": {}, "Domain": {"Parent": {}}}}
        (found,) = self.loaded(DOMAIN, domain["id"], loads)["Environments"]
        self.assertEqual(found["EnvironmentType"], type)
        self.assertEqual(found["Domain"]["Parent"]["id"], self.root)
        self.assertEqual({key: found[key] for key in made}, made)

    def test_queries_do_not_grow(self) -> None:
        """A list of any length with all that the Go system loads takes as many queries as a short one."""
        counts = []
        for _ in range(2):
            for _ in range(5):
                domain = self.plant(DOMAIN)["id"]
                for model in (PRODUCT, ENVIRONMENT, AUTHORIZATION):
                    self.plant(model, domain_id=domain)
            with self.queries() as statements:
                records = rows.list_txn(self.connection, DOMAIN)
                rows.load_txn(self.connection, DOMAIN, records, DOMAIN.listed)
            counts.append(len(statements))
        self.assertEqual(counts[0], counts[1])
        self.assertLessEqual(counts[1], 9)


class AtOnceTests(TenantTables):
    """Two transactions at the same time."""

    def setUp(self) -> None:
        self.dsn = postgres.create_tenant_tables()
        self.connect = functools.partial(connected, self.dsn)

    def stored(self, model: Model, **values: Any) -> Record:
        """A row, committed."""
        with self.connect() as connection, connection.begin():
            return plant(connection, model, **values)

    def test_used_and_deleted(self) -> None:
        """What is deleted while another begins to use it is not there for that one, which is told so."""
        role = self.stored(ROLE)
        error = self.assertRaises(
            Conflict,
            interleaved,
            self.connect,
            lambda connection: rows.delete_txn(connection, ROLE, role["id"]),
            lambda connection: rows.create_txn(connection, AUTHORIZATION, {"role_id": role["id"]}, now=1),
        )
        self.assertEqual(str(error), f"RoleID: there is no role '{role['id']}'")

    def test_used_and_hidden(self) -> None:
        """Likewise what is hidden."""
        role = self.stored(ROLE)

        def hide(connection: Connection) -> None:
            before = rows.read_txn(connection, ROLE, role["id"], lock=True)
            rows.update_txn(connection, ROLE, before, {"deleted_at": at(1)}, now=1)

        error = self.assertRaises(
            Conflict,
            interleaved,
            self.connect,
            hide,
            lambda connection: rows.create_txn(connection, AUTHORIZATION, {"role_id": role["id"]}, now=1),
        )
        self.assertEqual(str(error), f"RoleID: there is no role '{role['id']}'")

    def test_deleted_and_used(self) -> None:
        """What another begins to use while it is being deleted stays, and the user is named."""
        role = self.stored(ROLE)
        made: list[Record] = []
        error = self.assertRaises(
            Conflict,
            interleaved,
            self.connect,
            lambda connection: made.append(
                rows.create_txn(connection, AUTHORIZATION, {"role_id": role["id"]}, now=1)
            ),
            lambda connection: rows.delete_txn(connection, ROLE, role["id"]),
        )
        self.assertEqual(str(error), f"the role is in use by the authorization '{made[0]['id']}'")

    def test_two_of_one_name(self) -> None:
        """Of two that take a name at once one is refused."""
        values = {"name": "same"}
        with contextlib.suppress(Exception):
            interleaved(
                self.connect,
                lambda connection: rows.create_txn(connection, ROLE, values, now=1),
                lambda connection: rows.create_txn(connection, ROLE, values, now=1),
            )
        with self.connect() as connection:
            self.assertEqual(len(rows.list_txn(connection, ROLE)), 1)
