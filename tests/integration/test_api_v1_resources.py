"""The resources of `/api/v1` on a real server."""

from __future__ import annotations

import threading
import time
from typing import Any
from uuid import UUID, uuid4

import bcrypt
from sqlalchemy import text

from gandalf.store.assignments import ASSIGNED
from gandalf.store.errors import DatabaseUnavailable
from gandalf.store.model import Model
from gandalf.store.models import DOMAIN, KEY_VALUE, LOGICAL_COMPONENT, MODELS, TAG, TENANT, USER

from . import postgres
from .tenant_tables import connected
from .v1_network import Answer, V1Case

CREATED = [model for model in MODELS.values() if model.can("create") and model is not TENANT]


class EveryModel(V1Case):
    """What is true of all models."""

    def changeable(self, model: Model) -> tuple[str, Any]:
        """A column, and another value for it."""
        for field in model.fields:
            if field.type == "text":
                return field.column, f"another {uuid4().hex[:8]}"
        reference = next(field for field in model.references if not field.unique)
        return reference.column, self.some(MODELS[reference.refers])

    def test_a_row_from_its_creation_to_its_end(self) -> None:
        """It is created, read, found by each of its values, changed and deleted."""
        for model in CREATED:
            with self.subTest(model.name):
                body = self.body_of(model)
                created = self.ask("POST", f"/{model.plural}", body)
                self.assertEqual(created.status, 201, created.json)
                self.assertEqual({key: created.json[key] for key in body}, body)
                path = created.headers["location"]
                self.assertEqual(path, f"/api/v1/{model.plural}/{created.json['id']}")
                read = self.ask("GET", path)
                self.assertEqual((read.status, read.json, read.etag), (200, created.json, created.etag))
                self.assert_found_by_each_value(model, created.json)
                column, value = self.changeable(model)
                self.clock.advance(1)
                changed = self.ask("PATCH", path, {column: value})
                self.assertEqual(changed.status, 200, changed.json)
                self.assertEqual(
                    changed.json,
                    {**created.json, column: value, "updated_at": changed.json["updated_at"]},
                )
                self.assertNotEqual(changed.json["updated_at"], created.json["updated_at"])
                self.assertEqual(self.ask("GET", path).json, changed.json)
                self.assertEqual(self.ask("DELETE", path).status, 204)
                self.assertEqual(self.ask("GET", path).status, 404)

    def assert_found_by_each_value(self, model: Model, row: dict[str, Any]) -> None:
        """A filter for any column finds it, and with another value does not."""
        for field in model.fields:
            value = row[field.column]
            query = "null" if value is None else value
            found = self.ask("GET", f"/{model.plural}?{field.column}={query}").json["items"]
            self.assertIn(row, found, field.column)
            self.assertEqual({each[field.column] for each in found}, {value})
            other = uuid4() if field.refers else "nothing like it"
            found = self.ask("GET", f"/{model.plural}?{field.column}={other}").json["items"]
            self.assertEqual(found, [], field.column)

    def test_models_that_are_only_seen(self) -> None:
        """They are listed, filtered and read; nothing else is done to them here."""
        for model in MODELS.values():
            if model.can("create"):
                continue
            with self.subTest(model.name):
                id = self.some(model)
                path = f"/{model.plural}/{id}"
                read = self.ask("GET", path)
                self.assertEqual(read.status, 200)
                self.assertIn(read.json, self.ask("GET", f"/{model.plural}").json["items"])
                for field in model.fields:
                    value = read.json[field.column]
                    value = str(value).lower() if field.type == "bool" else value
                    found = self.ask("GET", f"/{model.plural}?{field.column}={value}")
                    self.assertIn(read.json, found.json["items"], field.column)
                for method in ("PATCH", "DELETE"):
                    refused = self.ask(method, path, {})
                    self.assertEqual((refused.status, refused.headers["allow"]), (405, "GET, HEAD"))
                self.assertEqual(self.ask("POST", f"/{model.plural}", {}).status, 405)

    def test_the_least_body(self) -> None:
        """Only the name, and in a tree the parent, have to be told; null is the same as absent."""
        for model in CREATED:
            with self.subTest(model.name):
                needed = {model.label, "parent_id"} if model.tree else {model.label}
                whole = self.body_of(model)
                least = {key: value for key, value in whole.items() if key in needed}
                nulls = {key: None for key in whole if key not in needed}
                created = self.ask("POST", f"/{model.plural}", {**least, **nulls})
                self.assertEqual(created.status, 201, created.json)
                for field in model.fields:
                    if field.column not in needed:
                        self.assertEqual(created.json[field.column], None if field.refers else "", field.column)
                for column in least:
                    without = {key: value for key, value in least.items() if key != column}
                    refused = self.ask("POST", f"/{model.plural}", without)
                    self.assertEqual(refused.status, 400)
                    self.assertIn(column, refused.json["detail"])

    def test_null_unsets(self) -> None:
        """In a change, null takes a value away, and what is absent stays."""
        for model in CREATED:
            columns = [
                field.column for field in model.fields if field.column not in (model.label, "parent_id", "git_url")
            ]
            if not columns:
                continue
            with self.subTest(model.name):
                row = self.made(model.plural, **self.body_of(model))
                changed = self.ask("PATCH", f"/{model.plural}/{row['id']}", {columns[0]: None})
                self.assertEqual(changed.status, 200, changed.json)
                unset = None if model.column(columns[0]).nullable else ""
                expected = {**row, columns[0]: unset, "updated_at": changed.json["updated_at"]}
                self.assertEqual(changed.json, expected)

    def test_unknown_keys(self) -> None:
        """A key that is not known is refused with those that are; so is what the server alone decides."""
        for model in CREATED:
            with self.subTest(model.name):
                for key in ("colour", "id", "created_at", "Name", "deleted_at"):
                    refused = self.ask("POST", f"/{model.plural}", {**self.body_of(model), key: "x"})
                    self.assertEqual(refused.status, 400)
                    self.assertIn(f"not known here: '{key}'; known are", refused.json["detail"])
                    for field in model.fields:
                        if (model.name, field.column) != ("Domain", "git_url"):
                            self.assertIn(field.column, refused.json["detail"])
                refused = self.ask("PATCH", f"/{model.plural}/{uuid4()}", {"colour": 1})
                self.assertEqual(refused.status, 400)

    def test_slashes(self) -> None:
        """However many there are in the path that was asked for, what is answered leads to the row, on this host."""
        created = self.ask("POST", "//api/v1//roles/", {"name": "x"})
        self.assertEqual(created.headers["location"], f"/api/v1/roles/{created.json['id']}")
        self.assertRegex(self.ask("GET", "//api/v1/roles//?limit=1").headers["link"], r"^</api/v1/roles\?")

    def test_the_tenant(self) -> None:
        """The tenant's own row is seen and described; a tenant is not created here."""
        row = self.one("tenants", name="tenant1")
        changed = self.ask("PATCH", f"/tenants/{row['id']}", {"description": "the first"})
        self.assertEqual(changed.json["description"], "the first")
        self.assertEqual(self.ask("POST", "/tenants", {"name": "other"}).status, 405)


