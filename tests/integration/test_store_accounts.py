"""Who may log in, what users may do, and the rule of two administrators, on a real database."""

from __future__ import annotations

import threading
import uuid
from uuid import UUID

from sqlalchemy import Connection, delete, event, select, update
from twisted.trial.unittest import SynchronousTestCase

from gandalf.store import tenant_schema as tables
from gandalf.store.accounts import account_txn, replace_hash_txn, signing_keys_txn
from gandalf.store.errors import InvalidName, NotFound, translate
from gandalf.store.files import file_txn, store_file_txn
from gandalf.store.models import AUTHORIZATION, DOMAIN, ROLE, USER
from gandalf.store.principals import administrators_txn, principal_txn
from gandalf.store.rows import create_txn
from gandalf.store.seed import seed_txn
from gandalf.store.state import InvalidState, LastAdministrator, require_two_txn, settle_txn
from gandalf.store.trees import create_below_txn, root_txn
from tests.integration import postgres
from tests.integration.tenant_tables import connected

WRITERS = ("Writer",)


class SeededCase(SynchronousTestCase):
    """A tenant's tables with the first rows; what a test changes is rolled back."""

    dsn = ""

    def setUp(self) -> None:
        cls = type(self)
        if not cls.dsn:
            cls.dsn = postgres.create_tenant_tables()
            with postgres.transaction(cls.dsn) as connection:
                seed_txn(connection, tenant="acme", now=0)
        manager = connected(cls.dsn)
        self.connection: Connection = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)

    def user(self, email: str) -> UUID:
        """A new user."""
        id: UUID = create_txn(self.connection, USER, {"email": email}, now=1)["id"]
        return id

    def grant(self, user: UUID, role: str, domain: UUID | None) -> None:
        """Give a role, which is made if it is not there."""
        query = select(tables.roles.c.id).where(tables.roles.c.name == role)
        role_id = (
            self.connection.execute(query).scalar() or create_txn(self.connection, ROLE, {"name": role}, now=1)["id"]
        )
        create_txn(self.connection, AUTHORIZATION, {"user_id": user, "role_id": role_id, "domain_id": domain}, now=1)


