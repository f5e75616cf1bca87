"""What the API asks of the cluster: requests, answers, and what is fetched from the repository meanwhile."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from gandalf.aggregator.installation import ClusterInstallation, read_component, read_pivot
from gandalf.aggregator.requests import RequestFailed
from gandalf.api.errors import BadRequest, Refused, Unreachable
from gandalf.api.installation import NewTenant
from gandalf.routing.failures import RoutingFailure
from gandalf.store.definitions import InvalidDefinition, PivotReference
from gandalf.store.errors import Conflict, NotFound

REPOSITORY = "https://definitions.example/"
CONNECTOR = b"logicalname: git7\nproductconnector: {name: VCS, major: 1, minor: 2, product: {name: Git}}\n"
MISSING = RequestFailed("NOT_FOUND", "product connector not found")


class FakeRequests:
    """The cluster: answers by command, each answer once, the last for ever; exceptions are raised."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, object], str]] = []
        self.answers: dict[str, list[Any]] = {"LOGICAL_CONFIGURATION": [{"keyvalues": []}]}

    async def ask(
        self, kind: str, command: str, context: dict[str, object], payload: str, budget: float | None = None
    ) -> Any:
        self.asked.append((command, context, payload))
        answers = self.answers.get(command, [{}])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def at_once(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """As a thread would."""
    return succeed(None).addCallback(lambda _: function(*arguments))


class InstallationTests(SynchronousTestCase):
    """`ClusterInstallation`"""

    def setUp(self) -> None:
        self.requests = FakeRequests()
        self.files: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.installation = ClusterInstallation(self.requests, "aggregator1", self.fetch, at_once)

    async def fetch(self, url: str) -> bytes:
        """The repository."""
        self.fetched.append(url)
        try:
            return self.files[url]
        except KeyError:
            raise NotFound(f"{url}: HTTP status 404") from None

    def has_repository(self) -> None:
        """The aggregator's own component names one."""
        value = {"value": REPOSITORY, "key": {"name": "repository_url"}}
        self.own: dict[str, Any] = {"keyvalues": [{"value": "x", "key": {"name": "other"}}, value]}
        self.requests.answers["LOGICAL_CONFIGURATION"] = [self.own]

    def result(self, work: Any) -> Any:
        """What it gives."""
        return self.successResultOf(ensureDeferred(work))

    def test_a_tenant(self) -> None:
        """Its database is made, then its aggregator's component with the repository of this one."""
        self.has_repository()
        told = {"Login": ["a", "b"], "Password": ["c", "d"], "Secret": "s"}
        self.requests.answers["CREATE_DATABASE"] = [told]
        self.assertEqual(self.result(self.installation.create_tenant("acme")), NewTenant(("a", "b"), ("c", "d"), "s"))
        self.assertEqual(self.requests.asked[0], ("CREATE_DATABASE", {}, "acme"))
        command, context, payload = self.requests.asked[-1]
        self.assertEqual((command, context), ("LOGICAL_CONFIGURATION", {"tenant": "acme"}))
        component = json.loads(payload)
        self.assertEqual(component["logicalname"], "acme")
        value = REPOSITORY.rstrip("/")
        self.assertEqual(component["keyvalues"], [{"value": value, "key": {"name": "repository_url"}}])

    def test_log_ins_are_told_whatever_follows(self) -> None:
        """They cannot be had again; a component is stored by the aggregator itself when it starts."""
        told = {"Login": ["a", "b"], "Password": ["c", "d"]}
        self.requests.answers["CREATE_DATABASE"] = [told]
        self.requests.answers["LOGICAL_CONFIGURATION"] = [RequestFailed("UNAVAILABLE", "away")]
        made = self.result(self.installation.create_tenant("acme"))
        self.assertEqual((made.login, made.secret), (("a", "b"), ""))
        self.assertEqual(len(self.flushLoggedErrors(Unreachable)), 1)

    def test_secrets(self) -> None:
        """Made for a component or for whoever comes first, listed, revoked."""
        self.requests.answers["LIST_SECRETS"] = [[{"id": "1"}]]
        id = UUID(int=5)
        self.result(self.installation.create_secret())
        self.result(self.installation.create_secret("connector", "git1"))
        self.assertEqual(self.result(self.installation.secrets()), [{"id": "1"}])
        self.result(self.installation.revoke_secret(id))
        self.assertEqual(
            self.requests.asked,
            [
                ("CREATE_SECRET", {"component_type": "", "logical_name": ""}, ""),
                ("CREATE_SECRET", {"component_type": "connector", "logical_name": "git1"}, ""),
                ("LIST_SECRETS", {}, ""),
                ("REVOKE_SECRET", {"id": str(id)}, ""),
            ],
        )

    def test_what_the_cluster_refuses(self) -> None:
        """Each code becomes the error that says it over HTTP; a silent cluster cannot be reached."""
        expected: dict[Exception, type[Exception]] = {
            RequestFailed("NOT_AUTHORISED", "no"): Refused,
            RequestFailed("NOT_FOUND", "no"): NotFound,
            RequestFailed("CONFLICT", "no"): Conflict,
            RequestFailed("INVALID", "no"): BadRequest,
            RequestFailed("UNAVAILABLE", "no"): Unreachable,
            RequestFailed("INTERNAL", "no"): Unreachable,
            RoutingFailure("NO_ROUTE", "nobody"): Unreachable,
        }
        for answer, error in expected.items():
            self.requests.answers["LIST_SECRETS"] = [answer]
            self.failureResultOf(ensureDeferred(self.installation.secrets()), error)

    def test_an_upload(self) -> None:
        """The component goes to the tenant; the path's type counts, and what is left out is not said."""
        content = b"type: cluster\nmodel: x\n" + CONNECTOR
        self.result(self.installation.upload("acme", "connector", content))
        ((command, context, payload),) = self.requests.asked
        self.assertEqual((command, context), ("LOGICAL_CONFIGURATION", {"tenant": "acme"}))
        component = json.loads(payload)
        self.assertEqual((component["type"], component["logicalname"]), ("connector", "git7"))
        self.assertNotIn("keyvalues", component)

    def test_what_is_missing_is_fetched(self) -> None:
        """The product connector and its pivot, from the repository's places in lower case; then it is stored."""
        self.has_repository()
        self.requests.answers["LOGICAL_CONFIGURATION"] = [MISSING, self.own, {}]
        self.requests.answers["PIVOT_CONFIGURATION"] = [RequestFailed("NOT_FOUND", "pivot not found")]
        place = "https://definitions.example/configurations/vcs"
        self.files[f"{place}/git/1_2_product_connector.yaml"] = b"name: VCS\nmajor: 1\nminor: 2\n"
        self.files[f"{place}/1_2_pivot.yaml"] = b"name: VCS\nmajor: 1\nminor: 2\ncommandtypes: [{name: A}]\n"
        self.result(self.installation.upload("acme", "connector", CONNECTOR))
        commands = [command for command, _, _ in self.requests.asked]
        self.assertEqual(
            commands,
            [
                "LOGICAL_CONFIGURATION",
                "LOGICAL_CONFIGURATION",
                "PIVOT_CONFIGURATION",
                "SAVE_PIVOT_CONFIGURATION",
                "SAVE_PRODUCT_CONNECTOR_CONFIGURATION",
                "LOGICAL_CONFIGURATION",
            ],
        )
        self.assertEqual(self.requests.asked[-1][1], {"tenant": "acme"})
        connector = json.loads(self.requests.asked[-2][2])
        self.assertEqual((connector["product"], connector["pivot"]["name"]), ({"name": "Git"}, "VCS"))

    def test_an_aggregator_whose_pivot_is_missing(self) -> None:
        """Only its pivot is fetched."""
        self.has_repository()
        self.requests.answers["LOGICAL_CONFIGURATION"] = [MISSING, self.own, {}]
        self.requests.answers["PIVOT_CONFIGURATION"] = [{}]
        content = b"logicalname: a2\npivot: {name: aggregator, major: 2, minor: 0}\n"
        self.result(self.installation.upload("acme", "aggregator", content))
        self.assertEqual(self.fetched, [])
        self.assertEqual(self.requests.asked[2][0], "PIVOT_CONFIGURATION")

    def test_what_cannot_be_fetched(self) -> None:
        """Neither without a repository, nor from one that has it not: both are told."""
        self.requests.answers["LOGICAL_CONFIGURATION"] = [MISSING, {"keyvalues": []}]
        upload = self.installation.upload("acme", "connector", CONNECTOR)
        failure = self.failureResultOf(ensureDeferred(upload), NotFound)
        self.assertIn("no repository_url", failure.getErrorMessage())
        self.has_repository()
        self.requests.answers["LOGICAL_CONFIGURATION"] = [MISSING, self.own]
        upload = self.installation.upload("acme", "connector", CONNECTOR)
        failure = self.failureResultOf(ensureDeferred(upload), NotFound)
        place = "https://definitions.example/configurations/vcs/git/1_2_product_connector.yaml"
        self.assertIn(f"product connector not found: {place}", failure.getErrorMessage())

    def test_the_repository_has_another_in_its_place(self) -> None:
        """It is not stored."""
        wanted = PivotReference(name="vcs", major=1, minor=2)
        error = self.assertRaises(InvalidDefinition, read_pivot, wanted, b"name: vcs\nmajor: 1\nminor: 3\n")
        self.assertIn("1.3", str(error))


class ReadingTests(SynchronousTestCase):
    """`read_component`"""

    def test_what_is_no_definition(self) -> None:
        """The text says why."""
        for content, why in (
            (b"\xff", "cannot be read"),
            (b"a: [", "cannot be read"),
            (b"- a", "must be a map"),
            (b"", "must be a map"),
            (b"a: &x [1]\nb: *x\n", "aliases"),
            (b"logicalname: x\n", "productconnector"),
            (b"#" * (1024 * 1024 + 1), "at most"),
        ):
            error = self.assertRaises(InvalidDefinition, read_component, "connector", content)
            self.assertIn(why, str(error))

    def test_json_is_yaml(self) -> None:
        """A definition may be written in it; without a type in the path its own counts."""
        content = json.dumps({"logicalname": "a", "type": "aggregator", "pivot": {"name": "aggregator", "major": 1}})
        self.assertEqual(read_component("", content.encode()).type, "aggregator")
        self.assertEqual(read_component("", CONNECTOR).type, "connector")

    @given(st.binary(max_size=200))
    def test_anything(self, content: bytes) -> None:
        """Is read, or is told to be no definition."""
        with contextlib.suppress(InvalidDefinition):
            read_component("connector", content)