class ConditionalRequests(V1Case):
    """ETag, If-None-Match, If-Match."""

    def setUp(self) -> None:
        super().setUp()
        created = self.ask("POST", "/roles", {"name": "r", "description": "old"})
        self.path, self.tag = created.headers["location"], created.etag

    def conditional(self, method: str, header: str, value: str, body: Any = None) -> Answer:
        """A request with one such header."""
        return self.ask(method, self.path, body, headers={header: value})

    def test_known_already(self) -> None:
        """A row that the client has is not sent again; another one is."""
        for value in (self.tag, f"W/{self.tag}", f'"x", {self.tag}', "*"):
            answer = self.conditional("GET", "If-None-Match", value)
            self.assertEqual((answer.status, answer.json, answer.etag), (304, None, self.tag), value)
        for value in ('"x"', "", self.tag.strip('"'), f'"x{self.tag[1:]}'):
            self.assertEqual(self.conditional("GET", "If-None-Match", value).status, 200, value)

    def test_changed_meanwhile(self) -> None:
        """Of two who change the same state the second is told so, and changes nothing."""
        self.clock.advance(1)
        first = self.conditional("PATCH", "If-Match", self.tag, {"description": "first"})
        self.assertEqual(first.status, 200)
        second = self.conditional("PATCH", "If-Match", self.tag, {"description": "second"})
        self.assertEqual((second.status, second.json["title"]), (412, "precondition failed"))
        self.assertIn(first.etag, second.json["detail"])
        self.assertEqual(self.conditional("DELETE", "If-Match", self.tag).status, 412)
        self.assertEqual(self.ask("GET", self.path).json["description"], "first")
        self.assertEqual(self.conditional("DELETE", "If-Match", first.etag).status, 204)

    def test_forms_of_if_match(self) -> None:
        """A weak tag, one of several and `*` are honoured; what is no tag fits nothing."""
        for number, value in enumerate(("W/{}", '"x" , {}', "*", "{}")):
            tag = self.ask("GET", self.path).etag
            answer = self.conditional("PATCH", "If-Match", value.format(tag), {"description": str(number)})
            self.assertEqual(answer.status, 200, value)
        tag = self.ask("GET", self.path).etag
        for value in ('"x"', "", tag.strip('"')):
            answer = self.conditional("PATCH", "If-Match", value, {"description": "no"})
            self.assertEqual(answer.status, 412, value)

    def test_no_row(self) -> None:
        """A row that is not there is not found, whatever is to match."""
        for method in ("PATCH", "DELETE"):
            answer = self.ask(method, f"/roles/{uuid4()}", {}, headers={"If-Match": "*"})
            self.assertEqual(answer.status, 404)

    def test_two_at_once(self) -> None:
        """Who waits for the row while another changes it sees what became of it."""
        answers: list[Answer] = []
        id = self.path.rpartition("/")[2]
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )

        def change() -> None:
            answers.append(self.conditional("PATCH", "If-Match", self.tag, {"description": "late"}))

        with connected(self.dsn) as first, connected(self.dsn) as observer:
            first.execute(text("UPDATE roles SET description = 'early' WHERE id = :id"), {"id": id})
            thread = threading.Thread(target=change)
            thread.start()
            deadline = time.monotonic() + 20
            while not observer.execute(waiting).scalar_one() and time.monotonic() < deadline:
                observer.rollback()
                thread.join(0.01)
            first.commit()
            thread.join()
        self.assertEqual(answers[0].status, 412)
        self.assertEqual(self.ask("GET", self.path).json["description"], "early")


