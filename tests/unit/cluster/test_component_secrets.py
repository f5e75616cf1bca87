"""Secrets that an aggregator makes, lists and revokes over its link."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from twisted.logger import Logger

from gandalf.cluster.component_secrets import ComponentSecrets
from gandalf.routing.testing import TENANT
from gandalf.store import secrets
from gandalf.store.errors import NotFound
from gandalf.store.secrets import Created, SecretInfo
from gandalf.wire import kinds
from tests.unit.cluster.support import OTHER, AnswersCase

ID = UUID(int=7)


class ComponentSecretsTest(AnswersCase):
    """What is asked of the control database, and what is told."""

    kind = kinds.CONFIGURATION_DATABASE

    def setUp(self) -> None:
        super().setUp()
        control: Any = self.database
        self.component_secrets = ComponentSecrets(control, self.authority, lambda: 2.0)
        self.serve(self.component_secrets.handlers)

    def test_create(self) -> None:
        """Of a component of the aggregator's tenant; the text is told."""
        self.ask("CREATE_SECRET", {"component_type": "connector", "logical_name": "git1"})
        asked = self.asked()
        self.assertEqual((asked.txn, asked.args), (secrets.create_txn, ("connector", "git1", TENANT)))
        self.assertEqual(asked.kwargs, {"now": 2000})
        asked.answer.callback(Created(ID, "s3cr3t"))
        told = {
            "id": str(ID),
            "secret": "s3cr3t",
            "component_type": "connector",
            "logical_name": "git1",
            "tenant": TENANT,
            "created_at": 2000,
        }
        self.assertEqual(json.loads(self.answer()[0]), told)

    def test_create_open(self) -> None:
        """Without a component the secret is open."""
        self.ask("CREATE_SECRET", {"component_type": ""})
        asked = self.asked()
        self.assertEqual((asked.txn, asked.args, asked.kwargs), (secrets.create_open_txn, (TENANT,), {"now": 2000}))
        asked.answer.callback(Created(ID, "s3cr3t"))
        told = json.loads(self.answer()[0])
        self.assertEqual((told["secret"], told["component_type"], told["logical_name"]), ("s3cr3t", None, None))

    def test_create_for_another_tenant(self) -> None:
        """By an administrator."""
        self.link.tenant = "gandalf"
        for component in ({}, {"component_type": "aggregator", "logical_name": "a"}):
            self.ask("CREATE_SECRET", {**component, "tenant": OTHER})
            asked = self.asked()
            self.assertEqual(asked.args[-1], OTHER)
            asked.answer.callback(Created(ID, "s3cr3t"))
            self.assertEqual(json.loads(self.answer()[0])["tenant"], OTHER)

    def test_create_refused(self) -> None:
        """Half a component, one of another type, a name that is too long: nothing is made."""
        for context, code, said in (
            ({"component_type": "connector"}, "MALFORMED", "or neither"),
            ({"logical_name": "git1"}, "MALFORMED", "or neither"),
            ({"component_type": "connector", "logical_name": 5}, "MALFORMED", "must be str"),
            ({"component_type": "cluster", "logical_name": "x"}, "INVALID", "'aggregator' or 'connector'"),
            ({"component_type": "connector", "logical_name": "x" * 256}, "INVALID", "at most 255"),
        ):
            with self.subTest(context):
                self.ask("CREATE_SECRET", context)
                refusal = self.refusal()
                self.assertEqual(refusal[0], code)
                self.assertIn(said, refusal[1])
        self.assertEqual(self.database.asked, [])

    def test_list(self) -> None:
        """Of the own tenant, of a named one, of all; never the secrets themselves."""
        info = SecretInfo(ID, None, None, TENANT, None, None, 1000, None, None)
        self.ask("LIST_SECRETS", {"tenant": ""})
        asked = self.asked()
        self.assertEqual((asked.txn, asked.args), (secrets.list_txn, (TENANT,)))
        asked.answer.callback([info])
        expected = {
            "id": str(ID),
            "component_type": None,
            "logical_name": None,
            "tenant": TENANT,
            "bind_address": None,
            "instance": None,
            "created_at": 1000,
            "used_at": None,
            "revoked_at": None,
        }
        self.assertEqual(json.loads(self.answer()[0]), [expected])
        self.link.tenant = "gandalf"
        for named, tenant in ((OTHER, OTHER), ("*", None)):
            self.ask("LIST_SECRETS", {"tenant": named})
            asked = self.asked()
            self.assertEqual(asked.args, (tenant,))
            asked.answer.callback([])
            self.assertEqual(self.answer()[0], "[]")

    def test_revoke(self) -> None:
        """One of the own tenant, of a named one, of any."""
        for own, named, tenant in ((TENANT, "", TENANT), ("gandalf", OTHER, OTHER), ("gandalf", "*", None)):
            self.link.tenant = own
            self.ask("REVOKE_SECRET", {"id": str(ID), "tenant": named})
            asked = self.asked()
            self.assertEqual((asked.txn, asked.args), (secrets.revoke_txn, (ID, tenant)))
            self.assertEqual(asked.kwargs, {"now": 2000})
            asked.answer.callback(None)
            self.assertEqual(self.answer()[0], "{}")

    def test_revoke_refused(self) -> None:
        """An id that is none, or of no secret of the tenant."""
        for context in ({}, {"id": "5"}, {"id": 5}):
            self.ask("REVOKE_SECRET", context)
            self.assertEqual(self.failure(), "MALFORMED")
        self.assertEqual(self.database.asked, [])
        self.ask("REVOKE_SECRET", {"id": str(ID)})
        self.asked().answer.errback(NotFound("there is no such secret"))
        self.assertEqual(self.failure(), "NOT_FOUND")

    def test_who_may_not(self) -> None:
        """A connector, whosever; another tenant's aggregator that is no administrator; a tenant that is not there."""
        context = {"id": str(ID)}
        for own, target, named, code in (
            ("gandalf", "git1", "", "NOT_AUTHORISED"),
            (TENANT, "", OTHER, "NOT_AUTHORISED"),
            (TENANT, "", "*", "NOT_AUTHORISED"),
            ("gandalf", "", "nobody", "NOT_FOUND"),
        ):
            self.link.tenant = own
            for command in ("CREATE_SECRET", "LIST_SECRETS", "REVOKE_SECRET"):
                with self.subTest((own, target, named, command)):
                    self.ask(command, {**context, "tenant": named}, target=target)
                    self.assertEqual(self.failure(), code)
        self.link.tenant = "gandalf"
        self.ask("CREATE_SECRET", {"tenant": "*"})
        self.assertEqual(self.failure(), "NOT_FOUND")
        self.assertEqual(self.database.asked, [])

    def test_log(self) -> None:
        """Who made and revoked which is logged, the secret is not."""
        events: list[dict[str, Any]] = []
        observer: Any = events.append
        self.patch(self.component_secrets, "log", Logger(observer=observer))
        self.ask("CREATE_SECRET", {})
        self.asked().answer.callback(Created(ID, "s3cr3t"))
        self.ask("REVOKE_SECRET", {"id": str(ID)})
        self.asked().answer.callback(None)
        self.assertEqual([event["asker"] for event in events], [f"aggregator aggregator1 of tenant {TENANT}"] * 2)
        self.assertEqual([event["id"] for event in events], [ID] * 2)
        self.assertNotIn("s3cr3t", repr(events))
