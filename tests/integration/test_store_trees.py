"""Trees of domains and tags on a real server, also against a simple model of a tree."""

from __future__ import annotations

import functools
import itertools
import random
import threading
import uuid
from typing import Any
from uuid import UUID

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, exc, insert

from gandalf.store import rows, trees
from gandalf.store import tenant_schema as tables
from gandalf.store.assignments import ASSIGNED, assign_txn, assigned_txn, withdraw_txn
from gandalf.store.errors import Conflict, NotFound, sqlstate
from gandalf.store.model import Model, Record
from gandalf.store.models import AUTHORIZATION, DOMAIN, ENVIRONMENT, LIBRARY, PRODUCT, TAG
from gandalf.store.times import at

from . import postgres
from .tenant_tables import TenantTables, connected, interleaved, plant

EXAMPLES, STEPS = 40, 25
"""Of the random operations: they take some 4 s."""


class TreeTests(TenantTables):
    """What holds for both trees."""

    def roots(self) -> list[tuple[Model, UUID]]:
        """The trees and their roots."""
        return [(DOMAIN, self.root), (TAG, self.root_tag)]

    def below(self, model: Model, parent: UUID, **values: Any) -> Record:
        """A row made below `parent`."""
        return trees.create_below_txn(self.connection, model, parent, values, now=1)

    def change(self, model: Model, before: Record, **values: Any) -> Record:
        """Change a row."""
        return trees.change_txn(self.connection, model, before, values, now=2)

    def test_the_root(self) -> None:
        """The root is the row without a parent; a tree without rows has none."""
        for model, root in self.roots():
            self.assertEqual(trees.root_txn(self.connection, model)["id"], root)
            rows.delete_txn(self.connection, model, root)
            error = self.assertRaises(NotFound, trees.root_txn, self.connection, model)
            self.assertEqual(str(error), f"there is no root {model.words}")
            self.assertRaises(NotFound, trees.tree_txn, self.connection, model)

    def test_created_below(self) -> None:
        """A row goes below the parent named apart, whatever its own values say; an unknown parent is not found."""
        for model, root in self.roots():
            one = self.below(model, root, name="one", parent_id=uuid.uuid4())
            self.assertEqual((one["name"], one["parent_id"]), ("one", root))
            two = self.below(model, one["id"], name="two", parent_id=root, id=root)
            self.assertEqual(two["parent_id"], one["id"])
            self.assertNotEqual(two["id"], root)
            nowhere = uuid.uuid4()
            error = self.assertRaises(NotFound, self.below, model, nowhere)
            self.assertEqual(str(error), f"there is no {model.words} '{nowhere}'")

    def test_the_tree(self) -> None:
        """The root has its children nested all the way down, in the order of their creation; a leaf has None."""
        for model, root in self.roots():
            a = trees.create_below_txn(self.connection, model, root, {"name": "a"}, now=2)
            trees.create_below_txn(self.connection, model, root, {"name": "b"}, now=1)
            trees.create_below_txn(self.connection, model, a["id"], {"name": "c"}, now=3)
            shown = self.shape(trees.tree_txn(self.connection, model))
            self.assertEqual(shown, ("root", [("b", None), ("a", [("c", None)])]))

    def test_visible_branches(self) -> None:
        """Of what is visible the tree shows the branches: ancestors too, but nothing beside or below."""
        a = self.below(DOMAIN, self.root, name="a")
        b = self.below(DOMAIN, a["id"], name="b")
        self.below(DOMAIN, b["id"], name="c")
        self.below(DOMAIN, a["id"], name="d")
        for visible, shown in (
            ([b["id"]], ("root", [("a", [("b", None)])])),
            ([a["id"], b["id"]], ("root", [("a", [("b", None)])])),
            ([], ("root", None)),
        ):
            self.assertEqual(self.shape(trees.tree_txn(self.connection, DOMAIN, visible=visible)), shown)

    def test_moved(self) -> None:
        """A row moves with all below it; a parent left out or unset stays."""
        for model, root in self.roots():
            a, b = self.below(model, root), self.below(model, root)
            c = self.below(model, a["id"])
            moved = self.change(model, a, parent_id=b["id"])
            self.assertEqual(moved["parent_id"], b["id"])
            self.assertEqual(set(trees.below_txn(self.connection, model, b["id"])), {b["id"], a["id"], c["id"]})
            for values in ({"name": "x"}, {"name": "y", "parent_id": None}):
                self.assertEqual(self.change(model, moved, **values)["parent_id"], b["id"])

    def test_below_itself(self) -> None:
        """Neither below itself, nor below what is below it."""
        for model, root in self.roots():
            a = self.below(model, root)
            b = self.below(model, a["id"])
            for parent in (a["id"], b["id"]):
                error = self.assertRaises(Conflict, self.change, model, a, parent_id=parent)
                self.assertEqual(
                    str(error), f"the {model.words} cannot be below itself: {parent} is it, or is below it"
                )

    def test_no_deeper_than_can_be_drawn(self) -> None:
        """Neither by a row made below the deepest, nor by moving rows there together with what is below them."""
        for model, root in self.roots():
            last = deepest = root
            for _ in range(trees.MAX_LEVELS - 1):
                last, deepest = deepest, self.below(model, deepest)["id"]
            said = f"a tree of {model.plural} has at most {trees.MAX_LEVELS} levels"
            self.assertEqual(str(self.assertRaises(Conflict, self.below, model, deepest)), said)
            a = self.below(model, root)
            self.assertEqual(self.change(model, a, parent_id=last)["parent_id"], last)
            b = self.below(model, root)
            self.below(model, b["id"])
            self.assertEqual(str(self.assertRaises(Conflict, self.change, model, b, parent_id=last)), said)

    def test_the_root_stays(self) -> None:
        """The root can be renamed, but not moved, hidden or deleted."""
        for model, root in self.roots():
            record = trees.root_txn(self.connection, model)
            child = self.below(model, root)
            self.assertEqual(self.change(model, record, name="tenant", parent_id=None)["name"], "tenant")
            for values, message in (
                ({"parent_id": child["id"]}, "cannot be below another"),
                ({"parent_id": root}, "cannot be below another"),
                ({"deleted_at": at(1)}, "cannot be deleted"),
            ):
                error = self.assertRaises(Conflict, self.change, model, record, **values)
                self.assertEqual(str(error), f"the root {model.words} {message}")
            error = self.assertRaises(Conflict, trees.remove_txn, self.connection, model, root)
            self.assertEqual(str(error), f"the root {model.words} cannot be deleted")

    def test_a_parent_that_is_not_there(self) -> None:
        """A row cannot move below what is not there or hidden, nor can one be made below a hidden one."""
        for model, root in self.roots():
            hidden, other = self.below(model, root), self.below(model, root)
            self.change(model, hidden, deleted_at=at(1))
            for parent in (hidden["id"], uuid.uuid4()):
                error = self.assertRaises(Conflict, self.change, model, other, parent_id=parent)
                self.assertEqual(str(error), f"ParentID: there is no {model.words} '{parent}'")
                self.assertRaises(NotFound, self.below, model, parent)

    def test_hidden(self) -> None:
        """A row is hidden when nothing that can be seen is below it."""
        for model, root in self.roots():
            a = self.below(model, root)
            b = self.below(model, a["id"])
            error = self.assertRaises(Conflict, self.change, model, a, deleted_at=at(1))
            self.assertEqual(str(error), f"the {model.words} cannot be hidden while others are below it")
            for record in (b, a):
                self.change(model, record, deleted_at=at(1))
            self.assertEqual(trees.tree_txn(self.connection, model)["Childs"], None)

    def test_removed(self) -> None:
        """What is below goes too, hidden rows included; what is beside stays."""
        for model, root in self.roots():
            a, beside = self.below(model, root), self.below(model, root)
            b = self.below(model, a["id"])
            self.change(model, self.below(model, b["id"]), deleted_at=at(1))
            trees.remove_txn(self.connection, model, a["id"])
            self.assertEqual(set(trees.below_txn(self.connection, model, root)), {root, beside["id"]})

    def test_in_use_below(self) -> None:
        """What is in use below keeps all above it; authorizations and environments go with their domain."""
        a = self.below(DOMAIN, self.root)
        b = self.below(DOMAIN, a["id"])
        for model in (ENVIRONMENT, AUTHORIZATION):
            self.plant(model, domain_id=b["id"])
        product = self.plant(PRODUCT, name="p", domain_id=b["id"])
        error = self.assertRaises(Conflict, trees.remove_txn, self.connection, DOMAIN, a["id"])
        self.assertEqual(str(error), "the domain is in use by the product 'p'")
        rows.update_txn(self.connection, PRODUCT, product, {"deleted_at": at(1)}, now=1)
        trees.remove_txn(self.connection, DOMAIN, a["id"])
        for model in (ENVIRONMENT, AUTHORIZATION):
            self.assertEqual(rows.list_txn(self.connection, model), [])

    def test_a_tag_in_use_below(self) -> None:
        """A tag that a domain has keeps those above it."""
        a = self.below(TAG, self.root_tag)
        b = self.below(TAG, a["id"])
        assign_txn(self.connection, ASSIGNED["tag"], self.root, b["id"])
        error = self.assertRaises(Conflict, trees.remove_txn, self.connection, TAG, a["id"])
        self.assertEqual(str(error), "the tag is in use by the domain 'root'")

    def shape(self, record: Record) -> tuple[str, Any]:
        """A tree's names."""
        childs = record["Childs"]
        return record["name"], None if childs is None else [self.shape(child) for child in childs]


