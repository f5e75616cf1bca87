"""libpq URIs: read, written, changed, and fit for a log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gandalf.store.dsn import build, masked, parse, replaced
from gandalf.store.errors import InvalidName

# What libpq cannot carry in a parameter: NUL. An empty parameter is the same as none.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
hosts = st.sampled_from(["127.0.0.1", "db.example", "::1", "/var/run/postgresql", "a.example,b.example"])


class DsnTests(SynchronousTestCase):
    """The functions of `gandalf.store.dsn`."""

    @given(user=texts, password=texts, host=hosts, dbname=texts)
    def test_what_is_built_is_read_back(self, user: str, password: str, host: str, dbname: str) -> None:
        """Any user, password and database name, and every kind of host, survive the way into a URI and back."""
        parameters = {"user": user, "password": password, "host": host, "dbname": dbname}
        self.assertEqual(parse(build(parameters)), parameters)

    @given(password=texts)
    def test_a_masked_address_does_not_hold_the_password(self, password: str) -> None:
        """The masked form is that of a URI whose password is three stars."""
        dsn = build({"user": "u", "password": password, "host": "h", "dbname": "d"})
        self.assertEqual(masked(dsn), "postgresql://u:***@h/d")

    def test_a_unix_socket(self) -> None:
        """A socket's directory is read from the query, and written there."""
        dsn = "postgresql://u:p@/db?host=%2Fvar%2Frun"
        self.assertEqual(parse(dsn)["host"], "/var/run")
        self.assertEqual(build(parse(dsn)), dsn)

    def test_one_parameter_replaced(self) -> None:
        """Replacing the database leaves the rest as it is."""
        self.assertEqual(
            replaced("postgresql://u:p@h:5433/a?sslmode=require", dbname="b"),
            "postgresql://u:p@h:5433/b?sslmode=require",
        )

    def test_what_is_no_address_is_refused_without_quoting_it(self) -> None:
        """The error shows the form that is expected, and nothing of the text, which may hold a password."""
        for text in ("postgresql://u:hidden@h:port/db?x", "hidden", "postgresql://u:hid%zzden@h/db"):
            error = self.assertRaises(InvalidName, parse, text)
            self.assertNotIn("hid", str(error))
            self.assertIn("postgresql://user:password@host:5432/database", str(error))
            self.assertEqual(masked(text), "***")
