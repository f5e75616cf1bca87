"""The requests that a real cluster member answers by itself (docs/cluster-requests.md)."""

from __future__ import annotations

import json
import os
from typing import Any

import psycopg2

from tests.integration.member import CONTROL, ONE, OPS, OTHER, Aggregator, SharedMemberCase, names
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

    def test_start_of_an_aggregator(self) -> None:
        """What an aggregator sends at its start says nothing of key values: its repository stays."""
        aggregator = self.aggregator()
        start = {
            "logicalname": aggregator.name,
            "type": "aggregator",
            "pivot": {"name": "aggregator", "major": 1, "minor": 0},
        }
        values = [{"value": "https://example.org", "key": {"name": "repository_url"}}]
        for sent, kept in ((start, []), ({**start, "keyvalues": values}, values), (start, values)):
            reply = aggregator.ask("logicalConfiguration", "LOGICAL_CONFIGURATION", {}, json.dumps(sent))
            self.assertEqual(json.loads(reply.body["payload"])["keyvalues"], kept)

    def secrets(self, aggregator: Aggregator, command: str, **context: object) -> Message:
        """A request about secrets."""
        return aggregator.ask("configurationDatabase", command, context)

    def told(self, reply: Message) -> Any:
        """What a reply tells."""
        self.assertNotIn("error", reply.body["context"])
        return json.loads(reply.body["payload"])

    def test_secrets(self) -> None:
        """Made for a component, listed without itself, used, revoked; then it lets nobody in."""
        aggregator = self.aggregator()
        name = f"connector{next(names)}"
        made = self.told(self.secrets(aggregator, "CREATE_SECRET", component_type="connector", logical_name=name))
        self.assertEqual((made["component_type"], made["logical_name"], made["tenant"]), ("connector", name, ONE))
        self.assertEqual(aggregator.validate(made["secret"], "somebody-else").body["payload"], "false")
        self.assertEqual(aggregator.validate(made["secret"], name).body["payload"], "true")
        reply = self.secrets(aggregator, "LIST_SECRETS")
        self.assertNotIn(made["secret"], reply.body["payload"])
        (info,) = [info for info in self.told(reply) if info["id"] == made["id"]]
        self.assertEqual((info["logical_name"], info["created_at"]), (name, made["created_at"]))
        self.assertGreaterEqual(info["used_at"], info["created_at"])
        self.assertEqual({info["tenant"] for info in self.told(reply)}, {ONE})
        self.assertEqual(self.told(self.secrets(aggregator, "REVOKE_SECRET", id=made["id"])), {})
        self.assertEqual(aggregator.validate(made["secret"], name).body["payload"], "false")
        self.assertNotIn(made["secret"], self.log)

    def test_open_secrets(self) -> None:
        """An open one is the first component's that uses it, and nobody else's from then on."""
        aggregator = self.aggregator()
        made = self.told(self.secrets(aggregator, "CREATE_SECRET"))
        self.assertEqual((made["component_type"], made["logical_name"], len(made["secret"])), (None, None, 36))
        first, second = f"connector{next(names)}", f"connector{next(names)}"
        for name, word in ((first, "true"), (first, "true"), (second, "false"), (first, "true")):
            self.assertEqual(aggregator.validate(made["secret"], name).body["payload"], word)
        newcomer = self.aggregator(valid=False)
        reply = newcomer.validate(made["secret"])
        self.assertEqual(reply.body["context"]["reason"], "the secret belongs to another component")
        stranger = self.aggregator(tenant=OTHER)
        open_one = self.told(self.secrets(aggregator, "CREATE_SECRET"))
        reply = stranger.validate(open_one["secret"], first)
        self.assertEqual(reply.body["context"]["reason"], "the secret belongs to another tenant")

    def test_administrators(self) -> None:
        """They act for other tenants and for all; others do not, and a tenant that is not there is told."""
        operator, aggregator = self.aggregator(tenant=OPS), self.aggregator()
        made = self.told(self.secrets(operator, "CREATE_SECRET", tenant=ONE))
        self.assertEqual(made["tenant"], ONE)
        self.assertIn(made["id"], {info["id"] for info in self.told(self.secrets(aggregator, "LIST_SECRETS"))})
        everybody = self.told(self.secrets(operator, "LIST_SECRETS", tenant="*"))
        self.assertLessEqual({ONE, OPS}, {info["tenant"] for info in everybody})
        self.assertEqual(self.failed(self.secrets(operator, "REVOKE_SECRET", id=made["id"])), "NOT_FOUND")
        self.told(self.secrets(operator, "REVOKE_SECRET", id=made["id"], tenant=ONE))
        for tenant in (OTHER, "*"):
            self.assertEqual(self.failed(self.secrets(aggregator, "LIST_SECRETS", tenant=tenant)), "NOT_AUTHORISED")
        self.assertEqual(self.failed(self.secrets(operator, "LIST_SECRETS", tenant="nobody")), "NOT_FOUND")

    def test_configurations_of_another_tenant(self) -> None:
        """An administrator stores a pivot and a component there, where its aggregator finds them."""
        operator, aggregator, stranger = self.aggregator(tenant=OPS), self.aggregator(), self.aggregator(tenant=OTHER)
        name = f"given{next(names)}"
        pivot, version = json.dumps({"name": name, "major": 1}), {"name": name, "major": 1}
        self.told(operator.ask("configuration", "SAVE_PIVOT_CONFIGURATION", {"tenant": ONE}, pivot))
        found = self.told(aggregator.ask("configuration", "PIVOT_CONFIGURATION", version))
        self.assertEqual(found["name"], name)
        for asker in (operator, stranger):
            self.assertEqual(self.failed(asker.ask("configuration", "PIVOT_CONFIGURATION", version)), "NOT_FOUND")
        refused = stranger.ask("configuration", "PIVOT_CONFIGURATION", {**version, "tenant": ONE})
        self.assertEqual(self.failed(refused), "NOT_AUTHORISED")
        component = {
            "logicalname": name,
            "type": "connector",
            "productconnector": {"name": "git", "major": 1, "product": {"name": "git"}},
        }
        logical = "logicalConfiguration", "LOGICAL_CONFIGURATION"
        saved = self.told(operator.ask(*logical, {"tenant": ONE}, json.dumps(component)))
        self.assertEqual(saved["aggregator"], "")
        self.assertEqual(self.told(aggregator.ask(*logical, {"logical_name": name})), saved)

    def test_create_database(self) -> None:
        """Only administrators make tenants; the new one's aggregator can come at once, with the secret told."""
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
        again = self.aggregator(tenant=OPS).ask("configurationDatabase", "CREATE_DATABASE", {}, name)
        self.assertEqual(self.failed(again), "CONFLICT")
        # It is known to whoever made it as soon as it is there.
        self.assertEqual(self.told(self.secrets(master, "CREATE_SECRET", tenant=name))["tenant"], name)
        invalid = master.ask("configurationDatabase", "CREATE_DATABASE", {}, "No Good")
        self.assertEqual(self.failed(invalid), "INVALID")
