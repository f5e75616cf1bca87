"""Who may act for whom."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from gandalf.cluster.authority import Authority, aggregator_only
from gandalf.cluster.requests import Request, RequestFailed
from gandalf.routing.link import AGGREGATOR
from gandalf.routing.testing import FakeLink
from gandalf.store.errors import DatabaseUnavailable
from gandalf.wire.kinds import CONFIGURATION


class AuthorityTest(SynchronousTestCase):
    """``gandalf`` and ``ops`` are administrators; there is a tenant ``acme`` besides the asker's."""

    def setUp(self) -> None:
        self.looked_up: list[str] = []
        self.authority = Authority(("gandalf", "ops"), self.exists)

    def exists(self, tenant: str) -> Deferred[bool]:
        """Note who was looked up."""
        self.looked_up.append(tenant)
        return succeed(tenant == "acme")

    def request(self, asker: str, target: str = "", /, **context: object) -> Request:
        """A request of an aggregator of the tenant ``asker``, or of a connector of it."""
        link = FakeLink(AGGREGATOR, "aggregator1", tenant=asker)
        return Request(CONFIGURATION, "ASK", asker, target, dict(context), "", 1, 0, link)

    def judged(self, request: Request, *, many: bool = False) -> str | None:
        """For whom it may be."""
        work = self.authority.tenant_or_all(request) if many else self.authority.tenant(request)
        judged: str | None = self.successResultOf(ensureDeferred(work))
        return judged

    def refused(self, request: Request, code: str, *said: str, many: bool = False) -> None:
        """It is not allowed, in words that say why."""
        work: Any = self.authority.tenant_or_all(request) if many else self.authority.tenant(request)
        error = self.failureResultOf(ensureDeferred(work), RequestFailed).value
        self.assertEqual(error.code, code)
        for words in said:
            self.assertIn(words, str(error))

    def test_own_tenant(self) -> None:
        """Named or not, for aggregators and connectors; nothing needs to be looked up."""
        for target in ("", "git1"):
            for context in ({}, {"tenant": ""}, {"tenant": "t1"}):
                for many in (False, True):
                    self.assertEqual(self.judged(self.request("t1", target, **context), many=many), "t1")
        self.assertEqual(self.looked_up, [])

    def test_another_tenant(self) -> None:
        """Administrators act for it, also when all are possible."""
        for tenant in ("gandalf", "ops"):
            for many in (False, True):
                self.assertEqual(self.judged(self.request(tenant, tenant="acme"), many=many), "acme")

    def test_nobody_else(self) -> None:
        """Whoever is no administrator learns who is, and not whether there is such a tenant."""
        for named in ("acme", "nobody", "gandalf"):
            for many in (False, True):
                self.refused(
                    self.request("t1", tenant=named),
                    "NOT_AUTHORISED",
                    f"'t1' may not act for the tenant {named!r}",
                    "one of the administrators may: 'gandalf', 'ops'",
                    many=many,
                )
        self.assertEqual(self.looked_up, [])

    def test_connectors(self) -> None:
        """A connector of an administrator is no administrator."""
        for many in (False, True):
            self.refused(
                self.request("gandalf", "git1", tenant="acme"), "NOT_AUTHORISED", "'gandalf' only", many=many
            )
        self.refused(self.request("gandalf", "git1", tenant="*"), "NOT_AUTHORISED", many=True)

    def test_unknown(self) -> None:
        """A tenant that does not exist is told; so is all, where one tenant is meant."""
        for named in ("nobody", "x" * 1000, "*"):
            self.refused(self.request("gandalf", tenant=named), "NOT_FOUND", f"there is no tenant {named[:80]!r}")

    def test_all(self) -> None:
        """Only administrators mean all tenants."""
        self.assertIsNone(self.judged(self.request("ops", tenant="*"), many=True))
        self.refused(self.request("t1", tenant="*"), "NOT_AUTHORISED", "act for all tenants", "'ops'", many=True)

    def test_malformed(self) -> None:
        """A tenant is text."""
        for many in (False, True):
            self.refused(self.request("gandalf", tenant=5), "MALFORMED", "context.tenant must be str", many=many)

    def test_no_administrators(self) -> None:
        """With an empty list nobody may, not even the tenant gandalf."""
        self.authority = Authority((), self.exists)
        self.refused(self.request("gandalf", tenant="acme"), "NOT_AUTHORISED", "nobody may")

    def test_the_database_is_away(self) -> None:
        """That a tenant cannot be looked up is no refusal."""
        authority = Authority(("gandalf",), lambda tenant: fail(DatabaseUnavailable("away")))
        work: Any = authority.tenant(self.request("gandalf", tenant="acme"))
        self.failureResultOf(ensureDeferred(work), DatabaseUnavailable)

    def test_administrators_only(self) -> None:
        """What is for administrators is for their aggregators, not for connectors behind them."""
        self.authority.administrator_only(self.request("ops"), "do it")
        for request in (self.request("t1"), self.request("ops", "git1")):
            error = self.assertRaises(RequestFailed, self.authority.administrator_only, request, "do it")
            self.assertEqual(error.code, "NOT_AUTHORISED")

    def test_aggregators_only(self) -> None:
        """What is between the cluster and the aggregator is for no connector."""
        aggregator_only(self.request("t1"))
        error = self.assertRaises(RequestFailed, aggregator_only, self.request("t1", "git1"))
        self.assertEqual((error.code, str(error)[:3]), ("NOT_AUTHORISED", "ASK"))