class InheritanceTests(TenantTables):
    """What a new domain gets from the one above."""

    def test_what_is_copied(self) -> None:
        """GitURL, libraries and tags; copies of environments and authorizations with all that they say."""
        above = self.plant(DOMAIN, git_url="http://git")
        library, tag = self.plant(LIBRARY), self.plant(TAG)
        self.assign(above["id"], library["id"], tag["id"])
        environment = self.plant(ENVIRONMENT, domain_id=above["id"])
        granted = self.plant(AUTHORIZATION, domain_id=above["id"])
        self.plant(PRODUCT, domain_id=above["id"])
        created = trees.create_below_txn(
            self.connection, DOMAIN, above["id"], {"git_url": "mine", "logo": "l"}, now=9
        )
        self.assertEqual((created["git_url"], created["logo"], created["description"]), ("http://git", "l", ""))
        rows.load_txn(self.connection, DOMAIN, [created], DOMAIN.listed)
        self.assertEqual((created["Libraries"], created["Tags"], created["Products"]), ([library], [tag], []))
        new = {"domain_id": created["id"], "created_at": at(9), "updated_at": at(9)}
        (copy,) = created["Environments"]
        self.assertEqual(copy, {**environment, **new, "id": copy["id"]})
        (copied,) = created["Authorizations"]
        self.assertEqual({key: copied[key] for key in granted}, {**granted, **new, "id": copied["id"]})
        self.assertNotIn(environment["id"], (copy["id"], copied["id"]))

    def test_the_order_of_copies(self) -> None:
        """Copies are listed in the order of what they are copies of."""
        above = self.plant(DOMAIN)["id"]
        for number in (3, 1, 2, 5, 4, 0, 6, 7):
            self.plant(ENVIRONMENT, name=str(number), domain_id=above, now=number)
        below = trees.create_below_txn(self.connection, DOMAIN, above, {}, now=9)
        rows.load_txn(self.connection, DOMAIN, [below], {"Environments": {}})
        self.assertEqual([environment["name"] for environment in below["Environments"]], list("01234567"))

    def test_what_is_hidden_is_not_copied(self) -> None:
        """A hidden authorization is no authorization below either."""
        above = self.plant(DOMAIN)["id"]
        granted = self.plant(AUTHORIZATION, domain_id=above)
        rows.update_txn(self.connection, AUTHORIZATION, granted, {"deleted_at": at(1)}, now=1)
        below = trees.create_below_txn(self.connection, DOMAIN, above, {}, now=1)
        rows.load_txn(self.connection, DOMAIN, [below], {"Authorizations": {}})
        self.assertEqual(below["Authorizations"], [])

    def test_of_the_parent_alone(self) -> None:
        """What stands higher up is not copied again, and what the parent gets later is not either."""
        trees.create_below_txn(self.connection, DOMAIN, self.root, {}, now=1)
        self.plant(ENVIRONMENT, domain_id=self.root)
        middle = self.plant(DOMAIN)["id"]
        below = trees.create_below_txn(self.connection, DOMAIN, middle, {}, now=1)
        rows.load_txn(self.connection, DOMAIN, [below], {"Environments": {}})
        self.assertEqual(below["Environments"], [])

    def assign(self, domain: UUID, library: UUID, tag: UUID) -> None:
        """Assign both."""
        row = {"domain_id": domain, "library_id": library}
        self.connection.execute(insert(tables.domain_libraries).values(row))
        self.connection.execute(insert(tables.domain_tags).values({"domain_id": domain, "tag_id": tag}))