class PrincipalTests(SeededCase):
    """`principal_txn`"""

    def test_nobody(self) -> None:
        """A user who is not there, or is hidden."""
        self.assertRaises(NotFound, principal_txn, self.connection, uuid.uuid4(), WRITERS)
        user = self.user("a")
        self.connection.execute(update(tables.users).where(tables.users.c.id == user).values(deleted_at=_NOW))
        self.assertRaises(NotFound, principal_txn, self.connection, user, WRITERS)

    def test_without_authorizations(self) -> None:
        """Known, and without rights; hidden authorizations and roles give none."""
        user = self.user("a")
        principal = principal_txn(self.connection, user, WRITERS)
        self.assertEqual((principal.email, principal.reading, principal.is_administrator), ("a", frozenset(), False))
        self.grant(user, "Administrator", root_txn(self.connection, DOMAIN)["id"])
        mine = tables.authorizations.c.user_id == user
        self.connection.execute(update(tables.authorizations).where(mine).values(deleted_at=_NOW))
        self.assertFalse(principal_txn(self.connection, user, WRITERS).is_administrator)

    def test_rights_hold_below(self) -> None:
        """On the domain itself and all below it, and nowhere else."""
        root = root_txn(self.connection, DOMAIN)["id"]
        a, b = (create_below_txn(self.connection, DOMAIN, root, {"name": name}, now=1)["id"] for name in "ab")
        c = create_below_txn(self.connection, DOMAIN, a, {"name": "c"}, now=1)["id"]
        user = self.user("a")
        self.grant(user, "Reader", b)
        self.grant(user, "Writer", a)
        self.grant(user, "Administrator", c)
        principal = principal_txn(self.connection, user, WRITERS)
        self.assertEqual(principal.reading, {a, b, c})
        self.assertEqual(principal.writing, {a, c})
        self.assertEqual(principal.administering, {c})

    def test_a_role_on_no_domain(self) -> None:
        """Is a right nowhere, and not on the root, whose parent is unset too."""
        user = self.user("a")
        self.grant(user, "Administrator", None)
        principal = principal_txn(self.connection, user, WRITERS)
        self.assertEqual((principal.reading, principal.writing, principal.administering), (set(), set(), set()))
        self.assertFalse(principal.is_administrator)

    def test_a_role_on_the_root(self) -> None:
        """Holds everywhere: only the root is named."""
        root = root_txn(self.connection, DOMAIN)["id"]
        create_below_txn(self.connection, DOMAIN, root, {"name": "a"}, now=1)
        user = self.user("a")
        self.grant(user, "Writer", root)
        principal = principal_txn(self.connection, user, WRITERS)
        self.assertEqual((principal.reading, principal.writing, principal.administering), ({root}, {root}, set()))

    def test_administrators_cost_one_query(self) -> None:
        """However many domains there are: every request begins with this."""
        query = select(tables.users.c.id).where(tables.users.c.email == "Administrator1")
        user = self.connection.execute(query).scalar_one()
        asked: list[str] = []
        event.listen(self.connection.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
        self.assertTrue(principal_txn(self.connection, user, WRITERS).is_administrator)
        self.assertEqual(len(asked), 1)


class StateTests(SeededCase):
    """The rule of two administrators."""

    def remove(self, connection: Connection, email: str) -> None:
        """Delete a user, as the API does."""
        connection.execute(delete(tables.users).where(tables.users.c.email == email))
        settle_txn(connection)

    def test_one_is_not_enough(self) -> None:
        """Nothing is created while there is one; two are enough again."""
        require_two_txn(self.connection)
        self.remove(self.connection, "Administrator2")
        self.assertRaises(InvalidState, require_two_txn, self.connection)
        self.grant(self.user("a"), "Administrator", root_txn(self.connection, DOMAIN)["id"])
        settle_txn(self.connection)
        require_two_txn(self.connection)
        self.assertEqual(len(administrators_txn(self.connection)), 2)

    def test_the_last_stays(self) -> None:
        """Nobody could help afterwards."""
        self.remove(self.connection, "Administrator2")
        self.assertRaises(LastAdministrator, self.remove, self.connection, "Administrator1")

    def test_without_a_state(self) -> None:
        """A database that never had one is not ready for changes; the next change of a user makes one."""
        self.connection.execute(delete(tables.state))
        self.assertRaises(InvalidState, require_two_txn, self.connection)
        settle_txn(self.connection)
        require_two_txn(self.connection)

    def test_two_who_remove_each_other(self) -> None:
        """One of them is too late."""
        dsn = postgres.create_tenant_tables()
        with postgres.transaction(dsn) as connection:
            seed_txn(connection, tenant="acme", now=0)
        first_deleted, outcomes = threading.Event(), []

        def second() -> None:
            first_deleted.wait(10)
            try:
                with postgres.transaction(dsn) as connection:
                    self.remove(connection, "Administrator2")
            except LastAdministrator as error:
                outcomes.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        with postgres.transaction(dsn) as connection:
            self.remove(connection, "Administrator1")
            first_deleted.set()
            thread.join(0.5)
        thread.join(10)
        self.assertEqual(len(outcomes), 1)


class AccountTests(SeededCase):
    """Log-ins, keys, files."""

    def test_an_account(self) -> None:
        """By email; a better hash replaces only the one that was verified."""
        account = account_txn(self.connection, "Administrator1")
        self.assertNotIn(account.password_hash, repr(account))
        self.assertRaises(NotFound, account_txn, self.connection, "nobody")
        replace_hash_txn(self.connection, account, "better")
        self.assertEqual(account_txn(self.connection, "Administrator1").password_hash, "better")
        replace_hash_txn(self.connection, account, "late")
        self.assertEqual(account_txn(self.connection, "Administrator1").password_hash, "better")

    def test_signing_keys(self) -> None:
        """One is made when there is none, and found again; of several the newest comes first."""
        (key,) = signing_keys_txn(self.connection, now=5)
        self.assertEqual(signing_keys_txn(self.connection, now=6), [key])
        self.assertEqual(len(key), 32)
        row = {"id": uuid.uuid4(), "secret": b"n" * 32, "created_at": _NOW}
        self.connection.execute(tables.signing_keys.insert().values(row))
        self.assertEqual(signing_keys_txn(self.connection, now=7), [b"n" * 32, key])

    def test_instances_that_start_at_once_agree_on_the_key(self) -> None:
        """The one that is later finds that of the other."""
        dsn = postgres.create_tenant_tables()
        keys: list[list[bytes]] = []
        ready = threading.Barrier(3)

        def start() -> None:
            ready.wait(10)
            with postgres.transaction(dsn) as connection:
                keys.append(signing_keys_txn(connection, now=1))

        threads = [threading.Thread(target=start) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        self.assertEqual(keys, [keys[0]] * 3)

    def test_files(self) -> None:
        """Kept, replaced, and not found."""
        id = uuid.uuid4()
        self.assertRaises(NotFound, file_txn, self.connection, id)
        store_file_txn(self.connection, id, b"a", now=1000)
        store_file_txn(self.connection, id, b"b\0", now=2000)
        file = file_txn(self.connection, id)
        self.assertEqual((file.content, file.updated_at.timestamp()), (b"b\0", 2.0))

    def test_a_text_too_long_for_its_index(self) -> None:
        """Is told as that."""
        long = "".join(str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))) for number in range(500))
        with self.connection.begin_nested() as savepoint:
            try:
                create_txn(self.connection, ROLE, {"name": long}, now=1)
            except Exception as error:
                savepoint.rollback()
                told = translate(error, "create")  # type: ignore[arg-type]
        self.assertIsInstance(told, InvalidName)


_NOW = "2026-01-01T00:00:00Z"
