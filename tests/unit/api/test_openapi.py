"""The description of the API: complete, valid and true to the declarations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from schemathesis import openapi
from twisted.trial.unittest import SynchronousTestCase

from gandalf.api.documentation import POLICY, Documentation
from gandalf.api.edge import Edge, Face
from gandalf.api.openapi import described
from gandalf.api.operation import Access, Call, Reply, Route, operation, routes_of
from gandalf.api.upstream.face import UpstreamFace
from gandalf.api.upstream.rows import UpstreamRows
from gandalf.api.v1.face import V1Face
from gandalf.api.v1.resources import V1Resources
from tests.unit.api.wire import Answer, Exchange


class Dog(BaseModel):
    """An animal."""

    name: Annotated[str, Field(min_length=1)]


class Search(BaseModel):
    """What may be asked for."""

    size: Annotated[int, Field(ge=1, le=9, description="In hands.")] | None = None
    kind: Literal["wild", "tame"] = "tame"
    word: str


class Dogs:
    """A subject with one operation of each sort."""

    @operation("GET", "/dogs", Access.ROWS, "List dogs.", query=Search, answers={200: list[Dog]})
    async def list(self, call: Call) -> Reply:
        return Reply([])

    @operation("GET", "/dogs/<uuid:id>", Access.READER, "See a dog.", answers={200: Dog, 504: None})
    async def read(self, call: Call, id: UUID) -> Reply:
        return Reply({})

    @operation("GET", "/dogs/<name>", Access.READER, "Find a dog.", answers={200: Dog})
    async def named(self, call: Call, name: str) -> Reply:
        return Reply({})

    @operation("PUT", "/dogs/<uuid:id>", Access.WRITER, "Change it.", body=Dog, headers={"If-Match": "Its ETag."})
    async def change(self, call: Call, id: UUID) -> Reply:
        return Reply({})

    @operation("POST", "/logo", Access.OPEN, "Send one.", upload="picture", answers={204: None}, tag="Pictures")
    async def upload(self, call: Call) -> Reply:
        return Reply({})

    @operation("GET", "/live", Access.ROWS, "See them run.", answers={200: None}, media="text/event-stream")
    async def live(self, call: Call) -> None:
        return None


def face_of(routes: Iterable[Route], face: Face | None = None) -> Any:
    """The description as a client gets it: through JSON."""
    return json.loads(json.dumps(described("Dogs", "/base", list(routes), face or V1Face())))


class DescriptionTests(SynchronousTestCase):
    """What is said of each operation."""

    def setUp(self) -> None:
        self.api = face_of(routes_of(Dogs()))

    def test_path(self) -> None:
        """Values in a path are parameters with the schema of their converter."""
        (parameter, _) = self.api["paths"]["/dogs/{id}"]["put"]["parameters"]
        self.assertEqual(
            parameter, {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
        )

    def test_same_shape(self) -> None:
        """Reading by id and reading by name are one operation to OpenAPI, which takes either."""
        self.assertNotIn("/dogs/{name}", self.api["paths"])
        (parameter,) = self.api["paths"]["/dogs/{id}"]["get"]["parameters"]
        kinds = [{"type": "string", "minLength": 1}, {"type": "string", "format": "uuid"}]
        self.assertEqual((parameter["name"], parameter["schema"]["anyOf"]), ("id", kinds))
        self.assertEqual(self.api["paths"]["/dogs/{id}"]["get"]["summary"], "Find a dog; or: see a dog.")
        self.assertIn("504", self.api["paths"]["/dogs/{id}"]["get"]["responses"])

    def test_not_with_a_name(self) -> None:
        """What only goes by id is told not to exist (405) where reading goes by name too."""
        item = self.api["paths"]["/dogs/{id}"]
        self.assertIn("405", item["put"]["responses"])
        self.assertNotIn("405", item["get"]["responses"])
        self.assertNotIn("405", self.api["paths"]["/dogs"]["get"]["responses"])

    def test_query(self) -> None:
        """Fields of the query's model are parameters; one that may be missing is never null."""
        found = {each["name"]: each for each in self.api["paths"]["/dogs"]["get"]["parameters"]}
        size = {"minimum": 1, "maximum": 9, "type": "integer", "title": "Size"}
        self.assertEqual(found["size"]["schema"], size)
        self.assertEqual(found["size"]["description"], "In hands.")
        self.assertEqual(found["kind"]["schema"]["default"], "tame")
        self.assertEqual(
            {name: each["required"] for name, each in found.items()}, {"size": False, "kind": False, "word": True}
        )

    def test_headers(self) -> None:
        """Headers that an operation heeds are told, and what comes of If-Match."""
        change = self.api["paths"]["/dogs/{id}"]["put"]
        self.assertIn(
            {"name": "If-Match", "in": "header", "description": "Its ETag.", "schema": {"type": "string"}},
            change["parameters"],
        )
        self.assertIn("412", change["responses"])

    def test_body(self) -> None:
        """A body has the schema of its model."""
        body = self.api["paths"]["/dogs/{id}"]["put"]["requestBody"]
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Dog"}}}
        self.assertEqual(body, {"required": True, "content": content})
        self.assertEqual(self.api["components"]["schemas"]["Dog"]["required"], ["name"])

    def test_upload(self) -> None:
        """A file is sent in the part that the operation names."""
        content = self.api["paths"]["/logo"]["post"]["requestBody"]["content"]
        self.assertEqual(list(content["multipart/form-data"]["schema"]["properties"]), ["picture"])

    def test_answers(self) -> None:
        """Content type and schema of what is answered; nothing of what has no content."""
        live = self.api["paths"]["/live"]["get"]["responses"]["200"]
        self.assertEqual(live["content"], {"text/event-stream": {}})
        self.assertNotIn("content", self.api["paths"]["/logo"]["post"]["responses"]["204"])
        dogs = self.api["paths"]["/dogs"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        self.assertEqual((dogs["type"], dogs["items"]), ("array", {"$ref": "#/components/schemas/Dog"}))

    def test_errors(self) -> None:
        """What can go wrong follows from what an operation takes, and from who may use it."""
        statuses = {
            ("/dogs", "get"): {"200", "400", "401", "403", "500", "503"},
            ("/dogs/{id}", "put"): {"400", "401", "403", "404", "405", "409", "412", "413", "500", "503"},
            ("/logo", "post"): {"204", "400", "413", "500"},
        }
        for (path, method), expected in statuses.items():
            self.assertEqual(set(self.api["paths"][path][method]["responses"]), expected, path)

    def test_faces(self) -> None:
        """Errors look, and a missing token is told, as the face has it."""
        problem = self.api["paths"]["/dogs"]["get"]["responses"]["401"]
        self.assertEqual(list(problem["content"]), ["application/problem+json"])
        kinds = {key: kind["type"] for key, kind in self.api["components"]["schemas"]["Error"]["properties"].items()}
        self.assertEqual(kinds, {"type": "string", "title": "string", "status": "integer", "detail": "string"})
        flat = face_of(routes_of(Dogs()), UpstreamFace())
        self.assertNotIn("401", flat["paths"]["/dogs"]["get"]["responses"])
        self.assertIn("Not signed in.", flat["paths"]["/dogs"]["get"]["responses"]["403"]["description"])
        self.assertEqual(flat["components"]["schemas"]["Error"]["required"], ["error", "message"])

    def test_security(self) -> None:
        """All operations need a token but those that anybody may use."""
        self.assertEqual(self.api["security"], [{"bearer": []}])
        self.assertEqual(self.api["components"]["securitySchemes"]["bearer"]["scheme"], "bearer")
        self.assertEqual(self.api["paths"]["/logo"]["post"]["security"], [])
        self.assertNotIn("security", self.api["paths"]["/dogs"]["get"])

    def test_names(self) -> None:
        """Operations have the name and tag of their subject, or a tag of their own."""
        upload = self.api["paths"]["/logo"]["post"]
        self.assertEqual((upload["operationId"], upload["tags"]), ("Dogs.upload", ["Pictures"]))
        self.assertEqual(self.api["tags"], [{"name": "Dogs"}, {"name": "Pictures"}])

    def test_tag_again(self) -> None:
        """A subject may be asked for its routes more than once."""
        self.assertEqual(face_of(routes_of(Dogs())), self.api)


class DocumentationTests(SynchronousTestCase):
    """What each face serves."""

    def setUp(self) -> None:
        upstream = Documentation("Upstream", "/u", UpstreamRows(Any, Any).routes(), UpstreamFace())  # type: ignore[arg-type]
        v1 = Documentation("Gandalf", "/v1", V1Resources(Any, Any).routes(), V1Face())  # type: ignore[arg-type]
        self.faces: list[tuple[Documentation, Face]] = [(upstream, UpstreamFace()), (v1, V1Face())]

    def ask(self, documentation: Documentation, face: Face, path: str) -> Answer:
        """A GET at the face's app, which nobody guards."""
        app = Edge(None, face, lambda: None).app(documentation.routes)  # type: ignore[arg-type]
        return Exchange(app.resource()).ask("GET", path)

    def test_complete(self) -> None:
        """Every route of the app is described, and nothing else."""
        for documentation, face in self.faces:
            app = Edge(None, face, lambda: None).app(documentation.routes)  # type: ignore[arg-type]
            rules = {
                (re.sub(r"<[^>]*>", "{}", rule.rule), method.lower())
                for rule in app.url_map.iter_rules()
                for method in (rule.methods or set()) - {"HEAD"}
            }
            api = json.loads(self.ask(documentation, face, "/openapi.json").body)
            told = {
                (re.sub(r"\{\w+\}", "{}", path), method) for path, item in api["paths"].items() for method in item
            }
            self.assertEqual(told, rules)

    def test_valid(self) -> None:
        """It is valid OpenAPI 3.1, whose operations have names that differ."""
        for documentation, face in self.faces:
            api = json.loads(self.ask(documentation, face, "/openapi.json").body)
            openapi.from_dict(api).validate()
            self.assertEqual(api["openapi"], "3.1.0")
            names = [told["operationId"] for item in api["paths"].values() for told in item.values()]
            self.assertEqual(len(names), len(set(names)))

    def test_references(self) -> None:
        """Every schema that is referred to is there, and every one that is there is referred to."""
        for documentation, face in self.faces:
            text = self.ask(documentation, face, "/openapi.json").body.decode()
            schemas = json.loads(text)["components"]["schemas"]
            self.assertEqual(set(re.findall(r'"#/components/schemas/(\w+)"', text)), set(schemas))

    def test_page(self) -> None:
        """The page and its parts come with their content types, and may load nothing from elsewhere."""
        (documentation, face) = self.faces[0]
        for path, media in (
            ("/docs", "text/html"),
            ("/docs/docs.js", "text/javascript"),
            ("/docs/docs.css", "text/css"),
        ):
            answer = self.ask(documentation, face, path)
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, f"{media}; charset=utf-8"))
            self.assertEqual(answer.headers["Content-Security-Policy"], POLICY)
            self.assertNotIn(b"://", answer.body)
        page = self.ask(documentation, face, "/docs").body.decode()
        for part in re.findall(r'(?:src|href)="([^"]*)"', page):
            self.assertEqual(self.ask(documentation, face, f"/{part}").status, 200, part)