class Lists(V1Case):
    """Filters, order and pages."""

    def setUp(self) -> None:
        super().setUp()
        for number in range(7):
            self.clock.advance(1)
            self.made("libraries", name=f"l{number}", description="even" if number % 2 == 0 else "odd")

    def names(self, query: str) -> list[str]:
        """Of all pages, one after another."""
        names: list[str] = []
        path = f"/libraries?{query}"
        while path:
            page = self.ask("GET", path)
            self.assertEqual(page.status, 200, page.json)
            names += [item["name"] for item in page.json["items"]]
            link = page.headers.get("link", "")
            self.assertEqual(bool(link), page.json["next"] is not None)
            path = link.removeprefix("<").removesuffix('>; rel="next"')
        return names

    def test_orders(self) -> None:
        """By any column that always has a value, either way, and by age if nothing is said."""
        names = [f"l{number}" for number in range(7)]
        self.assertEqual(self.names(""), names)
        for limit in (1, 3, 7, 1000):
            self.assertEqual(self.names(f"limit={limit}"), names)
            for column in ("name", "created_at", "updated_at"):
                self.assertEqual(self.names(f"order={column}&limit={limit}"), names)
                self.assertEqual(self.names(f"order=-{column}&limit={limit}"), names[::-1])
            self.assertCountEqual(self.names(f"order=id&limit={limit}"), names)

    def test_filters_and_pages(self) -> None:
        """A filter holds on every page."""
        self.assertEqual(self.names("description=odd&limit=2&order=-name"), ["l5", "l3", "l1"])
        self.assertEqual(self.names("description=odd&name=l2"), [])

    def test_a_page_is_not_longer(self) -> None:
        """No more rows than asked for; a hundred if nothing is said; the last page says that it is."""
        page = self.ask("GET", "/libraries?limit=3").json
        self.assertEqual(len(page["items"]), 3)
        rest = self.ask("GET", f"/libraries?limit=4&cursor={page['next']}").json
        self.assertEqual([len(rest["items"]), rest["next"]], [4, None])
        for number in range(101):
            self.made("tags", name=str(number), parent_id=self.root_tag)
        page = self.ask("GET", "/tags").json
        self.assertEqual(len(page["items"]), 100)
        self.assertIsNotNone(page["next"])

    def test_wrong_queries(self) -> None:
        """They are refused with what is allowed."""
        cursor = self.ask("GET", "/libraries?limit=1").json["next"]
        for query, told in (
            ("colour=red", "known are cursor, description, limit, logo, name, order, short_description"),
            ("order=colour", "'-name'"),
            ("order=description", "'-name'"),
            ("limit=0", "greater than or equal to 1"),
            ("limit=1001", "less than or equal to 1000"),
            ("limit=1_0", "decimal digits"),
            ("cursor=x", "take it from `next`"),
            (f"cursor={cursor}&order=name", "take it from `next`"),
            ("name=%00", "pattern"),
            ("name=%ff", "UTF-8"),
        ):
            answer = self.ask("GET", f"/libraries?{query}")
            self.assertEqual(answer.status, 400, query)
            self.assertIn(told, answer.json["detail"])
        for plural, query in (("domains", "parent_id=x"), ("keys", "mandatory=1"), ("pivots", "major=128")):
            self.assertEqual(self.ask("GET", f"/{plural}?{query}").status, 400, query)

    def test_unset_references(self) -> None:
        """The word null finds rows without one."""
        self.made("domains", name="below", parent_id=self.root)
        found = self.ask("GET", "/domains?parent_id=null").json["items"]
        self.assertEqual([domain["name"] for domain in found], ["root"])