class AssignmentTests(TenantTables):
    """Tags and libraries of domains."""

    def test_assigned_and_withdrawn(self) -> None:
        """Either can be repeated; what is assigned is told."""
        self.assertEqual(set(ASSIGNED), {"tag", "library"})
        for assigned, model in ((ASSIGNED["tag"], TAG), (ASSIGNED["library"], LIBRARY)):
            record = self.plant(model)
            for _ in range(2):
                assign_txn(self.connection, assigned, self.root, record["id"])
                self.assertEqual(assigned_txn(self.connection, assigned, self.root), [record])
            for _ in range(2):
                withdraw_txn(self.connection, assigned, self.root, record["id"])
                self.assertEqual(assigned_txn(self.connection, assigned, self.root), [])

    def test_unknown(self) -> None:
        """What is not there is named."""
        nothing = uuid.uuid4()
        for assigned, words in ((ASSIGNED["tag"], "tag"), (ASSIGNED["library"], "library")):
            for change in (assign_txn, withdraw_txn):
                error = self.assertRaises(NotFound, change, self.connection, assigned, self.root, nothing)
                self.assertEqual(str(error), f"there is no {words} '{nothing}'")
                error = self.assertRaises(NotFound, change, self.connection, assigned, nothing, nothing)
                self.assertEqual(str(error), f"there is no domain '{nothing}'")
            self.assertRaises(NotFound, assigned_txn, self.connection, assigned, nothing)


