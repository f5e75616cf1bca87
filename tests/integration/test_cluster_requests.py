"""The requests that a real cluster member answers by itself (docs/cluster-requests.md)."""

from __future__ import annotations

import json
import os

import psycopg2

from tests.integration.member import CONTROL, ONE, OTHER, Aggregator, SharedMemberCase
from tests.integration.peer import Message
from tests.integration.programs import until


class RequestsTest(SharedMemberCase):
    """Each request, its answer, and what is refused."""

    def failed(self, reply: Message) -> str:
        """The code of a reply that failed."""
        self.assertEqual(reply.body.get("payload", ""), "")
        code: str = reply.body["context"]["error"]["code"]
        return code

    def test_pivots(self) -> None:
        """A pivot of the member's definitions, one saved by the tenant, and one that nobody has."""
        aggregator = self.aggregator()
        reply = aggregator.ask("configuration", "PIVOT_CONFIGURATION", {"name": "vcs"}, target="git1")
        pivot = json.loads(reply.body["payload"])
        self.assertEqual((pivot["name"], pivot["major"], reply.target), ("vcs", 1, "git1"))
        self.assertEqual([command["name"] for command in pivot["commandtypes"]], ["CREATE_REPOSITORY"])
        mine = {"name": "mine", "major": 2, "minor": 1, "keys": [{"name": "k", "mandatory": True}]}
        saved = aggregator.ask("configuration", "SAVE_PIVOT_CONFIGURATION", {}, json.dumps(mine))
        self.assertEqual(json.loads(saved.body["payload"])["keys"][0]["name"], "k")
        version = {"name": "mine", "major": 2, "minor": 1}
        fetched = aggregator.ask("configuration", "PIVOT_CONFIGURATION", version)
        self.assertEqual(fetched.body["payload"], saved.body["payload"])
        unknown = aggregator.ask("configuration", "PIVOT_CONFIGURATION", {"name": "no"})
        self.assertEqual(self.failed(unknown), "NOT_FOUND")
        other = self.aggregator(tenant=OTHER)
        self.assertEqual(self.failed(other.ask("configuration", "PIVOT_CONFIGURATION", version)), "NOT_FOUND")

    def test_product_connectors(self) -> None:
        """Likewise product connectors, by their name or their pivot's, and product."""
        aggregator = self.aggregator()
        command = "CONNECTOR_PRODUCT_CONFIGURATION"
        for name in ("git", "vcs"):
            reply = aggregator.ask("configuration", command, {"name": name, "product": "git"})
            self.assertEqual(json.loads(reply.body["payload"])["product"], {"name": "git"})
        mine = {
            "name": "forge",
            "major": 1,
            "pivot": {"name": "vcs", "major": 1},
            "product": {"name": "forge"},
            "keys": [{"name": "url", "mandatory": False}],
        }
        aggregator.ask("configuration", "SAVE_PRODUCT_CONNECTOR_CONFIGURATION", {}, json.dumps(mine))
        reply = aggregator.ask("configuration", command, {"name": "forge", "product": "forge"})
        self.assertEqual(json.loads(reply.body["payload"])["keys"][0]["name"], "url")

    def test_bad_requests(self) -> None:
        """An unknown command, a missing key, a payload that is none: the error names what is allowed."""
        aggregator = self.aggregator()
        reply = aggregator.ask("configuration", "MAKE_COFFEE", {})
        self.assertEqual(self.failed(reply), "UNKNOWN_COMMAND")
        self.assertIn("SAVE_PIVOT_CONFIGURATION", reply.body["context"]["error"]["message"])
        self.assertEqual(self.failed(aggregator.ask("configuration", "PIVOT_CONFIGURATION", {})), "MALFORMED")
        for payload, place in (("{", "must be JSON"), ('{"name": ""}', "name"), ('{"name": "x"}', "major")):
            reply = aggregator.ask("configuration", "SAVE_PIVOT_CONFIGURATION", {}, payload)
            self.assertEqual(self.failed(reply), "INVALID")
            self.assertIn(place, reply.body["context"]["error"]["message"])

    def test_logical_configuration(self) -> None:
        """Saved and fetched; a connector sees and changes itself only."""
        aggregator = self.aggregator()
        component = {
            "logicalname": aggregator.name,
            "type": "aggregator",
            "pivot": {"name": "aggregator", "major": 1, "minor": 0},
            "keyvalues": [{"key": {"name": "repository_url"}, "value": "https://example.org"}],
        }
        kind, command = "logicalConfiguration", "LOGICAL_CONFIGURATION"
        saved = aggregator.ask(kind, command, {}, json.dumps(component))
        self.assertEqual(json.loads(saved.body["payload"])["keyvalues"], component["keyvalues"])
        fetched = aggregator.ask(kind, command, {"logical_name": aggregator.name})
        self.assertEqual(fetched.body["payload"], saved.body["payload"])
        asked = aggregator.ask(kind, command, {"logical_name": aggregator.name}, target="curious")
        self.assertEqual(self.failed(asked), "NOT_AUTHORISED")
        asked = aggregator.ask(kind, command, {}, json.dumps(component), target="curious")
        self.assertEqual(self.failed(asked), "NOT_AUTHORISED")
        self.assertEqual(self.failed(aggregator.ask(kind, command, {}, target="not-stored")), "NOT_FOUND")

    def test_database(self) -> None:
        """The tenant's database, which opens; not for connectors."""
        aggregator = self.aggregator()
        reply = aggregator.ask("configurationDatabase", "CONFIGURATION_DATABASE", {})
        payload = json.loads(reply.body["payload"])
        self.assertEqual(payload["tenant"], ONE)
        psycopg2.connect(payload["dsn"]).close()
        relayed = aggregator.ask("configurationDatabase", "CONFIGURATION_DATABASE", {}, target="connector1")
        self.assertEqual(self.failed(relayed), "NOT_AUTHORISED")
        log = self.log
        self.assertNotIn(payload["dsn"].split(":")[2].split("@")[0], log)

    def test_create_database(self) -> None:
        """Only the tenant gandalf makes tenants; the new one's aggregator can come at once, with the secret told."""
        outsider = self.aggregator()
        name = f"made-{os.getpid()}"
        refused = outsider.ask("configurationDatabase", "CREATE_DATABASE", {}, name)
        self.assertEqual(self.failed(refused), "NOT_AUTHORISED")
        master = self.aggregator(tenant=CONTROL)
        reply = master.ask("configurationDatabase", "CREATE_DATABASE", {}, name)
        payload = json.loads(reply.body["payload"])
        self.assertEqual((len(payload["Login"]), len(payload["Password"])), (2, 2))
        made = until(
            lambda: (made := Aggregator(self, self.port, name, name)).linked.kind == "linked" and made, "let in", 5
        )
        self.assertEqual(made.validate(payload["Secret"]).body["payload"], "true")
        again = master.ask("configurationDatabase", "CREATE_DATABASE", {}, name)
        self.assertEqual(self.failed(again), "CONFLICT")
        invalid = master.ask("configurationDatabase", "CREATE_DATABASE", {}, "No Good")
        self.assertEqual(self.failed(invalid), "INVALID")