class Trees(V1Case):
    """Domains and tags, and what domains have."""

    def test_a_tree(self) -> None:
        """All from the root down."""
        for model, root in ((DOMAIN, self.root), (TAG, self.root_tag)):
            above = self.made(model.plural, name="above", parent_id=root)
            below = self.made(model.plural, name="below", parent_id=above["id"])
            tree = self.ask("GET", f"/{model.plural}/tree").json
            self.assertEqual(tree["id"], root)
            self.assertEqual(tree["children"], [{**above, "children": [{**below, "children": []}]}])
            answer = self.ask("PATCH", f"/{model.plural}/{above['id']}", {"parent_id": below["id"]})
            self.assertEqual(answer.status, 409)
            self.assertEqual(self.ask("PATCH", f"/{model.plural}/{above['id']}", {"parent_id": None}).status, 400)
            self.assertEqual(self.ask("DELETE", f"/{model.plural}/{root}").status, 409)
            moved = self.ask("PATCH", f"/{model.plural}/{below['id']}", {"parent_id": root})
            self.assertEqual(moved.json["parent_id"], root)
            missing = self.ask("POST", f"/{model.plural}", {"name": "x", "parent_id": str(uuid4())})
            self.assertEqual(missing.status, 404)

    def test_what_is_assigned(self) -> None:
        """Tags and libraries are given to a domain and taken from it, any number of times."""
        for many in ASSIGNED.values():
            other = MODELS[many.model]
            row = self.made(other.plural, **self.body_of(other))
            path = f"/domains/{self.root}/{other.plural}"
            for _ in range(2):
                self.assertEqual(self.ask("PUT", f"{path}/{row['id']}").status, 204)
                self.assertEqual(self.ask("GET", path).json, {"items": [row]})
            used = self.ask("DELETE", f"/{other.plural}/{row['id']}")
            self.assertEqual(used.status, 409)
            self.assertIn("in use by the domain 'root'", used.json["detail"])
            for _ in range(2):
                self.assertEqual(self.ask("DELETE", f"{path}/{row['id']}").status, 204)
                self.assertEqual(self.ask("GET", path).json, {"items": []})
            for method in ("PUT", "DELETE"):
                self.assertEqual(self.ask(method, f"{path}/{uuid4()}").status, 404)
            self.assertEqual(self.ask("GET", f"/domains/{uuid4()}/{other.plural}").status, 404)