@attrs.define
class Node:
    """A domain of the simple model: names of its parent and visible products."""

    id: UUID
    parent: UUID | None
    hidden: bool = False
    products: list[Record] = attrs.field(factory=list)


class AgainstAModel(RuleBasedStateMachine):
    """Random operations on a tree of domains, each compared with what a dictionary of nodes says."""

    dsn = ""

    def __init__(self) -> None:
        super().__init__()
        self.opened = connected(self.dsn)
        self.connection = self.opened.__enter__()
        self.root: UUID = plant(self.connection, DOMAIN, name="root")["id"]
        self.nodes = {self.root: Node(self.root, None)}
        self.times = itertools.count(1)

    def teardown(self) -> None:
        self.opened.__exit__(None, None, None)

    def subtree(self, id: UUID) -> set[UUID]:
        """By the model: this node and all below it."""
        children = [node.id for node in self.nodes.values() if node.parent == id]
        return {id}.union(*(self.subtree(child) for child in children))

    def children(self, id: UUID) -> list[UUID]:
        """By the model: what is seen directly below, in order."""
        return [node.id for node in self.nodes.values() if node.parent == id and not node.hidden]

    def node(self, data: st.DataObject, *, seen: bool = False) -> Node:
        """Any node; with `seen`, one that is not hidden."""
        return data.draw(st.sampled_from([n for n in self.nodes.values() if not (seen and n.hidden)]))

    def refused(self, refusal: type[Exception] | None, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call; it has to raise `refusal`, or, for None, to return something."""
        try:
            result = function(self.connection, DOMAIN, *args, **kwargs)
        except (Conflict, NotFound) as error:
            assert type(error) is refusal, error
            return None
        assert refusal is None, f"{refusal} was not raised"
        return result

    @initialize(parents=st.lists(st.integers(0, 5), min_size=3, max_size=6))
    def grow(self, parents: list[int]) -> None:
        """Begin with a tree in which there is something to do."""
        for number in parents:
            self.create(list(self.nodes.values())[number % len(self.nodes)])

    @rule(data=st.data())
    def create_somewhere(self, data: st.DataObject) -> None:
        self.create(self.node(data))

    def create(self, parent: Node) -> None:
        """Create a domain below `parent`."""
        refusal = NotFound if parent.hidden else None
        created = self.refused(refusal, trees.create_below_txn, parent.id, {}, now=next(self.times))
        if created is not None:
            self.nodes[created["id"]] = Node(created["id"], parent.id)

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        node, parent = self.node(data, seen=True), self.node(data)
        stays = parent.id == node.parent
        wrong = node.parent is None or parent.hidden or parent.id in self.subtree(node.id)
        before = rows.read_txn(self.connection, DOMAIN, node.id, lock=True)
        refusal = Conflict if wrong and not stays else None
        if self.refused(refusal, trees.change_txn, before, {"parent_id": parent.id}, now=next(self.times)):
            node.parent = parent.id

    @rule(data=st.data())
    def hide(self, data: st.DataObject) -> None:
        node = self.node(data, seen=True)
        wrong = node.parent is None or self.children(node.id) or node.products
        before = rows.read_txn(self.connection, DOMAIN, node.id, lock=True)
        values = {"deleted_at": at(1)}
        refusal = Conflict if wrong else None
        if self.refused(refusal, trees.change_txn, before, values, now=next(self.times)):
            node.hidden = True

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        node = self.node(data, seen=True)
        gone = self.subtree(node.id)
        wrong = node.parent is None or any(self.nodes[id].products for id in gone)
        self.refused(Conflict if wrong else None, trees.remove_txn, node.id)
        if not wrong:
            self.nodes = {id: node for id, node in self.nodes.items() if id not in gone}

    @rule(data=st.data())
    def add_product(self, data: st.DataObject) -> None:
        node = self.node(data, seen=True)
        node.products.append(plant(self.connection, PRODUCT, domain_id=node.id))

    @precondition(lambda self: any(node.products for node in self.nodes.values()))
    @rule(data=st.data(), hide=st.booleans())
    def drop_product(self, data: st.DataObject, hide: bool) -> None:
        node = data.draw(st.sampled_from([node for node in self.nodes.values() if node.products]))
        product = node.products.pop()
        if hide:
            rows.update_txn(self.connection, PRODUCT, product, {"deleted_at": at(1)}, now=1)
        else:
            rows.delete_txn(self.connection, PRODUCT, product["id"])

    @invariant()
    def is_the_model(self) -> None:
        for id in self.nodes:
            below = trees.below_txn(self.connection, DOMAIN, id)
            assert sorted(below) == sorted(self.subtree(id))
        self.compare(trees.tree_txn(self.connection, DOMAIN), self.root)
        stored = self.connection.execute(DOMAIN.table.select()).all()
        assert {row.id: row.parent_id for row in stored} == {node.id: node.parent for node in self.nodes.values()}

    def compare(self, record: Record, id: UUID) -> None:
        """The nested record against the model."""
        assert record["id"] == id
        children = self.children(id)
        assert [child["id"] for child in record["Childs"] or []] == children
        assert (record["Childs"] is None) == (not children)
        for child in record["Childs"] or []:
            self.compare(child, child["id"])


class ModelTests(TenantTables):
    """Trees in general."""

    def setUp(self) -> None:
        AgainstAModel.dsn = postgres.create_tenant_tables()

    def test_random_operations(self) -> None:
        """Whatever is done there is one root and no cycle; exactly a subtree is removed, nothing that is in use."""
        bounds = settings(max_examples=EXAMPLES, stateful_step_count=STEPS)
        run_state_machine_as_test(AgainstAModel, settings=bounds)


class AtOnceTests(TenantTables):
    """Two transactions at the same time."""

    def setUp(self) -> None:
        self.connect = functools.partial(connected, postgres.create_tenant_tables())
        with self.connect() as connection, connection.begin():
            self.root = plant(connection, DOMAIN, name="root")["id"]
            self.a, self.b = (plant(connection, DOMAIN, parent_id=self.root)["id"] for _ in "ab")

    def test_each_below_the_other(self) -> None:
        """Of two moves that would make a cycle together one is refused."""
        self.assertRaises(
            Conflict,
            interleaved,
            self.connect,
            functools.partial(move, id=self.a, parent=self.b),
            functools.partial(move, id=self.b, parent=self.a),
        )
        self.assertEqual(len(self.below()), 3)

    def test_below_what_is_being_hidden(self) -> None:
        """Nothing comes below a row while it is hidden, neither a row that moves nor a new one."""

        def hide(connection: Connection, id: UUID) -> None:
            before = rows.read_txn(connection, DOMAIN, id, lock=True)
            trees.change_txn(connection, DOMAIN, before, {"deleted_at": at(1)}, now=1)

        self.assertRaises(
            Conflict,
            interleaved,
            self.connect,
            functools.partial(hide, id=self.a),
            functools.partial(move, id=self.b, parent=self.a),
        )
        self.assertRaises(
            NotFound,
            interleaved,
            self.connect,
            functools.partial(hide, id=self.b),
            lambda connection: trees.create_below_txn(connection, DOMAIN, self.b, {}, now=1),
        )

    def test_below_what_is_being_removed(self) -> None:
        """A row that moves below what is removed meanwhile stays where it was."""
        self.assertRaises(
            Conflict,
            interleaved,
            self.connect,
            lambda connection: trees.remove_txn(connection, DOMAIN, self.a),
            functools.partial(move, id=self.b, parent=self.a),
        )
        self.assertEqual(set(self.below()), {self.root, self.b})

    def test_many_moves_at_once(self) -> None:
        """Random moves of several at once never deadlock, and leave a tree."""
        ids = [self.root, self.a, self.b]
        with self.connect() as connection, connection.begin():
            ids += [plant(connection, DOMAIN, parent_id=self.root)["id"] for _ in range(3)]
        retried: list[str] = []

        def work(seed: int) -> None:
            chance = random.Random(seed)
            with self.connect() as connection:
                for _ in range(40):
                    id, parent = chance.choice(ids), chance.choice(ids)
                    try:
                        with connection.begin():
                            move(connection, id, parent)
                    except Conflict:
                        continue
                    except exc.DBAPIError as error:
                        retried.append(sqlstate(error))

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(retried, [])
        self.assertEqual(set(self.below()), set(ids))

    def below(self) -> list[UUID]:
        """What is below the root."""
        with self.connect() as connection:
            return trees.below_txn(connection, DOMAIN, self.root)


def move(connection: Connection, id: UUID, parent: UUID) -> None:
    """Move a domain as the API does: read it with a lock, then change it."""
    before = rows.read_txn(connection, DOMAIN, id, lock=True)
    trees.change_txn(connection, DOMAIN, before, {"parent_id": parent}, now=1)
