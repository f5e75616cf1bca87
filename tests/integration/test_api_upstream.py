"""The Go system's API as its clients use it: whole zero objects, any case, every resource."""

from __future__ import annotations

from typing import Any

from gandalf.store.models import MODELS
from tests.integration.upstream_api import ZERO, UpstreamCase

NOTHING = {"ID": ZERO, "CreatedAt": "0001-01-01T00:00:00Z", "UpdatedAt": "0001-01-01T00:00:00Z", "DeletedAt": None}
DESCRIBED = {"ShortDescription": "", "Description": "", "Logo": ""}


class ResourceTests(UpstreamCase):
    """Sections 3 to 5 of the contract."""

    def walk(self, path: str, fields: dict[str, Any], changed: dict[str, Any], *, below: str = "") -> None:
        """Create, list, read, update and delete a row of one resource, as the Go client does."""
        created = self.made(f"{path}{below}", **NOTHING, **fields)
        id = created["ID"]
        self.assertNotEqual(id, ZERO)
        for key, value in fields.items():
            if key not in ("Password", "ParentID") and not isinstance(value, dict | list) and value is not None:
                self.assertEqual(created[key], value, key)
        self.assertIn(id, [row["ID"] for row in self.listed(path)])
        read = self.ask("GET", f"{path}/{id}").json
        self.assertEqual(read["ID"], id)
        answer = self.ask("PUT", f"{path}/{id}", {**read, **changed})
        self.assertEqual(answer.status, 200, answer.content)
        again = self.ask("GET", f"{path}/{id}").json
        for key, value in changed.items():
            self.assertEqual(again[key], value, key)
        self.assertEqual(again["CreatedAt"], read["CreatedAt"])
        deleted = self.ask("DELETE", f"{path}/{id}")
        self.assertEqual((deleted.status, deleted.json), (200, {"result": "success"}))
        gone = self.ask("GET", f"{path}/{id}")
        self.assertEqual(gone.status, 404)
        self.assertIn("error", gone.json)

    def test_resources_by_themselves(self) -> None:
        """Those that refer to nothing."""
        for collection in ("role", "library", "environmentType"):
            with self.subTest(collection=collection):
                self.walk(f"/{collection}", {"Name": "a", **DESCRIBED}, {"Name": "b", "Logo": "x"})
        self.walk("/connectorProduct", {"Name": "a"}, {"Name": "b"})
        person = {"Email": "a@b", "Password": "pw", "FirstName": "A", "LastName": "B", "CompanyId": "", "Logo": ""}
        self.walk("/user", person, {"FirstName": "C"})

    def test_resources_of_a_domain(self) -> None:
        """Those that refer to a domain and to each other; nested objects are sent zero, and loaded in reads."""
        root = self.root()
        self.walk(
            "/domain", {"Name": "a", "ParentID": ZERO, "Parent": None, "Tags": None}, {"Name": "b"}, below=f"/{root}"
        )
        tag_root = self.listed("/tag/tree")["ID"]
        self.walk("/tag", {"Name": "a", "ParentID": ZERO}, {"Name": "b"}, below=f"/{tag_root}")
        kind = self.made("/environmentType", Name="production")
        self.walk(
            "/environment",
            {"Name": "e", "EnvironmentTypeID": kind["ID"], "DomainID": root, "Domain": {"ID": ZERO}},
            {"Name": "f"},
        )
        self.walk("/product", {"Name": "p", "DomainID": root, "RepositoryURL": "u"}, {"Name": "q"})
        role = self.made("/role", Name="Developer")
        user = self.made("/user", Email="someone@example.org")
        other = self.made("/role", Name="Reader")
        authorization = {"UserID": user["ID"], "RoleID": role["ID"], "DomainID": root}
        self.walk("/authorization", authorization, {"RoleID": other["ID"]})

    def test_resources_of_connectors(self) -> None:
        """Types without an owner, resources, and what is polled; their clients write the names in lower case."""
        self.walk("/resourcetype", {"Name": "a", "PivotID": ZERO}, {"Name": "b"})
        self.walk("/eventtype", {"Name": "a", "Schema": "{}"}, {"Name": "b"})
        kind = self.made("/resourceType", Name="repository")
        root = self.root()
        fields = {"Name": "r", "LogicalComponentID": ZERO, "DomainID": root, "ResourceTypeID": kind["ID"]}
        self.walk("/resource", fields, {"Name": "s"})
        resource = self.made("/resource", **fields)
        event, other = self.made("/eventType", Name="e"), self.made("/eventType", Name="f")
        polled = {"ResourceID": resource["ID"], "EventTypeID": event["ID"]}
        self.walk("/eventtypetopoll", polled, {"EventTypeID": other["ID"]})

    def test_every_model_of_the_contract_has_its_list(self) -> None:
        """In any case, with and without a slash at the end."""
        for model in MODELS.values():
            if model.upstream:
                for path in (model.collection, model.collection.lower(), model.collection.upper() + "/"):
                    self.assertIsInstance(self.listed(f"/{path}"), list, path)

    def test_read_by_name(self) -> None:
        """A segment that is not a UUID is a name; a user's is the email; `users` is `user`."""
        self.assertEqual(self.ask("GET", "/user/Administrator1").json["FirstName"], "Administrator1")
        self.assertEqual(self.ask("GET", "/users/Administrator2").json["Email"], "Administrator2")
        self.assertEqual(self.ask("GET", "/role/Administrator").json["Name"], "Administrator")
        self.assertEqual(self.ask("GET", "/domain/root").json["ParentID"], ZERO)
        self.assertEqual(self.ask("GET", "/role/nobody").status, 404)
        self.assertEqual(self.ask("GET", "/authorization/nobody").status, 404)

    def test_the_shape_of_a_domain(self) -> None:
        """Keys in the contract's order; lists that are loaded are lists, others null; what is not loaded is zero."""
        root = self.root()
        child = self.made(f"/domain/{root}", Name="child")
        self.assertEqual(
            list(child),
            [
                *("ID", "CreatedAt", "UpdatedAt", "DeletedAt", "Name", "ParentID", "Parent", "Authorizations"),
                *("Products", "Libraries", "Tags", "Environments", "ShortDescription", "Description", "Logo"),
                *("GitURL", "Childs"),
            ],
        )
        self.assertEqual((child["ParentID"], child["Parent"], child["Authorizations"]), (root, None, None))
        read = self.ask("GET", f"/domain/{child['ID']}").json
        self.assertEqual(read["Parent"]["Name"], "root")
        self.assertEqual(
            sorted(each["User"]["Email"] for each in read["Authorizations"]), ["Administrator1", "Administrator2"]
        )
        self.assertEqual(read["Authorizations"][0]["Domain"]["ID"], ZERO)
        self.assertEqual((read["Products"], read["Childs"]), ([], None))
        tree = self.listed("/domain/tree")
        self.assertEqual([(each["Name"], each["Childs"]) for each in tree["Childs"]], [("child", None)])

    def test_passwords_never_leave(self) -> None:
        """Not in any answer; an empty one in an update changes nothing."""
        user = self.made("/user", Email="a", Password="first password")
        self.assertEqual(user["Password"], "")
        self.ask("PUT", f"/user/{user['ID']}", {**user, "FirstName": "A"})
        self.assertTrue(self.log_in("a", "first password"))
        self.ask("PUT", f"/user/{user['ID']}", {**user, "Password": "second"})
        self.assertTrue(self.log_in("a", "second"))
        refused = self.ask("POST", "/user/login", {"email": "a", "password": "first password"}, token="")
        self.assertEqual(refused.status, 401)
        self.assertEqual(refused.json["error"], "Invalid login credentials. Please try again")
        unknown = self.ask("POST", "/user/login", {"email": "nobody", "password": "x"}, token="")
        self.assertEqual((unknown.status, unknown.json["error"]), (404, "Email not found"))

    def test_the_id_beside_a_nested_object_wins(self) -> None:
        """What the Go library reads, changes and sends back is stored as it was meant."""
        root = self.root()
        child = self.made(f"/domain/{root}", Name="child")
        product = self.made("/product", Name="p", DomainID=root)
        read = self.ask("GET", f"/product/{product['ID']}").json
        self.assertEqual(read["Domain"]["Name"], "root")
        moved = self.ask("PUT", f"/product/{product['ID']}", {**read, "DomainID": child["ID"]}).json
        self.assertEqual(moved["DomainID"], child["ID"])
        back = self.ask("PUT", f"/product/{product['ID']}", {**read, "DomainID": ZERO}).json
        self.assertEqual(back["DomainID"], root)

    def test_keys_of_any_case_and_what_follows(self) -> None:
        """As Go reads JSON: any case, unknown keys, null, the last duplicate, and what follows the first value."""
        body = b'{"name": "x", "NAME": "y", "id": "' + ZERO.encode() + b'", "mine": 1, "logo": null} and more'
        self.assertEqual(self.ask("POST", "/role", body).json["Name"], "y")

    def test_bodies_that_are_refused(self) -> None:
        """400 with upstream's words and what is wrong."""
        id = self.made("/role", Name="r")["ID"]
        for body in (b"", b"{", b"[]", b"null", b'{"Name": 1}', b'{"ID": ""}', b'{"CreatedAt": "yesterday"}'):
            answer = self.ask("POST", "/role", body)
            self.assertEqual(answer.status, 400, body)
            self.assertTrue(answer.json["error"].startswith("Invalid request payload"), answer.json)
            self.assertTrue(self.ask("PUT", f"/role/{id}", body).json["error"].startswith("Invalid resquest payload"))

    def test_conflicts(self) -> None:
        """409 that says what is in the way."""
        role = self.made("/role", Name="r")
        answer = self.ask("POST", "/role", {"Name": "r"})
        self.assertEqual(answer.status, 409)
        self.assertIn("'r'", answer.json["error"])
        user, root = self.made("/user", Email="a"), self.root()
        self.made("/authorization", UserID=user["ID"], RoleID=role["ID"], DomainID=root)
        self.assertEqual(self.ask("DELETE", f"/role/{role['ID']}").status, 409)
        self.assertEqual(self.ask("DELETE", f"/domain/{root}").status, 409)
        nowhere = self.ask("POST", "/authorization", {"UserID": role["ID"], "RoleID": role["ID"], "DomainID": root})
        self.assertEqual(nowhere.status, 409)

    def test_tags_and_libraries_of_a_domain(self) -> None:
        """Given, given again, listed, taken, taken again; unknown ones are 404."""
        root = self.root()
        library = self.made("/library", Name="l")["ID"]
        for _ in range(2):
            self.assertEqual(self.ask("POST", f"/domain/{root}/library/{library}").json, {"result": "success"})
        self.assertEqual([each["ID"] for each in self.listed(f"/domain/{root}/library")], [library])
        self.assertEqual(self.ask("DELETE", f"/library/{library}").status, 409)
        for _ in range(2):
            self.assertEqual(self.ask("DELETE", f"/domain/{root}/library/{library}").json, {"result": "success"})
        self.assertEqual(self.listed(f"/domain/{root}/tag"), [])
        self.assertEqual(self.ask("POST", f"/domain/{root}/tag/{library}").status, 404)

    def test_paths_and_methods(self) -> None:
        """JSON with `error` for what is not there; 405 names what is allowed; the base says hello."""
        self.assertEqual(self.ask("GET", "", token="").content, b"Hello World!")
        self.assertEqual(self.ask("GET", "/", token="").content, b"Hello World!")
        self.assertEqual(self.ask("GET", "/nothing").status, 404)
        self.assertIn("error", self.ask("GET", "/nothing").json)
        wrong = self.ask("PATCH", "/role", {})
        self.assertEqual(wrong.status, 405)
        self.assertEqual(wrong.headers.getRawHeaders("Allow"), ["GET, HEAD, POST"])

    def test_tokens(self) -> None:
        """403 without one, with a bad one, and with that of a user who was deleted."""
        answer = self.ask("GET", "/role", token="", headers={"Authorization": ""})
        self.assertEqual((answer.status, answer.json["message"]), (403, "Missing auth token"))
        self.assertEqual(self.ask("GET", "/role", token="x.y.z").status, 403)
        user = self.made("/user", Email="a", Password="p")
        token = self.log_in("a", "p")
        self.assertEqual(self.ask("GET", "/role", token=token).status, 200)
        self.ask("DELETE", f"/user/{user['ID']}")
        self.assertEqual(self.ask("GET", "/role", token=token).status, 403)
        self.now += 3601
        self.assertEqual(self.ask("GET", "/role").status, 403)

    def test_registering_needs_a_token(self) -> None:
        """An administrator adds users by it, and gets a token of the new one."""
        self.assertEqual(self.ask("POST", "/user/register", {"Email": "a"}, token="").status, 403)
        answer = self.ask("POST", "/user/register", {"email": "a", "password": "p"})
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.ask("GET", "/role", token=answer.json["accessToken"]).status, 200)

    def test_a_tenant(self) -> None:
        """Its own fields and log-ins as texts in one answer; nothing stays of one that the cluster refuses."""
        answer = self.ask("POST", "/tenant", {**NOTHING, "Name": "acme", "Password": "mine", **DESCRIBED})
        self.assertEqual(answer.status, 201)
        told = answer.json
        self.assertEqual((told["login"], told["password"], told["Name"]), ("Administrator1", "one", "acme"))
        self.assertEqual(told["tenant"]["Name"], "acme")
        self.assertEqual(sorted(each["Name"] for each in self.listed("/tenant")), ["acme", self.tenant])
        self.installation.refuses = True
        self.assertEqual(self.ask("POST", "/tenant", {"Name": "other"}).status, 403)
        self.assertEqual(sorted(each["Name"] for each in self.listed("/tenant")), ["acme", self.tenant])

    def test_secrets(self) -> None:
        """Made without a body; listed by their ids, those that were revoked left out."""
        made = self.ask("POST", "/secretAssignement")
        self.assertEqual((made.status, list(made.json)), (201, ["Secret", "AddressIP"]))
        self.assertEqual(self.listed("/secretassignement"), [{"Secret": "1", "AddressIP": "127.0.0.1:9103"}])

    def test_uploads(self) -> None:
        """Any single file part; the type in the path decides; an unknown tenant is told."""
        form = (
            b'--b\r\nContent-Disposition: form-data; name="myFile"; filename="f"\r\n\r\nlogicalname: x\r\n--b--\r\n'
        )
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        path = f"/logicalComponent/upload/{self.tenant}"
        answer = self.ask("POST", f"{path}/connector", form, headers=headers)
        self.assertEqual((answer.status, answer.json["result"]), (200, "Successfully Uploaded File"))
        self.assertEqual(self.installation.uploads, [(self.tenant, "connector", b"logicalname: x")])
        self.assertEqual(self.ask("POST", f"{path}/cluster", form, headers=headers).status, 400)
        self.assertEqual(self.ask("POST", f"{path}/connector", b"", headers=headers).status, 400)
        unknown = self.ask("POST", "/logicalComponent/upload/nobody/connector", form, headers=headers)
        self.assertEqual(unknown.status, 404)
        self.assertIn("tenant not found", unknown.json["error"])

    def test_files(self) -> None:
        """Stored by the part `file` or as they are, replaced, and given back."""
        id = "5f0c1d6e-9d0b-4a52-8a3e-0d3f9b7c2a11"
        form = (
            b'--b\r\nContent-Disposition: form-data; name="id"\r\n\r\n1\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.png"\r\n\r\n'
            b"\x89PNG\r\n\x1a\n....\r\n--b--\r\n"
        )
        stored = self.ask("POST", f"/file/{id}", form, headers={"Content-Type": "multipart/form-data; boundary=b"})
        self.assertEqual((stored.status, stored.json["result"]), (200, "Successfully Uploaded File"))
        read = self.ask("GET", f"/file/{id}")
        self.assertEqual((read.status, read.content), (200, b"\x89PNG\r\n\x1a\n...."))
        self.assertEqual(read.headers.getRawHeaders("Content-Type"), ["image/png"])
        self.ask("POST", f"/file/{id}", b"text", headers={"Content-Type": "image/png"})
        part = self.ask("GET", f"/file/{id}", headers={"Range": "bytes=1-2"})
        self.assertEqual((part.status, part.content), (206, b"ex"))
        self.assertEqual(self.ask("POST", f"/file/{id}", b"").status, 400)
        self.assertEqual(self.ask("GET", f"/file/{ZERO}").status, 404)