class Rights(V1Case):
    """Who may do what, on a domain `team` below the root and a domain `part` below that."""

    def setUp(self) -> None:
        super().setUp()
        self.team = self.made("domains", name="team", parent_id=self.root)["id"]
        self.part = self.made("domains", name="part", parent_id=self.team)["id"]
        self.product = self.made("products", name="inside", domain_id=self.part)["id"]
        self.outside = self.made("products", name="outside", domain_id=self.root)["id"]
        self.users = {
            "reader": self.user("reader", "Viewer", self.team),
            "writer": self.user("writer", "Developer", self.team),
            "administrator": self.user("administrator", "Administrator", self.team),
            "nobody": self.user("nobody"),
        }

    def assert_each(self, method: str, path: str, *statuses: int, **body: Any) -> None:
        """What reader, writer, administrator of the domain, and somebody without a role are answered."""
        for (name, token), status in zip(self.users.items(), statuses, strict=True):
            fresh = {key: f"{value} {name}" if key == "name" else value for key, value in body.items()}
            answer = self.ask(method, path, fresh if method in ("POST", "PATCH") else None, token=token)
            self.assertEqual(answer.status, status, f"{method} {path} as {name}: {answer.json}")

    def test_rows_of_domains(self) -> None:
        """Any role lets see, some let change, below the domain too; what is not seen is not there."""
        product = f"/products/{self.product}"
        self.assert_each("GET", product, 200, 200, 200, 404)
        self.assert_each("GET", f"/products/{self.outside}", 404, 404, 404, 404)
        self.assert_each("PATCH", product, 403, 200, 200, 404, description="x")
        self.assert_each("PATCH", product, 403, 403, 403, 404, domain_id=self.root)
        self.assert_each("POST", "/products", 403, 201, 201, 403, name="new", domain_id=self.part)
        self.assert_each("POST", "/products", 403, 403, 403, 403, name="new", domain_id=self.root)
        self.assert_each("POST", "/products", 403, 403, 403, 403, name="new")
        self.assert_each("DELETE", product, 403, 204, 404, 404)

    def test_domains(self) -> None:
        """Only an administrator of the domain changes it, and what is assigned to it."""
        part = f"/domains/{self.part}"
        tag = self.made("tags", name="t", parent_id=self.root_tag)["id"]
        self.assert_each("GET", part, 200, 200, 200, 404)
        self.assert_each("GET", f"/domains/{self.root}", 404, 404, 404, 404)
        self.assert_each("PATCH", part, 403, 403, 200, 404, description="x")
        self.assert_each("PUT", f"{part}/tags/{tag}", 403, 403, 204, 404)
        self.assert_each("GET", f"{part}/tags", 200, 200, 200, 404)
        self.assert_each("POST", "/domains", 403, 403, 201, 403, name="new", parent_id=self.team)
        self.assert_each("POST", "/domains", 403, 403, 403, 403, name="new", parent_id=self.root)
        self.assert_each("DELETE", part, 403, 403, 409, 404)  # the product is in use there

    def test_lists_are_cut(self) -> None:
        """A list has what its reader may see."""
        seen = {
            name: [row["name"] for row in self.ask("GET", "/products?order=name", token=token).json["items"]]
            for name, token in self.users.items()
        }
        inside = ["inside"]
        self.assertEqual(seen, {"reader": inside, "writer": inside, "administrator": inside, "nobody": []})

    def test_rows_of_the_tenant(self) -> None:
        """All users see them, its administrators change them; values of keys are for these alone."""
        role = self.one("roles", name="Viewer")["id"]
        value = self.some(KEY_VALUE)
        self.assert_each("GET", f"/roles/{role}", 200, 200, 200, 200)
        self.assert_each("GET", f"/{LOGICAL_COMPONENT.plural}", 200, 200, 200, 200)
        self.assert_each("PATCH", f"/roles/{role}", 403, 403, 403, 403, description="x")
        self.assert_each("POST", "/roles", 403, 403, 403, 403, name="new")
        self.assert_each("DELETE", f"/roles/{role}", 403, 403, 403, 403)
        self.assert_each("GET", "/key-values", 403, 403, 403, 403)
        self.assert_each("GET", f"/key-values/{value}", 403, 403, 403, 403)

    def test_oneself(self) -> None:
        """Users change themselves, but not who they are."""
        for name, token in self.users.items():
            me = f"/users/{self.one('users', email=name)['id']}"
            answer = self.ask("PATCH", me, {"first_name": "N", "password": "new"}, token=token)
            self.assertEqual((answer.status, answer.json["first_name"]), (200, "N"))
            self.assertEqual(self.ask("PATCH", me, {"email": "other"}, token=token).status, 403)
            logged_in = self.ask("POST", "/login", {"email": name, "password": "new"}, token="")
            self.assertEqual(logged_in.status, 200)
        self.assert_each("PATCH", me, 403, 403, 403, 200, first_name="x")

    def test_who_one_is(self) -> None:
        """Everybody is told on which domains he or she may do what."""
        both = sorted([self.team, self.part])
        for name, read, write, administer in (
            ("reader", both, [], []),
            ("writer", both, both, []),
            ("administrator", both, both, both),
            ("nobody", [], [], []),
        ):
            me = self.ask("GET", "/me", token=self.users[name]).json
            self.assertEqual(me["user"]["email"], name)
            self.assertEqual(me["domains"], {"read": read, "write": write, "administer": administer})
            self.assertFalse(me["administrator"])
        me = self.ask("GET", "/me").json
        self.assertTrue(me["administrator"])
        self.assertEqual(me["domains"]["administer"], sorted([self.root, *both]))

    def test_a_user_who_is_gone(self) -> None:
        """The token of a deleted user is worth nothing any more."""
        user = self.one("users", email="nobody")
        self.assertEqual(self.ask("DELETE", f"/users/{user['id']}").status, 204)
        self.assertEqual(self.ask("GET", "/roles", token=self.users["nobody"]).status, 401)


