"""Component secrets on a real server."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Connection, select
from twisted.trial.unittest import TestCase

from gandalf.store import secrets
from gandalf.store.cluster_schema import component_secrets
from gandalf.store.errors import Conflict, InvalidName, NotFound
from gandalf.store.secrets import Accepted, Refused

from . import postgres

_names = (f"component{number}" for number in itertools.count())


class SecretTests(TestCase):
    """Each test has a component of its own, of the tenant `gandalf`."""

    def setUp(self) -> None:
        self.name = next(_names)
        transaction = postgres.transaction(postgres.control_dsn())
        self.connection = transaction.__enter__()
        self.addCleanup(transaction.__exit__, None, None, None)

    def create(self) -> str:
        """A new secret of this test's component."""
        return secrets.create_txn(self.connection, "connector", self.name, "gandalf", now=1_000).secret

    def validate(
        self,
        secret: str,
        address: str = "",
        *,
        type: str = "connector",
        name: str = "",
        tenant: str = "gandalf",
        connection: Connection | None = None,
    ) -> Accepted | Refused:
        """Present a secret."""
        return secrets.validate_txn(
            connection or self.connection, type, name or self.name, tenant, address, "0a", secret, now=2_000
        )

    def reason(self, outcome: Accepted | Refused) -> str:
        """Why a secret was refused."""
        assert isinstance(outcome, Refused), outcome
        return outcome.reason

    def test_accepted(self) -> None:
        """A secret lets its component in, and its use is recorded."""
        self.assertIsInstance(self.validate(self.create()), Accepted)
        (info,) = [info for info in secrets.list_txn(self.connection) if info.logical_name == self.name]
        self.assertEqual((info.created_at, info.used_at, info.instance), (1_000, 2_000, "0a"))
        self.assertIsNone(info.bind_address)

    def test_bound_at_first_use(self) -> None:
        """The first address that it comes with is the only one from then on."""
        secret = self.create()
        first = self.validate(secret, "h:1")
        assert isinstance(first, Accepted)
        self.assertTrue(first.bound_now)
        again = self.validate(secret, "h:1")
        assert isinstance(again, Accepted)
        self.assertFalse(again.bound_now)
        for other in ("h:2", ""):
            self.assertIn("another address", self.reason(self.validate(secret, other)))

    def test_a_component_that_listens_nowhere(self) -> None:
        """It may come again and again, and does not use the binding up."""
        secret = self.create()
        for address in ("", "", "h:1"):
            self.assertIsInstance(self.validate(secret, address), Accepted)

    def test_one_for_each_instance(self) -> None:
        """A component has as many secrets as it has instances, each bound to its own address."""
        one, two = self.create(), self.create()
        self.assertIsInstance(self.validate(one, "h:1"), Accepted)
        self.assertIsInstance(self.validate(two, "h:2"), Accepted)

    def create_open(self) -> tuple[uuid.UUID, str]:
        """The id and text of a new open secret of the tenant `gandalf`."""
        created = secrets.create_open_txn(self.connection, "gandalf", now=1_000)
        return created.id, created.secret

    def info(self, id: uuid.UUID) -> secrets.SecretInfo:
        """What the list tells of a secret."""
        (info,) = [info for info in secrets.list_txn(self.connection) if info.id == id]
        return info

    def test_open(self) -> None:
        """Its text is a UUID; until it is used it belongs to a tenant only."""
        id, secret = self.create_open()
        self.assertEqual(str(uuid.UUID(secret)), secret)
        info = self.info(id)
        self.assertEqual((info.component_type, info.logical_name, info.bind_address), (None, None, None))
        self.assertEqual((info.tenant, info.created_at, info.used_at), ("gandalf", 1_000, None))
        self.assertNotEqual(self.create_open()[1], secret)
        error = self.assertRaises(Conflict, secrets.create_open_txn, self.connection, "nobody", now=1)
        self.assertIn("nobody", str(error))

    def test_open_is_assigned_at_first_use(self) -> None:
        """From then on it is as one made for that component, type, name and address."""
        id, secret = self.create_open()
        first = self.validate(secret, "h:1", type="aggregator")
        self.assertEqual(first, Accepted(id, True))
        self.assertEqual(self.validate(secret, "h:1", type="aggregator"), Accepted(id, False))
        info = self.info(id)
        self.assertEqual((info.component_type, info.logical_name), ("aggregator", self.name))
        self.assertEqual((info.bind_address, info.used_at, info.instance), ("h:1", 2_000, "0a"))
        for outcome, reason in (
            (self.validate(secret, "h:1", type="connector"), "the secret belongs to another component"),
            (
                self.validate(secret, "h:1", type="aggregator", name="other"),
                "the secret belongs to another component",
            ),
            (self.validate(secret, "h:2", type="aggregator"), "the secret is bound to another address"),
        ):
            self.assertEqual(self.reason(outcome), reason)
        self.assertEqual(self.info(id), info)

    def test_open_of_a_component_that_listens_nowhere(self) -> None:
        """It is assigned, and not bound to an address."""
        id, secret = self.create_open()
        self.assertEqual(self.validate(secret), Accepted(id, False))
        self.assertEqual(self.validate(secret), Accepted(id, False))
        self.assertEqual(self.reason(self.validate(secret, name="other")), "the secret belongs to another component")
        self.assertEqual(self.info(id).logical_name, self.name)

    def test_open_stays_open_when_refused(self) -> None:
        """Neither another tenant's attempt nor one after it was revoked makes it anybody's."""
        id, secret = self.create_open()
        self.assertIn("another tenant", self.reason(self.validate(secret, tenant="other")))
        secrets.revoke_txn(self.connection, id, now=3_000)
        self.assertIn("revoked", self.reason(self.validate(secret)))
        self.assertIsNone(self.info(id).component_type)

    def test_open_cannot_be_chosen(self) -> None:
        """The text of an open secret is not to be had for a component in another way than by using it."""
        _, secret = self.create_open()
        store = secrets.import_txn
        error = self.assertRaises(Conflict, store, self.connection, "connector", self.name, "gandalf", secret, now=1)
        self.assertIn("open", str(error))
        self.validate(secret)
        store(self.connection, "connector", self.name, "gandalf", secret, now=1)

    def test_refused(self) -> None:
        """Each reason is told apart; none of these attempts binds the secret."""
        secret = self.create()
        for outcome, reason in (
            (self.validate(secret + "x", "h:1"), "the secret is unknown"),
            (self.validate("", "h:1"), "the secret is unknown"),
            (self.validate(secret, "h:1", tenant="other"), "the secret belongs to another tenant"),
            (self.validate(secret, "h:1", name="other"), "the secret belongs to another component"),
            (self.validate(secret, "h:1", type="aggregator"), "the secret belongs to another component"),
        ):
            self.assertEqual(self.reason(outcome), reason)
        self.assertIsInstance(self.validate(secret, "h:2"), Accepted)

    def test_revoked(self) -> None:
        """A revoked secret lets nobody in; revoking it again keeps the first time."""
        secret = self.create()
        accepted = self.validate(secret)
        assert isinstance(accepted, Accepted)
        secrets.revoke_txn(self.connection, accepted.id, now=3_000)
        secrets.revoke_txn(self.connection, accepted.id, now=4_000)
        self.assertIn("revoked", self.reason(self.validate(secret)))
        (info,) = [info for info in secrets.list_txn(self.connection) if info.id == accepted.id]
        self.assertEqual(info.revoked_at, 3_000)
        self.assertRaises(NotFound, secrets.revoke_txn, self.connection, uuid.uuid4(), now=1)

    def test_revoked_of_a_tenant(self) -> None:
        """Asked for one tenant's, another's is not found, and stays."""
        id, secret = self.create_open()
        error = self.assertRaises(NotFound, secrets.revoke_txn, self.connection, id, "other", now=3_000)
        self.assertEqual(str(error), f"there is no secret {id}")
        self.assertIsInstance(self.validate(secret), Accepted)
        secrets.revoke_txn(self.connection, id, "gandalf", now=3_000)
        self.assertEqual(self.info(id).revoked_at, 3_000)

    def test_the_secret_itself_is_not_stored(self) -> None:
        """Neither the table nor the list holds its text, nor what is shown of one just made."""
        created = secrets.create_txn(self.connection, "connector", self.name, "gandalf", now=1_000)
        rows = self.connection.execute(select(component_secrets)).all()
        self.assertNotIn(created.secret, repr(rows) + repr(secrets.list_txn(self.connection)) + repr(created))

    def test_chosen_elsewhere(self) -> None:
        """A secret may be given, once or again, if it is long enough and no other component's."""
        chosen = f"chosen by configuration {self.name}"
        store = secrets.import_txn
        id = store(self.connection, "connector", self.name, "gandalf", chosen, now=1)
        self.assertEqual(store(self.connection, "connector", self.name, "gandalf", chosen, now=2), id)
        self.assertIsInstance(self.validate(chosen), Accepted)
        error = self.assertRaises(
            InvalidName, store, self.connection, "connector", self.name, "gandalf", "x" * 15, now=1
        )
        self.assertEqual(str(error), "a secret must have at least 16 characters; this one has 15")
        self.assertRaises(Conflict, store, self.connection, "connector", "other", "gandalf", chosen, now=1)
        secrets.revoke_txn(self.connection, id, now=3)
        self.assertRaises(Conflict, store, self.connection, "connector", self.name, "gandalf", chosen, now=4)

    def test_an_unknown_tenant(self) -> None:
        """A secret for a tenant that does not exist is a conflict that names the tenant."""
        error = self.assertRaises(
            Conflict, secrets.create_txn, self.connection, "connector", self.name, "nobody", now=1
        )
        self.assertIn("nobody", str(error))

    def test_listed_by_tenant(self) -> None:
        """The list can be narrowed to a tenant."""
        self.create()
        self.assertTrue(secrets.list_txn(self.connection, "gandalf"))
        self.assertEqual(secrets.list_txn(self.connection, "nobody"), [])

    def test_two_first_uses_at_once(self) -> None:
        """Of several that present a new secret from different addresses at once, one is let in."""
        secret = self.create()
        self.connection.commit()
        outcomes = at_once(lambda number, connection: self.validate(secret, f"h:{number}", connection=connection))
        self.assertEqual(sorted(type(outcome).__name__ for outcome in outcomes), ["Accepted", *["Refused"] * 3])

    def test_two_components_use_an_open_secret_at_once(self) -> None:
        """It becomes the one's that is let in; the others are told so."""
        with postgres.transaction(postgres.control_dsn()) as connection:
            created = secrets.create_open_txn(connection, "gandalf", now=1_000)
        outcomes = at_once(
            lambda number, connection: self.validate(
                created.secret, name=f"{self.name}-{number}", connection=connection
            )
        )
        (let_in,) = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Accepted)]
        reasons = {outcome.reason for outcome in outcomes if isinstance(outcome, Refused)}
        self.assertEqual(reasons, {"the secret belongs to another component"})
        self.assertEqual(self.info(created.id).logical_name, f"{self.name}-{let_in}")


def at_once(use: Callable[[int, Connection], Accepted | Refused]) -> list[Accepted | Refused]:
    """What comes of four uses, numbered from 0, at the same moment; each on a connection of its own."""
    start = threading.Barrier(4)

    def work(number: int) -> Accepted | Refused:
        with postgres.transaction(postgres.control_dsn()) as connection:
            start.wait(10)
            return use(number, connection)

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(work, range(4)))