class RightsTests(UpstreamCase):
    """Who may do what."""

    def setUp(self) -> None:
        super().setUp()
        self.root_id = self.root()
        self.mine = self.made(f"/domain/{self.root_id}", Name="mine")["ID"]
        self.other = self.made(f"/domain/{self.root_id}", Name="other")["ID"]

    def user(self, email: str, role: str, domain: str) -> str:
        """The token of a new user with a role on a domain."""
        roles = {each["Name"]: each["ID"] for each in self.listed("/role")}
        role_id = roles.get(role) or self.made("/role", Name=role)["ID"]
        user = self.made("/user", Email=email, Password="p")
        self.made("/authorization", UserID=user["ID"], RoleID=role_id, DomainID=domain)
        return self.log_in(email, "p")

    def test_a_reader_reads_its_domain_only(self) -> None:
        """Others are as if they were not there; nothing is written."""
        token = self.user("reader", "Reader", self.mine)
        mine = self.made("/product", Name="p", DomainID=self.mine)
        other = self.made("/product", Name="q", DomainID=self.other)
        names = [each["Name"] for each in self.ask("GET", "/product", token=token).json]
        self.assertEqual(names, ["p"])
        self.assertEqual(self.ask("GET", f"/product/{mine['ID']}", token=token).status, 200)
        self.assertEqual(self.ask("GET", f"/product/{other['ID']}", token=token).status, 404)
        self.assertEqual(self.ask("DELETE", f"/product/{mine['ID']}", token=token).status, 403)
        self.assertEqual(self.ask("POST", "/product", {"Name": "r", "DomainID": self.mine}, token=token).status, 403)
        tree = self.ask("GET", "/domain/tree", token=token).json
        self.assertEqual([each["Name"] for each in tree["Childs"]], ["mine"])

    def test_a_writer_writes_its_domain_only(self) -> None:
        """Products there; not elsewhere, not moved elsewhere, and no rights."""
        token = self.user("writer", "Writer", self.mine)
        answer = self.ask("POST", "/product", {"Name": "p", "DomainID": self.mine}, token=token)
        self.assertEqual(answer.status, 201, answer.content)
        product = answer.json
        self.assertEqual(self.ask("POST", "/product", {"Name": "q", "DomainID": self.other}, token=token).status, 403)
        moved = self.ask("PUT", f"/product/{product['ID']}", {**product, "DomainID": self.other}, token=token)
        self.assertEqual(moved.status, 403)
        self.assertEqual(self.ask("POST", "/role", {"Name": "x"}, token=token).status, 403)
        self.assertEqual(self.ask("POST", f"/domain/{self.mine}", {"Name": "x"}, token=token).status, 403)
        self.assertEqual(self.ask("POST", "/secretAssignement", token=token).status, 403)
        self.assertEqual(self.ask("POST", "/tenant", {"Name": "x"}, token=token).status, 403)

    def test_an_administrator_of_a_domain_gives_rights_there_only(self) -> None:
        """Below it too; never above."""
        token = self.user("admin", "Administrator", self.mine)
        below = self.ask("POST", f"/domain/{self.mine}", {"Name": "below"}, token=token)
        self.assertEqual(below.status, 201)
        user = self.made("/user", Email="x")["ID"]
        role = self.ask("GET", "/role/Administrator").json["ID"]
        grant = {"UserID": user, "RoleID": role}
        self.assertEqual(
            self.ask("POST", "/authorization", {**grant, "DomainID": below.json["ID"]}, token=token).status, 201
        )
        self.assertEqual(
            self.ask("POST", "/authorization", {**grant, "DomainID": self.root_id}, token=token).status, 403
        )

    def test_users_change_themselves_but_not_who_they_are(self) -> None:
        """Their names and passwords; not the email, nor anybody else."""
        token = self.user("reader", "Reader", self.mine)
        own = self.ask("GET", "/user/reader", token=token).json
        changed = self.ask("PUT", f"/user/{own['ID']}", {**own, "FirstName": "R", "Password": "new"}, token=token)
        self.assertEqual(changed.status, 200, changed.content)
        self.assertTrue(self.log_in("reader", "new"))
        self.assertEqual(self.ask("PUT", f"/user/{own['ID']}", {**own, "Email": "root"}, token=token).status, 403)
        admin = self.ask("GET", "/user/Administrator1", token=token).json
        self.assertEqual(self.ask("PUT", f"/user/{admin['ID']}", {**admin, "Password": "x"}, token=token).status, 403)