class Passwords(V1Case):
    """Users' passwords, which are never told."""

    def log_in(self, password: str) -> int:
        """The status of an attempt."""
        return self.ask("POST", "/login", {"email": "u", "password": password}, token="").status

    def test_set_and_kept(self) -> None:
        """It is set at creation and changed; an empty one, or none, changes nothing; no answer has it."""
        created = self.ask("POST", "/users", {"email": "u", "password": "one"})
        path = created.headers["location"]
        answers = [created]
        for password, holds in (("two", "two"), ("", "two"), (None, "two"), ("three", "three")):
            answers.append(self.ask("PATCH", path, {"password": password}))
            self.assertEqual(answers[-1].status, 200)
            self.assertEqual(self.log_in(holds), 200)
        answers += [self.ask("PATCH", path, {"first_name": "x"}), self.ask("GET", path)]
        self.assertEqual(self.log_in("three"), 200)
        self.assertEqual(self.log_in("two"), 401)
        for answer in answers:
            self.assertEqual(set(answer.json) & {"password", "password_hash"}, set())
        refused = self.ask("PATCH", path, {"password": f"$2b$15${'a' * 53}"})
        self.assertEqual((refused.status, refused.json["title"]), (400, "password refused"))
        self.assertEqual(self.ask("PATCH", path, {"password": "x" * 1025}).status, 400)

    def test_without_one(self) -> None:
        """A user without a password cannot log in."""
        self.made("users", email="u")
        self.assertEqual(self.log_in(""), 401)

    def test_bcrypt_is_replaced(self) -> None:
        """A bcrypt hash is taken as it is, and is another one's after the first log-in."""
        self.made("users", email="u", password=bcrypt.hashpw(b"old", bcrypt.gensalt(4)).decode())

        def kept() -> str:
            with postgres.transaction(self.dsn) as connection:
                hash: str = connection.execute(text("SELECT password_hash FROM users WHERE email = 'u'")).scalar_one()
                return hash

        self.assertTrue(kept().startswith("$2b$04$"))
        self.assertEqual(self.log_in("old"), 200)
        self.assertTrue(kept().startswith("$argon2id$"))
        self.assertEqual(self.log_in("old"), 200)


