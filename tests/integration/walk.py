"""Walks every resource of the Go system's API on a network that runs, as its clients do.

`python -m tests.integration.walk [credentials.json]`, by default with the log-in of `make run`. One line is printed
for each resource; the first difference ends it with status 1. Nothing of the project is used: what is expected here
is the Go client's own models. Names are new in every run, and what can be deleted is; a component named like the run
and the database of a tenant stay.
"""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

BASE = "/ditrit/Gandalf/1.0.0"
ZERO_ID = "00000000-0000-0000-0000-000000000000"
ZERO_TIME = "0001-01-01T00:00:00Z"
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
SUCCESS = {"result": "success"}
UPLOADED = {"result": "Successfully Uploaded File"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
BCRYPT_OF_ABC = "$2a$10$WvvTPHKwdBJ3uk0Z37EMR.hLA2W6N9AEBhEgrAOljy2Ae5MtaSIUi"

# The Go client's structures, in the order of their JSON. Without a mark: a text, or an id if it ends with ID;
# # a number, ! a truth, [] a list, ? an object or null, = an object that is always there.
MODELS = {
    name: text.split()
    for name, text in {
        "User": "Email Password FirstName LastName CompanyId Logo Description",
        "Role": "Name ShortDescription Description Logo",
        "Library": "Name ShortDescription Description Logo",
        "EnvironmentType": "Name ShortDescription Description Logo",
        "ConnectorProduct": "Name",
        "Tenant": "Name Password ShortDescription Description Logo",
        "Tag": "Name ParentID Parent:Tag? ShortDescription Description Logo Childs:Tag[]",
        "Domain": "Name ParentID Parent:Domain? Authorizations:Authorization[] Products:Product[] Libraries:Library[]"
        " Tags:Tag[] Environments:Environment[] ShortDescription Description Logo GitURL Childs:Domain[]",
        "Authorization": "UserID User:User= RoleID Role:Role= DomainID Domain:Domain=",
        "Environment": "Name EnvironmentTypeID EnvironmentType:EnvironmentType= ShortDescription Description Logo"
        " DomainID Domain:Domain=",
        "Product": "Name ShortDescription Description Logo RepositoryURL DomainID Domain:Domain=",
        "Resource": "Name LogicalComponentID LogicalComponent:LogicalComponent= DomainID Domain:Domain="
        " ResourceTypeID ResourceType:ResourceType= EventTypeToPolls:EventTypeToPoll[]",
        "ResourceType": "Name PivotID Pivot:Pivot= ProductConnectorID ProductConnector:ProductConnector=",
        "EventType": "Name Schema PivotID Pivot:Pivot= ProductConnectorID ProductConnector:ProductConnector=",
        "EventTypeToPoll": "ResourceID Resource:Resource= EventTypeID EventType:EventType=",
        "LogicalComponent": "LogicalName Type PivotID Pivot:Pivot= ProductConnectorID"
        " ProductConnector:ProductConnector= Aggregator KeyValues:KeyValue[] Resources:Resource[]"
        " ShortDescription Description",
        "Pivot": "Name Major# Minor# ResourceTypes:ResourceType[] CommandTypes:EventType[] EventTypes:EventType[]"
        " Keys:Key[]",
        "ProductConnector": "Name Major# Minor# PivotID Pivot:Pivot= ProductID Product:ConnectorProduct="
        " ResourceTypes:ResourceType[] CommandTypes:EventType[] EventTypes:EventType[] Keys:Key[]",
        "Key": "Name DefaultValue Type Shortname Mandatory! PivotID Pivot:Pivot= ProductConnectorID"
        " ProductConnector:ProductConnector=",
        "KeyValue": "Value KeyID Key:Key= LogicalComponentID LogicalComponent:LogicalComponent=",
    }.items()
}


class Difference(Exception):
    """The API is not as its clients expect; the text says where."""


def expect(condition: object, what: str, *seen: object) -> None:
    """Raise `Difference` unless it is so."""
    if not condition:
        raise Difference(": ".join([what, *(repr(each)[:600] for each in seen)]))


def zero(model: str, **fields: Any) -> dict[str, Any]:
    """What the Go client sends: the whole object, zero but for `fields`, with its nested objects whole and zero."""
    whole: dict[str, Any] = {"ID": ZERO_ID, "CreatedAt": ZERO_TIME, "UpdatedAt": ZERO_TIME, "DeletedAt": None}
    for declared in MODELS[model]:
        key, _, other = declared.rstrip("#!").partition(":")
        if other:
            whole[key] = zero(other[:-1]) if other.endswith("=") else None
        else:
            whole[key] = {"#": 0, "!": False}.get(declared[-1], ZERO_ID if key.endswith("ID") else "")
    return {**whole, **fields}


def check(model: str, found: Any, place: str) -> None:
    """Raise `Difference` unless a Go client can decode `found`, whose keys must stand in the contract's order."""
    expect(isinstance(found, dict), f"{place} is an object", found)
    expect(list(found) == list(zero(model)), f"{place} has the keys of {model} in their order", list(found))
    expect(ID.fullmatch(found["ID"]), f"{place}.ID is a UUID", found["ID"])
    for key in ("CreatedAt", "UpdatedAt"):
        expect(TIME.fullmatch(found[key]), f"{place}.{key} is a time", found[key])
    for declared in MODELS[model]:
        key, _, other = declared.rstrip("#!").partition(":")
        value, where = found[key], f"{place}.{key}"
        if other.endswith("="):
            check(other[:-1], value, where)
        elif other.endswith("?"):
            if value is not None:
                check(other[:-1], value, where)
        elif other:
            expect(value is None or isinstance(value, list), f"{where} is a list or null", value)
            for each in value or ():
                if "CommandTypes" not in key:
                    check(other[:-2], each, f"{where}[]")
        elif key.endswith("ID"):
            expect(ID.fullmatch(value), f"{where} is a UUID", value)
        else:
            wanted = {"#": int, "!": bool}.get(declared[-1], str)
            expect(type(value) is wanted, f"{where} is {wanted.__name__}", value)
    expect(not found.get("Password"), f"{place} tells no password")


class Walk:
    """One walk, as one user.

    :param credentials: as `make run` keeps them: `api`, `tenant`, `login`, `password`.
    """

    def __init__(self, credentials: Mapping[str, Any]) -> None:
        self._api = credentials["api"]
        self._tenant = credentials["tenant"]
        self._login = credentials["login"][0], credentials["password"][0]
        self._token = ""
        self._run = f"walk-{uuid.uuid4().hex[:8]}"
        self._done = 0
        self._requests = 0

    def all(self) -> None:
        """Everything, in the order in which one thing needs another. What was made is deleted again."""
        started = time.monotonic()
        self.account()
        self.users()
        for model in ("Role", "Library", "EnvironmentType", "ConnectorProduct"):
            self.crud(
                model, f"/{model[0].lower()}{model[1:]}", {"Name": self.name(model)}, {"Name": self.name("new")}
            )
        self.domains()
        self.tags()
        self.of_a_domain()
        self.components()
        self.events_and_resources()
        self.secrets()
        self.files()
        self.tenants()
        seconds = time.monotonic() - started
        print(f"{self._done} resources, {self._requests} requests, {seconds:.1f} s: no difference")

    def account(self) -> None:
        """The open operations, and what is said to whoever has no token."""
        email, password = self._login
        expect(self.ask("GET", "/", token="") == b"Hello World!", "the base says hello")
        told = self.ask("GET", "/role", status=403, token="")
        expect(told["message"] == "Missing auth token", "403 without a token", told)
        self.ask("GET", "/role", status=403, token="no.token.atall")
        found = self.ask("POST", "/user/login", zero("User", Email=email, Password=password), token="")
        check("User", found["user"], "login.user")
        self._token = found["accessToken"]
        found = self.ask("POST", "/user/login", {"email": email, "password": password, "remember": True}, token="")
        expect(found["user"]["Email"] == email, "the web front end logs in", found)
        wrong = self.ask("POST", "/user/login", {"Email": email, "Password": "wrong"}, status=401, token="")
        expect(wrong["error"] == "Invalid login credentials. Please try again", "a wrong password", wrong)
        nobody = self.ask("POST", "/user/login", {"Email": self._run, "Password": "x"}, status=404, token="")
        expect(nobody["error"] == "Email not found", "an unknown email", nobody)
        expect(self.ask("POST", "/user/logout") == b"", "logout answers nothing")
        answer = self.send("OPTIONS", "/role", {"Origin": "http://leto", "Access-Control-Request-Method": "PUT"})
        expect(answer[0] in (200, 204), "a browser may ask before", answer)
        expect(answer[1]["Access-Control-Allow-Origin"] == "*", "from any origin", answer[1].items())
        self.say("login, logout, preflight")

    def users(self) -> None:
        """Also registered, by `/users`, and with the bcrypt hash that the command line sends."""
        texts = dict.fromkeys(("FirstName", "LastName", "CompanyId", "Logo", "Description"), "text")
        email = self.name("user")
        fields = {"Email": email, "Password": "a first password", **texts}
        self.crud("User", "/user", fields, {"FirstName": "other"}, name="Email", also="/users")
        told = self.ask("POST", "/user/register", {"email": email, "password": "abc", "id": str(uuid.uuid4())})
        token = told["accessToken"]
        user = self.ask("GET", f"/users/{email}", token=token)
        self.ask("PUT", f"/users/{user['ID']}", {**user, "Password": BCRYPT_OF_ABC}, leto=True)
        self.ask("PUT", f"/user/{user['ID']}", {**user, "LastName": "kept"})
        for _ in range(2):  # the second time by the hash that has taken its place
            self.ask("POST", "/user/login", {"email": email, "password": "abc"}, token="")
        self.ask("DELETE", f"/users/{user['ID']}", leto=True)
        self.ask("GET", "/role", status=403, token=token)
        self.say("user/register, users")

    def domains(self) -> None:
        """Below the root; with what is inherited, and with libraries and tags."""
        root = self.ask("GET", "/domain/tree")
        check("Domain", root, "domain/tree")
        expect((root["Name"], root["ParentID"]) == ("root", ZERO_ID), "the tree begins at the root", root["Name"])
        self._root = root["ID"]
        fields = {"Name": self.name("domain"), "ParentID": self._root}
        self.crud("Domain", "/domain", fields, {"Name": self.name("new")}, below=self._root)
        parent = self.create("/domain", "Domain", below=self._root, Name=self.name("parent"))
        library = self.create("/library", "Library", Name=self.name("inherited"))
        tag_root = self.ask("GET", "/tag/tree")["ID"]
        tag = self.create("/tag", "Tag", below=tag_root, Name=self.name("inherited"))
        for kind, other in (("library", library), ("tag", tag)):
            for _ in range(2):
                path = f"/domain/{parent}/{kind}/{other}"
                expect(self.ask("POST", path, leto=True) == SUCCESS, f"a domain is given a {kind}")
            listed = self.ask("GET", f"/domain/{parent}/{kind}")
            check(kind.title(), listed[0], f"domain/{kind}[]")
            expect([each["ID"] for each in listed] == [other], f"the {kind} of a domain", listed)
        child = self.create("/domain", "Domain", below=parent, Name=self.name("child"), ParentID=self._root)
        read = self.ask("GET", f"/domain/{child}")
        expect(read["ParentID"] == parent == read["Parent"]["ID"], "the path's parent wins", read)
        expect([each["ID"] for each in read["Libraries"]] == [library], "libraries are inherited", read)
        expect([each["ID"] for each in read["Tags"]] == [tag], "tags are inherited", read)
        self.ask("PUT", f"/domain/{parent}", {**read, "ParentID": child}, status=409)
        self.ask("DELETE", f"/domain/{self._root}", status=409)
        for kind, other in (("library", library), ("tag", tag)):
            for domain in (parent, child, child):
                expect(self.ask("DELETE", f"/domain/{domain}/{kind}/{other}") == SUCCESS, f"a {kind} is taken")
            expect(self.ask("GET", f"/domain/{child}/{kind}") == [], f"no {kind} is left")
        self.remove("/domain", parent)
        self.ask("GET", f"/domain/{child}", status=404)
        self.remove("/tag", tag)
        self.remove("/library", library)
        self.say("domain/tree, domain/tag, domain/library")

    def tags(self) -> None:
        """Below the root."""
        root = self.ask("GET", "/tag/tree")
        check("Tag", root, "tag/tree")
        fields = {"Name": self.name("tag"), "ParentID": root["ID"]}
        self.crud("Tag", "/tag", fields, {"Name": self.name("new")}, below=root["ID"])
        self.ask("DELETE", f"/tag/{root['ID']}", status=409)

    def of_a_domain(self) -> None:
        """What refers to domains. What is read, changed and sent back with its nested objects moves."""
        domain = self.create("/domain", "Domain", below=self._root, Name=self.name("place"))
        kind = self.create("/environmentType", "EnvironmentType", Name=self.name("kind"))
        fields = {"Name": self.name("environment"), "EnvironmentTypeID": kind, "DomainID": self._root}
        self.crud("Environment", "/environment", fields, {"DomainID": domain})
        fields = {"Name": self.name("product"), "DomainID": self._root, "RepositoryURL": "http://localhost/it.git"}
        self.crud("Product", "/product", fields, {"DomainID": domain})
        role = self.create("/role", "Role", Name=self.name("role"))
        user = self.create("/user", "User", Email=self.name("holder"))
        fields = {"UserID": user, "RoleID": role, "DomainID": self._root}
        self.crud("Authorization", "/authorization", fields, {"DomainID": domain}, name="")
        for path, id in (("/domain", domain), ("/environmentType", kind), ("/role", role), ("/user", user)):
            self.remove(path, id)

    def components(self) -> None:
        """Uploaded as YAML, read by name and by id; there is no way to delete one."""
        names = {type: f"{self._run}-{type}" for type in ("aggregator", "connector")}
        aggregator = f"""
logicalname: {names["aggregator"]}
type: aggregator
shortdescription: of a walk
model: {{}}
pivot: {{model: {{}}, name: aggregator, major: 1, minor: 0}}
keyvalues:
  - value: http://localhost/definitions
    key: {{name: repository_url}}
"""
        connector = f"""
logicalname: {names["connector"]}
type: connector
aggregator: aggregator1
productconnector:
  name: vcs
  major: 1
  minor: 0
  product: {{name: git}}
keyvalues: []
resources: [{{name: {self._run}-resource}}]
"""
        for type, content in (("aggregator", aggregator), ("connector", connector)):
            path = f"/logicalComponent/upload/{self._tenant}/{type}"
            expect(self.upload(path, "myFile", content.encode()) == UPLOADED, f"an {type} is uploaded")
            component = self.ask("GET", f"/logicalComponent/{names[type]}")
            check("LogicalComponent", component, "logicalComponent")
            expect(component["Type"] == type, "the type of a component", component)
            again = self.ask("GET", f"/logicalcomponent/{component['ID']}")
            expect(again["LogicalName"] == names[type], "a component by its id", again)
        self._component = component["ID"]
        for path in ("/logicalComponent", "/logicalcomponent/", "/LOGICALCOMPONENT"):
            listed = self.ask("GET", path)
            for each in listed:
                check("LogicalComponent", each, "logicalComponent[]")
            expect({*names.values()} <= {each["LogicalName"] for each in listed}, "components are listed")
        upload = f"/logicalComponent/upload/{self._tenant}/connector"
        self.upload(upload, "myFile", b"logicalname: [", status=400)
        missing = connector.replace("name: vcs", "name: nothing")
        told = self.upload(upload, "myFile", missing.encode(), status=404)
        expect("not found" in told["error"] or "there is no" in told["error"], "an unknown product connector", told)
        self.upload(f"/logicalComponent/upload/{self._tenant}/cluster", "myFile", connector.encode(), status=400)
        self.upload(f"/logicalComponent/upload/{self._run}/connector", "myFile", connector.encode(), status=404)
        # The resource that came with it is one as any other.
        resource = self.ask("GET", f"/resource/{self._run}-resource")
        check("Resource", resource, "resource")
        self.remove("/resource", resource["ID"])
        self.say("logicalComponent, logicalComponent/upload")

    def events_and_resources(self) -> None:
        """Types, resources, and what is polled of them; the command line writes the paths in lower case."""
        pivot = self.ask("GET", f"/logicalComponent/{self._run}-aggregator")["PivotID"]
        fields = {"Name": self.name("type"), "PivotID": pivot}
        self.crud("ResourceType", "/resourceType", fields, {"Name": self.name("new")}, also="/resourcetype")
        fields = {**fields, "Schema": "{}"}
        self.crud("EventType", "/eventType", fields, {"Schema": '{"type":"object"}'}, also="/eventtype")
        kind = self.create("/resourcetype", "ResourceType", Name=self.name("kind"), PivotID=pivot)
        events = [
            self.create("/eventtype", "EventType", Name=self.name(f"event{number}"), PivotID=pivot)
            for number in range(2)
        ]
        fields = {
            "Name": self.name("resource"),
            "LogicalComponentID": self._component,
            "DomainID": self._root,
            "ResourceTypeID": kind,
        }
        self.crud("Resource", "/resource", fields, {"Name": self.name("new")})
        resource = self.create("/resource", "Resource", **fields)
        fields = {"ResourceID": resource, "EventTypeID": events[0]}
        polled = {"EventTypeID": events[1]}
        self.crud("EventTypeToPoll", "/eventTypeToPoll", fields, polled, name="", also="/eventtypetopoll")
        self.remove("/resource", resource)
        self.remove("/resourcetype", kind)
        for event in events:
            self.remove("/eventtype", event)

    def secrets(self) -> None:
        """Made without a body; revoked by the other face, since this one cannot."""
        before = {each["Secret"] for each in self.ask("GET", "/secretAssignement")}
        made = self.ask("POST", "/secretAssignement", status=201)
        expect(list(made) == ["Secret", "AddressIP"] and made["AddressIP"] == "", "a new secret", list(made))
        expect(ID.fullmatch(made["Secret"]), "a secret is a UUID")
        after = {each["Secret"] for each in self.ask("GET", "/secretassignement/")}
        expect(len(after - before) == 1, "one secret more is listed")
        expect(made["Secret"] not in after, "a list does not tell secrets")
        (id,) = after - before
        headers = {"Authorization": f"Bearer {self._token}"}
        status, _, content = self.send("DELETE", f"/api/v1/secrets/{id}", headers, base="")
        expect(status in (200, 204), "a secret is revoked", status, content)
        listed = self.ask("GET", "/secretAssignement")
        expect(id not in {each["Secret"] for each in listed}, "a revoked secret is not listed")
        self.say("secretAssignement")

    def files(self) -> None:
        """By the web front end's form, and as it is; always the same file, since there is no way to delete one."""
        path = f"/file/{uuid.uuid5(uuid.NAMESPACE_URL, 'walk')}"
        expect(self.upload(path, "file", PNG, id=self._run) == UPLOADED, "a file is stored")
        status, headers, content = self.send("GET", path, {"Authorization": f"Bearer {self._token}"})
        expect((status, content) == (200, PNG), "a file is read", status, content)
        expect(headers["Content-Type"] == "image/png", "the type of a file", headers["Content-Type"])
        part = {"Authorization": f"Bearer {self._token}", "Range": "bytes=1-3"}
        status, _, content = self.send("GET", path, part)
        expect((status, content) == (206, b"PNG"), "a part of a file", status, content)
        self.ask("GET", f"/file/{uuid.uuid4()}", status=404)
        self.say("file")

    def tenants(self) -> None:
        """Made by the cluster, with its first log-in as texts; deleting one leaves its database."""
        fields = {"Name": self._run, "ShortDescription": "of a walk"}
        made = self.ask("POST", "/tenant", zero("Tenant", **fields), status=201)
        check("Tenant", made["tenant"], "tenant")
        expect(made["Name"] == self._run == made["tenant"]["Name"], "a tenant has its fields", made["Name"])
        expect(isinstance(made["login"], str) and isinstance(made["password"], str), "log-in and password are texts")
        expect(len(made["secret"]) > 20, "a secret for its aggregator comes with a tenant")
        self.ask("POST", "/tenant", zero("Tenant", **fields), status=409)
        self.ask("POST", "/tenant", zero("Tenant", Name="Not a name"), status=400)
        self.rest("Tenant", "/tenant", made["ID"], {"Description": "other"}, "Name")

    def crud(
        self,
        model: str,
        path: str,
        fields: dict[str, Any],
        changed: dict[str, Any],
        *,
        below: str = "",
        name: str = "Name",
        also: str = "",
    ) -> None:
        """Create, list, read, read by name, update and delete, as both clients do it.

        :param changed: what the update changes.
        :param below: the parent's id, in a tree.
        :param name: the key by which one is read by name; "": by none.
        :param also: another path of the same.
        """
        at = f"{path}/{below}" if below else path
        made = self.ask("POST", at, zero(model, **fields), status=201)
        check(model, made, f"{at} (created)")
        id = made["ID"]
        for key, value in fields.items():
            expect(made[key] == ("" if key == "Password" else value), f"{path}.{key} as it was sent", made[key])
        if name == "Email" or model in ("Role", "Library", "ConnectorProduct", "Product", "Resource"):
            told = self.ask("POST", at, zero(model, **fields), status=409)
            expect(str(fields[name]) in told["error"], f"{path}: 409 names what is in the way", told)
        self.ask("POST", at, b"{", status=400)
        self.ask("POST", at, {**zero(model, **fields), "ID": ""}, status=400)
        self.rest(model, path, id, changed, name)
        # What the front end does, on the other path if there is one.
        other = also or path
        lower = {key[0].lower() + key[1:]: value for key, value in fields.items()}
        made = self.ask("POST", at.replace(path, other), {**lower, "selected": True}, status=201, leto=True)
        own = {**lower, "id": made["ID"], "children": [], "createdAt": made["CreatedAt"]}
        self.ask("PUT", f"{other}/{made['ID']}", own, leto=True)
        listed = self.ask("GET", f"{other}/", leto=True)
        expect(made["ID"] in [each["ID"] for each in listed], f"{other}/ lists it", made["ID"])
        expect(self.ask("DELETE", f"{other}/{made['ID']}", leto=True) == SUCCESS, f"{other} is deleted")

    def rest(self, model: str, path: str, id: str, changed: dict[str, Any], name: str) -> None:
        """All but the creation."""
        listed = self.ask("GET", path)
        for each in listed:
            check(model, each, f"{path}[]")
        expect(id in [each["ID"] for each in listed], f"{path} lists it", id)
        read = self.ask("GET", f"{path}/{id.upper()}")
        check(model, read, f"{path}/{id}")
        if name:
            found = self.ask("GET", f"{path}/{urllib.parse.quote(read[name])}")
            expect(found == read, f"{path} by name is what it is by id", found, read)
        sent = {**read, **changed}
        told = self.ask("PUT", f"{path}/{id}", sent)
        check(model, told, f"{path}/{id} (updated)")
        again = self.ask("GET", f"{path}/{id}")
        for key in (*changed, "ID", "CreatedAt"):
            expect(again[key] == sent[key] == told[key], f"{path}.{key} after an update", again[key], told[key])
        unchanged = {key: value for key, value in read.items() if isinstance(value, str | int) and key not in changed}
        for key in unchanged.keys() - {"UpdatedAt"}:
            expect(again[key] == read[key], f"{path}.{key} stays", again[key], read[key])
        times = [datetime.fromisoformat(each["UpdatedAt"]) for each in (read, again)]
        expect(times[0] < times[1], f"{path}.UpdatedAt grows", *times)
        self.ask("PUT", f"{path}/{id}", b"[]", status=400)
        self.ask("PUT", f"{path}/{uuid.uuid4()}", sent, status=404)
        self.remove(path, id)
        self.ask("GET", f"{path}/{id}", status=404)
        self.ask("DELETE", f"{path}/{id}", status=404)
        if name:
            self.ask("GET", f"{path}/{self.name('nobody')}", status=404)
        self.say(path.strip("/"))

    def name(self, what: str) -> str:
        """A name that only this run has."""
        return f"{self._run}-{what}"

    def create(self, path: str, model: str, *, below: str = "", **fields: Any) -> str:
        """The id of a new row."""
        made = self.ask("POST", f"{path}/{below}" if below else path, zero(model, **fields), status=201)
        return str(made["ID"])

    def remove(self, path: str, id: str) -> None:
        """Delete a row."""
        expect(self.ask("DELETE", f"{path}/{id}") == SUCCESS, f"{path}/{id} is deleted")

    def upload(self, path: str, part: str, content: bytes, *, status: int = 200, id: str = "") -> Any:
        """Send a form with one file, and a field `id` if it is given."""
        mark = uuid.uuid4().hex
        start = f'--{mark}\r\nContent-Disposition: form-data; name="{part}"; filename="a file"\r\n'
        field = f'--{mark}\r\nContent-Disposition: form-data; name="id"\r\n\r\n{id}\r\n' if id else ""
        kind = "Content-Type: application/octet-stream\r\n\r\n"
        body = f"{field}{start}{kind}".encode() + content + f"\r\n--{mark}--\r\n".encode()
        return self.ask("POST", path, body, status=status, kind=f"multipart/form-data; boundary={mark}")

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int = 200,
        token: str | None = None,
        leto: bool = False,
        kind: str = "application/json",
    ) -> Any:
        """What is answered, which must have this status; every error must be one that clients can show.

        :param leto: as the web front end, with the token in the URL too.
        """
        token = self._token if token is None else token
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        if leto:
            headers["Origin"] = "http://leto.example"
            path += f"?Authorization=Bearer+{token}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        seen, answered, content = self.send(method, path, headers, data)
        where = f"{method} {path.partition('?')[0]}"
        expect(seen == status, f"{where} is {status}", seen, content)
        if leto:
            expect(answered["Access-Control-Allow-Origin"] == "*", f"{where} is for any origin")
        if answered["Content-Type"] != "application/json":
            expect(status == 200, f"{where}: an error is JSON", content)
            return content
        told = json.loads(content)
        if status >= 400:
            flat = isinstance(told, dict) and all(isinstance(value, str) for value in told.values())
            expect(flat and told.get("error") and told.get("message"), f"{where}: an error is flat, with texts", told)
        return told

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None, *, base: str = BASE
    ) -> tuple[int, Any, bytes]:
        """Status, headers and content of an answer."""
        self._requests += 1
        url = f"{self._api}{base}{path}"
        request = urllib.request.Request(url, body, dict(headers), method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def say(self, what: str) -> None:
        """One line for what is done."""
        self._done += 1
        print(f"{what}: as its clients expect", flush=True)


def main() -> None:
    """Walk, and end the process."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "var/credentials.json")
    try:
        Walk(json.loads(path.read_text())).all()
    except Difference as difference:
        print(f"DIFFERENCE {difference}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