class TwoAdministratorsTests(UpstreamCase):
    """Section 6, as it was meant."""

    def test_nothing_is_created_until_there_is_a_second_administrator(self) -> None:
        """Users are, and the authorization that makes one an administrator; then everything."""
        second = self.ask("GET", "/user/Administrator2").json["ID"]
        self.assertEqual(self.ask("DELETE", f"/user/{second}").status, 200)
        answer = self.ask("POST", "/role", {"Name": "x"})
        self.assertEqual((answer.status, answer.json["error"]), (409, "Invalid state"))
        for method, path in (("POST", "/secretAssignement"), ("POST", "/tenant")):
            self.assertEqual(self.ask(method, path, {"Name": "acme"}).json["error"], "Invalid state", path)
        user = self.made("/user", Email="a")
        role = self.ask("GET", "/role/Administrator").json["ID"]
        self.made("/authorization", UserID=user["ID"], RoleID=role, DomainID=self.root())
        self.made("/role", Name="x")

    def test_the_last_administrator_stays(self) -> None:
        """Nobody could help afterwards."""
        first, second = (self.ask("GET", f"/user/Administrator{number}").json["ID"] for number in (1, 2))
        self.assertEqual(self.ask("DELETE", f"/user/{second}").status, 200)
        grant = next(each for each in self.listed("/authorization") if each["UserID"] == first)
        reader = self.ask("GET", "/role/Administrator").json
        self.assertEqual(
            self.ask("PUT", f"/authorization/{grant['ID']}", {**grant, "DomainID": ZERO, "Domain": None}).status, 409
        )
        self.assertEqual(self.ask("PUT", f"/role/{reader['ID']}", {**reader, "Name": "other"}).status, 409)


class OneAdministratorTests(UpstreamCase):
    """The rule switched off."""

    two_administrators = False

    def test_one_is_enough(self) -> None:
        """Everything can be created."""
        second = self.ask("GET", "/user/Administrator2").json["ID"]
        self.ask("DELETE", f"/user/{second}")
        self.made("/role", Name="x")