class LoggingIn(V1Case):
    """`/login`."""

    def test_a_token(self) -> None:
        """It says who one is for an hour."""
        id = self.made("users", email="u", password="secret")["id"]
        for name in ("email", "login"):
            answer = self.ask("POST", "/login", {name: "u", "password": "secret"}, token="")
            self.assertEqual(answer.status, 200, answer.json)
            self.assertEqual(answer.json["user"], self.ask("GET", f"/users/{id}").json)
            self.assertEqual(answer.json["expires_at"], "2023-11-14T23:13:20.000000Z")
            token = answer.json["token"]
            self.assertEqual(self.ask("GET", "/me", token=token).json["user"]["id"], id)
        self.clock.advance(3600)
        self.assertEqual(self.ask("GET", "/me", token=token).status, 401)

    def test_refused(self) -> None:
        """An unknown user and a wrong password are answered alike."""
        self.made("users", email="u", password="secret")
        unknown = self.ask("POST", "/login", {"email": "nobody", "password": "secret"}, token="")
        wrong = self.ask("POST", "/login", {"email": "u", "password": "wrong"}, token="")
        self.assertEqual((unknown.status, unknown.json), (401, wrong.json))
        self.assertEqual(unknown.json["detail"], "Invalid login credentials. Please try again")
        self.assertEqual(wrong.headers["www-authenticate"], "Bearer")

    def test_wrong_bodies(self) -> None:
        """One of the two names and the password have to be there."""
        bodies: list[Any] = [
            {"password": "x"},
            {"email": "u"},
            {"email": "u", "login": "u", "password": "x"},
            {"email": None, "password": "x"},
            {"email": "u", "password": 1},
            {"email": "u\0", "password": "x"},
            [],
        ]
        for body in bodies:
            self.assertEqual(self.ask("POST", "/login", body, token="").status, 400, body)

    def test_guessing(self) -> None:
        """Who has failed too often has to wait, known or not, and is told how long."""
        self.made("users", email="u", password="secret")
        for email in ("u", "nobody"):
            statuses = [
                self.ask("POST", "/login", {"email": email, "password": "wrong"}, token="").status for _ in range(11)
            ]
            self.assertEqual(statuses, [401] * 10 + [429])
        refused = self.ask("POST", "/login", {"email": "u", "password": "secret"}, token="")
        self.assertEqual(refused.status, 429)
        self.clock.advance(int(refused.headers["retry-after"]))
        self.assertEqual(self.ask("POST", "/login", {"email": "u", "password": "secret"}, token="").status, 200)


class Problems(V1Case):
    """Each error as problem details."""

    def assert_problem(self, answer: Answer, status: int, title: str, *details: str) -> None:
        """It is told as RFC 9457 says."""
        self.assertEqual(answer.status, status, answer.json)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertEqual(set(answer.json), {"type", "title", "status", "detail"})
        self.assertEqual((answer.json["status"], answer.json["title"]), (status, title))
        self.assertEqual(answer.json["type"], "about:blank")
        for detail in details:
            self.assertIn(detail, answer.json["detail"])

    def test_bodies(self) -> None:
        """What cannot be read, and what is not allowed."""
        for raw in (b"", b"{", b"[]", b"1", b'{"name": "x"} {}', b'{"name": "\\u0000"}', b'{"name": "\\ud800"}'):
            self.assert_problem(self.ask("POST", "/roles", raw=raw), 400, "bad request")
        bodies: list[dict[str, Any]] = [{"name": ""}, {"name": 1}, {"name": None}, {"name": "x" * 257}, {}]
        for body in bodies:
            self.assert_problem(self.ask("POST", "/roles", body), 400, "bad request", "name: ")
        body = {"user_id": "x"}
        self.assert_problem(self.ask("POST", "/authorizations", body), 400, "bad request", "user_id: must be a UUID")
        long = b'{"name": "%s"}' % (b"x" * 1024 * 1024)
        self.assert_problem(self.ask("POST", "/roles", raw=long), 413, "too large")

    def test_who_asks(self) -> None:
        """No token, and those that are not accepted; a right that is missing."""
        for token, detail in (("", "Missing auth token"), ("x", "not one of ours")):
            answer = self.ask("GET", "/roles", token=token)
            self.assert_problem(answer, 401, "not signed in", detail)
            self.assertEqual(answer.headers["www-authenticate"], "Bearer")
        token = self.user("u")
        refused = self.ask("POST", "/roles", {"name": "x"}, token=token)
        self.assert_problem(refused, 403, "forbidden", "creating a role needs an Administrator")

    def test_paths(self) -> None:
        """Rows and paths that are not there, and methods that are not."""
        id = str(uuid4())
        self.assert_problem(self.ask("GET", f"/roles/{id}"), 404, "not found", f"there is no role '{id}'")
        for path in ("/nothing", "/roles/x", f"/roles/{id}/x", "/Roles"):
            self.assert_problem(self.ask("GET", path), 404, "not found", "nothing at this path")
        answer = self.ask("PUT", f"/roles/{id}", {})
        self.assert_problem(answer, 405, "method not allowed", "DELETE, GET, HEAD, PATCH")
        self.assertEqual(answer.headers["allow"], "DELETE, GET, HEAD, PATCH")

    def test_conflicts(self) -> None:
        """Names that are taken, references that lead nowhere, rows in use, and the last administrator."""
        role = self.made("roles", name="x")
        self.assert_problem(self.ask("POST", "/roles", {"name": "x"}), 409, "conflict", "another role of name 'x'")
        nowhere = self.ask("POST", "/authorizations", {"role_id": str(uuid4())})
        self.assert_problem(nowhere, 409, "conflict", "there is no role")
        nowhere = self.ask("POST", "/products", {"name": "p", "domain_id": str(uuid4())})
        self.assert_problem(nowhere, 409, "conflict", "there is no domain")
        self.made("authorizations", role_id=role["id"])
        self.assert_problem(self.ask("DELETE", f"/roles/{role['id']}"), 409, "conflict", "in use")
        with postgres.transaction(self.dsn) as connection:
            connection.execute(text("UPDATE state SET admin = false"))
        self.assert_problem(self.ask("POST", "/roles", {"name": "y"}), 409, "invalid state", "Invalid state")

    def test_no_database(self) -> None:
        """While it is away, clients are told when to try again."""
        self.database = DatabaseUnavailable("the database is away")
        answer = self.ask("GET", "/roles")
        self.assert_problem(answer, 503, "database unavailable", "the database is away")
        self.assertEqual(answer.headers["retry-after"], "2")

    def test_ids_are_uuids(self) -> None:
        """What is answered as an id is one."""
        for row in self.ask("GET", f"/{USER.plural}").json["items"]:
            self.assertEqual(str(UUID(row["id"])), row["id"])
